/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* Ids of stacks, as they stand in tally_key.id: user stack << 32 | kernel stack. */
#ifndef DWELL_STACK_H
#define DWELL_STACK_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define STACK_FRAMES 127         /* PERF_MAX_STACK_DEPTH, the kernel's default limit */
#define STACK_MORE   (1U << 30)  /* it is in `stacks_more`, under the id without this bit */
#define STACK_NONE   0xffffffffU /* not asked for, or the thread has none */
#define STACK_LOST   0xfffffffeU /* counted as a loss */

/* tally_key.id of a wait that had begun before the run: no hook saw its stack. */
#define STACK_NOT_SEEN ((__u64)STACK_NONE << 32 | STACK_NONE)

#endif
