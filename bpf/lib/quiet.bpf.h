/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * For commands that read the clocks and tally no waits: the programs of sched.bpf.h with nothing to
 * do in between, but what is defined before: QUIET_LEFT(ctx, clk) where a thread leaves its CPU,
 * QUIET_WOKEN(clk, seg) where its wait ended.
 */
#ifndef DWELL_QUIET_BPF_H
#define DWELL_QUIET_BPF_H

#include "lib/clock.bpf.h"

#ifndef QUIET_LEFT
#define QUIET_LEFT(ctx, clk)
#endif
#ifndef QUIET_WOKEN
#define QUIET_WOKEN(clk, seg)
#endif

static __always_inline void sched__left(void *ctx, struct clock *clk, struct task_struct *task)
{
	QUIET_LEFT(ctx, clk);
}

static __always_inline u32 sched__seeded(struct clock *clk, u32 state)
{
	return TALLY_NONE;
}

static __always_inline void sched__woken(struct clock *clk, const struct segment *seg)
{
	QUIET_WOKEN(clk, seg);
}

/* Also a wait whose wake-up was not seen. */
static __always_inline void sched__runs(struct cpu *cpu, struct clock *clk,
					const struct segment *seg, u64 now)
{
	QUIET_WOKEN(clk, seg);
}

static __always_inline void sched__switched(struct cpu *cpu, struct task_struct *next, u64 now)
{
}

#define SCHED_CAUSES false
#include "lib/sched.bpf.h"

/* The clock of @task, which event @prog is about; NULL if it is not watched. */
static __always_inline struct clock *quiet__clock(struct task_struct *task, enum prog_id prog)
{
	struct clock *clk;

	if (!filter__maybe(task))
		return NULL;
	clk = clock__get(task);
	if (!clk || clk->state == STATE_NONE)
		return NULL;
	cpu__event(prog);
	return clk;
}

#endif
