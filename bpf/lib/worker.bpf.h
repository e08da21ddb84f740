/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* io_uring's worker threads: threads of a process that do requests in place of its own. */
#ifndef DWELL_WORKER_BPF_H
#define DWELL_WORKER_BPF_H

#include "lib/compat.bpf.h"

/*
 * The request that worker @task does now; NULL: it is idle, or no worker (a ring's polling thread),
 * or the kernel is older than what tells (e32cf5dfbe22, 5.17).
 */
static __always_inline struct io_kiocb *worker__request(struct task_struct *task)
{
	struct io_worker *worker = NULL;
	void *work;

	if (!bpf_core_field_exists(task->worker_private) ||
	    !bpf_core_field_exists(worker->cur_work))
		return NULL;
	worker = BPF_CORE_READ(task, worker_private);
	work = BPF_CORE_READ(worker, cur_work);
	return work ? work - bpf_core_field_offset(struct io_kiocb, work) : NULL;
}

#endif
