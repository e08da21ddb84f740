// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* runq: how long threads wait for a CPU after a wake-up or a preemption, and who had it. */
#include "lib/cause.bpf.h"
#include "lib/culprit.bpf.h"

static __always_inline void sched__left(void *ctx, struct clock *clk, struct task_struct *task)
{
}

static __always_inline u32 sched__seeded(struct clock *clk, u32 state)
{
	return TALLY_NONE;
}

static __always_inline void sched__woken(struct clock *clk, const struct segment *seg)
{
}

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

static __always_inline void sched__runs(struct clock *clk, const struct segment *seg, u64 now)
{
	struct culprit_log *log = culprit__log();

	if ((seg->state != STATE_RUNQ && seg->state != STATE_PREEMPT) || seg->total < config.min_ns)
		return;
	tally__add(runq__slot(clk, seg->state), seg->epoch, seg->inside, seg->total);
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
