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

load lib

CALIBRATED=85
FACTOR=${DWELL_COST_FACTOR:-1}

note() {
	echo "# $*" >&3
}

# at_most WHAT VALUE LIMIT: as shown in the output, too
at_most() {
	note "$1: $2 (limit $3)"
	awk -v value="$2" -v limit="$3" 'BEGIN { exit !(value != "null" && value <= limit) }' ||
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

# From exec to the line that says so, in $MS; without the time in which others had its CPU.
time_start() {
	local begin line='' waited

	begin=$(date +%s%N)
	exec {stderr}< <(exec "${ALONE[@]}" "$DWELL" why -a -d 30 2>&1 >/dev/null)
	DWELL_PID=$!
	PIDS+=("$DWELL_PID")
	while [[ $line != "dwell: tracing"* ]]; do
		read -rt 20 -u "$stderr" line || fail_with "dwell does not start: $line"
	done
	MS=$(date +%s%N)
	read -r _ waited _ <"/proc/$DWELL_PID/schedstat"
	MS=$(((MS - begin - waited) / 1000000))
	kill -INT "$DWELL_PID"
	await "$DWELL_PID" 20
	exec {stderr}<&-
}

# bats test_tags=once
@test "start: from exec to tracing in 150 ms" {
	local best=1000000 stderr

	ping_pong
	calibrated why -d 1.5 -o "$T/out" 2>"$T/err"
	# shellcheck disable=SC2153 # ping_pong() sets it
	kill -KILL -- "-$PID"
	start "$T/ready" "$W/threads" 200 60
	wait_for '^ready' "$T/ready"
	for _ in {1..5}; do
		time_start
		[ "$MS" -ge "$best" ] || best=$MS
	done
	at_most "start, ms (best of 5)" "$best" "$(calibrated_limit 150)"
}

# bats test_tags=once
@test "why: ns per switch and wake-up under load" {
	ping_pong
	calibrated why --json -d 3 -a -o "$T/out"
	note "calibration, ns: $(jq .work_ns "$T/calibration")"
	at_most "ns per switch" "$(figure "$T/out" on_switch)" "$(calibrated_limit 200 1.9)"
	at_most "ns per wake-up" "$(figure "$T/out" on_wakeup)" "$(calibrated_limit 150 1.5)"
}

# bats test_tags=once
@test "why -p: ns per switch of other processes" {
	ping_pong
	start_sleeper pipe
	# shellcheck disable=SC2153 # start_sleeper() sets it
	calibrated why --json -d 3 -p "$PID" -o "$T/out"
	note "calibration, ns: $(jq .work_ns "$T/calibration")"
	at_most "ns per switch with -p of another" "$(figure "$T/out" on_switch)" \
		"$(calibrated_limit 70 0.85)"
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

# bats test_tags=once
@test "memory: 20 MB on a machine with 200 threads" {
	start "$T/ready" "$W/threads" 200 60
	wait_for '^ready' "$T/ready"
	calibrated why --json -d 1 -a -o "$T/out"
	# a busy machine has more
	peak_rss "$(jq '20 * ([([.rows[].threads] | add) / 500, 1] | max) | round' "$T/out")"
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

# bats test_tags=once
@test "dwell's own share of the CPU is in every report" {
	ping_pong
	dwell why --json -d 2 -a >"$T/out"
	note "cpu_percent: $(jq .cost.cpu_percent "$T/out")"
	check "$T/out" 'expect(.cost.events > 1000; "\(.cost.events) events"),
		between("cpu_percent"; .cost.cpu_percent; 0.0001; 30)'
}
