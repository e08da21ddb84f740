#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell runq` against the kernel's own account, /proc/…/schedstat, and the known culprit.

load lib

measure() { # mode [options of runq…]
	local status=0

	dwell runq --json -o "$T/runq.json" --by thread --exit-status "${@:2}" -- \
		"$W/waits" "$1" 200 5 >"$T/truth.json" 2>"$T/err" || status=$?
	[ "$status" = 0 ] || fail_with "exit status $status:" "$T/err"
}

oracle() { # mode
	measure "$1"
	check "$T/runq.json" 'lossless,
		$truth[0] as $t |
		[.rows[] | select(.tid == $t.tid)] as $rows |
		expect(($rows | length) == 1; "\($rows | length) rows"),
		near("time"; $rows[0].total_ns; $t.total_ns; 0.01; 2000000),
		expect($rows[0].preempt_ns <= $rows[0].total_ns; "preempt_ns is more than total_ns"),
		near("culprits"; [$rows[0].culprits[].total_ns] | total; $rows[0].total_ns; 0.01; 0),
		# the spinners are threads of the same process
		expect($rows[0].culprits[0].pid == $t.pid; "culprits: \($rows[0].culprits)"),
		expect($rows[0].culprits[0].total_ns > $rows[0].total_ns * 0.7;
			"the spinners are but a part: \($rows[0].culprits)")' \
		--slurpfile truth "$T/truth.json"
}

@test "waking up on a crowded CPU" {
	oracle runq
	check "$T/runq.json" '.rows[] | select(.comm == "victim") |
		between("waits"; .count; 200; 300),
		expect(.preempt_ns < .total_ns * 0.3; "preempt_ns is \(.preempt_ns) of \(.total_ns)")'
}

@test "sharing a CPU with spinning threads" {
	oracle preempt
	check "$T/runq.json" '.rows[] | select(.comm == "victim") |
		expect(.preempt_ns > .total_ns * 0.7; "preempt_ns is \(.preempt_ns) of \(.total_ns)")'
}

@test "percentiles of run-queue waits are those of schedstat's" {
	measure runq
	# The samples are the victim's waits, but for a few at its start and end.
	check "$T/runq.json" '.rows[] | select(.comm == "victim") |
		between("p50_ns"; .p50_ns; ($truth[0].samples | rank(0.40)) * 0.95;
			($truth[0].samples | rank(0.60)) * 1.05),
		between("max_ns"; .max_ns; ($truth[0].samples | max) * 0.99; .total_ns)' \
		--slurpfile truth "$T/truth.json"
}

@test "--by cpu: one row per CPU, and the crowded one is known" {
	measure preempt --by cpu
	check "$T/runq.json" '(.rows | max_by(.total_ns)) as $row |
		expect(.rows | length <= $ncpu; "\(.rows | length) rows"),
		expect($row.cpu == $ncpu - 1; "the crowded CPU is \($row.cpu)")' \
		--argjson ncpu "$(nproc --all)"
}

@test "by process, the sum is that of its threads" {
	start "$T/demo.out" "$W/demo" 30
	sleep 0.3
	start_dwell runq -p "$PID" -d 2 --json --by thread
	dwell runq -p "$PID" -d 2 --json >"$T/process.json"
	await "$DWELL_PID"
	check "$T/process.json" 'expect([.rows[].pid] == ['"$PID"']; "rows: \(.rows)"),
		near("total"; .rows[0].total_ns; [$threads[0].rows[].total_ns] | total; 0.1; 0)' \
		--slurpfile threads "$T/dwell.out"
}

@test "text: a histogram, percentiles and culprits" {
	dwell runq -o "$T/text" -- "$W/waits" preempt 100 5 >/dev/null
	grep -q '█' "$T/text"
	grep -q 'p50 .*p95 .*p99 .*max ' "$T/text"
	grep -q 'waits .*%' "$T/text"
}
