#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# SQLite's statements are counted and measured as the program that runs them does itself.

load lib

# start_lite PROGRAM [COMMAND…]: it has prepared its statements, and waits for go_lite. $PID.
start_lite() {
	mkfifo "$T/go"
	start "$T/truth.json" "${AT_ONCE[@]}" "${@:2}" sh -c 'exec "$@" <"$0" 2>"$0.err"' "$T/go" "$1" "$ROUNDS"
	exec 7>"$T/go"
	wait_for '^ready' "$T/go.err"
}

# Lets it run to its end.
go_lite() { # PID
	echo go >&7
	exec 7>&-
	await "$1"
	rm "$T/go" "$T/go.err"
}

exact='lite_oracle($truth[0]), lite_times($truth[0])'

@test "SQLite in a library: statements prepared before the start, interleaved, reset, failed" {
	start_lite "$W/lite"
	start_dwell query -d 120 --json -p "$PID" -v
	go_lite "$PID"
	stop_dwell
	check "$T/dwell.out" "$exact, expect([.rows[].db] | unique == [\"sqlite\"]; \"others\")" \
		--slurpfile truth "$T/truth.json"
	grep -q 'probe on the return of sqlite3_step+[0-9]* (emulated)' "$T/dwell.err"
}

@test "SQLite linked in, found by its symbols" {
	start_lite "$W/lite_static"
	start_dwell query -d 120 --json -p "$PID" -v
	go_lite "$PID"
	stop_dwell
	check "$T/dwell.out" "$exact" --slurpfile truth "$T/truth.json"
	grep -q 'lite_static: probe on sqlite3_step+' "$T/dwell.err"
}

@test "SQLite in a program that dwell starts: from its first statement on" {
	local program

	for program in lite lite_static; do
		(
			at_once "$BASHPID"
			echo go | dwell query --json -o "$T/report.json" -- "$W/$program" "$ROUNDS"
		) >"$T/truth.json"
		check "$T/report.json" "$exact" --slurpfile truth "$T/truth.json"
	done
}

@test "SQLite of a container and one of another build at once, begun during the run" {
	local library one

	need unshare
	library=$(ldd "$W/lite" | sed -n 's/.*libsqlite3.* => \([^ ]*\) .*/\1/p')
	start_dwell query -d 120 --json --by thread -v
	# A library that no other process can see, in a mount namespace of its own
	mkdir "$T/lib"
	start_lite "$W/lite" unshare -m sh -c 'mount -t tmpfs none "$1" && cp "$2" "$1/libsqlite3.so.0" &&
		shift 2 && LD_LIBRARY_PATH=$0 exec "$@"' "$T/lib" "$T/lib" "$library"
	one=$PID
	wait_for "$T/lib/libsqlite3.so.0: probe on sqlite3_step" "$T/dwell.err"
	go_lite "$one"
	mv "$T/truth.json" "$T/one.json"
	cp "$W/lite_static" "$T/copy"
	start_lite "$T/copy"
	wait_for "$T/copy: probe on sqlite3_step" "$T/dwell.err"
	go_lite "$PID"
	stop_dwell
	jq --argjson pid "$one" '.rows |= map(select(.pid == $pid))' "$T/dwell.out" >"$T/first.json"
	check "$T/first.json" "$exact" --slurpfile truth "$T/one.json"
	jq --argjson pid "$PID" '.rows |= map(select(.pid == $pid))' "$T/dwell.out" >"$T/second.json"
	check "$T/second.json" "$exact" --slurpfile truth "$T/truth.json"
}

@test "SQLite: another process's statements are not counted, nor files that only look like it" {
	start_sleeper sleep
	start_dwell query -d 120 --json -p "$PID" -v
	start_lite "$W/lite"
	go_lite "$PID"
	stop_dwell
	check "$T/dwell.out" 'expect(.rows == []; "\(.rows | map(.query))")'
	! grep 'probe on' "$T/dwell.err" || fail_with "what was not asked for was probed"
}
