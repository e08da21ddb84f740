#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# The states of a thread add up to its wall time, and agree with what the scheduler itself says in
# /proc/PID/schedstat, on real workloads.

load lib
load postgres

PER_SLICE=2000 # ns

clean_up() {
	stop_postgres
}

# measure PID…: measures these running processes with why for 3 s.
#
# At both ends of the window they are stopped, so that no slice and no wait is under way that one
# side has counted and the other has not: what lies outside of it is `stop`, and in no state that
# is compared. Within it, what is left of a difference is this:
# - The scheduler's clock of a thread's run time stands still while the hypervisor has the CPU
#   (steal), and dwell's doesn't: run time may be as much longer.
# - The scheduler looks at its clock when schedule() begins, dwell when the next thread is known:
#   what lies between, the search for work on other CPUs above all, is run time for dwell and
#   nobody's for the scheduler. And where a wake-up preempts, the idle thread too, the scheduler
#   saves itself the look (rq_clock_skip_update()), so that in its books a thread runs from the
#   wake-up on. That is 1 or 2 µs for a slice on one CPU; from another CPU the wake-up has to get
#   there first, which between virtual ones takes some µs.
measure() { # PID…
	local stolen

	halt "$@"
	start_dwell why --json -d 120 --by thread -o "$T/why.json" --max-entries 16384 \
		-p "$(IFS=, && echo "$*")"
	"$W/schedstat" "$@" >"$T/before.json"
	stolen=$(steal)
	resume "$@"
	sleep 3
	halt "$@"
	stolen=$(($(steal) - stolen))
	"$W/schedstat" "$@" >"$T/after.json"
	stop_dwell
	resume "$@"
	echo "$stolen" >"$T/stolen"
}

# What holds in every single run.
whole() {
	# a virtual CPU may stand still while it has a lock's log: whose the lock was is no part of this
	check "$T/why.json" 'sound, lossless(["holder"]), between("lost holders"; .loss.reasons.holder; 0; 5),
		($before[0].threads | map({(.tid | tostring): .}) | add) as $b |
		($after[0].threads | map({(.tid | tostring): .}) | add) as $a |
		.duration_ns as $duration |
		[.rows[] | select($b[.tid | tostring] and $a[.tid | tostring])] as $rows |
		expect(($rows | length) == ($a | keys - (($a | keys) - ($b | keys)) | length);
			"\($rows | length) rows for \($a | length) threads"),
		expect([$rows[].states.cpu // 0] | total > 100000000; "they did not run"),
		($rows[] | near("wall of \(.comm) \(.tid)"; .wall_ns; $duration; 0.001; 0))' \
		--slurpfile before "$T/before.json" --slurpfile after "$T/after.json"
}

# Prints who was measured wrong.
faults() {
	check "$T/why.json" '
		($before[0].threads | map({(.tid | tostring): .}) | add) as $b |
		($after[0].threads | map({(.tid | tostring): .}) | add) as $a |
		(.rows[] | (.tid | tostring) as $tid | select($b[$tid] and $a[$tid]) |
			($a[$tid].run_ns - $b[$tid].run_ns) as $run |
			($a[$tid].wait_ns - $b[$tid].wait_ns) as $wait |
			(1000000 + ($a[$tid].slices - $b[$tid].slices) * $per_slice) as $slack |
			between("cpu of \(.comm) \(.tid)"; .states.cpu // 0;
				$run * 0.99 - $slack; $run * 1.01 + $slack + $stolen[0]),
			near("runq + preempt of \(.comm) \(.tid)";
				(.states.runq // 0) + (.states.preempt // 0); $wait; 0.01; $slack))' \
		--slurpfile before "$T/before.json" --slurpfile after "$T/after.json" \
		--slurpfile stolen "$T/stolen" --argjson per_slice "$PER_SLICE"
}

# invariant PID…: fails if the same figure of the same thread is wrong three times: an event that
# the kernel hid from tracers can move any time from one state to another, once.
invariant() { # PID…
	local try

	for try in 1 2 3; do
		measure "$@" && whole || return 1
		faults >"$T/faults.$try" || true
		sed 's/:.*//' "$T/faults.$try" | sort >"$T/who.$try"
		[ $try = 1 ] || {
			comm -12 "$T/who.$((try - 1))" "$T/who.$try" >"$T/who"
			mv "$T/who" "$T/who.$try"
		}
		[ -s "$T/who.$try" ] || return 0
	done
	cat "$T"/faults.*
	return 1
}

# From here on, these processes are on one CPU.
together() { # PID…
	local cpu pid

	need taskset
	cpu=$(taskset -cp $$ | sed 's/.*[:,-] *//')
	for pid; do
		taskset -acp "$cpu" "$pid" >/dev/null
	done
}

@test "on the demo" {
	start "$T/demo.out" "$W/demo" 120
	sleep 0.5
	# shellcheck disable=SC2153 # start() sets it
	PER_SLICE=10000 invariant "$PID"
}

@test "on the demo, on one CPU" {
	start "$T/demo.out" "$W/demo" 120
	sleep 0.5
	together "$PID"
	invariant "$PID"
}

@test "on hackbench" {
	need hackbench
	start "$T/hackbench.out" hackbench -g 2 -f 5 -l 10000000
	sleep 1
	# shellcheck disable=SC2046 # a list
	together $(pgrep -g "$PID")
	# shellcheck disable=SC2046 # a list
	invariant $(pgrep -g "$PID")
}

# bats test_tags=once
@test "on PostgreSQL with pgbench" {
	local status=0

	start_postgres
	start_pgbench
	# shellcheck disable=SC2046 # a list
	together $(pgrep -P "$PG_SERVER") "$PGBENCH"
	# shellcheck disable=SC2046 # a list
	invariant $(pgrep -P "$PG_SERVER") "$PGBENCH" || status=$?
	stop_pgbench
	stop_postgres
	[ $status = 0 ]
	check "$T/why.json" '([.rows[] | select(.comm == "postgres")] | length) as $n |
		expect($n >= 4; "\($n) rows of postgres")'
}
