#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Filters: none, one that matches, one that doesn't; each on every command, and always on the thread
# that is measured, never on who happens to run.

load lib

D=1.5 # seconds of each run

clean_up() {
	[ -z "${CGROUP:-}" ] || rmdir "$CGROUP" 2>/dev/null || true
}

# Two processes that differ in everything but what they do; $A and $B.
setup_pair() {
	start "$T/a.json" "$W/waits" lock-mutex 50000 2
	A=$PID
	start "$T/b.json" "$W/waits" net-tcp 50000 2
	B=$PID
	sleep 0.2
}

tid_of() { # pid comm
	grep -lx "$2" "/proc/$1"/task/*/comm | sed 's|/proc/[0-9]*/task/||; s|/comm||'
}

rows_are() { # file jq-condition-on-a-row
	check "$1" 'sound, expect(.rows != []; "no rows"),
		(.rows[] | expect('"$2"'; "a row that should not be there: \(del(.causes, .hist))"))'
}

@test "-p: the process, all of it, and nothing else" {
	local command

	setup_pair
	for command in $(few why offcpu runq); do
		dwell "$command" --json -d $D -p "$A" --by thread >"$T/out"
		rows_are "$T/out" ".pid == $A"
	done
	dwell why --json -d $D -p "$A,$B" >"$T/out"
	check "$T/out" 'expect(([.rows[].pid] | sort) == ([$a, $b] | sort); "rows: \([.rows[].pid])")' \
		--argjson a "$A" --argjson b "$B"
	dwell why --json -d $D -p "$A" --by thread >"$T/out"
	check "$T/out" 'expect(([.rows[].tid] | sort) == $tids; "threads: \([.rows[].tid])")' \
		--argjson tids "$(cd "/proc/$A/task" && printf '%s\n' * | jq -sc sort)"
}

@test "-t: the thread and nothing else" {
	local command tid

	setup_pair
	tid=$(tid_of "$A" victim)
	for command in $(few why offcpu runq); do
		dwell "$command" --json -d $D -t "$tid" --by thread >"$T/out"
		rows_are "$T/out" ".tid == $tid"
	done
}

@test "-c: threads by their name" {
	local command

	setup_pair
	for command in $(few why offcpu runq); do
		dwell "$command" --json -d $D -c victim --by thread >"$T/out"
		rows_are "$T/out" '.comm == "victim"'
		check "$T/out" 'expect([.rows[].pid] | index($a) and index($b); "rows: \([.rows[].pid])")' \
			--argjson a "$A" --argjson b "$B"
	done
}

@test "-a: everything, as without a filter" {
	local command filter

	setup_pair
	for command in $(few why offcpu runq); do
		for filter in "" -a; do
			# shellcheck disable=SC2086 # none, or one
			dwell "$command" --json -d $D $filter >"$T/out"
			check "$T/out" 'sound,
				expect([.rows[].pid] | index($a) and index($b); "rows: \([.rows[].pid])")' \
				--argjson a "$A" --argjson b "$B"
		done
	done
}

@test "--cgroup: what is in it and below, and nothing else" {
	local root command

	root=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
	[ -n "$root" ] || skip "no cgroup v2 is mounted"
	CGROUP=$root/dwell-test-$$
	mkdir "$CGROUP" || skip "no cgroup can be made in $root"
	mkdir "$CGROUP/below"
	setup_pair
	echo "$A" >"$CGROUP/below/cgroup.procs"
	for command in $(few why offcpu runq); do
		dwell "$command" --json -d $D --cgroup "$CGROUP" --by thread >"$T/out" 2>"$T/err" ||
			fail_with "exit status $?" "$T/err"
		rows_are "$T/out" ".pid == $A"
	done
	dwell why --json -d $D --by cgroup -a >"$T/out"
	check "$T/out" 'expect([.rows[].cgroup] | any(endswith("/below")); "rows: \([.rows[].cgroup])")'
	kill -KILL "$A"
	wait "$A" || true
	dwell why --json -d 0.2 --cgroup "$CGROUP" >"$T/out"
	check "$T/out" 'expect(.rows == []; "rows: \(.rows)")'
	rmdir "$CGROUP/below"
}

@test "a filter that matches nothing gives an empty report and exit status 0" {
	local command

	for command in $(few why offcpu runq); do
		dwell "$command" --json -d 0.3 -c no-such-comm >"$T/out"
		check "$T/out" 'sound, expect(.rows == []; "rows: \(.rows)"),
			expect(.summary.wall_ns == 0; "wall_ns is \(.summary.wall_ns)")'
		dwell "$command" -d 0.3 -c no-such-comm >"$T/text"
		grep -q 'No thread that matches' "$T/text"
	done
}

@test "the filter is on the thread that waits, not on the one that wakes it" {
	local tid

	setup_pair
	# The helper wakes the victim; the victim's lock waits must not be the helper's.
	tid=$(tid_of "$A" helper)
	dwell why --json -d $D -t "$tid" --by thread >"$T/out"
	rows_are "$T/out" ".tid == $tid"
	check "$T/out" '.rows[] | expect((.states.lock // 0) < 10000000; "states: \(.states)"),
		expect(.states.sleep > .wall_ns / 2; "states: \(.states)")'
}

@test "-- PROGRAM: from its first to its last moment" {
	dwell why --json -o "$T/out" --by thread -- "$W/waits" lock-mutex 100 5 >"$T/truth"
	check "$T/out" 'sound, lossless,
		(.rows[] | expect(.pid == $truth[0].pid; "a row of process \(.pid)")),
		expect([.rows[].comm] | index("victim") and index("helper"); "rows: \([.rows[].comm])")' \
		--slurpfile truth "$T/truth"
}

@test "-- PROGRAM: its descendants are followed" {
	dwell why --json -o "$T/out" -- \
		sh -c "'$W/waits' lock-mutex 100 5 >'$T/truth'; (sh -c 'sleep 0.2; sleep 0.2'; sleep 0.2)"
	check "$T/out" 'sound, lossless,
		([.rows[] | select(.comm == "sleep")] | length) as $n |
		expect($n >= 1; "no sleep among \([.rows[].comm])"),
		near("time in sleep"; [.rows[] | select(.comm == "sleep").states.sleep // 0] | total;
			600000000; 0.03; 0),
		expect([.rows[].pid] | index($truth[0].pid); "no waits among \([.rows[].comm])")' \
		--slurpfile truth "$T/truth"
}

# bats test_tags=once
@test "-- PROGRAM: exit status, standard streams and -o" {
	run dwell why -o "$T/out" -- sh -c 'exit 7'
	[ "$status" = 0 ]
	run dwell why -o "$T/out" --exit-status -- sh -c 'exit 7'
	[ "$status" = 7 ]
	run dwell why -o "$T/out" --exit-status -- sh -c 'kill -TERM $$'
	[ "$status" = 143 ]
	echo text | dwell why --json -o "$T/out" -- cat >"$T/cat" 2>"$T/err"
	[ "$(cat "$T/cat")" = text ]
	check "$T/out" sound
}

# bats test_tags=once
@test "-- PROGRAM with -d: the report comes when the time is up" {
	dwell why --json -o "$T/out" -d 0.5 -- sh -c "echo \$\$ >'$T/pid'; exec sleep 30"
	check "$T/out" 'near("duration"; .duration_ns; 500000000; 0.1; 0)'
	kill "$(cat "$T/pid")" 2>/dev/null || true
}

@test "kernel threads only when asked for" {
	dwell why --json -d 0.5 -a >"$T/out"
	check "$T/out" 'expect([.rows[] | select(.comm | test("^(kthreadd|rcu_|ksoftirqd)"))] == [];
		"kernel threads: \([.rows[].comm])")'
	dwell why --json -d 0.5 -a --kthreads >"$T/out"
	check "$T/out" 'expect([.rows[].comm] | any(startswith("kthreadd")); "rows: \([.rows[].comm])")'
	dwell why --json -d 0.5 -p 2 >"$T/out"
	check "$T/out" 'expect([.rows[].comm] == ["kthreadd"]; "rows: \([.rows[].comm])")'
}
