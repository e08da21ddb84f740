#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell offcpu` against oracles: total, count and percentiles by state, and whose stack it is.

load lib

# The workload is there until the report is made, so that its functions' names can be looked up.
measure() { # mode [options of offcpu…]
	local i

	: >"$T/truth.json"
	WAITS_LINGER=1 start_dwell offcpu --json -o "$T/offcpu.json" --by thread --exit-status \
		"${@:2}" -- sh -c 'exec "$0" "$1" "$3" 5 >"$2"' "$W/waits" "$1" "$T/truth.json" "$ROUNDS"
	for ((i = 0; i < LIMIT * 50; i++)); do
		if [ -s "$T/truth.json" ] || ! kill -0 "$DWELL_PID" 2>/dev/null; then
			break
		fi
		sleep 0.02
	done
	if [ ! -s "$T/truth.json" ]; then
		skip "$(sed -n 's/^waits: skipped: //p' "$T/dwell.err")"
	fi
	stop_dwell
	kill "$(jq .pid "$T/truth.json")" 2>/dev/null || true
}

# Frames of the C library have no frame pointers, and hide the function that called them, or all.
# The victim's rows in the state: all its waits, the time, and a stack with this function.
oracle() { # mode function [options…]
	measure "$1" "${@:3}"
	# two of the stacks may share a hash: the one has no frames then, but its time
	check "$T/offcpu.json" 'lossless([]),
		$truth[0] as $t |
		([.rows[] | select(.tid == $t.tid and (.state as $s | $t.states | index($s)))]) as $rows |
		between("time in \($t.states)"; $rows | map(.total_ns) | total;
			$t.blocked_ns * 0.97; $t.total_ns * 1.03),
		expect(($t.exact_count | not) or ($rows | map(.count) | total) == $t.count;
			"\($rows | map(.count) | total) waits instead of \($t.count)"),
		expect($function == "" or ($rows | max_by(.total_ns).stack | any(contains($function)));
			"no \($function) in \($rows | max_by(.total_ns).stack)")' \
		--slurpfile truth "$T/truth.json" --arg function "$2"
}

@test "lock" {
	oracle lock-mutex wait__measure
}

@test "sync" {
	oracle sync-sem ""
}

@test "pipe" {
	oracle pipe-read wait__measure
}

@test "net" {
	oracle net-tcp ""
}

@test "poll" {
	oracle poll-epoll wait__measure
}

@test "sleep" {
	oracle sleep-nanosleep wait__measure
}

@test "disk" {
	oracle disk-read ""
}

@test "fs" {
	oracle fs-read wait__measure
}

@test "klock" {
	need_contention
	oracle klock-inode wait__measure
}

@test "fault" {
	oracle fault-uffd uffd__touch
}

@test "stop" {
	oracle stop-signal ""
}

@test "other" {
	oracle other-copy wait__measure
}

@test "-k: kernel stacks only" {
	oracle pipe-read pipe_read -k
	check "$T/offcpu.json" 'expect([.rows[].stack[] | select(contains("wait__measure"))] == [];
		"user frames: \(.rows)")'
}

@test "-u: user stacks only" {
	oracle pipe-read wait__measure -u
	check "$T/offcpu.json" 'expect([.rows[].stack[] | select(contains("pipe_read"))] == [];
		"kernel frames: \(.rows)")'
}

@test "percentiles of times from 0.1 to 30 ms are within 2.2 % of the exact ones" {
	measure sleep-spread -k # one kernel stack: one row
	check "$T/offcpu.json" '$truth[0] as $t |
		[.rows[] | select(.tid == $t.tid and .state == "sleep")] as $rows |
		expect(($rows | length) == 1; "\($rows | length) rows"),
		# what dwell sees lies between the samples with and without the time on the CPU
		((["p50_ns", 0.5], ["p95_ns", 0.95], ["p99_ns", 0.99]) as [$key, $share] |
			between($key; $rows[0][$key];
				($t.blocked | rank($share)) * 0.978; ($t.samples | rank($share)) * 1.022)),
		between("max_ns"; $rows[0].max_ns; ($t.blocked | max) * 0.999; ($t.samples | max)),
		between("total"; $rows[0].total_ns; $t.blocked_ns * 0.97; $t.total_ns)' \
		--slurpfile truth "$T/truth.json"
}

# bats test_tags=once
@test "the histogram's buckets hold every wait" {
	measure sleep-spread -k # one kernel stack: one row
	check "$T/offcpu.json" '.rows[] |
		expect(.hist.zero + ([.hist.buckets[][1]] | total) == .count;
			"\(.hist) does not hold \(.count) waits"),
		near("mean"; .mean_ns; .total_ns / ([.count, 1] | max); 0.001; 1)'
}

# bats test_tags=once
@test "--folded: well-formed lines whose sum is the total" {
	local where

	for where in none root leaf; do
		dwell offcpu --folded --state-frame "$where" -o "$T/$where" -- \
			"$W/waits" lock-mutex "$ROUNDS" 5 >"$T/$where.json"
		[ -s "$T/$where" ]
		! grep -vqE '^[^;]+(;[^;]+)* [0-9]+$' "$T/$where" || fail_with "malformed:" "$T/$where"
	done
	if grep -qE '\[(lock|sync)\]' "$T/none"; then
		fail_with "a state without --state-frame:" "$T/none"
	fi
	grep -qE '^[^;]+;\[lock\];.*wait__measure' "$T/root"
	grep -qE '^[^;]+;.*wait__measure.*;\[lock\] [0-9]+$' "$T/leaf"
	sum=$(awk '/;\[lock\];/ { n += $NF } END { print n }' "$T/root")
	check "$T/root.json" 'between("sum"; '"$sum"' * 1000; .blocked_ns * 0.97; .total_ns * 1.03)'
}

@test "functions have their names though the program has ended" {
	dwell offcpu --json -o "$T/out" --by thread -- "$W/waits" pipe-read 50 5 >"$T/truth"
	check "$T/out" 'expect([.rows[].stack[]] | index("wait__measure"); "no wait__measure in \([.rows[].stack])")'
}

# bats test_tags=once
@test "--folded has the sum of the JSON of the same program" {
	local folded

	start "$T/demo.out" "$W/demo" $((30 * SLOW))
	sleep 0.3
	side_by_side "$PID" 2 offcpu --json --by thread -- \
		offcpu --folded --by thread --state-frame root
	# one of the two sees more of the halts at the ends
	folded=$(awk '!/;\[stop\]/ { n += $NF } END { print n * 1000 }' "$T/beside.out")
	check "$T/dwell.out" '([.rows[] | select(.state != "stop").total_ns] | total) as $total |
		expect($total > 4000000000; "\($total) ns"),
		near("folded"; '"$folded"'; $total; 0.03; 0)'
}

# bats test_tags=once
@test "text: stacks with their time, the heaviest last" {
	dwell offcpu -o "$T/text" -- "$W/waits" lock-mutex 100 5 >/dev/null
	grep -q wait__measure "$T/text"
	grep -q 'waits, mean' "$T/text"
}

@test "--min leaves out short waits" {
	measure sleep-spread --min 10ms
	check "$T/offcpu.json" 'expect([.rows[] | select(.hist and .count > 0) |
		select(.max_ns < 10000000)] == []; "short rows: \(.rows)"),
		([$truth[0].blocked[] | select(. >= 10100000)] | length) as $surely |
		([$truth[0].blocked[] | select(. >= 9900000)] | length) as $perhaps |
		within("waits of 10 ms and longer";
			[.rows[] | select(.tid == $truth[0].tid and .state == "sleep").count] | total;
			$surely; $perhaps)' --slurpfile truth "$T/truth.json"
}
