#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# The states of a thread add up to its wall time, and agree with what the scheduler itself says in
# /proc/PID/schedstat, on real workloads.

load lib

SECONDS_MEASURED=3
SLACK=5000000  # ns
PER_SLICE=2000 # ns

clean_up() {
	[ -z "${PGDATA_PARENT:-}" ] || rm -rf "$PGDATA_PARENT"
}

# A wait under way at either end of the window can be of any length on a busy machine: a fault of
# dwell's own is there every time.
invariant() { # PIDs
	local try

	for try in 1 2 3; do
		if measure_invariant "$1" >"$T/faults.$try"; then
			return 0
		fi
	done
	fail_with "the last of $try attempts:" "$T/faults.$try"
}

# measure_invariant PIDs: measures these running processes with why, between two looks at schedstat.
#
# dwell's window includes that of schedstat; what lies outside of it bounds the difference upwards.
# A slice or a wait that is under way isn't in schedstat yet: SLACK covers one of each. And where a
# wake-up preempts, the scheduler saves itself a look at the clock (rq_clock_skip_update()), so that
# in its books the thread runs from the wake-up on: PER_SLICE is what that makes at most.
measure_invariant() {
	start_dwell why --json --by thread -o "$T/why.json" --max-entries 16384 -p "$1" || return 1
	# shellcheck disable=SC2086 # a list
	"$W/schedstat" ${1//,/ } >"$T/before.json"
	sleep $SECONDS_MEASURED
	# shellcheck disable=SC2086
	"$W/schedstat" ${1//,/ } >"$T/after.json"
	stop_dwell || return 1
	check "$T/why.json" 'sound, lossless,
		($before[0].threads | map({(.tid | tostring): .}) | add) as $b |
		($after[0].threads | map({(.tid | tostring): .}) | add) as $a |
		.duration_ns as $duration |
		[.rows[] | select($b[.tid | tostring] and $a[.tid | tostring])] as $rows |
		expect(($rows | length) == ($a | keys - (($a | keys) - ($b | keys)) | length);
			"\($rows | length) rows for \($a | length) threads"),
		($rows[] |
			(.tid | tostring) as $tid |
			($a[$tid].now_ns - $b[$tid].now_ns) as $window |
			($duration - $window) as $outside |
			($a[$tid].run_ns - $b[$tid].run_ns) as $run |
			($a[$tid].wait_ns - $b[$tid].wait_ns) as $wait |
			((.states.runq // 0) + (.states.preempt // 0)) as $queued |
			($slack + $per_slice * ($a[$tid].slices - $b[$tid].slices)) as $slack |
			near("wall of \(.comm) \(.tid)"; .wall_ns; $duration; 0.001; 0),
			between("cpu of \(.comm) \(.tid)"; .states.cpu // 0;
				$run * 0.99 - $slack; $run * 1.01 + $slack + $outside),
			between("runq + preempt of \(.comm) \(.tid)"; $queued;
				$wait * 0.99 - $slack; $wait * 1.01 + $slack + $outside))' \
		--slurpfile before "$T/before.json" --slurpfile after "$T/after.json" \
		--argjson slack "$SLACK" --argjson per_slice "$PER_SLICE"
}

@test "on the demo" {
	start "$T/demo.out" "$W/demo" 60
	sleep 0.5
	# shellcheck disable=SC2153 # start() sets it
	invariant "$PID"
}

@test "on hackbench" {
	local pids

	need hackbench
	start "$T/hackbench.out" setsid hackbench -g 2 -f 5 -l 1000000
	sleep 1
	pids=$(pgrep -g "$PID" -d,)
	invariant "$pids"
	kill -KILL -- "-$PID"
	wait "$PID" 2>/dev/null || true
}

@test "on PostgreSQL with pgbench" {
	local bin user pids

	need setpriv
	bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
	[ -x "$bin/initdb" ] && [ -x "$bin/pgbench" ] || skip "PostgreSQL is not installed"
	user=nobody
	! id postgres >/dev/null 2>&1 || user=postgres
	PGDATA_PARENT=$(mktemp -d /var/tmp/dwell-pg.XXXXXX)
	chown "$user" "$PGDATA_PARENT"
	as() {
		env -C "$PGDATA_PARENT" setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups \
			env PATH="$bin:$PATH" PGHOST="$PGDATA_PARENT" PGUSER=test PGDATABASE=postgres "$@"
	}
	timeout 60 setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups env -C "$PGDATA_PARENT" \
		"$bin/initdb" -D "$PGDATA_PARENT/data" -U test -A trust --no-sync >"$T/initdb" 2>&1 ||
		fail_with "initdb:" "$T/initdb"
	start "$T/postgres" env -C "$PGDATA_PARENT" setpriv --reuid="$user" \
		--regid="$(id -g "$user")" --clear-groups \
		"$bin/postgres" -D "$PGDATA_PARENT/data" -k "$PGDATA_PARENT" -c listen_addresses= \
		-c logging_collector=off 2>"$T/pg.log"
	local server=${PIDS[-1]}
	for _ in {1..200}; do
		! as pg_isready -q || break
		sleep 0.1
	done
	as timeout 60 pgbench -q -i -s 1 >"$T/pgbench.init" 2>&1 || fail_with "pgbench:" "$T/pgbench.init"
	as timeout 60 pgbench -n -c 4 -j 2 -T 30 >"$T/pgbench" 2>&1 3>&- &
	PIDS+=("$!")
	sleep 1
	pids=$(pgrep -P "$server" -d,),$(pgrep -x -d, pgbench)
	invariant "$pids"
	check "$T/why.json" '([.rows[] | select(.comm == "postgres")] | length) as $n |
		expect($n >= 4; "\($n) rows of postgres")'
	kill -INT "$server"
	await "$server" 20 || true
}
