#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Intervals are whole: what they add up to is what one uninterrupted run sees.

load lib

# Two dwells over the same time of the same load: one with intervals, one without.
side_by_side() { # command [options…]
	start "$T/demo.out" "$W/demo" 60
	sleep 0.5
	start_dwell "$1" --json -d 60 -o "$T/whole.json" -p "$PID" "${@:2}"
	WHOLE=$DWELL_PID
	start_dwell "$1" --jsonl -i 0.3 -o "$T/parts.jsonl" -p "$PID" "${@:2}"
	sleep 3.2
	kill -INT "$DWELL_PID" "$WHOLE"
	await "$DWELL_PID" 20
	await "$WHOLE" 20
	jq -s . "$T/parts.jsonl" >"$T/parts.json"
}

@test "why: the intervals' states add up to those of one run beside it" {
	side_by_side why --by thread
	check "$T/whole.json" 'sound, lossless, ($parts[0][] | sound, lossless),
		([$parts[0][].duration_ns] | total) as $parts_ns |
		# the two did not begin at the same moment
		(.duration_ns - $parts_ns) as $apart |
		expect($apart >= 0 and $apart < .duration_ns * 0.2; "\($apart) ns apart"),
		((.summary.states | keys[]) as $state |
			between("\($state)"; [$parts[0][].summary.states[$state] // 0] | total;
				.summary.states[$state] * 0.99 - 1000000 - $apart * (.rows | length);
				.summary.states[$state] * 1.01 + 1000000)),
		near("wall"; [$parts[0][].summary.wall_ns] | total;
			.summary.wall_ns * $parts_ns / .duration_ns; 0.01; 0)' \
		--slurpfile parts "$T/parts.json"
}

@test "why: threads add up in each interval, and durations are contiguous" {
	side_by_side why --by thread
	check "$T/parts.json" 'expect(length >= 10; "\(length) intervals"),
		# a cut may come late, but the next one makes up for it
		(range(1; length) as $n | near("end of interval \($n)"; [.[0:$n][].duration_ns] | total;
			$n * 300000000; 0; 50000000)),
		(.[] | .duration_ns as $d | .rows[] |
			near("wall of \(.comm)"; .wall_ns; $d; 0.001; 0)),
		expect([.[].interval] == [range(1; length + 1)]; "numbers: \([.[].interval])"),
		# no interval begins before the one before has ended
		([.[].rows | length] | unique) as $n | expect(($n | length) == 1; "rows: \($n)")'
}

@test "runq and offcpu: waits and time" {
	local command

	for command in runq offcpu; do
		side_by_side $command
		check "$T/whole.json" 'lossless, ($parts[0][] | lossless),
			(([$parts[0][].duration_ns] | total) / .duration_ns) as $share |
			near("waits"; [$parts[0][].rows[].count] | total; ([.rows[].count] | total) * $share; 0.05; 0),
			near("time"; [$parts[0][].rows[].total_ns] | total;
				([.rows[].total_ns] | total) * $share; 0.05; 0)' \
			--slurpfile parts "$T/parts.json"
		kill "$PID"
	done
}

@test "known waits, cut by many intervals: none is lost, none counted twice" {
	dwell why --jsonl -i 0.1 -o "$T/parts.jsonl" --by thread -- \
		"$W/waits" lock-mutex 200 5 >"$T/truth.json"
	jq -s . "$T/parts.jsonl" >"$T/parts.json"
	check "$T/parts.json" '$truth[0] as $t |
		expect(length >= 10; "\(length) intervals"),
		([.[].rows[] | select(.tid == $t.tid)]) as $rows |
		between("lock"; [$rows[].states.lock // 0] | total; $t.blocked_ns * 0.97; $t.total_ns * 1.03),
		expect(([$rows[].causes[] | select(.state == "lock").count] | total) == $t.count;
			"\([$rows[].causes[] | select(.state == "lock").count] | total) waits instead of \($t.count)"),
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

@test "text: one report per interval" {
	start_sleeper pipe
	dwell why -i 0.2 -d 0.6 -p "$PID" >"$T/out"
	[ "$(grep -c '^\[[0-9]*\] why' "$T/out")" = 3 ] || fail_with "not three reports:" "$T/out"
}
