/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What tests/bpf/holder.bpf.c answers: the driver's clock, and the log of the lock it waits for. */
#ifndef TESTS_BPF_HOLDER_TEST_H
#define TESTS_BPF_HOLDER_TEST_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define HOLDER_LOCK 64 /* no address of the kernel's: nothing can be read there */

struct holder_answer {
	__u32 state;
	__u32 waiters; /* that the log knows; */
	__u32 logged;  /* 1: there is a log */
};

#endif
