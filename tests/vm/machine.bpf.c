// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* For machine.c: a fentry program and a kprobe, which count the calls that one process makes. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

const volatile __u32 caller;
__u64 fentries, kprobes;

SEC("fentry/vfs_rename")
int machine_fentry(void *ctx)
{
	(void)ctx;
	if (bpf_get_current_pid_tgid() >> 32 == caller)
		__sync_fetch_and_add(&fentries, 1);
	return 0;
}

SEC("kprobe/vfs_rename")
int machine_kprobe(void *ctx)
{
	(void)ctx;
	if (bpf_get_current_pid_tgid() >> 32 == caller)
		__sync_fetch_and_add(&kprobes, 1);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
