// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* runq: how long threads wait for a CPU after a wake-up or a preemption, and who had it. */
#include "lib/culprit_log.bpf.h"
#include "thread.h"

struct runq_slots {
	u64 row; /* whose they are */
	u32 slot[2];
};

/*
 * A thread's first waits; or, once it is late, its tallies of waits after a wake-up and a
 * preemption, which it then needs all the time.
 */
#define CLOCK_EXTRA                                                                                \
	union {                                                                                    \
		u64 early[THREAD_EARLY]; /* thread_rec.early */                                    \
		struct runq_slots slots;                                                           \
	};
#define CLOCK_EARLY
#define CLOCK_QUEUED
#include "lib/clock.bpf.h"
#include "lib/culprit.bpf.h"

static __always_inline u32 runq__find(u64 row, u32 state)
{
	struct tally_key key = {.row = row, .state = state, .syscall = SYSCALL_NONE};
	bool fresh = false;

	return tally__slot(&key, &fresh);
}

static __always_inline u32 runq__slot(struct clock *clk, u32 state)
{
	u64 row = tally__cpu_row(clk->row), preempted = state == STATE_PREEMPT;
	struct runq_slots *slots = &clk->slots;

	if (unlikely(slots->row != row)) {
		slots->slot[0] = slots->slot[1] = TALLY_NONE;
		slots->row = row;
	}
	if (unlikely(slots->slot[preempted] == TALLY_NONE))
		slots->slot[preempted] = runq__find(row, state);
	return slots->slot[preempted];
}

/*
 * A thread's first waits stay in its clock and go with its account: most threads of a machine that
 * starts many never wait more often, and a tally of their own takes longer than all else together.
 * Not where a row is of many processes and has its tallies, nor with intervals, whose accounts are
 * of a part of a wait.
 */
static __always_inline bool runq__is_early(const struct clock *clk)
{
	return CONFIG(banks) == 1 && (CONFIG(by) == BY_PROCESS || CONFIG(by) == BY_THREAD) &&
	       !clk->late;
}

/* A wait of which this is true ended; once there is no room for one, all get tallies. */
static __noinline int runq__early(struct clock *clk, const struct segment *seg)
{
	u64 n = clk->earlies, wait[THREAD_EARLY];

	if (!seg->epoch || seg->epoch > window.last)
		return 0;
	if (n < THREAD_EARLY) {
		clk->early[n & (THREAD_EARLY - 1)] = EARLY_WAIT(seg->total, seg->state);
		clk->earlies = n + 1;
		return 0;
	}
	__builtin_memcpy(wait, clk->early, sizeof(wait));
	clock__change(clk);
	clk->earlies = 0;
	clk->late = 1;
	clk->slots = (struct runq_slots){};
	clock__changed(clk);
	for (int i = 0; i < THREAD_EARLY; i++) {
		u64 ns = EARLY_WAIT_NS(wait[i]);

		tally__add(runq__slot(clk, EARLY_WAIT_STATE(wait[i])), seg->epoch, ns, ns);
	}
	tally__add(runq__slot(clk, seg->state), seg->epoch, seg->inside, seg->total);
	return 0;
}

/* Known from its begin on, so that its part before a cut is not lost; by CPU, only at its end. */
static __always_inline u32 runq__begins(struct clock *clk, u32 state)
{
	if (CONFIG(by) == BY_CPU || (state != STATE_RUNQ && state != STATE_PREEMPT))
		return TALLY_NONE;
	if (runq__is_early(clk))
		return TALLY_EARLY(state);
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

static __always_inline void sched__runs(struct cpu *cpu, struct clock *clk,
					const struct segment *seg, u64 now)
{
	u32 slot;

	if ((seg->state != STATE_RUNQ && seg->state != STATE_PREEMPT) ||
	    seg->total < CONFIG(min_ns))
		return;
	if (runq__is_early(clk)) {
		runq__early(clk, seg);
	} else {
		slot = seg->slot == TALLY_NONE ? runq__slot(clk, seg->state) : seg->slot;
		tally__add(slot, seg->epoch, seg->inside, seg->total);
	}
	culprit__charge(clk, &cpu->culprit, seg, now);
}

static __always_inline void sched__switched(struct cpu *cpu, struct task_struct *next, u64 now)
{
	culprit__ran(&cpu->culprit, next, now);
}

#define SCHED_QUEUED
#define SCHED_CAUSES false
#include "lib/sched.bpf.h"
