/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What tests/bpf/queue.bpf.c answers: the wait for a CPU that ended last, and what came then. */
#ifndef TESTS_BPF_QUEUE_TEST_H
#define TESTS_BPF_QUEUE_TEST_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "thread.h"

struct queue_answer {
	__u64 wait_ns;
	__u32 wait_state;
	__u32 waits; /* that ended */
	__u32 state;
	__u32 pad;
	struct thread_rec rec;
};

#endif
