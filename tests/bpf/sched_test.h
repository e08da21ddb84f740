/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What tests/bpf/sched.bpf.c answers: the driver's clock, and the wait that ended last. */
#ifndef TESTS_BPF_SCHED_TEST_H
#define TESTS_BPF_SCHED_TEST_H

#ifndef __bpf__
#include <linux/types.h>
#endif

struct sched_answer {
	__u64 since;
	__u64 cpu_ns; /* on the CPU so far */
	__u64 other_ns;
	__u64 wait_ns; /* of the wait that ended last */
	__u32 state;
	__u32 wait_state;
	__u32 waits; /* waits that ended */
	__u32 pad;
};

#endif
