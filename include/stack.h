/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* Stacks, and their ids as they stand in tally_key.id: user stack << 32 | kernel stack. */
#ifndef DWELL_STACK_H
#define DWELL_STACK_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define STACK_FRAMES 127         /* PERF_MAX_STACK_DEPTH, the kernel's default limit */
#define STACK_NONE   0xffffffffU /* not asked for, or the thread has none */
#define STACK_LOST   0xfffffffeU /* counted as a loss */
#define STACK_IDS    0xfffffff0U /* ids are below */

/* tally_key.id of a wait that had begun before the run: no hook saw its stack. */
#define STACK_NOT_SEEN ((__u64)STACK_NONE << 32 | STACK_NONE)

/* X(enumerator, JSON key, what it means) - why a user stack has no more frames. Append only. */
#define DWELL_STACK_ENDS(X)                                                                        \
	X(STACK_DEEP, "deep", "deeper than 127 frames")                                            \
	X(STACK_UNREADABLE, "unreadable", "stack memory not readable")                             \
	X(STACK_NO_RULE, "no_rule", "no unwind rule for the code")                                 \
	X(STACK_NOT_COVERED, "not_covered", "code not known yet")                                  \
	X(STACK_NO_FRAME, "no_frame", "neither table nor frame pointer")                           \
	X(STACK_ASTRAY, "astray", "stack pointer astray")

enum stack_end {
	STACK_COMPLETE = 0, /* reached the outermost frame, or nobody can tell */
#define X(id, ...) id,
	DWELL_STACK_ENDS(X)
#undef X
		NR_STACK_ENDS,
};

/* A stack that was kept. Stacks are compared whole: an id stands for one of them only. */
struct stack {
	__u32 n;   /* frames */
	__u32 end; /* enum stack_end */
	/*
	 * Whose it is: user stacks of processes with the same mappings are one, and @tgid is one of
	 * these processes; without a table, @space is 0. Both 0: a kernel stack.
	 */
	__u32 tgid;
	__u32 space;
	__u64 ip[STACK_FRAMES]; /* innermost first */
};

#endif
