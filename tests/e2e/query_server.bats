#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What PostgreSQL itself says of its statements, and what sessions do to each other.

load lib
load postgres
load ext4

clean_up() {
	stop_postgres
	umount_ext4
}

init() {
	timeout 60 "${PG[@]}" pgbench -q -i -s 1 >"$T/pgbench.init" 2>&1 ||
		fail_with "pgbench:" "$T/pgbench.init"
}

sql() {
	timeout 60 "${PG[@]}" psql -qAtX "$@"
}

# open_session NAME FD [psql's options]: a client that reads statements from a FIFO, which is open as
# FD; its pid in the server comes in $SESSION, its answers in $T/NAME
open_session() {
	mkfifo -m 666 "$PG_DIR/$1"
	start "$T/$1" "${PG[@]}" psql -qAtX "${@:3}" -f "$PG_DIR/$1"
	eval "exec $2>>'$PG_DIR/$1'"
	echo 'SELECT pg_backend_pid();' >&"$2"
	wait_for '^[0-9]' "$T/$1"
	SESSION=$(head -n 1 "$T/$1")
}

# until so many sessions wait for a lock
await_waiting() { # number [psql's options]
	local i

	for ((i = 0; i < 500; i++)); do
		[ "$(sql "${@:2}" -c "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")" != "$1" ] ||
			return 0
		sleep 0.05
	done
	fail_with "not $1 sessions wait for a lock"
}

# A second server's files: its program is to be in $own, its data and its socket are in $second.
second_server() {
	own=$PG_DIR/own
	second=$PG_DIR/second
	mkdir "$own"
	timeout 60 "${PG[@]}" initdb -D "$second" -U test -A trust --no-sync >"$T/initdb2" 2>&1
}

program() {
	find /usr/lib/postgresql -path '*/bin/postgres' | sort -V | tail -n 1
}

# contain NAME: starts it in mount, PID and IPC namespaces: nobody else sees its program, and it is
# process 1
contain() {
	start "$T/$1" unshare -m -p -i --fork --kill-child sh -c 'mount -t tmpfs none "$0" &&
		cp "$1" "$0/postgres" && echo "$2" >>"$0/postgres" && shift 2 && exec "$@"' "$own" \
		"$(program)" "$1" \
		"${PG[@]}" "$own/postgres" -D "$second" -k "$second" -c listen_addresses= 2>"$T/$1.log"
}

await_answers() {
	for _ in {1..200}; do
		! sql -h "$second" -c 'SELECT 1' >"$T/up" 2>&1 || return 0
		sleep 0.05
	done
	fail_with "the second server does not answer"
}

# The machine's number of process PID of the second server, which counts its own
outer_pid() { # PID
	local process

	for process in /proc/[0-9]*; do
		[[ $(readlink "$process/exe") != "$own/postgres" ]] ||
			awk -v inner="$1" '$1 == "NSpid:" && NF == 3 && $3 == inner { print $2 }' "$process/status"
	done
}

# States make up each statement, and the server's waits are a part of it.
whole='def whole: lossless,
	(.rows[] | near("states of \(.query)"; .states | map(.) | total; .total_ns; 0.005; 0)),
	(.rows[] | expect((.waits // {} | map(.) | total) <= .total_ns * 1.001; "waits of \(.query)"));'

@test "who waits for whom: while it waits, and afterwards" {
	local holder name

	start_postgres
	sql -c 'CREATE TABLE t (id int, n int); INSERT INTO t VALUES (1, 0), (2, 0)'
	open_session holder 7
	holder=$SESSION
	open_session one 8
	open_session two 9
	for name in open ended; do
		start_dwell query -d 120 --json -p "$PG_SERVER"
		echo "BEGIN; UPDATE t SET n = 7 WHERE id = 2; UPDATE t SET n = 8 WHERE id = 1; SELECT 'has$name';" >&7
		wait_for "^has$name" "$T/holder"
		echo "UPDATE t SET n = n + 1 WHERE id = 1; SELECT 'done$name';" >&8
		await_waiting 1
		echo "UPDATE t SET n = n - 1 WHERE id = 1; SELECT 'done$name';" >&9
		await_waiting 2
		sleep 0.3
		[ "$name" = ended ] || stop_dwell
		echo "COMMIT; SELECT 'over$name';" >&7
		wait_for "^done$name" "$T/one"
		wait_for "^done$name" "$T/two"
		[ "$name" = open ] || stop_dwell
		cp "$T/dwell.out" "$T/$name.json"
	done
	exec 7>&- 8>&- 9>&-
	check "$T/open.json" '
		.summary.blocked_by as $b |
		expect([$b[] | select(.holder_pid == $holder and .count == 0) | .waiting] | total == 2;
			"waiting: \($b)"),
		($b[] | between("so far"; .waiting_ns; 0.3e9; 20e9),
			expect(.query | startswith("update t set n = n"); .query),
			expect(.holder_statements == ["begin", "update t set n = ? where id = ?",
				"update t set n = ? where id = ?", "select ?"]; "statements: \(.holder_statements)"))' --argjson holder "$holder"
	check "$T/ended.json" "$whole"' whole,
		.summary.blocked_by as $b |
		([$b[] | select(.holder_pid == $holder and .lock == "transaction")] | .[0]) as $row |
		expect($row.count == 1 and $row.waiting == 0; "row: \($b)"),
		([.rows[] | select(.query | startswith("update t set n = n"))] as $rows |
			expect([$rows[].count] | total == 2; "\($rows | length) rows"),
			($rows[] | between("waits for locks"; .waits.lock; .total_ns * 0.85; .total_ns)))' --argjson holder "$holder"
}

@test "the holder ran nothing since the start, and is in a PID namespace of its own" {
	local holder

	need unshare
	start_postgres
	second_server
	contain held
	await_answers
	sql -h "$second" -c 'CREATE TABLE t (id int, n int); INSERT INTO t VALUES (1, 0)'
	open_session holder 7 -h "$second"
	holder=$(outer_pid "$SESSION")
	[ -n "$holder" ] || fail_with "no process is $SESSION inside"
	echo "BEGIN; UPDATE t SET n = 7 WHERE id = 1; SELECT 'has it';" >&7
	wait_for '^has it' "$T/holder"
	start_dwell query -d 120 --json
	open_session one 8 -h "$second"
	echo "UPDATE t SET n = 8 WHERE id = 1; SELECT 'done';" >&8
	await_waiting 1 -h "$second"
	stop_dwell
	exec 7>&- 8>&-
	check "$T/dwell.out" '.summary.blocked_by as $b |
		expect([$b[] | [.holder_pid, .waiting, .lock]] == [[$holder, 1, "transaction"]]; "\($b)")' \
		--argjson holder "$holder"
}

@test "a hot row: the wait is for its lock, and the sums agree" {
	start_postgres
	init
	echo 'UPDATE pgbench_branches SET bbalance = bbalance + 1 WHERE bid = 1;' >"$PG_DIR/hot.sql"
	chmod 644 "$PG_DIR/hot.sql"
	start_dwell query -d 120 --json -p "$PG_SERVER"
	timeout 60 "${PG[@]}" pgbench -n -f "$PG_DIR/hot.sql" -c 8 -t 100 >"$T/pgbench" 2>&1
	stop_dwell
	check "$T/dwell.out" "$whole"' whole,
		(.rows[] | select(.query | startswith("update pgbench_branches"))) as $row |
		expect($row.count == 800 and $row.rows == 800; "\($row.count) calls"),
		expect($row.waits.lock > $row.total_ns * 0.4; "waits: \($row.waits) of \($row.total_ns)"),
		# of the waits, the server tells only the time asleep
		within("both accounts of the lock"; [.summary.blocked_by[].total_ns] | total; $row.waits.lock * 0.97;
			($row.waits.lock + $row.states.cpu + ($row.states.runq // 0)) * 1.03),
		(.summary.blocked_by[] | expect(.holder_pid > 0; "a holder that is not known: \(.)"))'
}

@test "the log on a slow disk: COMMIT waits for it, and nothing else does" {
	mount_ext4
	chmod o+x "$BATS_RUN_TMPDIR" "${T%/*}" "$T" # the server is another user
	PG_WAL=$MOUNT/wal start_postgres -c wal_sync_method=fdatasync -c synchronous_commit=on
	init
	slow_ext4 "$PG_SERVER" 50
	echo 'BEGIN; INSERT INTO pgbench_history (tid) VALUES (1); COMMIT;' | tr ';' '\n' |
		sed '/./s/$/;/' >"$PG_DIR/commits.sql"
	chmod 644 "$PG_DIR/commits.sql"
	start_dwell query -d 120 --json -p "$PG_SERVER"
	timeout 60 "${PG[@]}" pgbench -n -f "$PG_DIR/commits.sql" -t 50 >"$T/pgbench" 2>&1
	stop_dwell
	check "$T/dwell.out" "$whole"' whole,
		(.rows | map({(.query): .}) | add) as $rows |
		$rows.commit as $c | $rows["insert into pgbench_history(tid) values (?+)"] as $i |
		expect($c.count == 50 and $i.count == 50; "\($c.count) commits"),
		# two writes are let through at once, and then one in 20 ms
		between("mean of COMMIT"; $c.mean_ns; 10000000; 200000000),
		between("the disk in COMMIT"; $c.states.disk / $c.total_ns; 0.8; 1),
		between("its waits by the server"; $c.waits.io / $c.total_ns; 0.8; 1),
		expect($i.total_ns < $c.total_ns * 0.3; "INSERT: \($i.total_ns) of \($c.total_ns)")'
}

@test "buffers and WAL are what the server counts; a scan for one row stands out" {
	local pages

	start_postgres
	init
	pages=$(sql -c "SELECT pg_relation_size('pgbench_accounts') / 8192")
	# what a session reads of the catalogs for the first time is in its first statement
	open_session psql 8
	echo "SELECT abalance FROM pgbench_accounts WHERE bid = 99 OR aid = 7 LIMIT 1; SELECT pg_current_wal_lsn() - '0/0'; SELECT 'warm';" >&8
	wait_for '^warm' "$T/psql"
	start_dwell query -d 120 --json -p "$PG_SERVER"
	cat >&8 <<-'SQL'
		SELECT max(abalance) FROM pgbench_accounts WHERE filler = 'x';
		SELECT 'lsn1', pg_current_wal_insert_lsn() - '0/0';
		INSERT INTO pgbench_history SELECT 1, 1, g, 1, now() FROM generate_series(1, 20000) AS g;
		SELECT 'lsn2', pg_current_wal_insert_lsn() - '0/0';
		SELECT 'done';
	SQL
	wait_for '^done' "$T/psql"
	stop_dwell
	exec 8>&-
	check "$T/dwell.out" "$whole"' whole,
		(.rows[] | select(.query | startswith("select max(abalance)"))) as $scan |
		expect($scan.rows == 1; "\($scan.rows) rows"),
		between("buffers"; $scan.buffers_hit + $scan.buffers_read; $pages; $pages + 200),
		(.rows[] | select(.query | startswith("insert into pgbench_history"))) as $insert |
		near("WAL"; $insert.wal_bytes; $wal; 0.05; 0)' --argjson pages "$pages" --argjson wal "$(awk -F'|' '/^lsn/ { v[$1] = $2 } END { print v["lsn2"] - v["lsn1"] }' "$T/psql")"
}

@test "a CPU hog beside the database shows as waiting for a CPU" {
	local cpu

	need taskset
	start_postgres
	init
	cpu=$(taskset -cp "$PG_SERVER" | sed 's/.*: //; s/[-,].*//')
	taskset -cp "$cpu" "$PG_SERVER" >/dev/null
	start_dwell query -d 120 --json -p "$PG_SERVER"
	# longer than a slice: shorter ones wait before they begin
	echo 'SELECT sum(g * 1.5) FROM generate_series(1, 300000) AS g;' >"$PG_DIR/busy.sql"
	chmod 644 "$PG_DIR/busy.sql"
	for _ in 1 2; do
		start /dev/null taskset -c "$cpu" "$BASH" -c 'while :; do :; done'
	done
	timeout 60 "${PG[@]}" pgbench -n -f "$PG_DIR/busy.sql" -T 3 >"$T/pgbench" 2>&1
	stop_dwell
	check "$T/dwell.out" "$whole"' whole,
		(.rows[] | select(.query | startswith("select sum(")) |
			expect((.states.runq // 0) + (.states.preempt // 0) > .total_ns * 0.3;
				"states: \(.states) of \(.total_ns)"))'
}

@test "--db and --user: the sessions of that database and user" {
	start_postgres
	sql -c 'CREATE DATABASE shop' -c 'CREATE ROLE bob LOGIN'
	start_dwell query -d 120 --json --db shop --user bob -p "$PG_SERVER"
	sql -U bob -d shop -c "SELECT 1, 'both'"
	sql -d shop -c "SELECT 2, 'the database', 2"
	sql -U bob -c "SELECT 'the user'"
	stop_dwell
	check "$T/dwell.out" 'expect([.rows[].query] == ["select ?, ?"]; "\(.rows | map(.query))")'
	start_dwell query -d 120 --json --db nowhere -p "$PG_SERVER"
	sql -d shop -c "SELECT 1, 'both'"
	stop_dwell
	check "$T/dwell.out" 'expect(.rows == []; "\(.rows | map(.query))")'
}

@test "a server that is restarted during the run: right numbers before and after" {
	start_postgres
	start_dwell query -d 120 --json
	sql -c "SELECT 'before', $BASHPID AS restart$BASHPID"
	"${PG[@]}" pg_ctl -D "$PG_DIR/data" -w -m fast restart -o "-k $PG_DIR -c listen_addresses=" >"$T/ctl"
	sql -c "SELECT 'after', $BASHPID AS restart$BASHPID"
	stop_dwell
	"${PG[@]}" pg_ctl -D "$PG_DIR/data" -w -m immediate stop >"$T/ctl"
	check "$T/dwell.out" "[.rows[] | select(.query == \"select ?, ? as restart$BASHPID\").count] as \$n |
		expect(\$n == [2]; \"\(\$n) calls\")"
}

# The real program, of which one name in the table of its exports is another: as in one that was
# linked without them, no probe finds the function, and the server does not miss it.
@test "a server without its exports beside another: told of, and right numbers for the other" {
	start_postgres
	second_server
	sed 's/pgstat_report_activity/pgstat_report_activitx/g' "$(program)" >"$own/postgres"
	chmod 755 "$own" "$own/postgres"
	start "$T/bare" "${PG[@]}" "$own/postgres" -D "$second" -k "$second" -c listen_addresses= 2>"$T/bare.log"
	await_answers
	start_dwell query -d 120 --json
	sql -h "$second" -c "SELECT 'in it', 1 AS bare$BASHPID"
	sql -c "SELECT 'beside it' AS bare$BASHPID"
	stop_dwell
	grep -q "own/postgres is left out: .*exports no pgstat_report_activity" "$T/dwell.err"
	check "$T/dwell.out" "$whole"' whole,
		[.rows[] | select(.query | endswith($mine)) | [.query, .count]] |
		expect(. == [["select ? as " + $mine, 1]]; "\(.)")' --arg mine "bare$BASHPID"
}

@test "two servers at once, one of another file in a container, begun during the run, and upgraded" {
	local name

	need unshare
	start_postgres
	second_server
	start_dwell query -d 120 --json --by thread -v
	for name in first upgraded; do
		contain "$name"
		wait_for "own/postgres: probe on pgstat_report_activity" "$T/dwell.err"
		: >"$T/dwell.err"
		await_answers
		sql -h "$second" -c "SELECT 'in it' AS $name$BASHPID"
		sql -c "SELECT 'beside it', 1 AS $name$BASHPID"
		kill -KILL -- "-$PID"
		await "$PID" || true
		rm -f "$second/postmaster.pid" "$second"/.s.*
	done
	stop_dwell
	check "$T/dwell.out" '[.rows[] | select(.query | endswith($mine)) | [.query, .count, .rows]] | sort |
		expect(. == [["select ? as first" + $mine, 1, 1], ["select ? as upgraded" + $mine, 1, 1],
			["select ?, ? as first" + $mine, 1, 1], ["select ?, ? as upgraded" + $mine, 1, 1]]; "\(.)")' \
		--arg mine "$BASHPID"
}

# Where a client draws its statements at random, some follow another one often by chance.
@test "N+1: statements that are drawn at random are none, in their midst it is found" {
	local i

	start_postgres
	init
	echo "SELECT tid FROM pgbench_tellers;" >"$PG_DIR/rows.sql"
	echo "SELECT bid, tid FROM pgbench_tellers;" >"$PG_DIR/list.sql"
	for ((i = 1; i <= 10; i++)); do
		echo "SELECT abalance, bid FROM pgbench_accounts WHERE aid = $i;"
	done >>"$PG_DIR/list.sql"
	chmod 644 "$PG_DIR"/*.sql
	start_dwell query -d 120 --json -p "$PG_SERVER"
	timeout 60 "${PG[@]}" pgbench -n -c 2 -t 2000 --random-seed=7 -b select-only@6 -b simple-update@1 \
		-f "$PG_DIR/rows.sql@1" -f "$PG_DIR/list.sql@1" >"$T/pgbench" 2>&1
	stop_dwell
	check "$T/dwell.out" "$whole"' whole, .summary.n_plus_one as $n |
		([.rows[] | select(.query == "select bid, tid from pgbench_tellers").count] | total) as $calls |
		expect(($n | length) == 1 and ($n[0] | .bursts == $calls and .source_calls == $calls and
			.repeats == 10 * $calls and .source == "select bid, tid from pgbench_tellers"); "of \($calls): \($n)")'
}

@test "N+1: 30 bursts of 20 are found; pgbench has none" {
	local i j

	start_postgres
	init
	for ((i = 0; i < 30; i++)); do
		echo "SELECT g, $i FROM generate_series(1, 20) AS g;"
		for ((j = 1; j <= 20; j++)); do
			echo "SELECT abalance FROM pgbench_accounts WHERE aid = $((i * 20 + j));"
		done
	done >"$PG_DIR/n1.sql"
	chmod 644 "$PG_DIR/n1.sql"
	start_dwell query -d 120 --json -p "$PG_SERVER"
	sql -f "$PG_DIR/n1.sql" >"$T/n1"
	stop_dwell
	check "$T/dwell.out" "$whole"' whole,
		.summary.n_plus_one as $n |
		expect(($n | length) == 1; "\($n)"),
		($n[0] | expect(.bursts == 30 and .repeats == 600 and .repeats_per_burst == 20 and .source_rows == 20 and
				.source_calls == 30;
				"\(.bursts) bursts, \(.repeats) repeats, \(.source_rows) rows"),
			expect(.source | startswith("select g, ?"); .source),
			expect(.query == "select abalance from pgbench_accounts where aid = ?"; .query),
			expect(.bill_ns == .exec_ns + .gap_ns and .exec_ns > 0 and .gap_ns > 0; "bill"))' --argjson all "$(wc -l <"$T/n1")"
	start_dwell query -d 120 --json -p "$PG_SERVER"
	timeout 60 "${PG[@]}" pgbench -n -c 2 -t 300 -b tpcb-like -b simple-update -b select-only >"$T/pgbench" 2>&1
	timeout 60 "${PG[@]}" pgbench -n -M prepared -S -t 2000 >"$T/pgbench" 2>&1
	stop_dwell
	check "$T/dwell.out" "$whole"' whole, expect(.summary.n_plus_one == []; "\(.summary.n_plus_one)")'
}

@test "transactions, sessions, and the slowest statements" {
	local i pids=()

	start_postgres
	open_session psql 8
	start_dwell query -d 120 --json -p "$PG_SERVER"
	echo "BEGIN; SELECT 'in it';" >&8
	wait_for '^in it' "$T/psql"
	sleep 0.5
	echo "COMMIT; SELECT 'out';" >&8
	wait_for '^out' "$T/psql"
	for i in 2 4 6; do
		start "$T/sleep.$i" "${PG[@]}" psql -qAtX -c "SELECT pg_sleep(0.$i)"
		pids+=("$PID")
	done
	for i in "${pids[@]}"; do
		await "$i"
	done
	echo "BEGIN; SELECT 'open', 1;" >&8
	wait_for '^open' "$T/psql"
	sleep 0.2
	stop_dwell
	exec 8>&-
	check "$T/dwell.out" "$whole"' whole,
		(.summary.transactions |
			expect(.count == 1; "\(.count) transactions"),
			between("BEGIN to COMMIT"; .total_ns; 0.5e9; 5e9),
			between("idle"; .idle.total_ns; 0.49e9; .total_ns),
			expect(.open_count == 1 and .open[0].pid == $pid and .open[0].query == "select ?, ?"; "open: \(.open)"),
			between("idle now"; .open[0].idle_ns; 0.15e9; 20e9)),
		(.summary.sessions |
			expect(.opened == 3; "\(.opened) opened"),
			expect(.peak_active == 3; "\(.peak_active) at once"),
			between("set-up"; .max_ns; 100000; 5e9)),
		(.summary.exemplars as $e |
			expect([$e[:3][].query] | unique == ["select pg_sleep(?)"]; "\($e | map(.query))"),
			between("the slowest"; $e[0].latency_ns; 0.6e9; 0.9e9),
			between("the third"; $e[2].latency_ns; 0.2e9; 0.39e9),
			($e[] | near("states of the slow"; .states | map(.) | total; .latency_ns; 0.005; 0)))' --argjson pid "$SESSION"
}

@test "parallel workers belong to their leader; cancelled and killed statements are errors" {
	start_postgres -c max_worker_processes=8
	init
	start_dwell query -d 120 --json -p "$PG_SERVER"
	sql -c "SET max_parallel_workers_per_gather = 2" -c "SET parallel_setup_cost = 0" \
		-c "SET parallel_tuple_cost = 0" -c "SET min_parallel_table_scan_size = 0" \
		-c "SELECT count(*) FROM pgbench_accounts WHERE filler LIKE '%x%'"
	! sql -c "SET statement_timeout = 200" -c "SELECT pg_sleep(5), 'cancelled'" 2>"$T/cancelled" || false
	start "$T/killed" "${PG[@]}" psql -qAtX -c "SELECT pg_sleep(30), 1, 'killed'" 2>"$T/killed.err"
	for _ in {1..100}; do
		[ "$(sql -c "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE query LIKE '%killed%' AND pid <> pg_backend_pid()")" = 0 ] || break
		sleep 0.05
	done
	await "$PID" || true
	stop_dwell
	check "$T/dwell.out" "$whole"' whole,
		(.rows[] | select(.query | startswith("select count(*) from pgbench_accounts where"))) as $p |
		expect($p.count == 1 and $p.workers == 2; "\($p.count) calls with \($p.workers) workers"),
		expect($p.worker_ns > 0; "no time of the workers"),
		([.rows[] | select(.query == "select pg_sleep(?), ?")] | .[0]) as $c |
		expect($c.count == 1 and $c.errors == 1; "cancelled: \($c.count), \($c.errors)"),
		between("cancelled"; $c.total_ns; 0.2e9; 2e9),
		([.rows[] | select(.query == "select pg_sleep(?), ?, ?")] | .[0]) as $k |
		expect($k.count == 1 and $k.errors == 1; "killed: \($k.count), \($k.errors)"),
		expect(.summary.sessions.active == 0; "\(.summary.sessions.active) are active")'
}

@test "no probe is hit for 2 s: the likely reason is told" {
	local busy

	start_postgres
	start_dwell query -d 60 -v -p "$PG_SERVER"
	wait_for 'no probe was hit in 2 s: the servers had no statements' "$T/dwell.err" 4
	stop_dwell
	# what a hit costs was measured, and is what it can be
	check <(sed -nE 's/.*probe on pgstat_report_activity.*, ([0-9.]+)(ns|us) for each hit$/\1 \2/p' "$T/dwell.err" |
		jq -Rs 'split("\n")[0] | split(" ") | (.[0] | tonumber) * {ns: 1, us: 1000}[.[1]]') \
		'between("a hit, ns"; .; 100; 100000)'
	# a statement that begins before dwell, and ends behind it
	start "$T/long" "${PG[@]}" psql -qAtX -c "SELECT count(*) FROM generate_series(1, 1000000000) AS long"
	for _ in {1..200}; do
		busy=$(sql -c "SELECT pid FROM pg_stat_activity WHERE query LIKE '%AS long' AND state = 'active'
			AND pid <> pg_backend_pid()")
		[ -z "$busy" ] || break
		sleep 0.05
	done
	start_dwell query -d 60 -p "$PG_SERVER"
	wait_for "no probe was hit in 2 s: process $busy computed for .* in a statement that began" "$T/dwell.err" 4
	stop_dwell
}
