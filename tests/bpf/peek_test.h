/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the programs of peek.bpf.c answer. */
#ifndef TESTS_BPF_PEEK_TEST_H
#define TESTS_BPF_PEEK_TEST_H

#include <linux/types.h>

/* Members of 2, 4 and 8 bytes. */
struct peek_answer {
	__u64 ino;
	__u64 mode;
	__u64 generation;
	__u64 dev;
	__u64 word;
	__u64 number[2]; /* an address as a number: both must be one */
	__u64 constant[7];
};

#endif
