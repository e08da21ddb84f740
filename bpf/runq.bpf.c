// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* runq: how long threads wait for a CPU after a wake-up or a preemption, and who had it. */
#include "lib/cause.bpf.h"
#include "lib/culprit.bpf.h"

static __always_inline u32 runq__slot(struct clock *clk, u32 state)
{
	struct tally_key key = {
		.row = tally__cpu_row(clk->row),
		.state = state,
		.syscall = SYSCALL_NONE,
	};
	bool fresh = false;

	return tally__slot(&key, &fresh);
}

/* Known from its begin on, so that its part before a cut is not lost; by CPU, only at its end. */
static __always_inline u32 runq__begins(struct clock *clk, u32 state)
{
	if (config.by == BY_CPU || (state != STATE_RUNQ && state != STATE_PREEMPT))
		return TALLY_NONE;
	return runq__slot(clk, state);
}

static __always_inline void sched__left(void *ctx, struct clock *clk, struct task_struct *task)
{
	clk->slot = runq__begins(clk, clk->state);
}

static __always_inline u32 sched__seeded(struct clock *clk, u32 state)
{
	return runq__begins(clk, state);
}

static __always_inline void sched__woken(struct clock *clk, const struct segment *seg)
{
	clk->slot = runq__begins(clk, clk->state);
}

static __always_inline void sched__runs(struct clock *clk, const struct segment *seg, u64 now)
{
	struct culprit_log *log = culprit__log();
	u32 slot;

	if ((seg->state != STATE_RUNQ && seg->state != STATE_PREEMPT) || seg->total < config.min_ns)
		return;
	slot = seg->slot == TALLY_NONE ? runq__slot(clk, seg->state) : seg->slot;
	tally__add(slot, seg->epoch, seg->inside, seg->total);
	if (log)
		culprit__charge(clk, log, seg, now);
}

static __always_inline void sched__switched(struct task_struct *next, u64 now)
{
	struct culprit_log *log = culprit__log();

	if (log)
		culprit__ran(log, next, now);
}

#define SCHED_CAUSES false
#include "lib/sched.bpf.h"
