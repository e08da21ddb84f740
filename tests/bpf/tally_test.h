/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the programs of tally.bpf.c are given and answer. */
#ifndef TESTS_BPF_TALLY_TEST_H
#define TESTS_BPF_TALLY_TEST_H

#include <linux/types.h>

#define TALLY_BATCH 4096

struct tally_answer {
	__u64 value[TALLY_BATCH];
	__s32 index[TALLY_BATCH];
	__u64 max;
	__u64 row;
	__u32 slot;
	__u32 fresh;
};

#endif
