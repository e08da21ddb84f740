#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Frames in full: in JSON, in folded stacks, and with the lines and inlined functions of addr2line.

# bats file_tags=once

load lib

# a second of this program's stacks, as JSON in $T/json
watch_it() { # program, dwell's options…
	start "$T/out" "$1"
	sleep 0.3
	dwell offcpu -u --json -d 1 "${@:2}" -p "$PID" >"$T/json" 2>"$T/err"
	kill "$PID"
	await "$PID" 10 || true
}

# What dwell says of each address in the module: "0x1234 function@file:line…", innermost first.
by_dwell() { # module
	jq -r --arg of "$1" '[.rows[] | select(.count > 1).frames |
		reduce .[] as $f ({done: [], open: []};
			.open += ["\($f.symbol)@\($f.file // "?" | sub(".*/"; "")):\($f.line)"] |
			if $f.kind == "inlined" then . else
				.done += [{at: $f, lines: .open}] | .open = [] end) |
		.done[1:][] | select(.at.module == $of and .at.file) | "\(.at.address) \(.lines | join(" "))"] |
		unique | .[]' "$T/json"
}

# The same of these addresses by addr2line: those of calls, which are before where they return.
by_addr2line() { # file with debug information
	local at

	while read -r at _; do
		echo "$at $(addr2line -e "$1" -f -i -s -C "$(printf '0x%x' $((at - 1)))" |
			sed -E 's/ \(discriminator [0-9]+\)$//; s/\(.*\)( const)?$//; s/^(long|int|void) //' | paste -sd '@ ')"
	done
}

same_as_addr2line() { # module, file with debug information
	by_dwell "$1" >"$T/dwell.lines"
	by_addr2line "$2" <"$T/dwell.lines" >"$T/addr2line.lines"
	[ "$(wc -l <"$T/dwell.lines")" -ge 5 ] || fail_with "only these addresses:" "$T/dwell.lines"
	[ "$(grep -c 'pause_for@inlines.cc:[0-9]* .*read@.* shelf::borrow@' "$T/dwell.lines")" -ge 2 ] ||
		fail_with "not inlined:" "$T/dwell.lines"
	diff "$T/dwell.lines" "$T/addr2line.lines"
}

# stripped, with the debug file $T/inlines.debug
strip_it() { # strip's options…
	objcopy --only-keep-debug "$W/inlines" "$T/inlines.debug"
	strip "$@" -o "$T/inlines" "$W/inlines"
}

@test "--lines: the lines and inlined functions that addr2line finds" {
	watch_it "$W/inlines" --lines
	same_as_addr2line inlines "$W/inlines"
}

@test "--lines: the names of a stack that gdb gives" {
	need gdb
	watch_it "$W/inlines" --lines
	start "$T/out" "$W/inlines"
	gdb -nx -batch -p "$PID" -ex 'break pause_for' -ex continue -ex bt 2>/dev/null </dev/null |
		sed -nE 's/^#[0-9]+ +(0x[0-9a-f]+ in )?([^ (]+).* at ([^ ]*\/)?(inlines.cc:[0-9]+)$/\2 \4/p' >"$T/gdb"
	[ "$(wc -l <"$T/gdb")" -ge 3 ] || skip "gdb cannot attach here"
	# gdb stands at the first instruction of pause_for, dwell behind its call: the callers are the same
	jq -r '.rows[].frames | map(select(.module == "inlines" and .file) |
		"\(.symbol) \(.file | sub(".*/"; "")):\(.line)") | .[1:] | join(";")' "$T/json" >"$T/dwell"
	grep -qxF "$(sed 1d "$T/gdb" | paste -sd ';')" "$T/dwell" ||
		fail_with "gdb has $(cat "$T/gdb"), dwell:" "$T/dwell"
}

@test "--lines: debuglink, of a program with its symbols and without" {
	for how in --strip-debug --strip-all; do
		strip_it "$how"
		objcopy --add-gnu-debuglink="$T/inlines.debug" "$T/inlines"
		watch_it "$T/inlines" --lines
		same_as_addr2line inlines "$W/inlines"
	done
}

@test "--lines: .gnu_debugdata" {
	need xz
	strip_it --strip-all
	xz --check=crc32 "$T/inlines.debug"
	objcopy --add-section .gnu_debugdata="$T/inlines.debug.xz" "$T/inlines"
	watch_it "$T/inlines" --lines
	same_as_addr2line inlines "$W/inlines"
}

@test "--lines: a debug file by build-id, which only the program's mount namespace has" {
	need unshare
	local id

	strip_it --strip-all
	id=$(readelf -n "$T/inlines" | sed -nE 's/ *Build ID: *//p')
	[ -n "$id" ] || skip "the compiler makes no build-ids"
	cat >"$T/inside" <<-END
		#!/bin/sh
		mkdir -p /usr/lib/debug
		mount -t tmpfs none /usr/lib/debug
		mkdir -p /usr/lib/debug/.build-id/${id:0:2}
		cp "$T/inlines.debug" /usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug
		exec "$T/inlines"
	END
	chmod +x "$T/inside"
	start "$T/out" unshare --mount "$T/inside"
	for _ in {1..100}; do
		[ "$(readlink "/proc/$PID/exe")" != "$T/inlines" ] || break
		sleep 0.05
	done
	[ ! -e "/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug" ]
	dwell offcpu -u --lines --json -d 1 -p "$PID" >"$T/json" 2>"$T/err"
	same_as_addr2line inlines "$W/inlines"
}

@test "without --lines: no lines, but symbol, module, offset and address of each frame" {
	watch_it "$W/inlines"
	check "$T/json" '[.rows[] | select(.count > 1)] as $rows |
		expect($rows | length > 0; "no rows"),
		expect($rows | all((.frames | length) == (.stack | length)); "not as many frames as names"),
		expect([$rows[].frames[] | select(.symbol == "shelf::borrow")] |
			length > 0 and all(.kind == "user" and .module == "inlines" and .offset > 0 and .file == null and
				.line == null); "borrow: \([$rows[].frames[] | select(.symbol == "shelf::borrow")])")'
	# the symbol and its offset are the address
	at=$(nm -C "$W/inlines" | sed -nE 's/^([0-9a-f]+) . shelf::borrow\(.*/0x\1/p')
	jq -r '.rows[].frames[] | select(.symbol == "shelf::borrow") | "\(.address) \(.offset)"' "$T/json" |
		while read -r address offset; do
			[ $((at + offset)) = $((address)) ] || fail_with "$at + $offset is not $address"
		done
}

@test "--folded --full-frames: symbol, offset, module and line" {
	start "$T/out" "$W/inlines"
	sleep 0.3
	dwell offcpu --folded --full-frames --lines -d 1 -p "$PID" >"$T/folded" 2>"$T/err"
	grep -qE ';main\+0x[0-9a-f]+ \(inlines\) inlines\.cc:[0-9]+;shelf::borrow\+0x[0-9a-f]+ \(inlines\) inlines\.cc:[0-9]+;.*pause_for \(inlines\) \[inlined\] inlines\.cc:[0-9]+;.*schedule\+0x[0-9a-f]+ \[kernel\].* [0-9]+$' "$T/folded" ||
		fail_with "not in full:" "$T/folded"
}

@test "damaged debug information: one line at most, and the stacks are there" {
	local off size at

	for at in 1 2 3 5 8 13 21 34; do
		cp "$W/inlines" "$T/inlines"
		for section in .debug_info .debug_line .debug_abbrev; do
			read -r off size < <(readelf -SW "$T/inlines" | sed 's/^ *\[ *[0-9]*\] *//' |
				awk -v s=$section '$1 == s { print $4, $5 }')
			# every 64th byte behind the headers, with another value each time
			for ((i = 16 + at; i < 0x$size; i += 64 + at)); do
				printf '%b' "\\x$(printf %x $(((i * at) & 255)))" |
					dd of="$T/inlines" bs=1 seek=$((0x$off + i)) conv=notrunc status=none
			done
		done
		watch_it "$T/inlines" --lines
		[ "$(grep -c '^dwell: inlines:' "$T/err" || true)" -le 1 ] || fail_with "not one line:" "$T/err"
		check "$T/json" 'expect([.rows[].frames[].symbol] | index("shelf::borrow"); "no stacks")'
	done
}
