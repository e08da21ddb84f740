#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# tools/gen-syscall-names with the headers of another architecture.

@test "arm64: every call has its name, though the generic header gives some by another" {
	local generic=/usr/include/asm-generic/unistd.h names=$BATS_TEST_TMPDIR/names

	[ -e "$generic" ] || skip "no $generic"
	mkdir -p "$BATS_TEST_TMPDIR/asm" "$BATS_TEST_TMPDIR/sys"
	echo '#define __BITS_PER_LONG 64' >"$BATS_TEST_TMPDIR/asm/bitsperlong.h"
	# as arch/arm64/include/uapi/asm/unistd.h has it up to Linux 6.10
	printf '#define __ARCH_WANT_%s\n' RENAMEAT NEW_STAT SET_GET_RLIMIT SYS_CLONE3 MEMFD_SECRET \
		>"$BATS_TEST_TMPDIR/sys/syscall.h"
	echo '#include <asm-generic/unistd.h>' >>"$BATS_TEST_TMPDIR/sys/syscall.h"
	CC="${CC:-gcc} -nostdinc -I$BATS_TEST_TMPDIR -I/usr/include" \
		"$BATS_TEST_DIRNAME/../../tools/gen-syscall-names" >"$names"
	for name in read openat fcntl sendfile mmap lseek newfstatat fstat statfs ftruncate futex io_uring_enter; do
		grep -Fqx "[__NR_$name] = \"$name\"," "$names"
	done
	# where the calls end is no call
	[ "$(grep -c -e '"syscalls"' -e arch_specific "$names")" = 0 ]
}
