#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Redis' commands are counted as the server's own statistics have them.

load lib

# start_redis DIRECTORY [COMMAND…]: a server on DIRECTORY/socket; $PID
start_redis() {
	local server

	need redis-cli redis-benchmark
	# Debian's redis-server is a link to this one, which the tools have
	server=$(command -v redis-server || command -v redis-check-rdb)
	mkdir -p "$1"
	[ -e "$1/redis-server" ] || ln -s "$server" "$1/redis-server"
	start "$1/log" "${@:2}" "$1/redis-server" --port 0 --unixsocket "$1/socket" --save '' \
		--appendonly no --enable-debug-command yes --dir "$1"
	for _ in {1..200}; do
		! ask "$1" PING >"$T/up" 2>&1 || return 0
		sleep 0.05
	done
	fail_with "Redis does not start:" "$1/log"
}

ask() { # DIRECTORY word…
	timeout 20 redis-cli -s "$1/socket" "${@:2}"
}

# What the server DIRECTORY itself has counted, as JSON: {"get": {calls, failed}}
server_says() {
	ask "$1" INFO commandstats | tr -d '\r' |
		jq -Rn '[inputs | capture("^cmdstat_(?<key>[^:]*):calls=(?<calls>[0-9]+),.*failed_calls=(?<failed>[0-9]+)") |
			{key, value: {calls: .calls | tonumber, failed: .failed | tonumber}}] | from_entries' \
			>"$T/server.json"
}

# Rows of the same command but with other numbers of arguments, added up: {"get": {calls, failed}}
by_command='[.rows[] | select(.db == "redis")] | group_by(.query | split(" ?")[0]) |
	map({key: .[0].query | split(" ?")[0] | ascii_downcase | sub(" "; "|"),
		value: {calls: map(.count) | total, failed: map(.errors) | total}}) | from_entries'

@test "Redis: commands are counted as the server itself does; the time is within the client's" {
	local n=3000

	start_redis "$T/r"
	ask "$T/r" CONFIG RESETSTAT
	start_dwell query -d 120 --json -p "$PID" -v
	timeout 60 redis-benchmark -s "$T/r/socket" -n $n -c 3 -P 4 -t set,get,lpush,mset --csv >"$T/bench"
	ask "$T/r" EVAL "redis.call('set', KEYS[1], 'b'); return redis.call('get', KEYS[1])" 1 a
	ask "$T/r" LPUSH a x || true # of the wrong kind
	printf 'MULTI\nSET x 1\nGET x\nEXEC\n' | ask "$T/r"
	ask "$T/r" OBJECT ENCODING x
	stop_dwell
	server_says "$T/r"
	# EXEC is not told of, and INFO and CONFIG RESETSTAT are the test's own
	check "$T/dwell.out" "($by_command) as \$seen |"' lossless,
		($server[0] | del(.exec, .info, .["config|resetstat"])) as $has |
		($has | to_entries[] |
			expect($seen[.key] == .value; "\(.key): \($seen[.key]) instead of \(.value)")),
		expect($seen.get.calls > $n and $seen.lpush.failed == 1; "\($seen)"),
		expect([.rows[].query] | contains(["GET ?", "SET ? ?", "LPUSH ? ?", "MSET ?+",
			"OBJECT ENCODING ?"]); "\([.rows[].query])"),
		(.rows[] | near("states of \(.query)"; .states | map(.) | total; .total_ns; 0.005; 0)),
		# All that a client waits for, less its own path: mean of GET in ms
		([.rows[] | select(.query == "GET ?")][0]) as $get |
		($bench[0] | map(select(.[0] == "GET"))[0][2] | tonumber * 1000000) as $client |
		between("queued and executed"; ($get.total_ns + $get.queued_ns) / $get.count; 200;
			$client * 1.5)' \
		--argjson n $n --slurpfile server "$T/server.json" \
		--slurpfile bench <(jq -Rn '[inputs | split(",") | map(ltrimstr("\"") | rtrimstr("\""))]' "$T/bench")
	grep -q 'probe on call+[0-9]* (emulated)' "$T/dwell.err"
	! grep 'single-stepped' "$T/dwell.err" || fail_with "a probe is dear"
}

@test "Redis: mean and p95 are what redis-benchmark has of commands that take long" {
	local n=100

	start_redis "$T/r"
	at_once "$PID"
	start_dwell query -d 120 --json -p "$PID"
	timeout 60 "${AT_ONCE[@]}" redis-benchmark -s "$T/r/socket" -n $n -c 1 --csv DEBUG SLEEP 0.020 >"$T/bench"
	stop_dwell
	check "$T/dwell.out" 'lossless,
		([.rows[] | select(.query == "DEBUG SLEEP ?")][0]) as $row |
		expect($row.count == $n; "\($row.count) calls"),
		# columns: test, rps, mean, min, p50, p95, p99, max, in ms
		($bench[0] | map(select(.[0] | startswith("DEBUG")))[0] | .[2:8] | map(tonumber * 1000000)) as $ms |
		# no less than what was asked for; what is above it may be the way of the client
		between("mean"; $row.mean_ns; 20000000; $ms[0] * 1.03),
		between("p95"; $row.p95_ns; 20000000 * 0.97; $ms[3] * 1.03)' --argjson n $n \
		--slurpfile bench <(jq -Rn '[inputs | split(",") | map(ltrimstr("\"") | rtrimstr("\""))]' "$T/bench")
}

@test "Redis: arguments are shown only with --literals" {
	start_redis "$T/r"
	start_dwell query -d 120 -o "$T/text" -p "$PID"
	ask "$T/r" SET a-secret 12345
	stop_dwell
	grep -q 'SET ? ?' "$T/text"
	! grep -e secret -e 12345 "$T/text" "$T/dwell.err" || fail_with "an argument is shown"
	start_dwell query -d 120 --literals -o "$T/text" -p "$PID"
	ask "$T/r" SET a-secret 12345
	stop_dwell
	grep -q 'SET a-secret' "$T/text"
}

@test "Redis: a server that is restarted, and then upgraded, during the run" {
	start_redis "$T/r"
	rm "$T/r/redis-server"
	cp "$(command -v redis-check-rdb)" "$T/r/redis-server"
	start_dwell query --json -v -d 60
	ask "$T/r" SHUTDOWN NOSAVE || true
	start_redis "$T/r"
	wait_for "r/redis-server: probe on call" "$T/dwell.err"
	ask "$T/r" GETDEL restarted
	# another file of the same name, while the first one runs
	cp "$(command -v redis-check-rdb)" "$T/r/new"
	mv "$T/r/new" "$T/r/redis-server"
	: >"$T/dwell.err"
	ask "$T/r" SHUTDOWN NOSAVE || true
	start_redis "$T/r"
	wait_for "r/redis-server: probe on call" "$T/dwell.err"
	ask "$T/r" GETEX upgraded
	stop_dwell
	check "$T/dwell.out" '[.rows[] | select(.query == ("GETDEL ?", "GETEX ?")) | [.query, .count]] | sort |
		expect(. == [["GETDEL ?", 1], ["GETEX ?", 1]]; "\(.)")'
}

@test "Redis: two servers, one of them in a mount namespace of its own and begun during the run" {
	local one two

	need unshare
	start_redis "$T/one"
	one=$PID
	start_dwell query --json --by thread -v -d 60
	mkdir "$T/two" "$T/two/bin"
	cat >"$T/two/enter" <<-'SH'
		#!/bin/sh
		mount -t tmpfs none "$0.bin" && cp "$1" "$0.bin/redis-server" && shift && exec "$0.bin/redis-server" "$@"
	SH
	chmod +x "$T/two/enter"
	mkdir "$T/two/enter.bin"
	start_redis "$T/two" unshare -m "$T/two/enter"
	two=$PID
	wait_for "enter.bin/redis-server: probe on call" "$T/dwell.err"
	ask "$T/one" INCR counter
	ask "$T/two" DECR counter
	stop_dwell
	check "$T/dwell.out" '[.rows[] | select(.query == ("INCR ?", "DECR ?")) | [.pid, .query, .count]] |
		sort | expect(. == ([[$one, "INCR ?", 1], [$two, "DECR ?", 1]] | sort); "\(.)")' \
		--argjson one "$one" --argjson two "$two"
}

# Debian 12 has no Valkey: a program that has its functions, as its source has them, stands in.
@test "Valkey from 8.1 on: what it calls is understood" {
	query_stand_in fake_valkey valkey-server
	check "$T/dwell.out" 'lossless,
		(.rows | map({(.query): [.db, .count, .errors]}) | add) as $seen |
		({"SET ? ?": ["redis", 200, 0], "GET ?": ["redis", 200, 0], "LPUSH ? ?": ["redis", 100, 100],
		  "EVAL ? ? ?": ["redis", 100, 0], "OBJECT ENCODING ?": ["redis", 100, 0]}) as $has |
		expect($seen == $has; "\($seen)"),
		({"SET ? ?": 3, "GET ?": 1, "EVAL ? ? ?": 6} as $ms | .rows[] | $ms[.query] as $own |
			select($own != null) |
			between("mean of \(.query)"; .mean_ns; $own * 1000000; $own * 1000000 + 15000000),
			between("asleep in \(.query)"; .states.sleep; .count * $own * 980000; .total_ns),
			near("states of \(.query)"; .states | map(.) | total; .total_ns; 0.005; 0))'
	grep -q 'valkey-server: probe on the return of call' "$T/dwell.err"
}
