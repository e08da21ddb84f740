/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the programs of clock.bpf.c and span.bpf.c answer. */
#ifndef TESTS_BPF_CLOCK_TEST_H
#define TESTS_BPF_CLOCK_TEST_H

#include <linux/types.h>

#include "thread.h"

struct clock_answer {
	__u64 read[NR_STATES]; /* clock__read() of each state */
	__u64 start, latency;  /* of a span, whose states are in read[] */
	__u64 since;
	__u32 state, seq, epoch, slot;
	/* the segment that ended */
	__u32 seg_state, seg_slot, seg_epoch, depth;
	__u64 inside, total;
	struct thread_rec rec;
};

#endif
