#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Statements are counted and measured as their client sees them.

load lib
load postgres

clean_up() {
	# the teardown has killed what was started alone; the server's children are in its group
	stop_postgres
}

# What holds in every report. A statement may run into one event that the kernel kept to itself.
whole='def whole: lossless,
	(.rows[] | near("states of \(.query)"; .states | map(.) | total; .total_ns; 0.005; 0)),
	expect(.summary.wall_ns == ([.rows[].total_ns] | total); "\(.summary.wall_ns) ns in statements"),
	near("states of all"; .summary.states | map(.) | total; .summary.wall_ns; 0.005; 0),
	(.rows[] | expect((.query | test("[0-9]{4}")) | not; "a literal: \(.query)"));'

# pgbench_runs OPTION…: pgbench's own log of each transaction, as JSON: truth
pgbench_runs() {
	rm -f "$PG_DIR"/log.*
	timeout 60 "${AT_ONCE[@]}" "${PG[@]}" pgbench -n -l --log-prefix="$PG_DIR/log" -r "$@" >"$T/pgbench" 2>&1 ||
		fail_with "pgbench:" "$T/pgbench"
	awk '{ printf "%.0f\n", $3 * 1000 }' "$PG_DIR"/log.* | jq -s . >"$T/log.json"
}

# What pgbench says that each statement took on average, by its normal form's begin, in ns.
pgbench_statements() {
	awk '/^ +[0-9.]+ +[0-9]+ +[A-Za-z]/ { ms = $1; $1 = $2 = ""; sub(/^ +/, ""); print tolower($0) "\t" ms }' \
		"$T/pgbench" | jq -Rn '[inputs | split("\t") | {key: (.[0] | split(" ")[:2] | join(" ") | rtrimstr(";")),
			value: (.[1] | tonumber * 1000000)}] | from_entries'
}

# What the server says that they took, all together: without the commit of the simple protocol, and
# without what comes before parsing.
server_statements() {
	sed -nE 's/.* duration: ([0-9.]+) ms +[^:]*: (.*)/\1\t\2/p' "$T/pg.log" |
		jq -Rn '[inputs | split("\t") | {key: (.[1] | ascii_downcase | split(" ")[:2] | join(" ") | rtrimstr(";")),
			ns: (.[0] | tonumber * 1000000)}] | group_by(.key) | map({key: .[0].key, value: (map(.ns) | add)}) |
			from_entries'
}

# open_session NAME: a client that reads statements from the FIFO $PG_DIR/NAME; it answers in $T/NAME
open_session() {
	mkfifo -m 666 "$PG_DIR/$1"
	start "$T/$1" "${PG[@]}" psql -qAtX -f "$PG_DIR/$1"
}

init() {
	timeout 60 "${PG[@]}" pgbench -q -i -s 1 >"$T/pgbench.init" 2>&1 ||
		fail_with "pgbench:" "$T/pgbench.init"
}

@test "PostgreSQL: each statement of TPC-B is counted exactly, in every protocol" {
	local mode

	start_postgres -c log_min_duration_statement=0
	init
	for mode in simple extended prepared; do
		: >"$T/pg.log"
		start_dwell query -d 120 --json -p "$PG_SERVER"
		pgbench_runs -M "$mode" -c 4 -j 2 -t 150
		stop_dwell
		pgbench_statements >"$T/client.json"
		server_statements >"$T/server.json"
		check "$T/dwell.out" "$whole"' whole,
			[.rows[] | select(.query | test("^(begin|end|update|insert|select abalance)"))] as $rows |
			expect(($rows | length) == 7; "\($rows | length) rows: \($rows | map(.query))"),
			($rows[] | expect(.count == 600; "\(.count) of \(.query)")),
			($rows[] | select(.query | test("^(update|insert|select)")) |
				expect(.rows == 600; "\(.rows) rows of \(.query)")),
			expect([.rows[].errors] | total == 0; "errors"),
			# The client waits for all of them, and for its own path besides.
			($log[0] | total) as $client |
			between("time of all statements"; [$rows[].total_ns] | total; $client * 0.3; $client),
			# Each takes longer than the server says, and not as long as the client waits for it.
			($rows[] | . as $row | (.query | split(" ")[:2] | join(" ")) as $key |
				between("\($key): mean"; .mean_ns; $server[0][$key] / .count * 0.97;
					$of_client[0][$key] * 1.03))' \
			--slurpfile log "$T/log.json" --slurpfile server "$T/server.json" \
			--slurpfile of_client "$T/client.json"
	done
}

# What the server itself logs lies within the statement, and that within what the client waits: on a
# busy machine the client may wait long for its CPU.
@test "PostgreSQL: the time lies between the server's own and the client's" {
	local mode

	start_postgres -c log_min_duration_statement=0
	echo 'SELECT pg_sleep(0.020 + 0 * :client_id);' >"$PG_DIR/sleep.sql"
	chmod 644 "$PG_DIR/sleep.sql"
	for mode in simple extended prepared; do
		: >"$T/pg.log"
		start_dwell query -d 120 --json -p "$PG_SERVER"
		pgbench_runs -M "$mode" -c 1 -t 50 -f "$PG_DIR/sleep.sql"
		stop_dwell
		sed -nE 's/.* duration: ([0-9.]+) ms .*pg_sleep.*/\1/p' "$T/pg.log" |
			awk '{ printf "%.0f\n", $1 * 1000000 }' | jq -s . >"$T/server.json"
		check "$T/dwell.out" "$whole"' whole,
			[.rows[] | select(.query | startswith("select pg_sleep("))] as $rows |
			expect(($rows | length) == 1; "rows: \($rows | map(.query))"),
			($rows[0] |
				expect(.count == 50 and .rows == 50; "\(.count) calls, \(.rows) rows"),
				between("total"; .total_ns; ($server[0] | total) * 0.97; ($log[0] | total)),
				between("p50"; .p50_ns; ([$server[0][] | select(. > 19000000)] | rank(0.5)) * 0.97;
					($log[0] | rank(0.5)) * 1.03),
				between("p95"; .p95_ns; ([$server[0][] | select(. > 19000000)] | rank(0.94)) * 0.97;
					($log[0] | rank(0.96)) * 1.03),
				between("mean"; .mean_ns; ($server[0] | total) / .count * 0.97; ($log[0] | total) / .count),
				between("max"; .max_ns; ($server[0] | max) * 0.97; $log[0] | max),
				between("waits"; (.states.poll // 0) + (.states.sleep // 0); 50 * 19000000; .total_ns))' \
			--slurpfile log "$T/log.json" --slurpfile server "$T/server.json"
	done
}

# A server and its clients that take turns on one CPU, ahead of all others. What keeps the CPU from
# them (a hypervisor, a thread within the kernel) then delays statements, for both who measure them,
# rather than a client between its answer and its look at the clock.
start_alone() {
	local cpu

	need taskset
	start_postgres
	at_once "$PG_SERVER"
	cpu=$(taskset -cp "$PG_SERVER" | sed 's/.*[:,-] *//')
	taskset -cp "$cpu" "$PG_SERVER" >/dev/null
	AT_ONCE+=(taskset -c "$cpu")
	init
}

# script NAME LINE…: what pgbench is to run, in $PG_DIR/NAME.sql
script() {
	printf '%s\n' "${@:2}" >"$PG_DIR/$1.sql"
	chmod 644 "$PG_DIR/$1.sql"
}

# What the client waits for a statement of some us longer than that takes is its own path: $path. Of
# statements of a known time: alone, and behind another one in a pipeline.
@test "PostgreSQL: mean and p95 are the client's less its path, in every protocol" {
	local mode us='\set us random(15000, 35000)' path

	start_alone
	script sleeps "$us" 'SELECT pg_sleep(:us * 0.000001);'
	script piped "$us" '\startpipeline' "SELECT 'first';" "SELECT pg_sleep(:us * 0.000001), 'piped';" '\endpipeline'
	path='[.rows[] | select(.query | startswith("select abalance"))][0] as $short |
		(($short_log[0] | rank(0.5)) - $short.p50_ns) as $path |
		# the client has whole us
		between("the client\u0027s path"; $path; 1000; 2000000),'
	for mode in simple extended prepared; do
		start_dwell query -d 120 --json -p "$PG_SERVER"
		pgbench_runs -M "$mode" -S -c 1 -t 2000
		mv "$T/log.json" "$T/short.json"
		pgbench_runs -M "$mode" -c 1 -t 100 -f "$PG_DIR/sleeps.sql"
		mv "$T/log.json" "$T/sleeps.json"
		echo '[]' >"$T/log.json"
		[ "$mode" = simple ] || pgbench_runs -M "$mode" -c 1 -t 100 -f "$PG_DIR/piped.sql"
		stop_dwell
		check "$T/dwell.out" "$whole . as \$all | $path"' whole,
			expect($short.count == 2000 and $short.rows == 2000; "\($short.count) short ones"),
			($short_log[0] | total / length) as $mean |
			between("mean of short ones"; $short.mean_ns; ($mean - 1.25 * $path) * 0.97 - 1000; $mean),
			between("p95 of short ones"; $short.p95_ns; (($short_log[0] | rank(0.94)) - 1.25 * $path) * 0.97 - 1000;
				($short_log[0] | rank(0.96)) * 1.03),
			(["select pg_sleep(? * ?)", $sleeps[0]], ["select pg_sleep(? * ?), ?", $piped[0]] |
				.[0] as $query | .[1] as $log | select($log != []) |
				[$all.rows[] | select(.query == $query)][0] |
				expect(.count == 100 and .rows == 100; "\(.count) of \($query)"),
				($log | total / length) as $mean |
				between("\($query): mean"; .mean_ns; ($mean - 2 * $path) * 0.97; $mean * 1.03),
				between("\($query): p95"; .p95_ns; (($log | rank(0.94)) - 2 * $path) * 0.97;
					($log | rank(0.96)) * 1.03))' \
			--slurpfile sleeps "$T/sleeps.json" --slurpfile piped "$T/log.json" --slurpfile short_log "$T/short.json"
	done
}

# One turn of TPC-B: dwell's account, the client's means (-r) and its log
tpcb_turn() { # mode
	start_dwell query -d 120 --json -p "$PG_SERVER"
	pgbench_runs -M "$1" -c 1 -t 500 -f "$PG_DIR/short.sql"
	mv "$T/log.json" "$T/short.json"
	pgbench_runs -M "$1" -c 1 -t 500
	stop_dwell
	pgbench_statements >"$T/of_client.json"
	check "$T/dwell.out" "$whole"' whole,
		[.rows[] | select(.query | test("^(begin|end|update|insert|select abalance)"))] as $rows |
		expect(($rows | length) == 7; "\($rows | length) rows: \($rows | map(.query))"),
		($rows[], .summary.transactions | expect(.count == 500; "\(.count) of \(.query)"))'
}

# TPC-B has seven: each with the client's mean, and all together, with the client's path between
# them, as the transaction that its log has. A single delay of 20 ms between an answer and the
# client's look at the clock is more than 3 % of all: one turn of three without such a one will do.
@test "PostgreSQL: mean and p95 of TPC-B are the client's less its path, in every protocol" {
	local mode

	start_alone
	script short 'SELECT 7;'
	for mode in simple extended prepared; do
		for _ in 1 2 3; do
			tpcb_turn "$mode"
			if check "$T/dwell.out" '[.rows[] | select(.query == "select ?")][0] as $short |
				(($short_log[0] | rank(0.5)) - $short.p50_ns) as $path |
				between("the client\u0027s path"; $path; 1000; 2000000),
				(.rows[] | select(.query | test("^(begin|end|update|insert|select abalance)")) |
					(.query | split(" ")[:2] | join(" ")) as $key | $of_client[0][$key] as $mean |
					between("\($key): mean"; .mean_ns; ($mean - 1.5 * $path) * 0.97 - 1000; $mean * 1.03)),
				.summary.transactions as $all | ($log[0] | total / length) as $mean |
				between("transactions: mean"; $all.mean_ns; ($mean - 2 * $path) * 0.97; $mean * 1.03),
				between("transactions: p95"; $all.p95_ns; (($log[0] | rank(0.94)) - 2 * $path) * 0.97;
					($log[0] | rank(0.96)) * 1.03)' \
				--slurpfile log "$T/log.json" --slurpfile short_log "$T/short.json" \
				--slurpfile of_client "$T/of_client.json"; then
				continue 2
			fi
		done
		fail_with "three turns, and none within the limits: $mode"
	done
}

# Of several at once a client's path is longer: they wait for each other's CPU, too. So the statements
# whose time is looked at leave it to the others.
@test "PostgreSQL: mean and p95 of parallel clients are theirs less their path, in every protocol" {
	local mode

	start_postgres
	at_once "$PG_SERVER"
	init
	script sleeps '\set us random(15000, 35000)' 'SELECT pg_sleep(:us * 0.000001);'
	for mode in simple extended prepared; do
		start_dwell query -d 120 --json -p "$PG_SERVER"
		pgbench_runs -M "$mode" -S -c 4 -j 2 -t 150
		mv "$T/log.json" "$T/short.json"
		pgbench_runs -M "$mode" -c 4 -j 2 -t 50 -f "$PG_DIR/sleeps.sql"
		stop_dwell
		check "$T/dwell.out" "$whole"' whole,
			[.rows[] | select(.query | startswith("select abalance"))][0] as $short |
			expect($short.count == 600 and $short.rows == 600; "\($short.count) short ones"),
			(($short_log[0] | rank(0.5)) - $short.p50_ns) as $path |
			between("the path of a client"; $path; 1000; 2000000),
			between("mean of short ones"; $short.mean_ns; 1000; $short_log[0] | total / length),
			between("p95 of short ones"; $short.p95_ns; 1000; ($short_log[0] | rank(0.96)) * 1.03),
			([.rows[] | select(.query == "select pg_sleep(? * ?)")][0] |
				expect(.count == 200 and .rows == 200; "\(.count) long ones"),
				($log[0] | total / length) as $mean |
				between("mean"; .mean_ns; ($mean - 2 * $path) * 0.97; $mean * 1.03),
				between("p95"; .p95_ns; (($log[0] | rank(0.94)) - 2 * $path) * 0.97;
					($log[0] | rank(0.96)) * 1.03)),
			expect(.summary.sessions.peak_active == 4; "\(.summary.sessions.peak_active) at once")' \
			--slurpfile log "$T/log.json" --slurpfile short_log "$T/short.json"
	done
}

@test "PostgreSQL: prepared before the start, pipelined, several at once, failed, empty" {
	start_postgres
	open_session psql
	exec 9>>"$PG_DIR/psql"
	echo "PREPARE p(int) AS SELECT 7 + \$1; SELECT 'there';" >&9
	wait_for '^there' "$T/psql"
	start_dwell query -d 120 --json -p "$PG_SERVER"
	cat >&9 <<-'SQL'
		EXECUTE p(1); EXECUTE p(23456);
		SELECT 1\; SELECT 2\; SELECT 3;
		SELECT 1/0;
		SELECT nonsense;
		SELECT 'it''s' /* a comment */, 4;
		select   'another', 12345;
		SELECT generate_series(1, 250);
		CREATE TABLE t (a int);
		COPY t FROM STDIN;
		1
		2
		\.
		COPY t TO STDOUT;
		SELECT 'done';
	SQL
	wait_for '^done' "$T/psql"
	exec 9>&-
	cat >"$PG_DIR/pipeline.sql" <<-'SQL'
		\startpipeline
		SELECT 1.5;
		SELECT 1.5, 2.5;
		SELECT 1.5, 2.5, 3.5;
		\endpipeline
	SQL
	chmod 644 "$PG_DIR/pipeline.sql"
	pgbench_runs -M extended -c 1 -t 100 -f "$PG_DIR/pipeline.sql"
	stop_dwell
	check "$T/dwell.out" "$whole"' whole,
		(.rows | map({(.query): {count, errors, rows}}) | add) as $seen |
		({"execute p(?)": [2, 0, 2],
		  "select ?; select ?; select ?": [1, 0, 3],
		  "select ? / ?": [1, 1, 0],
		  "select nonsense": [1, 1, 0],
		  "select ?, ?": [102, 0, 102],
		  "select generate_series(?, ?)": [1, 0, 250],
		  "create table t(a int)": [1, 0, 0],
		  "copy t from stdin": [1, 0, 2],
		  "copy t to stdout": [1, 0, 2],
		  "select ?": [101, 0, 101],
		  "select ?, ?, ?": [100, 0, 100]} | to_entries[]) as $e |
		$seen[$e.key] as $s |
		expect($s != null and [$s.count, $s.errors, $s.rows] == $e.value;
			"\($e.key): \($s) instead of \($e.value); seen: \($seen | keys)")'
}

@test "PostgreSQL: -p takes a server or one of its sessions, and no other's statements" {
	local one

	start_postgres
	open_session psql.one
	exec 8>>"$PG_DIR/psql.one"
	open_session psql.two
	exec 9>>"$PG_DIR/psql.two"
	echo 'SELECT pg_backend_pid();' >&8
	echo "SELECT 'there';" >&9
	wait_for '^[0-9]' "$T/psql.one"
	wait_for '^there' "$T/psql.two"
	one=$(head -n 1 "$T/psql.one")
	start_dwell query -d 120 --json -p "$one"
	echo "SELECT 'one', 1;" >&8
	echo "SELECT 'two';" >&9
	wait_for '^one' "$T/psql.one"
	wait_for '^two' "$T/psql.two"
	stop_dwell
	check "$T/dwell.out" 'expect([.rows[].query] == ["select ?, ?"]; "\(.rows | map(.query))")'
	start_sleeper sleep
	start_dwell query -d 120 --json -p "$PID"
	echo "SELECT 'again';" >&9
	wait_for '^again' "$T/psql.two"
	stop_dwell
	check "$T/dwell.out" 'expect(.rows == []; "\(.rows | map(.query))")'
	exec 8>&- 9>&-
}

@test "literals are shown only when asked for; histograms; --min; intervals" {
	start_postgres
	start_dwell query -d 120 --literals -o "$T/literals" -p "$PG_SERVER"
	"${PG[@]}" psql -qAtX -c "SELECT 'a secret'"
	stop_dwell
	grep -q "a secret" "$T/literals"
	start_dwell query -d 120 --hist -o "$T/text" -p "$PG_SERVER"
	"${PG[@]}" psql -qAtX -c "SELECT 'a secret'"
	stop_dwell
	if grep "secret" "$T/text" "$T/dwell.err"; then
		fail_with "a literal is shown"
	fi
	grep -q 'QUERY' "$T/text"
	grep -q ' in statements$' "$T/text"
	grep -q '█' "$T/text"
	start_dwell query -d 120 --json --min 50ms -p "$PG_SERVER"
	"${PG[@]}" psql -qAtX -c "SELECT pg_sleep(0.1)" -c "SELECT 2"
	stop_dwell
	check "$T/dwell.out" 'expect([.rows[].query] == ["select pg_sleep(?)"]; "\(.rows | map(.query))")'
	init
	start_dwell query -d 120 --jsonl -i 200ms -p "$PG_SERVER"
	pgbench_runs -S -M prepared -c 2 -t 3000
	stop_dwell
	jq -s '{rows: [.[].rows[]], loss: .[-1].loss}' "$T/dwell.out" >"$T/all.json"
	check "$T/all.json" '[.rows[] | select(.query | startswith("select abalance"))] as $rows |
		expect([$rows[].count] | total == 6000; "\([$rows[].count] | total) statements")'
}

@test "a server that starts later is found; one without its exports is told of" {
	local bin

	start_dwell query -d 120 --json -v -d 60
	start_postgres
	bin=$(readlink "/proc/$PG_SERVER/exe")
	# it looks for servers once a second
	wait_for "${bin##*/}: probe on pgstat_report_activity" "$T/dwell.err"
	# the whole machine is measured, others' servers too
	"${PG[@]}" psql -qAtX -c "SELECT 'late' AS came_late$BASHPID"
	stop_dwell
	check "$T/dwell.out" "[.rows[] | select(.query == \"select ? as came_late$BASHPID\").count] as \$n |
		expect(\$n == [1]; \"\(\$n) calls, loss \(.loss)\")"
	# a program of that name that is none, and one that is no ELF file that could be read
	cp "$(command -v sleep)" "$T/postgres.bin"
	mkdir "$T/bin"
	mv "$T/postgres.bin" "$T/bin/postgres"
	start "$T/fake" "$T/bin/postgres" 30
	start_dwell query -d 120 --json -v
	stop_dwell
	grep -q "bin/postgres is left out: .*exports no pgstat_report_activity" "$T/dwell.err"
	grep -q "${bin##*/}: probe on pgstat_report_activity+" "$T/dwell.err"
}
