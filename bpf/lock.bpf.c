// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* lock: waits for user-space and kernel locks, who had them, and what he did meanwhile. */
#define HOLDERS_LAZY
#define CLOCK_MEMOS 2
#define CAUSE_NO_OWNERS
#define KMEMO_NONE
#include "lib/lock.bpf.h"
#include "lib/emit.bpf.h"
#include "lib/stack.bpf.h"

/* What the wait in the scratch space has whatever rows are of: @slot is the row's. */
__noinline int lock__charge(u32 slot, u64 ns)
{
	struct holder_scratch *s = holder__scratch();

	if (!s)
		return 0;
	part__add(PART(slot, PART_WAIT), PART_BY(s->wait.tid, s->wait.slot), s->wait.stack, ns,
		  s->wait.weight);
	return 0;
}

/* With --by holder a row is a tally of such parts of waits. */
static __always_inline u32 lock__holder_row(const struct holder_scratch *s, u32 tid, u64 ns)
{
	struct tally_key key = {
		.row = s->row, .id = tid, .kind = CAUSE_TASK, .syscall = SYSCALL_NONE};
	bool fresh = false;
	u32 slot;

	if (CONFIG(lock_by) != LOCK_BY_HOLDER)
		return s->slot;
	slot = tally__slot(&key, &fresh);
	tally__add(slot, window.epoch, ns, ns);
	lock__charge(slot, ns);
	return slot;
}

/* ---- a wait begins ---- */

/* The slot of the row that a wait belongs to; @slot is its lock's. */
static __always_inline u32 lock__slot(struct clock *clk, u64 stack, u32 state, u32 slot)
{
	struct tally_key key = {
		.row = clk->row, .id = stack, .state = state, .syscall = SYSCALL_NONE};
	bool fresh = false;

	if (CONFIG(lock_by) == LOCK_BY_HOLDER)
		return TALLY_NONE;
	if (CONFIG(lock_by) != LOCK_BY_CALLER) {
		if (state != STATE_SYNC || stack == STACK_NOT_SEEN)
			return slot;
		key.id = clk->wait.addr;
		key.id2 = slot;
		key.aux = stack >> 32;
	}
	return tally__slot(&key, &fresh);
}

/* The same of a sleep, which mostly is like the one before. */
static __always_inline u32 lock__place(struct clock *clk)
{
	struct lock_wait *w = &clk->wait;

	if (w->placed.stack == w->stack && w->placed.addr == w->addr && w->placed.slot == w->slot)
		return w->placed.row_slot;
	w->placed.stack = w->stack;
	w->placed.addr = w->addr;
	w->placed.slot = w->slot;
	w->placed.row_slot = lock__slot(clk, w->stack, clk->state, w->slot);
	/* There may be room the next time. */
	if (w->placed.row_slot == TALLY_NONE)
		w->placed.addr = 0;
	return w->placed.row_slot;
}

/* Words that other runtimes and servers make their locks of look like any others. */
static __always_inline bool lock__takes(struct clock *clk)
{
	if (likely(!lock__wanted(clk->state)))
		return false;
	return clk->state != STATE_SYNC || CONFIG_HAS(lock_what, LOCK_EVENTS) ||
	       lock__is_futex(clk);
}

static __always_inline u64 lock__stack(void *ctx, bool kernel)
{
	u64 user = STACK_NONE, in = STACK_NONE;

	if (CONFIG(user_stacks))
		user = stack__id(ctx, BPF_F_USER_STACK);
	if (kernel && CONFIG(kernel_stacks))
		in = stack__id(ctx, 0);
	return user << 32 | in;
}

/* How many waits the stack of this one stands for. Rows by stack, and words that only it tells… */
static __always_inline u32 lock__weight(struct clock *clk)
{
	if (CONFIG(lock_by) == LOCK_BY_CALLER || clk->state == STATE_SYNC)
		return 1; /* …need each. */
	return part__weight(clk->wait.waited, clk->memo.slot);
}

static __always_inline void sched__left(void *ctx, struct clock *clk, struct task_struct *task)
{
	struct lock_wait *w = &clk->wait;
	u32 weight;

	w->addr = 0;
	past__turned(clk);
	compat__comm(task, w->comm);
	holder__blocks(clk);
	if (!lock__takes(clk))
		return;
	weight = lock__weight(clk);
	lock__begins(clk, weight ? lock__stack(ctx, clk->state == STATE_KLOCK) : STACK_NOT_SEEN,
		     weight);
	if (CONFIG(user_stacks))
		emit__seen(clk, task);
	clk->slot = lock__place(clk);
	lock__find_holder(clk, clk->since);
}

/* What it waited for before anybody looked; not where, nor who had it. */
static __always_inline u32 sched__seeded(struct clock *clk, u32 state)
{
	struct lock_wait *w = &clk->wait;

	/* Without a stack it can't be told what kind of a word it is. */
	if (!lock__wanted(state) || (state == STATE_SYNC && !CONFIG_HAS(lock_what, LOCK_EVENTS)))
		return TALLY_NONE;
	w->addr = clk->memo.id ?: 1;
	w->since = bpf_ktime_get_ns();
	w->stack = STACK_NOT_SEEN;
	w->slot = clk->memo.slot;
	return lock__slot(clk, w->stack, state, clk->memo.slot);
}

/* ---- and ends ---- */

/* Where the current thread lets go of what @clk's waits for. */
static __always_inline void lock__released(void *ctx, struct clock *clk, u32 by, u64 ns)
{
	struct clock *own = clock__get(compat__current());
	u32 weight = own ? part__weight(own->wait.let_go, clk->wait.slot) : 1;

	if (weight)
		part__add(PART(clk->slot, PART_RELEASE), PART_BY(by, 0),
			  lock__stack(ctx, clk->state == STATE_KLOCK), ns, weight);
}

static __always_inline void lock__ended(void *ctx, struct clock *clk, u32 by, u64 ns)
{
	if (CONFIG(lock_by) == LOCK_BY_HOLDER)
		return;
	lock__charge(clk->slot, ns);
	if (by)
		lock__released(ctx, clk, by, ns);
	else
		part__add(PART(clk->slot, PART_UNRELEASED), 0, 0, ns, 0);
}

static __always_inline void sched__woken(struct clock *clk, const struct segment *seg)
{
	if (lock__slipped(clk, seg) && CONFIG(lock_by) != LOCK_BY_HOLDER)
		lock__charge(seg->slot, seg->total);
	past__turned(clk);
	/* It likely has the lock from now on, and waits for it again. Kernel locks are many. */
	if (clk->wait.addr && seg->state != STATE_KLOCK)
		clk->wait.hot_until = clk->since + HOLDER_LINGER_NS;
	clk->wait.addr = 0;
	if (seg->total >= CONFIG(min_ns))
		tally__add(seg->slot, seg->epoch, seg->inside, seg->total);
}

static __always_inline void sched__runs(struct cpu *cpu, struct clock *clk,
					const struct segment *seg, u64 now)
{
	past__turned(clk);
	/* A wake-up that was not seen: the wait ends here. */
	if (clk->wait.addr)
		sched__woken(clk, seg);
}

/* ---- spinning for a kernel lock ---- */

static __always_inline void sched__contends(void *ctx, struct clock *clk, struct task_struct *task,
					    u64 lock, u32 flags);
static __always_inline void sched__contended(struct clock *clk, u64 lock);

#define SCHED_LIFE
static __always_inline void sched__born(struct clock *clk, struct task_struct *task)
{
	holder__born(clk, task);
}

static __always_inline void sched__died(struct clock *clk, struct task_struct *task)
{
	holder__died(clk);
}

#define SCHED_CONTENTION
#define SCHED_CAUSES true
#include "lib/lazy.bpf.h"

static __noinline void lock__spun(struct clock *clk, u64 lock, u64 since, u64 stack, u64 how)
{
	u32 flags = how, weight = how >> 32;
	struct tally_key key = {
		.row = clk->row,
		.id = lock,
		.aux = flags,
		.kind = CAUSE_KLOCK,
		.state = STATE_CPU,
		.syscall = SYSCALL_NONE,
	};
	u64 now = bpf_ktime_get_ns(), from = clock__later(since, window.run_start);
	u64 total = clock__span(from, now), inside;
	u32 epoch = window.epoch, slot, of;
	bool fresh = false;

	if (!epoch || epoch > window.last || total < CONFIG(min_ns) || !clk->row)
		return;
	inside = clock__span(clock__later(from, window__start(epoch)), now);
	of = tally__slot(&key, &fresh);
	slot = lock__slot(clk, stack, STATE_CPU, of);
	if (slot == TALLY_NONE)
		return; /* --by holder: a spinlock has none that could be told */
	tally__add(slot, epoch, inside, total);
	part__add(PART(slot, PART_WAIT), PART_BY(clk->wait.tid, of), stack, total, weight);
}

/* Of how many spins on this CPU the next one has its stack looked at: see lock_seen.weight. */
static __always_inline u32 lock__spin_weight(void)
{
	struct cpu_stat *stat = cpu_stat__get();
	u32 of = LOCK_SAMPLE;

	if (!CONFIG(kernel_stacks))
		return 0;
	if (CONFIG(lock_by) == LOCK_BY_CALLER)
		return 1;
	/* A stack costs as much as several spins: where they are many, fewer do. */
	if (stat && stat->events[PROG_CONTENTION] > LOCK_FEW_SPINS)
		of = LOCK_SPIN_SAMPLE;
	return bpf_get_prandom_u32() & (of - 1) ? 0 : of;
}

/* The same lock again: it spun in vain, and now sleeps. */
static __always_inline void sched__contends(void *ctx, struct clock *clk, struct task_struct *task,
					    u64 lock, u32 flags)
{
	struct lock_wait *w = &clk->wait;
	u64 i = w->spins;

	if (!CONFIG_HAS(lock_what, LOCK_KERNEL) || (clk->state != STATE_CPU && !clk->wait.cold))
		return;
	sched__contended(clk, lock);
	if (!(flags & LCB_F_SPIN)) {
		hot__set(clk->wait.tid);
		return;
	}
	i = w->spins & 1;
	barrier_var(i);
	i &= 1;
	w->spin[i].weight = lock__spin_weight();
	w->spin[i].stack = STACK_NOT_SEEN;
	if (w->spin[i].weight)
		w->spin[i].stack = (u64)STACK_NONE << 32 | stack__id(ctx, 0);
	w->spin[i].lock = lock;
	w->spin[i].flags = flags;
	w->spin[i].since = bpf_ktime_get_ns();
	w->spins = i + 1;
}

static __always_inline void sched__contended(struct clock *clk, u64 lock)
{
	struct lock_wait *w = &clk->wait;

	for (int i = 1; i >= 0; i--) {
		if (i >= w->spins || w->spin[i].lock != lock)
			continue;
		w->spins = i;
		lock__spun(clk, lock, w->spin[i].since, w->spin[i].stack,
			   (u64)w->spin[i].weight << 32 | w->spin[i].flags);
		return;
	}
}
