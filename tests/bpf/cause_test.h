/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the programs of cause.bpf.c are told and answer. */
#ifndef TESTS_BPF_CAUSE_TEST_H
#define TESTS_BPF_CAUSE_TEST_H

#include "tally.h"

/* What is known of the blocked thread besides its system call. */
enum cause_test_flags {
	BLOCKED_IOWAIT = 1,
	BLOCKED_KTHREAD = 2,
	BLOCKED_FROZEN = 4,
	BLOCKED_KLOCK = 8,
	BLOCKED_ZERO_ARG = 16,
};

struct cause_answer {
	struct tally_key key;
	__u32 state;
	__u32 slot;
};

#endif
