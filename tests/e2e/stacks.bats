#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# User stacks against another unwinder: libdw's, on the same threads while they are stopped. And
# what they cost.

load lib
load postgres

ROUNDS=25

# Stops the processes again and again; what dwell saw of each stop against what libdw finds.
against_libdw() { # PID…
	local pid

	start_dwell offcpu -u --addresses --by thread --json -d 60 -p "$(IFS=,; echo "$*")"
	# the first switch of each thread, and what is mapped since
	sleep 0.3
	timeout 50 "$W/unwinder" $ROUNDS "$@" >"$T/libdw" 2>"$T/libdw.err" || fail_with "unwinder:" "$T/libdw.err"
	for pid; do
		kill -CONT "$pid" 2>/dev/null || true
	done
	stop_dwell
	jq --slurpfile libdw "$T/libdw" -f "$BATS_TEST_DIRNAME/unwound.jq" "$T/dwell.out" >"$T/same"
	echo "# stacks: $(jq -c '{n, same}' "$T/same")" >&3
	jq -e '.n >= 20 and .same >= .n * 0.99' "$T/same" >/dev/null || fail_with "not the same:" "$T/same"
}

@test "threads without frame pointers: alloca, callbacks, signal handlers, dlopen" {
	start "$T/out" "$W/noframe"
	sleep 1.5
	against_libdw "$PID"
}

@test "C++: exceptions, destructors, a signal handler" {
	start "$T/out" "$W/throws"
	sleep 0.5
	against_libdw "$PID"
}

@test "Python" {
	need python3
	start "$T/out" python3 "$ROOT/tests/workloads/waiting.py"
	sleep 0.5
	against_libdw "$PID"
}

@test "what is started, forked and loaded during the run is walked, too" {
	dwell offcpu -u --json -d 3 -o "$T/json" -- \
		sh -c 'timeout -s KILL 6 "$0" & timeout -s KILL 6 "$0"' "$W/noframe" 2>"$T/err" || true
	echo "# stacks: $(jq -c .summary.stacks "$T/json")" >&3
	check "$T/json" '.summary.stacks as $s | ([$s[]] | add) as $all |
		expect($all > 1000; "only \($all) stacks"),
		expect($s.complete >= $all * 0.8; "not whole: \($s)"),
		expect(([.rows[] | select(.stack | index("gzread")).pid] | unique | length) == 2;
			"no gzread in both processes")'
}

clean_up() {
	stop_postgres
}

@test "PostgreSQL under pgbench: the same as libdw's, and nearly all stacks are whole" {
	local backends status=0

	start_postgres
	start_pgbench
	mapfile -t backends < <(pgrep -f 'postgres: .* postgres \[local\]' -P "$PG_SERVER")
	against_libdw "${backends[@]}" || status=1
	dwell offcpu -u --json -d 3 -p "$(IFS=,; echo "${backends[*]}")" >"$T/whole.json" 2>"$T/whole.err" ||
		status=1
	stop_pgbench
	stop_postgres
	[ $status = 0 ]
	check "$T/whole.json" '.summary.stacks as $s |
		([$s | to_entries[] | .value] | add) as $all |
		expect($all > 200; "only \($all) stacks"),
		expect($s.complete >= $all * 0.98; "not whole: \($s)")'
	echo "# stacks: $(jq -c .summary.stacks "$T/whole.json")" >&3
}

# ns per switch with these options, in the file
switch_ns() { # options…
	dwell "$@" -d 2 --json -p "$PID" >"$T/cost.json" 2>"$T/err"
	jq '[.cost.programs[] | select(.name == "on_switch").ns_per_event][0]' "$T/cost.json"
}

@test "cost: 16 frames by tables take at most 3 times what frame pointers take, and 3 us" {
	local base pointers tables best=''

	start "$T/out" taskset -c 0 "$W/deep" 11
	sleep 0.2
	# the best of a few: whatever else runs only makes it dearer
	for _ in 1 2 3; do
		base=$(switch_ns runq)
		pointers=$(switch_ns offcpu -u --frame-pointers)
		tables=$(switch_ns offcpu -u)
		best+="$base $pointers $tables "
		[ "$(jq '[.rows[] | select(.count > 1000).stack | length] | max' "$T/cost.json")" -ge 16 ]
	done
	echo "# ns per switch without stacks, by pointers, by tables: $best" >&3
	jq -ne --argjson all "[${best// /,}0]" '
		([$all[:-1][range(0; 9; 3)]] | min) as $base | ([$all[range(1; 9; 3)]] | min) as $pointers |
		([$all[range(2; 9; 3)]] | min) as $tables |
		$tables - $base <= 3 * ($pointers - $base) and $tables - $base <= 3000' >/dev/null ||
		fail_with "too dear: $best"
}

@test "set-up for PostgreSQL and its libraries: at most 20 MB, shared by its processes" {
	local backends

	start_postgres
	start_pgbench
	mapfile -t backends < <(pgrep -P "$PG_SERVER")
	dwell offcpu -v -u -d 1 -p "$(IFS=,; echo "${backends[*]}")" >/dev/null 2>"$T/err" || true
	stop_pgbench
	stop_postgres
	line=$(grep -E "unwind tables" "$T/err")
	echo "# $line" >&3
	read -r modules kib ms layouts < <(sed -E \
		's/.* of ([0-9]+) modules.* ([0-9]+) KiB.* ([0-9]+) ms.* ([0-9]+) layouts.*/\1 \2 \3 \4/' <<<"$line")
	[ "$modules" -ge 20 ]
	[ "$kib" -le 20480 ]
	[ "$layouts" -le 3 ]
	# on an idle machine it takes 130 ms
	[ "$ms" -le 1500 ]
}
