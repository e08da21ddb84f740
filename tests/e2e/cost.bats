#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What dwell costs: by the kernel's own statistics, in time to start, and in memory. The figures are
# printed.
#
# A time is only good or bad on a given machine. So while dwell is measured, so is a BPF program
# whose work never changes (tests/workloads/calibrate.c), on the same switches. The limits in ns are
# those for a machine on which that takes CALIBRATED ns, and grow with it on a slower one. And a
# budget in multiples of it, a third above what is needed, tells of a hot path that grows slower on
# any machine. DWELL_COST_FACTOR widens both for a machine that is stranger than that.

# bats file_tags=once

load lib
load postgres

clean_up() {
	stop_postgres
}

CALIBRATED=85
FACTOR=${DWELL_COST_FACTOR:-1}

note() {
	echo "# $*" >&3
}

# at_most WHAT VALUE LIMIT: as shown in the output, too
at_most() {
	note "$1: $2 (limit $3)"
	awk -v value="$2" -v limit="$3" 'BEGIN { exit !(value ~ /^[0-9]/ && value + 0 <= limit) }' ||
		fail_with "$1 is $2, more than $3"
}

# calibrated_limit NS [MULTIPLE]: what NS is on this machine, and at most MULTIPLE calibrations
calibrated_limit() {
	jq -r --argjson ns "$1" --argjson multiple "${2:-1000}" --argjson factor "$FACTOR" \
		--argjson calibrated $CALIBRATED '
		[$ns * ([.work_ns / $calibrated, 1] | max), .work_ns * $multiple] | min * $factor | round' \
		"$T/calibration"
}

# dwell with the kernel's statistics on, which come in $T/calibration
calibrated() {
	"$W/calibrate" "$T/calibration" timeout -k 5 "$LIMIT" "$DWELL" "$@"
}

figure() { # file program
	jq -r --arg name "$2" '[.cost.programs[] | select(.name == $name).ns_per_event][0] // "null"' "$1"
}

# Two tasks that switch to each other as fast as they can.
ping_pong() {
	if perf bench sched pipe -l 1 >/dev/null 2>&1; then
		start "$T/load" perf bench sched pipe -l 100000000
	else
		need hackbench
		start "$T/load" hackbench -g 1 -f 1 -l 100000000
	fi
}

# What each command's start may take: the CPU time in ms, and in multiples of that in which bpftool
# reads and prints the kernel's types; instructions that the verifier looks at, of all programs and
# of the largest; MB of memory. A fifth above what is needed, or more.
START_LIMITS='
why      150  1.2   34000  16500  22
offcpu   150  1.2   34000  28000  22
runq     150  0.8   13000   9000  22
lock     150  1.6   77000  29000  22
syscall  150  0.8   14500   5500  22
io       150  1.1   29000   8000  22
file     150  1.4   41000  11500  22
query    150  1.6   67000  30000  22
'

# The CPU time of bpftool in ms, in $YARDSTICK
time_bpftool() {
	local TIMEFORMAT='%U %S'

	YARDSTICK=$({ time bpftool btf dump file /sys/kernel/btf/vmlinux format raw >/dev/null; } 2>&1 |
		awk '{ print ($1 + $2) * 1000 }')
}

# From exec to the line that says that it traces: $MS, less the time in which others had its CPU.
# The verifier's work for all programs and for one is in $INSTRUCTIONS and $LARGEST.
time_start() { # command
	local begin line='' waited

	begin=$(date +%s%N)
	exec {stderr}< <(exec "${ALONE[@]}" "$DWELL" "$1" -a -d 30 2>&1 >/dev/null)
	DWELL_PID=$!
	PIDS+=("$DWELL_PID")
	while [[ $line != "dwell: tracing"* ]]; do
		read -rt 20 -u "$stderr" line || fail_with "dwell $1 does not start: $line"
	done
	MS=$(date +%s%N)
	read -r _ waited _ <"/proc/$DWELL_PID/schedstat"
	MS=$(((MS - begin - waited) / 1000000))
	read -r INSTRUCTIONS LARGEST < <(cat /proc/"$DWELL_PID"/fdinfo/* 2>/dev/null | awk '
		$1 == "prog_id:" { id = $2 }
		$1 == "verified_insns:" && !seen[id]++ { sum += $2; if ($2 > max) max = $2 }
		END { print sum + 0, max + 0 }')
	kill -INT "$DWELL_PID"
	await "$DWELL_PID" 20
	exec {stderr}<&-
}

# The best of five, in turns with the yardstick
start_of() { # command ms multiple instructions largest
	local best=1000000 yardstick=1000000 stderr

	for _ in {1..5}; do
		time_bpftool
		time_start "$1"
		best=$(awk -v a="$MS" -v b="$best" 'BEGIN { print a < b ? a : b }')
		yardstick=$(awk -v a="$YARDSTICK" -v b="$yardstick" 'BEGIN { print a < b ? a : b }')
	done
	at_most "$1: start, ms" "$best" "$(calibrated_limit "$2")"
	at_most "$1: start, times bpftool's $yardstick ms" \
		"$(awk -v a="$best" -v b="$yardstick" 'BEGIN { printf "%.2f", a / b }')" \
		"$(awk -v limit="$3" -v factor="$FACTOR" 'BEGIN { print limit * factor }')"
	# 5.16 and later tell
	[ "$INSTRUCTIONS" = 0 ] || at_most "$1: instructions verified" "$INSTRUCTIONS" "$4"
	[ "$LARGEST" = 0 ] || at_most "$1: instructions verified, the largest program" "$LARGEST" "$5"
}

# Each line of START_LIMITS but those of other commands
limits() { # command
	awk -v command="$1" '$1 == command { print $2, $3, $4, $5, $6 }' <<<"$START_LIMITS"
}

start_guard() { # command
	local ms multiple instructions largest memory target

	need bpftool
	read -r ms multiple instructions largest memory < <(limits "$1")
	ping_pong
	# one process: what others do would be in the figure
	target=(-p "$PID")
	[ "$1" != query ] || target=(-a)
	calibrated "$1" -d 1 -o "$T/out" "${target[@]}" 2>"$T/err"
	# shellcheck disable=SC2153 # ping_pong() sets it
	kill -KILL -- "-$PID"
	at_most "$1: peak RSS, MB" "$(jq '.max_rss_bytes / 1000000 | round' "$T/calibration")" "$memory"
	start_of "$1" "$ms" "$multiple" "$instructions" "$largest"
}

@test "every command has its limits" {
	local commands

	commands=$("$DWELL" --help | awk '/^  / { print $1 }' | sort)
	[ "$commands" = "$(awk 'NF { print $1 }' <<<"$START_LIMITS" | sort)" ] ||
		fail_with "START_LIMITS lacks one of: $commands"
}

@test "why: start and memory" {
	start "$T/ready" "$W/threads" 200 60
	wait_for '^ready' "$T/ready"
	start_guard why
}

@test "offcpu: start and memory" {
	start_guard offcpu
}

@test "runq: start and memory" {
	start_guard runq
}

@test "lock: start and memory" {
	start_guard lock
}

@test "syscall: start and memory" {
	start_guard syscall
}

@test "io: start and memory" {
	start_guard io
}

@test "file: start and memory" {
	start_guard file
}

@test "query: start and memory" {
	start_guard query
}

@test "why: ns per switch and wake-up under load" {
	ping_pong
	calibrated why --json -d 3 -a -o "$T/out"
	note "calibration, ns: $(jq .work_ns "$T/calibration")"
	at_most "ns per switch" "$(figure "$T/out" on_switch)" "$(calibrated_limit 200 1.9)"
	at_most "ns per wake-up" "$(figure "$T/out" on_wakeup)" "$(calibrated_limit 150 1.5)"
}

@test "offcpu -k: ns per switch, with kernel stacks that are the same again" {
	local walked unchanged

	ping_pong
	calibrated offcpu -k --json -v -d 3 -a -o "$T/out" 2>"$T/err"
	read -r walked unchanged < <(sed -nE 's/^dwell: kernel stacks: ([0-9]+) walked, ([0-9]+) unchanged.*/\1 \2/p' "$T/err")
	note "calibration, ns: $(jq .work_ns "$T/calibration"); $walked stacks walked, $unchanged not"
	[ "$unchanged" != 0 ] || skip "on this kernel, every system call's stack begins at the same place"
	[ "$unchanged" -ge "$walked" ] || fail_with "most stacks are walked"
	at_most "ns per switch" "$(figure "$T/out" on_switch)" "$(calibrated_limit 500 5)"
}

@test "why -p: ns per switch of other processes" {
	ping_pong
	start_sleeper pipe
	# shellcheck disable=SC2153 # start_sleeper() sets it
	calibrated why --json -d 3 -p "$PID" -o "$T/out"
	note "calibration, ns: $(jq .work_ns "$T/calibration")"
	at_most "ns per switch with -p of another" "$(figure "$T/out" on_switch)" \
		"$(calibrated_limit 50 0.5)"
}

@test "runq: ns per switch and wake-up under load" {
	ping_pong
	calibrated runq --json -d 3 -a -o "$T/out"
	note "calibration, ns: $(jq .work_ns "$T/calibration")"
	at_most "ns per switch" "$(figure "$T/out" on_switch)" "$(calibrated_limit 160 1.7)"
	at_most "ns per wake-up" "$(figure "$T/out" on_wakeup)" "$(calibrated_limit 110 1.2)"
	check "$T/out" '[.cost.programs[].name | select(startswith("on_contention"))] as $more |
		expect($more == []; "it looks at \($more)")'
}

@test "offcpu: ns per switch with a user stack, and with a kernel stack" {
	ping_pong
	calibrated offcpu -u --json -d 3 -a -o "$T/out"
	at_most "ns per switch and user stack" "$(figure "$T/out" on_switch)" \
		"$(calibrated_limit 560 6.5)"
	calibrated offcpu -k --json -d 3 -a -o "$T/out"
	at_most "ns per switch and kernel stack" "$(figure "$T/out" on_switch)" \
		"$(calibrated_limit 1900 22)"
}

# The sum of what programs take for one event each, ns
figures() { # file names
	jq --arg names "$2" '[.cost.programs[] | select(.name | test("^(\($names))$")).ns_per_event // 0] |
		add | round' "$1"
}

@test "io: ns per request" {
	start "$T/load" sh -c 'while dd if=/dev/zero of="$1" bs=4k count=2000 oflag=direct conv=notrunc \
		2>/dev/null; do :; done' sh "$DWELL_TEST_DIR/file"
	calibrated io --json -d 3 -a -o "$T/out"
	[ "$(jq '[.rows[].count] | add // 0' "$T/out")" -gt 100 ] ||
		skip "writes in $DWELL_TEST_DIR make no requests"
	at_most "ns per request" "$(figures "$T/out" "on_rq_insert|on_rq_issue|on_rq_complete")" \
		"$(calibrated_limit 800 8)"
}

@test "query: ns per step of a statement" {
	ping_pong
	# once the probes are there, the statements begin
	# shellcheck disable=SC2016 # of sh
	calibrated query --json -o "$T/out" -- sh -c '(sleep 1.5; echo) | "$1" 2000 >/dev/null' sh \
		"$W/lite"
	[ "$(figure "$T/out" lite_step)" != null ] || fail_with "no step was seen" "$T/out"
	at_most "ns per step" "$(figures "$T/out" "lite_step|lite_stepped")" "$(calibrated_limit 500 6)"
}

# A program's worth of system calls, as fast as they can be made.
calls() {
	start "$T/load" "$W/calls" 100000
}

@test "syscall: ns per call, and per call of other processes" {
	calls
	# shellcheck disable=SC2153 # start() sets it
	calibrated syscall --json -d 2 -p "$PID" -o "$T/out"
	at_most "ns per begin" "$(figure "$T/out" on_sys_enter)" "$(calibrated_limit 110 1.3)"
	at_most "ns per end" "$(figure "$T/out" on_sys_exit)" "$(calibrated_limit 170 2)"
	start_sleeper pipe
	calibrated syscall --json -d 2 -p "$PID" -o "$T/out"
	at_most "ns per begin, of another" "$(figure "$T/out" on_sys_enter)" \
		"$(calibrated_limit 70 0.85)"
	at_most "ns per end, of another" "$(figure "$T/out" on_sys_exit)" "$(calibrated_limit 70 0.85)"
}

# ns of both programs of an operation
operation() {
	jq '[.cost.programs[] | select(.name | startswith("on_sys_")).ns_per_event] | add | round' "$T/out"
}

@test "file: ns per operation, per call that is none, and per operation of other processes" {
	local busy own

	need perf
	start "$T/load" "$W/files" "$DWELL_TEST_DIR" busy
	busy=$PID
	calibrated file --json -d 2 -p "$busy" -o "$T/out"
	at_most "ns per operation" "$(operation)" "$(calibrated_limit 250 3)"
	# types from a file are no pointers' to the kernel, which then reads files by a helper
	own=$(operation)
	calibrated file --json -d 2 -p "$busy" -o "$T/out" --btf /sys/kernel/btf/vmlinux
	if grep -q ' bpf_rdonly_cast$' /proc/kallsyms; then
		at_most "ns per operation, of those by probe reads" "$own" "$(($(operation) * 9 / 10))"
	fi
	start_sleeper pipe
	calibrated file --json -d 2 -p "$PID" -o "$T/out"
	at_most "ns per begin, of another" "$(figure "$T/out" on_sys_enter)" \
		"$(calibrated_limit 70 0.85)"
	at_most "ns per end, of another" "$(figure "$T/out" on_sys_exit)" "$(calibrated_limit 70 0.85)"
	kill -KILL -- "-$busy"
	start "$T/load" perf bench syscall basic -l 100000000
	calibrated file --json -d 2 -p "$PID" -o "$T/out"
	at_most "ns per begin of what is no operation" "$(figure "$T/out" on_sys_enter)" \
		"$(calibrated_limit 60 0.75)"
	at_most "ns per end of what is no operation" "$(figure "$T/out" on_sys_exit)" \
		"$(calibrated_limit 60 0.75)"
}

@test "the report's figures are the kernel's own" {
	need bpftool
	ping_pong
	# keeps the statistics on all along: without them, dwell measures its first moments only
	start "$T/stats" "$W/calibrate" "$T/calibration" sleep 60
	start_dwell why --json -d 60 -a
	sleep 2
	bpf_objects "$DWELL_PID" | sed -n 's/^prog //p' | xargs -n 1 bpftool -j prog show id |
		jq -s . >"$T/programs.json"
	stop_dwell
	check "$T/dwell.out" '("on_switch", "on_wakeup") as $name |
		(.cost.programs[] | select(.name == $name)) as $own |
		([$kernel[0][] | select(.name == $name)][0]) as $kernel |
		near("ns of \($name)"; $own.ns_per_event; $kernel.run_time_ns / $kernel.run_cnt; 0.05; 0),
		between("runs of \($name)"; $own.measured_runs; $kernel.run_cnt; $kernel.run_cnt * 1.5)' \
		--slurpfile kernel "$T/programs.json"
	check "$T/dwell.out" '.cost |
		([.programs[] | (.ns_per_event // 0) * .measured_runs] | total) as $ns |
		near("events"; .events; [.programs[].measured_runs] | total; 0.01; 0),
		between("cpu_ns"; .cpu_ns; $ns * 0.95; $ns + 1000000000)'
}

# peak_rss MEGABYTES: by the kernel's account; dwell's own can't know of the report's last part
peak_rss() {
	at_most "peak RSS, MB" "$(jq '.max_rss_bytes / 1000000 | round' "$T/calibration")" "$1"
	check "$T/out" 'within("own figure of RSS"; .cost.max_rss_bytes;
		$c[0].max_rss_bytes * 0.75 - (slow - 1) * 3000000; $c[0].max_rss_bytes * 1.01)' \
		--slurpfile c "$T/calibration"
}

@test "memory: 20 MB on a machine with 200 threads" {
	start "$T/ready" "$W/threads" 200 60
	wait_for '^ready' "$T/ready"
	calibrated why --json -d 1 -a -o "$T/out"
	# a busy machine has more
	peak_rss "$(jq '20 * ([([.rows[].threads] | add) / 500, 1] | max) | round' "$T/out")"
}

@test "memory: 20 MB for a plain command, whichever it is" {
	local command

	for command in why offcpu runq lock syscall io file query; do
		calibrated "$command" --json -o "$T/out" -- "$W/waits" sleep-nanosleep 20 5 >/dev/null 2>"$T/err"
		jq -e '.max_rss_bytes < 20500000' "$T/calibration" >/dev/null ||
			fail_with "$command: MB: $(jq '.max_rss_bytes / 1e6' "$T/calibration")" "$T/err"
	done
}

@test "memory: 3,000 processes that came and went are 3,000 rows, in 40 MB" {
	# each has a wait of its own, but for those that get to it when it is over
	calibrated why --json -o "$T/out" -- sh -c 'for i in 1 2 3 4; do
		(for i in $(seq 750); do sleep 0.001; done) &
	done; wait' 2>"$T/err" || fail_with "exit status $?" "$T/err"
	check "$T/out" 'sound, lossless, ([.rows[] | select(.comm == "sleep")] |
		expect(length == 3000; "\(length) rows"),
		within("rows with their wait"; [.[] | select(any(.causes[]; .total_ns > 500000))] | length; 2900;
			3000))'
	peak_rss 40
}

@test "10,000 threads of one process: all accounted for, in 100 MB" {
	local status=0

	start "$T/ready" "$W/threads" 10000 60
	wait_for '^ready' "$T/ready" 40 || status=$?
	if [ $status != 0 ]; then
		kill -0 "$PID" 2>/dev/null || skip "this machine does not let a process have 10,000 threads"
		return 1
	fi
	calibrated why --json -d 1 -p "$PID" -o "$T/out" 2>"$T/err" || fail_with "exit status $?" "$T/err"
	check "$T/out" 'sound, lossless,
		expect(.rows[0].threads == 10001; "\(.rows[0].threads) threads"),
		near("wall"; .rows[0].wall_ns; .duration_ns * 10001; 0.001; 0)'
	peak_rss 100
	dwell why --json -d 1 -p "$PID" --by thread --max-entries 65536 >"$T/out"
	check "$T/out" 'sound, lossless, expect((.rows | length) == 10001; "\(.rows | length) rows")'
}

@test "dwell's own share of the CPU is in every report" {
	ping_pong
	dwell why --json -d 2 -a >"$T/out"
	note "cpu_percent: $(jq .cost.cpu_percent "$T/out")"
	check "$T/out" 'expect(.cost.events > 1000; "\(.cost.events) events"),
		between("cpu_percent"; .cost.cpu_percent; 0.0001; 30)'
}

# The ratio of the best tenths of figures
slowed() {
	jq -n --slurpfile with "$T/with" --slurpfile without "$T/without" \
		'def best: sort[length / 10 | floor]; ($with | best) / ($without | best) * 1000 | round / 1000'
}

# By how much a figure that the command prints grows between BEGIN and END, commands too: the best tenth of
# each, of runs that take turns. What others do on the machine makes a run longer, never shorter, and at times
# for long: there are more turns where the limit is exceeded.
slow_down() { # limit begin end command…
	local i ratio begin

	read -ra begin <<<"$2"
	: >"$T/with"
	: >"$T/without"
	for ((i = 1; i <= 30; i++)); do
		"${@:4}" >>"$T/without"
		"${begin[@]}"
		"${@:4}" >>"$T/with"
		"$3"
		ratio=$(slowed)
		[ $i -lt 9 ] || awk -v a="$ratio" -v b="$1" 'BEGIN { exit a <= b }' || break
	done
	echo "$ratio"
}

# slows WHAT HUNDREDTHS ARGUMENTS COMMAND…: WHAT takes at most so much longer under dwell with ARGUMENTS
slows() {
	local most

	most=$(awk -v f="$FACTOR" -v hundredths="$2" 'BEGIN { print 1 + hundredths / 100 * f }')
	at_most "$1 with dwell $3, times" "$(slow_down "$most" "start_dwell $3 -d 60" stop_dwell "${@:4}")" "$most"
}

# Programs that do nothing on TRACEPOINTS: what no tool that looks at them is below.
start_empties() { # tracepoint…
	: >"$T/empties"
	start "$T/empties" "$W/empties" "$@"
	EMPTIES=$PID
	wait_for '^ready' "$T/empties"
}

stop_empties() {
	kill -INT "$EMPTIES"
	await "$EMPTIES" 20
}

# What dwell still does after its start is no cost of the loop's: hence the first, that does not count.
mutex_loops() {
	local i

	"$W/mutexes" free 100000000 >"$T/warm"
	for i in {1..5}; do
		"$W/mutexes" free 10000000
	done
}

# The seconds of CPU time that a command takes
cpu_time() { # command…
	local TIMEFORMAT='%U %S'

	{ time "$@" >/dev/null 2>&1; } 2>&1 | awk '{ print $1 + $2 }'
}

# Both ends on one CPU, which then does nothing but switch
sched_pipe() {
	cpu_time taskset -c 0 perf bench sched pipe -l 100000
}

@test "lock: a mutex that nobody waits for costs what it costs without dwell" {
	slows "an uncontended mutex loop" 2 "lock -a" mutex_loops
}

# 1.05 to 1.13, by the CPU; the ns below are the sharper test.
@test "lock: what threads without locks pay for each switch" {
	need perf
	perf bench sched pipe -l 1 >/dev/null 2>&1 || skip "perf does not run here"
	slows "perf bench sched pipe" 20 "lock -a" sched_pipe
}

# Both ends where the scheduler puts them, as the program is used; its own seconds, many times, since one in
# a few is faster by a fifth, with and without dwell. $LOOPS are up to 0.3 s.
free_pipe() {
	local i

	for i in {1..7}; do
		perf bench -f simple sched pipe -l "$LOOPS"
	done
}

WHY_TRACEPOINTS='sched_switch sched_wakeup task_newtask sched_process_exit contention_begin contention_end'

# Guards that hold on a busy machine, too; what empty programs take is shown beside it.
pipe_slows() { # hundredths arguments
	need perf
	perf bench sched pipe -l 1 >/dev/null 2>&1 || skip "perf does not run here"
	LOOPS=$(perf bench -f simple sched pipe -l 4000 | awk '{ n = int(4000 * 0.3 / $1); print (n > 20000 ? 20000 : n) }')
	note "perf bench sched pipe with empty programs, times: $(slow_down 99 "start_empties $WHY_TRACEPOINTS" stop_empties free_pipe)"
	slows "perf bench sched pipe" "$1" "$2" free_pipe
}

@test "why: what perf bench sched pipe pays" {
	pipe_slows 35 "why -a"
}

@test "why -p: what perf bench sched pipe pays while another process is watched" {
	start_sleeper pipe
	pipe_slows 20 "why -p $PID"
}

@test "why: what 80 threads that wake each other pay" {
	need hackbench
	slows hackbench 5 "why -a" cpu_time hackbench -g 2 -l 500
}

@test "lock: ns per switch, wake-up and waking without locks" {
	ping_pong
	calibrated lock --json -d 3 -a -o "$T/out"
	at_most "ns per switch" "$(figure "$T/out" on_switch)" "$(calibrated_limit 120 1.2)"
	at_most "ns per wake-up" "$(figure "$T/out" on_wakeup)" "$(calibrated_limit 90 0.9)"
	at_most "ns per waking" "$(figure "$T/out" on_waking)" "$(calibrated_limit 100 1)"
}

# A hit of pgstat_report_activity begins, continues or ends a statement; simple ones have new numbers
# in their text each time.
@test "query: ns per hit of PostgreSQL's probes, besides the hit itself" {
	local mode

	start_postgres
	timeout 60 "${PG[@]}" pgbench -q -i -s 1 >"$T/pgbench.init" 2>&1 ||
		fail_with "pgbench:" "$T/pgbench.init"
	for mode in prepared simple; do
		start "$T/pgbench" "${PG[@]}" pgbench -n -S -M $mode -c 1 -T 60
		calibrated query -d 1.5 --json -o "$T/out" -p "$PG_SERVER" 2>"$T/err"
		kill -KILL -- "-$PID"
		case $mode in
		prepared) at_most "prepared, ns" "$(figure "$T/out" pg_activity)" "$(calibrated_limit 400 4.5)" ;;
		simple) at_most "simple, ns" "$(figure "$T/out" pg_activity)" "$(calibrated_limit 600 7)" ;;
		esac
	done
}
