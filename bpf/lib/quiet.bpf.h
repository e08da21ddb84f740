/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * For commands that read the clocks and tally no waits: the programs of sched.bpf.h with nothing to
 * do in between, but QUIET_LEFT(clk) where a thread leaves its CPU, if that is defined before.
 */
#ifndef DWELL_QUIET_BPF_H
#define DWELL_QUIET_BPF_H

#include "lib/clock.bpf.h"

#ifndef QUIET_LEFT
#define QUIET_LEFT(clk)
#endif

static __always_inline void sched__left(void *ctx, struct clock *clk, struct task_struct *task)
{
	QUIET_LEFT(clk);
}

static __always_inline u32 sched__seeded(struct clock *clk, u32 state)
{
	return TALLY_NONE;
}

static __always_inline void sched__woken(struct clock *clk, const struct segment *seg)
{
}

static __always_inline void sched__runs(struct clock *clk, const struct segment *seg, u64 now)
{
}

static __always_inline void sched__switched(struct task_struct *next, u64 now)
{
}

#define SCHED_CAUSES false
#include "lib/sched.bpf.h"

#endif
