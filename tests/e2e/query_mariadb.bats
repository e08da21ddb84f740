#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# MariaDB's statements are counted and measured as sysbench and the server's own statistics have it.
# bats file_tags=once
# To set up a server takes minutes in an emulated machine; the probes are as SQLite's, tested there.

load lib
load mariadb

clean_up() {
	stop_mariadb
}

ask() { # SQL
	timeout 20 "${MY[@]}" -e "$1"
}

bench() { # OPTION… prepare|run
	timeout 60 sysbench oltp_read_write --db-driver=mysql --mysql-socket="$MY_DIR/socket" \
		--mysql-user=root --tables=1 --table-size=1000 --time=0 "$@" \
		>"$T/sysbench" 2>&1 || fail_with "sysbench:" "$T/sysbench"
}

# "EVENT\tCOUNT\tNS" of each kind of statement, by the server's own clock, as JSON: truth.
server_says() {
	ask "SELECT event_name, count_star, round(sum_timer_wait / 1000)
		FROM performance_schema.events_statements_summary_global_by_event_name
		WHERE count_star > 0" |
		jq -Rs '[split("\n")[] | select(. != "") | split("\t") |
			{event: .[0], count: .[1] | tonumber, ns: .[2] | tonumber}]' >"$T/server.json"
}

# What each transaction of oltp_read_write has: [calls, rows]
sysbench_has='{
	"select c from sbtest1 where id = ?": [10, 10],
	"select c from sbtest1 where id between ? and ?": [1, 100],
	"select c from sbtest1 where id between ? and ? order by c": [1, 100],
	"select distinct c from sbtest1 where id between ? and ? order by c": [1, null],
	"select sum(k) from sbtest1 where id between ? and ?": [1, 1],
	"update sbtest1 set k = k + ? where id = ?": [1, 1],
	"update sbtest1 set c = ? where id = ?": [1, 1],
	"delete from sbtest1 where id = ?": [1, 1],
	"insert into sbtest1(id, k, c, pad) values (?+)": [1, 1],
	"begin": [1, 0], "commit": [1, 0]}'

@test "MariaDB: sysbench's statements are counted exactly, prepared or not; time as the server's" {
	local mode n=150 seed=0

	need sysbench
	start_mariadb --performance-schema=ON --performance-schema-instrument='statement/%=ON'
	at_once "$MY_SERVER"
	ask 'CREATE DATABASE sbtest'
	bench prepare
	for mode in disable auto; do
		ask 'TRUNCATE performance_schema.events_statements_summary_global_by_event_name'
		start_dwell query -d 120 --json -p "$MY_SERVER" -v
		# the same seed twice sets rows to what they are: these are not affected
		bench --db-ps-mode="$mode" --threads=1 --events=$n --rand-seed=$((++seed)) run
		stop_dwell
		server_says
		check "$T/dwell.out" "$sysbench_has as \$has |"' lossless,
			([.rows[] | select(.query | startswith("(not executed)") | not)] |
				map({(.query): .}) | add) as $rows |
			($has | to_entries[] | $rows[.key] as $row |
				expect($row != null; "no row for \(.key): \($rows | keys)"),
				expect($row.db == "mariadb" and $row.count == .value[0] * $n and $row.errors == 0 and
					(.value[1] == null or $row.rows == .value[1] * $n);
					"\(.key): \($row.count) calls, \($row.rows) rows, \($row.errors) errors")),
			expect(($rows | length) == ($has | length); "others: \($rows | keys)"),
			(.rows[] | near("states of \(.query)"; .states | map(.) | total; .total_ns; 0.005; 0)),
			# no statement of it is sent once for each row of another
			expect(.summary.n_plus_one == []; "\(.summary.n_plus_one)"),
			# Executed, as the server has them: but not what the test itself asked it.
			([$server[0][] | select(.event |
				test("sql/(select|update|insert|delete|begin|commit)|com/Execute"))]) as $own |
			($own | map(.count) | total) as $calls |
			expect($calls - 20 * $n | . >= 0 and . <= 2; "the server has \($calls) statements"),
			near("time of all statements"; [$rows[].total_ns] | total; $own | map(.ns) | total; 0.03;
				$calls * 4000)' --argjson n $n --slurpfile server "$T/server.json"
		[ "$mode" = disable ] ||
			check "$T/dwell.out" '[.rows[] | select(.query | startswith("(not executed)"))] |
				expect(length == 11 and all(.count == 1); "prepared: \(map([.query, .count]))")'
	done
	! grep 'single-stepped' "$T/dwell.err" || fail_with "a probe is dear"
}

# What sysbench says of an event that is one statement, in a histogram of its own (1.8 % a bucket).
# While the hypervisor keeps a CPU from the client, its answer is there and it doesn't know: its mean is
# up to that much longer than the server's, and as many of its events as can have got 1 ms of it are
# none of the statement's slowest.
@test "MariaDB: mean and p95 are what sysbench has, prepared or not" {
	local mode n=100 stolen

	need sysbench
	start_mariadb
	at_once "$MY_SERVER"
	ask 'CREATE DATABASE sbtest'
	cat >"$T/sleeps.lua" <<-'LUA'
		sysbench.cmdline.options = {}
		function thread_init()
			con = sysbench.sql.driver():connect()
			stmt = con:prepare("SELECT SLEEP(0.020)")
		end
		function event()
			if os.getenv("PREPARED") then stmt:execute() else con:query("SELECT SLEEP(0.020)") end
		end
	LUA
	for mode in '' 1; do
		start_dwell query -d 120 --json -p "$MY_SERVER"
		stolen=$(steal)
		env ${mode:+PREPARED=1} timeout 60 "${AT_ONCE[@]}" sysbench "$T/sleeps.lua" --db-driver=mysql \
			--mysql-socket="$MY_DIR/socket" --mysql-user=root --time=0 --events=$n --histogram=on run \
			>"$T/sysbench" 2>&1 || fail_with "sysbench:" "$T/sysbench"
		stolen=$(($(steal) - stolen))
		stop_dwell
		awk '
		/^ +[0-9.]+ \|/ { for (i = 0; i < $NF; i++) all = all (all == "" ? "" : ",") $1 * 1e6 }
		/^ +avg:/ { mean = $2 * 1e6 }
		END { printf "{ \"mean\": %.0f, \"all\": [%s] }", mean, all }' "$T/sysbench" >"$T/client.json"
		check "$T/dwell.out" 'lossless,
			([.rows[] | select(.query == "select sleep(?)")][0]) as $row | $client[0] as $c |
			($stolen / 1e6 / $n) as $late |
			expect($row.count == $n and $row.rows == $n; "\($row.count) calls, \($row.rows) rows"),
			expect(($c.all | length) == $n; "sysbench has \($c.all | length) events"),
			between("mean"; $row.mean_ns; $c.mean * 0.97 - 100000 - $stolen / $n; $c.mean * 1.03 + 100000),
			between("p95"; $row.p95_ns; ($c.all | rank([0.94 - $late, 0.01] | max)) * 0.95 - 100000;
				($c.all | rank(0.96)) * 1.05 + 100000)' \
			--argjson n $n --argjson stolen $stolen --slurpfile client "$T/client.json"
	done
}

@test "MariaDB: prepared before the start, several in one message, failed, -p of another" {
	local n

	need sysbench
	start_mariadb
	ask 'CREATE DATABASE sbtest'
	bench prepare
	ask 'CREATE TABLE sbtest.u (a int primary key)'
	mkfifo "$T/sql"
	start "$T/answers" sh -c 'exec "$@" <"$0" 2>/dev/null' "$T/sql" "${MY[@]}" --unbuffered --force sbtest
	exec 7>"$T/sql"
	echo "PREPARE p FROM 'SELECT 7 + ?'; SET @a = 1; SELECT 'there';" >&7
	wait_for '^there' "$T/answers"
	start "$T/sysbench.out" sysbench oltp_point_select --db-driver=mysql --mysql-socket="$MY_DIR/socket" \
		--mysql-user=root --tables=1 --table-size=1000 --time=60 --rate=200 --report-interval=1 run
	wait_for '^\[ 1s \]' "$T/sysbench.out"
	start_dwell query -d 120 --json -p "$MY_SERVER"
	cat >&7 <<-'SQL'
		EXECUTE p USING @a;
		INSERT INTO u VALUES (1), (2), (3);
		INSERT INTO u VALUES (1);
		SELECT nonsense;
		SELECT 'it\'s', "a", `a` # a comment
		 FROM u;
		DELETE FROM u;
		SELECT 'done';
	SQL
	wait_for '^done' "$T/answers"
	exec 7>&-
	# What the client's answers take may be less than from one of the others' statements to the next.
	n=$(grep -c '^\[' "$T/sysbench.out")
	wait_for "^\[ $((n + 2))s \]" "$T/sysbench.out"
	stop_dwell
	check "$T/dwell.out" 'lossless,
		(.rows | map({(.query): {count, errors, rows}}) | add) as $seen |
		({"execute p using @a": [1, 0, 1],
		  "insert into u values (?+)": [2, 1, 3],
		  "select nonsense": [1, 1, 0],
		  "select ?, ?, `a` from u": [1, 0, 3],
		  "delete from u": [1, 0, 3]} | to_entries[]) as $e |
		$seen[$e.key] as $s |
		expect($s != null and [$s.count, $s.errors, $s.rows] == $e.value;
			"\($e.key): \($s) instead of \($e.value); seen: \($seen | keys)"),
		($seen["select c from sbtest1 where id = ?"] |
			expect(.count > 0 and .count == .rows; "prepared before: \(.)"))'
	start_sleeper sleep
	start_dwell query --json -p "$PID" -d 1
	stop_dwell
	check "$T/dwell.out" 'expect(.rows == []; "\(.rows | map(.query))")'
}

@test "MariaDB: a server of another file, in a mount namespace of its own, begun during the run" {
	local first own

	need unshare
	start_mariadb
	first=$MY_SERVER
	ask 'CREATE DATABASE d'
	own=$MY_DIR/own
	mkdir "$own" "$MY_DIR/other"
	cp -r "$MY_DIR/data" "$MY_DIR/second" # of a server that is up: it recovers
	start_dwell query --json -d 60 -v
	start "$T/second" unshare -m sh -c 'mount -t tmpfs none "$0" &&
		cp "$(command -v mariadbd)" "$0/mariadbd" && exec "$0/mariadbd" "$@"' "$own" \
		--no-defaults --user=root --datadir="$MY_DIR/second" --socket="$MY_DIR/other/socket" \
		--pid-file="$MY_DIR/other/pid" --skip-networking --innodb-buffer-pool-size=16M
	wait_for "own/mariadbd: probe on _Z16dispatch_command" "$T/dwell.err"
	for _ in {1..300}; do
		! mariadb --no-defaults -uroot --socket="$MY_DIR/other/socket" -e 'SELECT 1' >"$T/up" 2>&1 ||
			break
		sleep 0.1
	done
	ask 'SELECT 1 AS one_of_the_first'
	mariadb --no-defaults -uroot --socket="$MY_DIR/other/socket" -e 'SELECT 1 AS one_of_the_second'
	stop_dwell
	check "$T/dwell.out" '[.rows[] | select(.query | startswith("select ? as one_of")) |
			[.query, .count, .rows]] | sort |
		expect(. == [["select ? as one_of_the_first", 1, 1], ["select ? as one_of_the_second", 1, 1]];
			"\(.)")'
	kill -0 "$first"
}

# There is no MySQL in Debian: a program that has its functions, as its source has them, stands in.
@test "MySQL: what it calls is understood" {
	query_stand_in fake_mysqld mysqld
	check "$T/dwell.out" 'lossless,
		(.rows | map({(.query): [.db, .count, .errors, .rows]}) | add) as $seen |
		({"select a from `T` where b = ?": ["mysql", 100, 0, 300],
		  "update t set a = ?": ["mysql", 100, 0, 200],
		  "(not executed) update t set a = ?": ["mysql", 100, 0, 0],
		  "select nonsense, ?": ["mysql", 100, 100, 0],
		  "selec ?": ["mysql", 100, 100, 0],
		  "insert into t values (?+); insert into t values (?+)": ["mysql", 100, 0, 200]}) as $has |
		expect($seen == $has; "\($seen)"),
		(.rows[] | near("states of \(.query)"; .states | map(.) | total; .total_ns; 0.005; 0)),
		# what MySQL does not tell is not said to be nothing
		expect([.rows[0].waits, .rows[0].buffers_hit, .summary.transactions.count, .summary.transactions.p50_ns,
			.summary.sessions.opened] | all(. == null); "known: \(.summary) \(.rows[0])"),
		expect(.summary.sessions.peak_active == 4; "\(.summary.sessions.peak_active) at once"),
		# what each of them sleeps
		({"select a from `T` where b = ?": 5, "update t set a = ?": 2,
		  "insert into t values (?+); insert into t values (?+)": 6} as $ms |
			.rows[] | $ms[.query] as $own | select($own != null) |
			between("mean of \(.query)"; .mean_ns; $own * 1000000; $own * 1000000 + 15000000),
			between("p50 of \(.query)"; .p50_ns; $own * 970000; $own * 1000000 + 15000000),
			between("asleep in \(.query)"; .states.sleep; 98000000 * $own; .total_ns))'
	grep -q 'mysqld: probe on the return of _Z16dispatch_commandP3THDPK8COM_DATA' "$T/dwell.err"
}
