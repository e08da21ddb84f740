// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* why: every state of every thread, and for each wait what it was for. */
#define TALLY_OWN
#define CLOCK_MEMOS 2
#define HOLDERS_BY_WAIT
#include "lib/culprit_log.bpf.h"
#include "lib/lock.bpf.h"
#include "lib/culprit.bpf.h"
#include "lib/emit.bpf.h"
#include "stack.h"
#include "thread.h"

/*
 * Who has locks, and what he does, costs a program at each wake-up and an entry for each thread: so
 * it begins with the first wait for a lock that takes so long. User space then adds the threads
 * that are there (refs), and attaches on_waking.
 */
#define HOLDERS_WORTH_NS 100000

u32 holders_asked;

static __noinline void holders__ask(const struct clock *clk)
{
	struct holders_wanted *wanted;

	if (!compat__claim(&holders_asked, 0, 1))
		return;
	wanted = bpf_ringbuf_reserve(&ring, sizeof(*wanted), 0);
	if (!wanted) {
		holders_asked = 0;
		return; /* the next one asks */
	}
	wanted->tgid = clk->wait.tgid;
	wanted->pad = 0;
	bpf_ringbuf_submit(wanted, BPF_RB_FORCE_WAKEUP);
}

static __always_inline u32 lock__holder_row(const struct holder_scratch *s, u32 tid, u64 ns)
{
	return s->slot;
}

/* What holders' shares are of: with intervals, a wait has its whole length in parts only. */
static __always_inline void lock__ended(void *ctx, struct clock *clk, u32 by, u64 ns)
{
	part__add(PART(clk->slot, PART_WAIT), PART_BY(0, clk->slot), STACK_NOT_SEEN, ns, 0);
}

/* It leaves the CPU, blocked; true if its wait for a lock is followed: lock.bpf.h. */
static __always_inline bool why__follows(struct clock *clk, struct task_struct *task)
{
	clk->slot = clk->memo.slot;
	if (unlikely(window.holders))
		holder__blocks(clk);
	if (likely(!lock__wanted(clk->state)))
		return false;
	if (!window.holders) {
		clk->wait.tgid = FIELD(task, tgid);
		return false;
	}
	clk->follows = 1;
	lock__begins(clk, STACK_NOT_SEEN, 0);
	hot__set(FIELD(task, pid));
	lock__find_holder(clk, clk->since);
	return true;
}

static __always_inline void sched__left(void *ctx, struct clock *clk, struct task_struct *task)
{
	bool waited = clk->follows;

	if (unlikely(waited))
		clk->wait.addr = clk->follows = 0;
	if (clk->state != STATE_PREEMPT && why__follows(clk, task))
		return;
	if (unlikely(waited))
		hot__clear(FIELD(task, pid));
}

static __always_inline u32 sched__seeded(struct clock *clk, u32 state)
{
	return state == STATE_CPU || state == STATE_RUNQ ? TALLY_NONE : clk->memo.slot;
}

static __always_inline void sched__woken(struct clock *clk, const struct segment *seg)
{
	if (unlikely(clk->follows && clk->wait.open)) {
		clk->wait.open = 0;
		lock__slip(clk, seg->state, clk->since);
	}
	if (seg->total < CONFIG(min_ns))
		return;
	tally__add_own(clock__is_alone(clk), seg->slot, seg->epoch, seg->inside, seg->total);
	if (unlikely(lock__wanted(seg->state)) && !window.holders && seg->total >= HOLDERS_WORTH_NS)
		holders__ask(clk);
}

static __always_inline void sched__runs(struct cpu *cpu, struct clock *clk,
					const struct segment *seg, u64 now)
{

	if (seg->state != STATE_RUNQ && seg->state != STATE_PREEMPT) {
		/* A wake-up that was not seen: the wait ends here. */
		sched__woken(clk, seg);
		return;
	}
	if (seg->total >= CONFIG(min_ns))
		culprit__charge(clk, &cpu->culprit, seg, now);
}

static __always_inline void sched__switched(struct cpu *cpu, struct task_struct *next, u64 now)
{
	culprit__ran(&cpu->culprit, next, now);
}

#define SCHED_LIFE
static __always_inline void sched__born(struct clock *clk, struct task_struct *task)
{
	if (unlikely(window.holders))
		holder__born(clk, task);
}

static __always_inline void sched__died(struct clock *clk, struct task_struct *task)
{
	if (unlikely(clk->wait.tid))
		holder__died(clk);
	if (unlikely(clk->wait.addr))
		hot__clear(FIELD(task, pid));
}

#define SCHED_CAUSES true
#include "lib/sched.bpf.h"

/* Once: the threads that were there before anybody asked who has locks. */
SEC("iter/task")
int refs(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct clock *clk;

	if (!task || task->exit_state)
		return 0;
	clk = clock__get(task);
	if (clk && clk->row)
		holder__born(clk, task);
	return 0;
}
