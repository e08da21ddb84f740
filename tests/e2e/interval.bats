#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Intervals are whole: what they add up to is what one uninterrupted run sees.

load lib

# Two dwells over the whole life of the same load, one with intervals, one without. $PID: the load.
whole_and_parts() { # command [options…]
	local whole parts

	start_dwell "$1" -a --json -d 60 -o "$T/whole.json" "${@:2}"
	whole=$DWELL_PID
	start_dwell "$1" -a --jsonl -i 0.3 -o "$T/parts.jsonl" "${@:2}"
	parts=$DWELL_PID
	start "$T/demo.out" "$W/demo" 3
	await "$PID" 20
	kill -INT "$whole" "$parts"
	await "$whole" 20
	await "$parts" 20
	jq -s . "$T/parts.jsonl" >"$T/parts.json"
}

@test "why: the intervals' states add up to those of one run beside it" {
	whole_and_parts why
	check "$T/whole.json" 'sound, lossless(["holder"]), ($parts[0][] | sound, lossless(["holder"])),
		[.rows[] | select(.pid == $pid)] as $whole |
		[$parts[0][].rows[] | select(.pid == $pid)] as $rows |
		expect(($whole | length) == 1; "\($whole | length) rows"),
		expect(($rows | length) >= 10 / slow; "\($rows | length) intervals"),
		near("wall"; [$rows[].wall_ns] | total; $whole[0].wall_ns; 0.01; 0),
		(($whole[0].states | keys[]) as $state |
			near("\($state)"; [$rows[].states[$state] // 0] | total; $whole[0].states[$state];
				0.01; 1000000)),
		# the causes that are there whatever the two dwells do to each other
		(("mutex", "socket", "pipe", "timer") as $kind |
			near("waits for \($kind)"; [$rows[].causes[] | select(.kind == $kind).count] | total;
				[$whole[0].causes[] | select(.kind == $kind).count] | total; 0.001; 1))' \
		--slurpfile parts "$T/parts.json" --argjson pid "$PID"
}

@test "durations are contiguous, and no thread is missing in any interval" {
	start_sleeper pipe
	start "$T/demo.out" "$W/demo" 60
	sleep 0.3
	# a report that takes as long as an interval would make the next one late
	dwell why --jsonl -i "$(seconds 0.3)" -d "$(seconds 3)" --by thread -p "$PID" >"$T/parts.jsonl"
	jq -s . "$T/parts.jsonl" >"$T/parts.json"
	check "$T/parts.json" 'expect(length == 10; "\(length) intervals"), (.[] | sound, lossless),
		# a cut may come late on a busy machine, but the later ones make up for it: no drift
		([range(1; length) as $n | ([.[0:$n][].duration_ns] | total) - $n * 300000000 * slow] |
			expect(min > -1000000 and max < 300000000 * slow and
				sort[length / 2 | floor] < 50000000 * slow;
				"the cuts are late by \(.) ns")),
		(.[] | .duration_ns as $d | .rows[] |
			near("wall of \(.comm)"; .wall_ns; $d; 0.001; 0)),
		expect([.[].interval] == [range(1; length + 1)]; "numbers: \([.[].interval])"),
		([.[].rows | length] | unique) as $n | expect(($n | length) == 1; "rows: \($n)")'
}

@test "runq and offcpu: waits and time" {
	local command

	for command in $(few runq offcpu); do
		whole_and_parts "$command" --max-entries 16384
		# a few of so many stacks share a hash: they have no frames, but their time
		check "$T/whole.json" '(., $parts[0][] | lossless([])),
			[.rows[] | select(.pid == $pid)] as $whole |
			[$parts[0][].rows[] | select(.pid == $pid)] as $rows |
			near("waits"; [$rows[].count] | total; [$whole[].count] | total; 0.01; 0),
			near("time"; [$rows[].total_ns] | total; [$whole[].total_ns] | total; 0.01; 1000000)' \
			--slurpfile parts "$T/parts.json" --argjson pid "$PID"
	done
}

@test "known waits, cut by many intervals: none is lost, none counted twice" {
	dwell why --jsonl -i 0.1 -o "$T/parts.jsonl" --by thread -- \
		"$W/waits" lock-mutex 200 5 >"$T/truth.json"
	jq -s . "$T/parts.jsonl" >"$T/parts.json"
	check "$T/parts.json" '$truth[0] as $t |
		expect(length >= 10 / slow; "\(length) intervals"),
		([.[].rows[] | select(.tid == $t.tid)]) as $rows |
		between("lock"; [$rows[].states.lock // 0] | total; $t.blocked_ns * 0.97; $t.total_ns * 1.03),
		# a lock may be free again before the thread has left the CPU for it
		within("waits"; [$rows[].causes[] | select(.state == "lock").count] | total;
			[$t.count, $t.detail.blocked] | min; $t.count),
		near("causes"; [$rows[].causes[] | select(.state == "lock").total_ns] | total;
			[$rows[].states.lock // 0] | total; 0.001; 0)' --slurpfile truth "$T/truth.json"
}

@test "a wait longer than several intervals is in each of them" {
	start_sleeper pipe
	dwell why --jsonl -i 0.2 -d 1 -p "$PID" --by thread >"$T/parts.jsonl"
	jq -s . "$T/parts.jsonl" >"$T/parts.json"
	check "$T/parts.json" 'expect(length == 5; "\(length) intervals"),
		(.[] | .duration_ns as $d | .rows[] | select(.comm == "blocked") |
			near("pipe"; .states.pipe; $d; 0.001; 0),
			near("its cause"; [.causes[] | select(.state == "pipe").total_ns] | total; $d; 0.001; 0)),
		([.[].rows[] | select(.comm == "blocked").causes[] | select(.state == "pipe").count] | total) as $n |
		expect($n == 1; "counted \($n) times")'
}

@test "processes that end around the cuts are in a report, each, or counted as late" {
	local n=$((ROUNDS * 5))

	# they share a CPU with one that spins: some are preempted between their end and their last switch
	start "$T/spin" taskset -c 0 sh -c 'while :; do :; done'
	dwell why --jsonl -i 0.01 -o "$T/parts.jsonl" -- \
		taskset -c 0 sh -c 'for i in $(seq $0); do /bin/true; done' $n
	jq -s . "$T/parts.jsonl" >"$T/parts.json"
	check "$T/parts.json" 'expect(length >= 10; "\(length) intervals"), (.[] | sound),
		([.[].loss.reasons.late] | total) as $late |
		([.[].rows[] | select(.pid).pid] | unique | length) as $seen |
		within("processes"; $seen; $n + 2 - $late; $n + 2) # with the shell and seq' --argjson n $n
}

# bats test_tags=once
@test "text: one report per interval" {
	start_sleeper pipe
	dwell why -i 0.2 -d 0.6 -p "$PID" >"$T/out"
	[ "$(grep -c '^\[[0-9]*\] why' "$T/out")" = 3 ] || fail_with "not three reports:" "$T/out"
}
