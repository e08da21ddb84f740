#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Threads that sleep through the run, begin or end in its middle, or were blocked before it.

load lib

@test "threads that sleep through the whole run are accounted for all of it" {
	start "$T/ready" "$W/threads" 50 60
	wait_for '^ready' "$T/ready"
	dwell why --json -d 1 -p "$PID" --by thread >"$T/out"
	check "$T/out" 'sound, lossless,
		expect((.rows | length) == 51; "\(.rows | length) threads"),
		.duration_ns as $duration |
		(.rows[] | near("wall of \(.tid)"; .wall_ns; $duration; 0.001; 0)),
		expect(([.rows[] | select(.states.sync == .wall_ns)] | length) == 50;
			"states: \([.rows[].states] | unique)")'
}

@test "blocked before the run began: the state is known, and what for" {
	local state

	for state in pipe lock sync net poll sleep; do
		start_sleeper $state
		dwell why --json -d 0.5 -p "$PID" --by thread >"$T/out"
		check "$T/out" 'sound, lossless, (.rows[] | select(.comm == "blocked") |
			expect(.states[$state] == .wall_ns; "\(.states) instead of \($state)"),
			expect((.causes | length) == 1 and .causes[0].state == $state and .causes[0].count == 1;
				"causes: \(.causes)"),
			near("cause"; .causes[0].total_ns; .wall_ns; 0.001; 0)),
			expect([.rows[].comm] | index("blocked"); "rows: \([.rows[].comm])")' --arg state $state
		kill "$PID"
	done
}

@test "offcpu: blocked before the run began, with the stack of the kernel at least" {
	start_sleeper pipe
	dwell offcpu --json -d 0.5 -p "$PID" --by thread >"$T/out"
	check "$T/out" '.duration_ns as $duration |
		[.rows[] | select(.comm == "blocked")] as $rows |
		expect(($rows | length) == 1; "\($rows | length) rows"),
		near("time"; $rows[0].total_ns; $duration; 0.001; 0),
		expect($rows[0].state == "pipe"; "state \($rows[0].state)")'
}

@test "threads that begin and end in the middle: their life times" {
	dwell why --json -o "$T/out" --by process -- "$W/threads" --births 300 5 >"$T/truth"
	check "$T/out" 'sound, lossless,
		[.rows[] | select(.pid == $truth[0].pid)] as $rows |
		expect(($rows | length) == 1; "\($rows | length) rows"),
		expect($rows[0].threads == $truth[0].count + 1; "\($rows[0].threads) threads"),
		# and the main thread, which lives all along
		between("wall"; $rows[0].wall_ns; $truth[0].lifetime_ns * 0.97;
			$truth[0].lifetime_ns * 1.03 + .duration_ns + (slow - 1) * 300 * 1000000),
		between("sleep"; $rows[0].states.sleep; $truth[0].count * 5000000 * 0.97;
			$truth[0].lifetime_ns)' --slurpfile truth "$T/truth"
}

@test "threads that end are reported one by one, too" {
	dwell why --json -o "$T/out" --by thread --max-entries 8192 -- \
		"$W/threads" --births 300 5 >"$T/truth"
	check "$T/out" 'sound, lossless,
		expect((.rows | length) == 301; "\(.rows | length) rows"),
		([.rows[] | select(.tid != .pid)]) as $rows |
		# to its own first look at the clock, and from its last
		between("wall"; [$rows[].wall_ns] | total; $truth[0].lifetime_ns * 0.97 - 5000000;
			$truth[0].lifetime_ns * 1.03 + 5000000 + (slow - 1) * 300 * 1000000),
		between("sleep"; [$rows[].states.sleep] | total; $truth[0].count * 5000000 * 0.97;
			$truth[0].lifetime_ns),
		(.duration_ns as $most |
			$rows[] | between("sleep of \(.tid)"; .states.sleep; 1; $most))' \
		--slurpfile truth "$T/truth"
}

@test "a storm of fork and exec: every process is seen, nothing is lost" {
	dwell why --json -o "$T/out" --max-entries 16384 -- \
		sh -c 'i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i + 1)); done'
	check "$T/out" 'sound, lossless,
		expect((.rows | length) == 301; "\(.rows | length) rows"),
		expect(([.rows[] | select(.comm == "true")] | length) == 300;
			"names: \([.rows[].comm] | unique)")'
}

@test "exec: the thread keeps its clock and takes its new name" {
	dwell why --json -o "$T/out" --by thread -- \
		sh -c "sleep $(seconds 0.2); exec sleep $(seconds 0.3)"
	check "$T/out" 'sound,
		(.duration_ns * 0.9) as $most |
		[.rows[] | select(.wall_ns > $most)] as $rows |
		expect(($rows | length) == 1 and $rows[0].comm == "sleep"; "rows: \([.rows[] | [.comm, .wall_ns]])"),
		near("sleep"; $rows[0].states.sleep; 300000000 * slow; 0.05; 0),
		near("child"; $rows[0].states.sync; 200000000 * slow; 0.1; 0)'
}

@test "a target that exits in the middle: its last moments are in the report" {
	start_sleeper pipe
	start_dwell why --json -d 60 -p "$PID"
	sleep 0.3
	kill "$PID"
	sleep 0.5
	stop_dwell
	check "$T/dwell.out" 'sound, lossless,
		expect((.rows | length) == 1; "\(.rows | length) rows"),
		expect(.rows[0].exited == 2; "exited: \(.rows[0].exited)"),
		# of its two threads
		between("wall"; .rows[0].wall_ns; 600000000; 2 * (.duration_ns - 500000000))'
}

@test "a pid that is used again gets an account of its own" {
	[ -w /proc/sys/kernel/ns_last_pid ] || skip "the kernel does not let us choose a pid"
	# In a shell that is followed: a process, and another one with the same pid.
	# shellcheck disable=SC2016 # for that shell
	dwell why --json -o "$T/out" --by thread -- bash -c '
		sleep 0.1 & first=$!
		wait
		for try in {1..50}; do
			echo $((first - 1)) >/proc/sys/kernel/ns_last_pid
			timeout 0.3 true & second=$!
			wait
			[ $second != $first ] || break
		done
		[ $second = $first ] && echo $first' >"$T/pid" || skip "the pid did not come again"
	[ -s "$T/pid" ] || skip "the pid did not come again"
	check "$T/out" 'sound, lossless,
		([.rows[] | select(.pid == $pid)]) as $rows |
		expect(($rows | length) == 2; "\($rows | length) rows of \($pid)")' \
		--argjson pid "$(cat "$T/pid")"
}
