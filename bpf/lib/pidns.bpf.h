/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What a thread is called in its own PID namespace. */
#ifndef DWELL_PIDNS_BPF_H
#define DWELL_PIDNS_BPF_H

#include "lib/peek.bpf.h"

/* @task's number in its own namespace, and this; how deep that lies: 0 is the machine's. */
static __always_inline u32 pidns__read(struct task_struct *task, struct upid *inner)
{
	struct pid *pid = FOLLOW(task_struct, task, thread_pid);
	u32 level = FOLLOW(pid, pid, level);

	__builtin_memset(inner, 0, sizeof(*inner));
	bpf_probe_read_kernel(inner, sizeof(*inner),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      level * sizeof(*inner));
	return level;
}

#endif
