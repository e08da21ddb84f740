#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Hostile and damaged ELF files: neither a crash nor a hang, one line, and a module without names.

# bats file_tags=once

load lib

@test "60 s of libFuzzer find nothing" {
	local file

	[ -x "$ROOT/build/tests/fuzz/elf" ] || skip "clang has no libFuzzer"
	mkdir "$T/seeds"
	# small files with symbols, unwind tables, and compressed sections
	for file in sleeper deep noframe; do
		cp "$W/$file" "$T/seeds/$file"
		objcopy --compress-debug-sections=zlib "$W/$file" "$T/seeds/$file.z" || true
		objcopy --rename-section .eh_frame=.debug_frame "$W/$file" "$T/seeds/$file.f" || true
		strip -o "$T/seeds/$file.s" "$W/$file"
		objcopy --only-keep-debug "$W/$file" "$T/$file.debug"
		xz -f --check=crc32 "$T/$file.debug"
		objcopy --add-section .gnu_debugdata="$T/$file.debug.xz" "$T/seeds/$file.s" \
			"$T/seeds/$file.m" || true
	done
	(cd "$T" && timeout 150 nice -n 5 "$ROOT/build/tests/fuzz/elf" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 \
		-rss_limit_mb=2048 -max_len=100000 -print_final_stats=1 "$T/seeds") >"$T/fuzz" 2>&1 ||
		fail_with "libFuzzer:" <(tail -n 40 "$T/fuzz")
	echo "# $(grep -E 'number_of_executed_units' "$T/fuzz")" >&3
}

@test "a damaged program: its stacks are there, and one line says what is wrong" {
	cp "$W/deep" "$T/damaged"
	# the size of the section .eh_frame, as large as can be
	index=$(readelf -SW "$T/damaged" | sed -nE 's/^ *\[ *([0-9]+)\] \.eh_frame .*/\1/p')
	shoff=$(readelf -hW "$T/damaged" | sed -nE 's/ *Start of section headers: *([0-9]+).*/\1/p')
	printf '\377\377\377\377\377\377\377\177' |
		dd of="$T/damaged" bs=1 seek=$((shoff + index * 64 + 32)) conv=notrunc status=none
	start "$T/out" "$T/damaged" 5
	sleep 0.3
	dwell offcpu -u --json -d 1 -p "$PID" >"$T/json" 2>"$T/err"
	[ "$(grep -c '^dwell: damaged: ELF file with' "$T/err")" = 1 ] || fail_with "not one line:" "$T/err"
	jq -e '.rows | map(select(.count > 10 and (.stack | length) > 3)) | length > 0' "$T/json" >/dev/null
}
