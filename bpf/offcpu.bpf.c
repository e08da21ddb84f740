// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* offcpu: every segment off the CPU, by state and by the stacks that it began with. */
#include "lib/cause.bpf.h"
#include "lib/emit.bpf.h"
#include "lib/stack.bpf.h"

static __always_inline u32 offcpu__slot(struct clock *clk, u32 state)
{
	struct tally_key key = {
		.row = clk->row,
		.id = clk->stack,
		.state = state,
		.syscall = SYSCALL_NONE,
	};
	bool fresh = false;

	return tally__slot(&key, &fresh);
}

/* What decides which code of the kernel has left the CPU, as far as it can be told. */
static __always_inline u64 offcpu__key(const struct clock *clk)
{
	/* Read once more: or in one case the verifier goes on with this one number. */
	u64 state = *(volatile u32 *)&clk->state;

	if (clk->state == STATE_PREEMPT)
		return state;
	return clk->memo.word ^ state << 48;
}

/* The tracepoint is before the switch: the stack in use is still that of the thread that leaves. */
static __always_inline void sched__left(void *ctx, struct clock *clk, struct task_struct *task)
{
	clk->stack = stack__ids(ctx, offcpu__key(clk));
	if (CONFIG(user_stacks))
		emit__seen(clk, task);
	clk->slot = offcpu__slot(clk, clk->state);
}

/* Its stack was left before anybody looked. */
static __always_inline u32 sched__seeded(struct clock *clk, u32 state)
{
	clk->stack = STACK_NOT_SEEN;
	return state == STATE_CPU ? TALLY_NONE : offcpu__slot(clk, state);
}

static __always_inline void offcpu__add(const struct segment *seg)
{
	if (seg->total >= CONFIG(min_ns))
		tally__add(seg->slot, seg->epoch, seg->inside, seg->total);
}

/* Runnable, not running: still off the CPU, with the stack on which it blocked. */
static __always_inline void sched__woken(struct clock *clk, const struct segment *seg)
{
	offcpu__add(seg);
	if (clk->state == STATE_RUNQ)
		clk->slot = offcpu__slot(clk, STATE_RUNQ);
}

static __always_inline void sched__runs(struct cpu *cpu, struct clock *clk,
					const struct segment *seg, u64 now)
{
	offcpu__add(seg);
}

static __always_inline void sched__switched(struct cpu *cpu, struct task_struct *next, u64 now)
{
}

#define SCHED_CAUSES false
#include "lib/sched.bpf.h"
