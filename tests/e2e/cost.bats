#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What dwell costs: by the kernel's own statistics, in time to start, and in memory.
#
# The figures are printed. Limits on time are multiplied by DWELL_COST_FACTOR (2): a test machine is
# rarely quiet; on a quiet one set it to 1.

load lib

FACTOR=${DWELL_COST_FACTOR:-2}

note() {
	echo "# $*" >&3
}

# at_most WHAT VALUE LIMIT: as shown in the output, too
at_most() {
	note "$1: $2 (limit $3)"
	awk -v value="$2" -v limit="$3" 'BEGIN { exit !(value != "null" && value <= limit) }' ||
		fail_with "$1 is $2, more than $3"
}

limit_ns() { # ns
	awk -v ns="$1" -v factor="$FACTOR" 'BEGIN { print ns * factor }'
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
		start "$T/load" setsid hackbench -g 1 -f 1 -l 100000000
	fi
	sleep 0.3
}

@test "start: from exec to tracing in 150 ms" {
	local best=1000000 begin ms

	for _ in {1..5}; do
		begin=$(date +%s%N)
		start_dwell why -a -d 30
		ms=$((($(date +%s%N) - begin) / 1000000))
		[ "$ms" -ge "$best" ] || best=$ms
		stop_dwell
	done
	at_most "start, ms (best of 5)" "$best" "$(limit_ns 150)"
}

@test "why: ns per switch and wake-up under load" {
	ping_pong
	dwell why --json -d 3 -a >"$T/out"
	at_most "ns per switch" "$(figure "$T/out" on_switch)" "$(limit_ns 200)"
	at_most "ns per wake-up" "$(figure "$T/out" on_wakeup)" "$(limit_ns 150)"
}

@test "why -p: ns per switch of other processes" {
	ping_pong
	start_sleeper pipe
	dwell why --json -d 3 -p "$PID" >"$T/out"
	at_most "ns per switch with -p of another" "$(figure "$T/out" on_switch)" "$(limit_ns 70)"
}

@test "the report's figures are the kernel's own" {
	local before=0

	need bpftool
	[ -w /proc/sys/kernel/bpf_stats_enabled ] || skip "bpf_stats_enabled cannot be set"
	before=$(cat /proc/sys/kernel/bpf_stats_enabled)
	ping_pong
	echo 1 >/proc/sys/kernel/bpf_stats_enabled
	start_dwell why --json -a
	sleep 2
	bpftool -j prog show >"$T/progs.json" || true
	echo "$before" >/proc/sys/kernel/bpf_stats_enabled
	stop_dwell
	jq -c '[.[] | select(.name == "on_switch" and .run_cnt > 0) | .run_time_ns / .run_cnt]' \
		"$T/progs.json" >"$T/kernel.json"
	note "kernel: $(cat "$T/kernel.json"), report: $(figure "$T/dwell.out" on_switch)"
	check "$T/dwell.out" '(.cost.programs[] | select(.name == "on_switch").ns_per_event) as $ns |
		expect($kernel[0] | any($ns > . * 0.5 and $ns < . * 2); "\($ns) but the kernel has \($kernel[0])")' \
		--slurpfile kernel "$T/kernel.json"
}

@test "memory: 20 MB on a machine with 200 threads" {
	start "$T/ready" "$W/threads" 200 60
	wait_for '^ready' "$T/ready"
	dwell why --json -d 1 -a >"$T/out"
	at_most "peak RSS, MB" "$(jq '.cost.max_rss_bytes / 1000000 | floor' "$T/out")" 20
}

@test "10,000 threads of one process: all accounted for, in 100 MB" {
	local status=0

	start "$T/ready" "$W/threads" 10000 60
	wait_for '^ready' "$T/ready" 40 || status=$?
	if [ $status != 0 ]; then
		kill -0 "$PID" 2>/dev/null || skip "this machine does not let a process have 10,000 threads"
		return 1
	fi
	dwell why --json -d 1 -p "$PID" >"$T/out" 2>"$T/err" || fail_with "exit status $?" "$T/err"
	check "$T/out" 'sound, lossless,
		expect(.rows[0].threads == 10001; "\(.rows[0].threads) threads"),
		near("wall"; .rows[0].wall_ns; .duration_ns * 10001; 0.001; 0)'
	at_most "peak RSS, MB" "$(jq '.cost.max_rss_bytes / 1000000 | floor' "$T/out")" 100
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
