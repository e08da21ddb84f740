#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# The rules of the source tree, each a check of tools/lint.

lint() {
	"$BATS_TEST_DIRNAME/../../tools/lint" "$1"
}

@test "rooms: dependencies point one way" {
	lint rooms
}

@test "complete: every command has its files, and every file its command" {
	lint complete
}

@test "format: all C files are as clang-format has them" {
	lint format
}

@test "banned: no function that is not to be used" {
	lint banned
}

@test "spdx: every source file names its license" {
	lint spdx
}

@test "shell: shellcheck finds nothing" {
	lint shell
}

@test "man: the pages are well-formed" {
	lint man
}

@test "size: no file over 100 kB" {
	lint size
}

@test "blanks: none at the end of lines" {
	lint blanks
}

@test "every check is run by a test here, and shown to fail by one of lint.bats" {
	for check in $("$BATS_TEST_DIRNAME/../../tools/lint" --list); do
		grep -q "^	lint $check\$" "$BATS_TEST_DIRNAME/tree.bats"
		grep -q "^	breaks $check " "$BATS_TEST_DIRNAME/lint.bats"
	done
}

# A constant of 4, 8, 16 or 32 bytes goes to a section that the BTF doesn't name, and the kernel
# rejects the object's whole BTF: give such a constant __attribute__((section(".rodata"))).
@test "objects: the BPF objects' BTF names the sections that they have" {
	local object

	for object in "$BATS_TEST_DIRNAME"/../../build/bpf/*.bpf.o; do
		[ -f "$object" ] || skip "nothing is built"
		if readelf -SW "$object" 2>/dev/null | grep -F .rodata.cst; then
			echo "in ${object##*/}"
			return 1
		fi
	done
}
