#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell lock` on programs that are not ours, each against another account of the same waits.
#
# bats file_tags=once

# bats file_tags=once

load lib
load postgres.bash
load mariadb.bash

clean_up() {
	stop_postgres
	stop_mariadb
}

# nvcsw FILE program…: runs it; how often its threads have gone to sleep, by the kernel's account
nvcsw() {
	cat <<-END
		import resource, subprocess, sys
		subprocess.run(sys.argv[2:], check=True)
		print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_nvcsw, file=open(sys.argv[1], "w"))
	END
}

# futex BENCH ARGS…: $T/lock.json, $T/nvcsw, and what the benchmark says in $T/out
futex() {
	perf bench futex "$1" -h 2>&1 | grep -q '[Uu]sage' || skip "this perf has no benchmarks of futexes"
	nvcsw >"$T/nvcsw.py"
	dwell lock --json --user --events -n 100000 -o "$T/lock.json" -- \
		python3 "$T/nvcsw.py" "$T/nvcsw" perf bench futex "$@" >"$T/out" 2>"$T/err" ||
		fail_with "perf bench futex $1:" "$T/err"
}

@test "perf bench futex lock-pi: each wait for the lock, and nothing else" {
	futex lock-pi -t 4 -r 1
	# in each round a thread takes the lock, sleeps, lets it go: what else it slept, it waited
	sed -n 's/^\[thread.*\[ \([0-9]*\) ops.*/\1/p' "$T/out" | jq -s add >"$T/rounds"
	check "$T/lock.json" '([.rows[] | select(.kind == "pi") | .count] | add) as $pi |
		($nvcsw[0] - $rounds[0]) as $waits |
		between("waits"; $pi; $waits * 0.95 - 50; $waits * 1.02),
		([.rows[] | select(.kind == "pi")] | max_by(.total_ns) |
			expect(.waiters == 4 and ([.holders[].share] | total > 0.95); "holders: \(.holders)"))' \
		--slurpfile nvcsw "$T/nvcsw" --slurpfile rounds "$T/rounds"
}

@test "perf bench futex requeue: a wait that is requeued is one wait" {
	futex requeue -t 8
	# ten times each of the threads waits once, whichever word it is moved to
	check "$T/lock.json" '[.rows[] | select(.kind == "futex")] | max_by(.total_ns) |
		expect(.count == 80 and .waiters == 80; "\(.count) waits of \(.waiters) threads")'
	check "$T/lock.json" '[.rows[] | .count] | add | within("waits of all kinds"; .; 80; $nvcsw[0])' \
		--slurpfile nvcsw "$T/nvcsw"
}

@test "perf bench futex hash: calls that fail with EAGAIN are no waits" {
	futex hash -t 4 -r 1
	check "$T/lock.json" '[.rows[] | .count] | add // 0 | within("waits of all kinds"; .; 0; $nvcsw[0])' \
		--slurpfile nvcsw "$T/nvcsw"
}

@test "hackbench: the kernel's contended locks are those that perf counts" {
	need_contention
	dwell lock --json --kernel -n 100000 -o "$T/lock.json" -- \
		perf stat -x, -o "$T/stat" -e lock:contention_begin hackbench -p -g 4 -l 300 >"$T/out" 2>"$T/err"
	sed -n 's/^\([0-9]*\),.*contention_begin.*/\1/p' "$T/stat" >"$T/counted"
	[ "$(cat "$T/counted")" -ge 100 ] || skip "hackbench found nearly no lock taken: $(cat "$T/counted")"
	# perf's own, when each thread closes its counter
	check "$T/lock.json" '[.rows[] | select(.comm == "hackbench" and (.name | contains("perf_") | not))] |
		between("contended"; map(.count) | total; $counted[0] * 0.96; $counted[0] * 1.04),
		expect(any(.name == "pipe mutex") or $counted[0] < 1000; "no pipe mutex: \(map({kind, name, count}))")' \
		--slurpfile counted "$T/counted"
	# a run queue for each CPU, whose lock is waited for where the scheduler works
	check "$T/lock.json" '[.rows[] | select(.name == "run queue")] |
		expect(length <= $cpus; "\(length) run queues of \($cpus) CPUs"),
		(.[].wait_stack // [] | select(length > 0) |
			expect(any(test("sched|wake_up|ttwu|balance|rq_lock|pick_next")); "a run queue in \(.)"))' \
		--argjson cpus "$(getconf _NPROCESSORS_CONF)"
}

# What the server says that each session waits for, many times a second, as shares of all looks.
sample_waits() { # seconds
	timeout "$1" "${PG[@]}" psql -qAt >"$T/samples" 2>&1 <<-END || true
		select 'state ' || coalesce(wait_event_type, 'none') from pg_stat_activity
			where backend_type = 'client backend' and pid <> pg_backend_pid()
		\\watch 0.01
	END
	sed -n 's/^state //p' "$T/samples" |
		jq -Rn '[inputs] | length as $n | group_by(.) | map({(.[0]): (length / $n)}) | add' >"$T/waits"
}

# Its lightweight locks are the waits in semaphores that the server tells of as LWLock; its row locks,
# which it waits for in epoll, are no locks of threads.
postgres_waits() { # script
	local backends

	echo "$1" >"$PG_DIR/script"
	chmod 644 "$PG_DIR/script"
	start "$T/pgbench" "${PG[@]}" pgbench -n -c 8 -j 2 -T 60 -f "$PG_DIR/script"
	PGBENCH=$PID
	sleep 1
	backends=$(pgrep -d, -f -P "$PG_SERVER" 'postgres: test ')
	start_dwell lock --json --user -p "$backends" -n 100000
	sample_waits 4
	stop_dwell
	kill -KILL -- "-$PGBENCH"
	# The server's wait goes on until the session has a CPU again.
	check "$T/dwell.out" '.summary as $all | ($waits[0].LWLock // 0) as $server |
		([.rows[] | select(.kind == "lwlock") | .total_ns] | total / $all.wall_ns) as $share |
		(($all.states.runq + ($all.states.preempt // 0)) / $all.wall_ns) as $queued |
		within("lwlock, of the time (\($waits[0]), \($all.states), \($all.wall_ns))"; $share;
			$server - $queued - 0.05; $server + 0.05)' --slurpfile waits "$T/waits"
	# what those did who woke the waiters is known
	check "$T/dwell.out" '[.rows[] | select(.kind == "lwlock" and .total_ns > 2e8) | .holders[]] |
		expect((map(.unknown_ns) | total) <= 0.2 * (map(.total_ns) | total); "holders: \(.)")'
}

@test "PostgreSQL, a hot row: its lightweight locks are those that the server reports" {
	start_postgres
	timeout 60 "${PG[@]}" pgbench -q -i -s 1 >"$T/init" 2>&1
	postgres_waits 'update pgbench_branches set bbalance = bbalance + 1 where bid = 1;'
	check "$T/waits" 'expect(.Lock > 0.3; "the row is not hot: \(.)")'
	postgres_waits '\set a random(1, 100000)
		update pgbench_accounts set abalance = abalance + 1 where aid = :a;'
}

# In Debian's server nothing in InnoDB has a name, but who calls it has.
@test "MariaDB under sysbench, a hot row: the time for row locks is the server's own" {
	need_natively sysbench mariadbd mariadb-install-db
	start_mariadb
	"${MY[@]}" -e 'create database if not exists sbtest'
	cat >"$T/hot.lua" <<-END
		function thread_init() con = sysbench.sql.driver():connect() end
		function event()
			con:query("BEGIN")
			con:query("UPDATE hot SET n = n + 1 WHERE id = 1")
			con:query("DO SLEEP(0.003)")
			con:query("COMMIT")
		end
	END
	"${MY[@]}" sbtest -e 'create table hot (id int primary key, n int) engine=InnoDB;
		insert into hot values (1, 0)'
	start "$T/sysbench" sysbench "$T/hot.lua" --db-driver=mysql --mysql-socket="$MY_DIR/socket" \
		--mysql-user=root --threads=4 --time=60 run
	sleep 1
	row_lock_ms() { "${MY[@]}" -e "show global status like 'Innodb_row_lock_time'" | cut -f 2; }
	start_dwell lock --json --user -p "$MY_SERVER" -n 100000
	row_lock_ms >"$T/before"
	sleep 4
	row_lock_ms >"$T/after"
	stop_dwell
	kill -KILL -- "-$PID"
	check "$T/dwell.out" '(($after[0] - $before[0]) * 1e6) as $ns |
		[.rows[] | select(.kind == "engine lock")] |
		between("time for rows"; map(.total_ns) | total; $ns * 0.9; $ns * 1.1),
		(max_by(.total_ns) | expect(.wait_stack | index("mysql_update"); "waits in \(.wait_stack)"))' \
		--slurpfile before "$T/before" --slurpfile after "$T/after"
}
