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
	timeout 50 "$W/unwinder" "$ROUNDS" "$@" >"$T/libdw" 2>"$T/libdw.err" || fail_with "unwinder:" "$T/libdw.err"
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

@test "the same, static, not position-independent, and with .debug_frame in place of .eh_frame" {
	local program

	readelf -SW "$W/noframe_debug" | grep -qF .debug_frame
	for program in noframe_static noframe_fixed noframe_debug; do
		start "$T/out" "$W/$program"
		sleep 1.2
		ROUNDS=8 against_libdw "$PID"
		kill -KILL "$PID"
	done
}

# bats test_tags=once
@test "C++: exceptions, destructors, a signal handler" {
	start "$T/out" "$W/throws"
	sleep 0.5
	against_libdw "$PID"
}

# bats test_tags=once
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

# A library whose function NAME is in a frame of so many bytes; as many pages whatever those are.
library() { # name bytes
	cat >"$T/$1.c" <<-END
		__attribute__((noinline)) static int $1(void (*wait)(void))
		{
			volatile char room[$2];

			room[0] = 1;
			wait();
			return room[0];
		}
		int spot(void (*wait)(void))
		{
			return $1(wait) + 1;
		}
	END
	${CC:-gcc} -O2 -fomit-frame-pointer -fno-optimize-sibling-calls -shared -fPIC -o "$T/$1.so" "$T/$1.c"
}

@test "code that takes the place of other code, of the same size, is noticed; each has its own names" {
	need gcc
	library first 64
	library second 5000
	library third 600
	dwell offcpu -v -u --json -o "$T/json" -- \
		"$W/remaps" 1 "$T/first.so" "$T/second.so" "$T/third.so" 2>"$T/err"
	! grep -q 'amount of code only' "$T/err" || skip "the kernel does not tell of mappings here"
	check "$T/json" 'def waits($f): [.rows[] | select(.stack | index($f)) |
			select((.stack | index($f) + 1 == index("spot")) and (.stack | index("main"))).count] | add // 0;
		. as $all | (("first", "second", "third") | . as $f | $all | waits($f) |
			expect(. >= 500; "\($f): only \(.) whole stacks")),
		expect(.summary.stacks | .complete >= ([.[]] | add) * 0.95; "cut: \(.summary.stacks)")'
	echo "# stacks: $(jq -c .summary.stacks "$T/json")" >&3
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

# Every stack that is remembered is walked, too, and compared: none may be another one.
remembered() { # the least share that must have been remembered, name, dwell's options…
	dwell "$3" -v -u --memo check -d 2 "${@:4}" >/dev/null 2>"$T/err"
	read -r walked unchanged < <(sed -nE 's/^dwell: user stacks: ([0-9]+) walked, ([0-9]+) unchanged.*/\1 \2/p' "$T/err")
	echo "# $2: $walked stacks, $unchanged remembered" >&3
	! grep -q WRONGLY "$T/err" || fail_with "remembered wrongly:" "$T/err"
	[ "$walked" -ge 50 ]
	[ $((unchanged * 100)) -ge $((walked * $1)) ] || fail_with "remembered: $unchanged of $walked"
}

@test "what is remembered of kernel stacks is never wrong" {
	local walked unchanged

	need hackbench
	# pipes and sockets, files, locks, timers: many ways to sleep, and to be preempted
	start "$T/load" hackbench -g 1 -l 100000000
	start "$T/out" "$W/demo" 30
	dwell offcpu -a -k -v --memo check -d 3 >/dev/null 2>"$T/err"
	read -r walked unchanged < <(sed -nE 's/^dwell: kernel stacks: ([0-9]+) walked, ([0-9]+) unchanged.*/\1 \2/p' "$T/err")
	echo "# $walked kernel stacks, $unchanged remembered" >&3
	[ "$walked" -ge 50 ]
	! grep -q WRONGLY "$T/err" || fail_with "remembered wrongly:" "$T/err"
}

@test "what is remembered of a thread's stacks holds for others that do the same" {
	remembered 80 "new threads" offcpu -- "$W/threads" --births 1000 2
}

@test "what is remembered of stacks is never wrong: in C, C++, Python, PostgreSQL" {
	local program

	for program in noframe throws inlines "deep 11"; do
		# shellcheck disable=SC2086 # a program and its arguments
		start "$T/out" "$W/"$program
		sleep 1.2
		remembered 1 "$program" offcpu -p "$PID"
		kill "$PID"
	done
	start "$T/out" "$W/demo" 30
	remembered 1 "locks of demo" lock -p "$PID"
	kill "$PID"
	start "$T/out" python3 "$ROOT/tests/workloads/waiting.py"
	sleep 0.5
	remembered 50 Python offcpu -p "$PID"
	kill "$PID"
	start_postgres
	start_pgbench
	remembered 50 PostgreSQL offcpu -p "$(pgrep -d, -P "$PG_SERVER")"
	stop_pgbench
	stop_postgres
}

# ns per switch with these options, in the file
switch_ns() { # options…
	dwell "$@" -d 2 --json -p "$PID" >"$T/cost.json" 2>"$T/err"
	jq '[.cost.programs[] | select(.name == "on_switch").ns_per_event][0]' "$T/cost.json"
}

# bats test_tags=once
@test "cost: 16 frames by tables take at most 3 times what frame pointers take, and 3 us; unchanged ones less" {
	local base pointers tables unchanged best=''

	start "$T/out" taskset -c 0 "$W/deep" 11
	sleep 0.2
	# the best of a few: whatever else runs only makes it dearer
	for _ in 1 2 3; do
		base=$(switch_ns runq)
		pointers=$(switch_ns offcpu -u --frame-pointers)
		unchanged=$(switch_ns offcpu -u)
		tables=$(switch_ns offcpu -u --memo off)
		best+="$base $pointers $tables $unchanged "
		[ "$(jq '[.rows[] | select(.count > 1000).stack | length] | max' "$T/cost.json")" -ge 16 ]
	done
	echo "# ns per switch without stacks, by pointers, by tables, unchanged: $best" >&3
	jq -ne --argjson all "[${best// /,}0]" '
		def least($i): [$all[range($i; 12; 4)]] | min;
		least(0) as $base | least(1) as $pointers | least(2) as $tables | least(3) as $unchanged |
		$tables - $base <= 3 * ($pointers - $base) and $tables - $base <= 3000 and
		2 * ($unchanged - $base) <= $tables - $base' >/dev/null ||
		fail_with "too dear: $best"
}

# "modules rows KiB processes" of the tables for so many processes that run the same program
tables_of() { # processes
	start "$T/out" bash -c 'for ((i = 0; i < $1; i++)); do
		tail ---disable-inotify -s 0.2 -f /dev/null &
	done
	wait' - "$1"
	sleep 1
	dwell offcpu -v -u --json -d 2 -p "$(pgrep -d, -P "$PID")" >"$T/json" 2>"$T/err"
	kill -KILL -- "-$PID"
	sed -nE 's/.* tables of ([0-9]+) modules: ([0-9]+) rows.* ([0-9]+) KiB.*/\1 \2 \3/p' "$T/err"
	jq '[.rows[] | select(.stack | index("main") or any(startswith("[tail+")))] | map(.pid) | unique | length' "$T/json"
}

# bats test_tags=once
@test "200 processes of one program share one set of tables" {
	local one many

	one=$(tables_of 1 | paste -sd ' ')
	many=$(tables_of 200 | paste -sd ' ')
	echo "# modules, rows, KiB, processes: $one; $many" >&3
	[ "${one% *}" = "${many% *}" ] || fail_with "for one: $one, for 200: $many"
	[ "${many##* }" = 200 ]
}

# bats test_tags=once
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
	[ "$ms" -le 300 ]
}
