#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Names of stripped programs and of JIT code.

# bats file_tags=once

load lib

# all names in the stacks of this program
names() { # program…
	start "$T/out" "$@"
	sleep 0.5
	dwell offcpu -u --json -d 1 -p "$PID" >"$T/json" 2>"$T/err"
	kill "$PID"
	await "$PID" 10 || true
}

# stripped, with its debug file (which then is $T/noframe.debug)
strip_it() {
	cp "$W/noframe" "$T/whole"
	objcopy --only-keep-debug "$T/whole" "$T/noframe.debug"
	strip -o "$T/stripped" "$T/whole"
}

has_names() {
	check "$T/json" 'expect([.rows[].stack[]] | index("noframe__deep"); "no noframe__deep"),
		expect([.rows[].stack[]] | index("noframe__sort"); "no noframe__sort")'
}

@test "a stripped program has its offsets" {
	strip_it
	names "$T/stripped"
	check "$T/json" 'expect([.rows[].stack[]] | any(startswith("[stripped+0x")); "no offsets"),
		expect([.rows[].stack[]] | index("noframe__deep") | not; "whence the name?")'
}

@test "debuglink" {
	strip_it
	objcopy --add-gnu-debuglink="$T/noframe.debug" "$T/stripped"
	names "$T/stripped"
	has_names
}

@test "a debug file of another build is not used" {
	strip_it
	objcopy --add-gnu-debuglink="$T/noframe.debug" "$T/stripped"
	objcopy --only-keep-debug "$W/deep" "$T/noframe.debug"
	names "$T/stripped"
	check "$T/json" 'expect([.rows[].stack[]] | any(startswith("[stripped+0x")); "no offsets")'
}

@test ".gnu_debugdata" {
	need xz
	strip_it
	xz --check=crc32 "$T/noframe.debug"
	objcopy --add-section .gnu_debugdata="$T/noframe.debug.xz" "$T/stripped"
	names "$T/stripped"
	has_names
}

@test "JIT code: by frame pointer, and with its name" {
	names "$W/jit"
	check "$T/json" '[.rows[] | select(.count > 100)] as $rows |
		expect(($rows | length) > 0; "no rows"),
		expect($rows | all(.stack | index("jit__wait") + 1 == index("jitted code") and
			index("jitted code") + 1 == index("jit__call") and index("main"));
			"stacks: \([$rows[].stack])"),
		expect(.summary.stacks | .complete >= ([.[]] | add) * 0.99; "cut: \(.summary.stacks)")'
}

# A program that has ended, and whose file is gone, when the report is made.
ended() { # dwell's options…
	cp "$W/inlines" "$T/ended"
	start_dwell offcpu -u --json --by comm -d 60 -o "$T/json" "$@"
	timeout -s KILL 4 "$T/ended" || true
	rm "$T/ended"
	stop_dwell
	check "$T/json" '[.rows[] | select(.comm == "ended" and .count > 10)] as $rows |
		expect($rows | length > 2; "only \($rows | length) rows"),
		expect([$rows[].stack[]] | index("shelf::borrow"); "no names: \([$rows[].stack[]] | unique)")'
}

@test "a program that has ended before the report, and whose file is gone" {
	ended -c ended
	# as one of many
	ended -a
}
