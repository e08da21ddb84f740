#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# vmlinux/ against the running kernel, and the checker itself against wrong headers.

setup() {
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	[ -e /sys/kernel/btf/vmlinux ] || skip "the kernel has no /sys/kernel/btf/vmlinux"
}

# Holds the header on stdin against the kernel.
check() {
	cd "$BATS_TEST_TMPDIR" || exit
	cat >types.h
	"$root/tools/btf-of" types.o types.h -- "${CLANG:-clang}" -target bpf -g
	run "$root/build/tools/check-vmlinux" types.o
	echo "$output"
}

@test "every type and field of vmlinux/ is in the running kernel" {
	run "$root/build/tools/check-vmlinux" "$root/build/tests/vmlinux.o"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "right types match, through anonymous members and typedefs too" {
	check <<-END
	typedef unsigned int id;
	struct qstr { const unsigned char *name; id len; };
	struct dentry { struct dentry *d_parent; struct qstr d_name; };
	enum pid_type { PIDTYPE_PID, PIDTYPE_TGID };
	END
	[ "$status" -eq 0 ]
	[[ "$output" == *"3 types, 6 fields: 0 do not match, 0 are not on this kernel"* ]]
}

@test "a missing field is caught" {
	check <<<'struct task_struct { int pid; int pidd; };'
	[ "$status" -eq 1 ]
	[[ "$output" == *"task_struct.pidd: there is no such field"* ]]
}

@test "a missing type is caught" {
	check <<<'struct task_structure { int pid; };'
	[ "$status" -eq 1 ]
	[[ "$output" == *"task_structure: there is no such type"* ]]
}

@test "a wrong size is caught" {
	check <<<'struct task_struct { long pid; };'
	[ "$status" -eq 1 ]
	[[ "$output" == *"task_struct.pid: 8 bytes, the kernel's has 4"* ]]
}

@test "a wrong sign is caught" {
	check <<<'struct task_struct { unsigned int pid; };'
	[ "$status" -eq 1 ]
}

@test "a wrong kind of type is caught" {
	check <<<'struct task_struct { int group_leader; };'
	[ "$status" -eq 1 ]
	[[ "$output" == *"task_struct.group_leader: a scalar, the kernel's is a pointer"* ]]
}

@test "a pointer to another struct is caught" {
	check <<-END
	struct mm_struct;
	struct task_struct { struct mm_struct *group_leader; };
	END
	[ "$status" -eq 1 ]
	[[ "$output" == *"points to struct mm_struct, the kernel's to struct task_struct"* ]]
}

@test "a wrong length of an array is caught" {
	check <<<'struct task_struct { char comm[17]; };'
	[ "$status" -eq 1 ]
}

@test "a bit field that is none is caught" {
	check <<<'struct task_struct { unsigned int in_iowait; };'
	[ "$status" -eq 1 ]
}

@test "a wrong struct by value is caught" {
	check <<-END
	struct path { void *mnt; };
	struct dentry { struct path d_name; };
	END
	[ "$status" -eq 1 ]
}

@test "a wrong value in an enum is caught" {
	check <<<'enum pid_type { PIDTYPE_TGID, PIDTYPE_PIDS };'
	[ "$status" -eq 1 ]
	[[ "$output" == *"pid_type.PIDTYPE_TGID: 0, the kernel's is 1"* ]]
	[[ "$output" == *"pid_type.PIDTYPE_PIDS: there is no such value"* ]]
}

@test "what is marked as another kernel's may be missing, but is listed" {
	check <<-END
	struct task_struct___old { long ended; };
	struct never___old { int x; };
	struct file { int f_shape___old; };
	END
	[ "$status" -eq 0 ]
	[[ "$output" == *"task_struct___old.ended: not on this kernel"* ]]
	[[ "$output" == *"never___old: not on this kernel"* ]]
	[[ "$output" == *"0 do not match, 3 are not on this kernel"* ]]
}

@test "an object without types is an error" {
	check <<<'typedef int nothing;'
	[ "$status" -eq 2 ]
}
