#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell syscall` against a program that knows what it called and how long that took, and against
# strace.

load lib

measure() { # options…
	dwell syscall --json -o "$T/out" "$@" -- "$W/calls" 100 >"$T/truth" 2>"$T/err" ||
		fail_with "exit status $?:" "$T/err"
}

# What holds for every row: parts add up, and errors are of the row's calls.
rows_add_up() { # file
	check "$1" 'sound, lossless, (.rows[] |
		near("states of \(.syscall)"; .states | map(.) | total; .total_ns; 0.001; 0),
		expect(.failed == (.errors | map(.) | total); "failed is not the sum: \(.)"),
		expect(.failed <= .count; "more failed than called: \(.)"),
		expect(.count == (.hist.zero + ([.hist.buckets[][1]] | total)); "count is not the sum"),
		expect(.max_ns <= .total_ns; "max_ns is more than total_ns: \(.)"))'
}

@test "counts and errors are exact, and times are those that the program measured" {
	local attach

	for attach in auto raw_tp; do
		measure --by thread --attach "$attach"
		rows_add_up "$T/out"
		check "$T/out" '$truth[0] as $t |
			([.rows[] | select(.tid == $t.tid)] | INDEX(.syscall)) as $rows |
			($t.calls | to_entries[] |
				expect($rows[.key].count == .value; "\(.key): \($rows[.key].count) calls, not \(.value)")),
			($t.errors | to_entries[] |
				expect($rows[.key].errors == .value; "\(.key): \($rows[.key].errors), not \(.value)")),
			expect($rows.getppid.errors == {}; "errors of getppid: \($rows.getppid.errors)"),
			$rows.clock_nanosleep as $sleep |
			between("total"; $sleep.total_ns; $t.samples | map([., 2000000] | min) | total; $t.sleep_ns),
			between("p50"; $sleep.p50_ns; ($t.samples | rank(0.4)) * 0.97; ($t.samples | rank(0.5)) * 1.03),
			between("p99"; $sleep.p99_ns; ($t.samples | rank(0.9)) * 0.97; ($t.samples | rank(0.99)) * 1.03),
			between("sleep"; $sleep.states.sleep; 0.9 * 2000000 * ($t.samples | length); $sleep.total_ns),
			expect(($rows.getppid.states | keys) - ["cpu", "preempt", "runq"] == [];
				"states of getppid: \($rows.getppid.states)")' --slurpfile truth "$T/truth"
	done
}

@test "counts and errors are strace's" {
	need strace
	strace -f -c -o "$T/strace" "$W/calls" 100 >"$T/truth" || skip "strace cannot trace here"
	measure
	# % time, seconds, usecs/call, calls, [errors,] syscall
	awk '$1 ~ /^[0-9.]+$/ && $NF != "total" { print "{\"name\":\"" $NF "\",\"count\":" $4 ",\"failed\":" (NF > 5 ? $5 : 0) "}" }' \
		"$T/strace" >"$T/expected"
	[ "$(wc -l <"$T/expected")" -gt 10 ] || fail_with "strace:" "$T/strace"
	# How often a thread waits in futex() for another is a matter of time; and between its release
	# and its execve(), the program gives back the signals that dwell had blocked.
	check "$T/out" '(.rows | INDEX(.syscall)) as $rows | $expected[] |
		select(.name | IN("futex", "rt_sigprocmask", "rt_sigaction") | not) |
		expect($rows[.name].count == .count and $rows[.name].failed == .failed;
			"strace: \(.), dwell: \($rows[.name].count), \($rows[.name].failed) failed")' \
		--slurpfile expected "$T/expected"
}

@test "only the target's calls: none, matching, not matching" {
	start "$T/busy" sh -c 'while :; do cat /nonexistent; done 2>/dev/null'
	start_sleeper sleep
	dwell syscall --json -d 0.3 -o "$T/out" -p "$PID"
	check "$T/out" 'expect([.rows[] | select(.syscall == "execve")] == []; "others: \(.rows)")'
	dwell syscall --json -d 0.5 -o "$T/out" -c cat --by comm
	check "$T/out" 'expect([.rows[].comm] | unique == ["cat"]; "rows: \([.rows[].comm] | unique)"),
		expect([.rows[] | select(.errors.ENOENT)] != []; "no ENOENT")'
	dwell syscall --json -d 0.5 -o "$T/out" -a
	check "$T/out" 'expect(([.rows[].syscall] | unique | length) == (.rows | length); "a call twice"),
		expect([.rows[] | select(.syscall == "execve")] != []; "no execve"),
		expect([.rows[].pid | values] == []; "a process with --by all")'
}

@test "intervals: every call is in one of them" {
	dwell syscall --jsonl -i 50ms -o "$T/out" --by thread -- "$W/calls" 100 >"$T/truth" 2>"$T/err"
	jq -s '{rows: (map(.rows[]) | group_by([.tid, .syscall]) | map({tid: .[0].tid,
		syscall: .[0].syscall, count: (map(.count) | add)})), reports: length}' "$T/out" >"$T/sums"
	check "$T/sums" '$truth[0] as $t | expect(.reports > 3; "\(.reports) reports"),
		([.rows[] | select(.tid == $t.tid)] | INDEX(.syscall)) as $rows | $t.calls | to_entries[] |
		expect($rows[.key].count == .value; "\(.key): \($rows[.key].count) calls, not \(.value)")' \
		--slurpfile truth "$T/truth"
	while read -r line; do
		rows_add_up /dev/stdin <<<"$line"
	done <"$T/out"
}

@test "--min, --sort and a full map" {
	measure --min 1ms --by thread
	check "$T/out" '$truth[0].tid as $tid | [.rows[] | select(.tid == $tid).syscall] as $calls |
		expect($calls == ["clock_nanosleep"]; "calls of 1 ms: \($calls)")' --slurpfile truth "$T/truth"
	measure --sort failed
	check "$T/out" 'expect(.rows[0].syscall == "openat"; "first: \(.rows[0].syscall)")'
	measure --max-entries 4
	check "$T/out" 'expect(.rows | length <= 4; "\(.rows | length) rows"),
		expect(.loss.reasons.map_full > 0; "nothing was lost: \(.loss)")'
	grep -q '^dwell: LOST ' "$T/err"
}

@test "text: states and errors" {
	dwell syscall -o "$T/text" -- "$W/calls" 50 >/dev/null
	grep -Eq '^SYSCALL +CALLS +FAILED +TOTAL +P50' "$T/text" || fail_with "heading:" "$T/text"
	grep -Eq '^clock_nanosleep +50 +0 .*sleep [0-9]+%' "$T/text" || fail_with "sleep:" "$T/text"
	dwell syscall -n 100 -o "$T/text" -- "$W/calls" 50 >/dev/null
	grep -Eq '^fsync +100 +100 .*EBADF 50, EINVAL 50|EINVAL 50, EBADF 50' "$T/text" || fail_with "fsync:" "$T/text"
}
