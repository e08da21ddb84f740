// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* why: every state of every thread, and for each wait what it was for. */
#include "lib/cause.bpf.h"
#include "lib/culprit.bpf.h"

static __always_inline void sched__left(void *ctx, struct clock *clk, struct task_struct *task)
{
	if (clk->state != STATE_PREEMPT)
		clk->slot = clk->memo.slot;
}

static __always_inline u32 sched__seeded(struct clock *clk, u32 state)
{
	return state == STATE_CPU || state == STATE_RUNQ ? TALLY_NONE : clk->memo.slot;
}

static __always_inline void sched__woken(struct clock *clk, const struct segment *seg)
{
	if (seg->total >= config.min_ns)
		tally__add(seg->slot, seg->epoch, seg->inside, seg->total);
}

static __always_inline void sched__runs(struct clock *clk, const struct segment *seg, u64 now)
{
	struct culprit_log *log = culprit__log();

	if (seg->state != STATE_RUNQ && seg->state != STATE_PREEMPT) {
		/* A wake-up that was not seen: the wait ends here. */
		sched__woken(clk, seg);
		return;
	}
	if (log && seg->total >= config.min_ns)
		culprit__charge(clk, log, seg, now);
}

static __always_inline void sched__switched(struct task_struct *next, u64 now)
{
	struct culprit_log *log = culprit__log();

	if (log)
		culprit__ran(log, next, now);
}

#define SCHED_CAUSES true
#include "lib/sched.bpf.h"
