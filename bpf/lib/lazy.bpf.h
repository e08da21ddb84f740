/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The programs of sched.bpf.h for commands that need the clocks of few threads: of those that wait
 * for a lock, and of those that have one meanwhile (hot.bpf.h). Any other clock is cold: it stands
 * in STATE_OTHER. Include this before sched.bpf.h, with HOLDERS_LAZY defined before holder.bpf.h.
 *
 * Only a thread's own hooks turn its clock, as ever. Who needs it says so in its thread_ref, since
 * when, and sets the mark; the next hook that comes to it knows in which state it was since then.
 */
#ifndef DWELL_LAZY_BPF_H
#define DWELL_LAZY_BPF_H

#include "lib/holder.bpf.h"

#define SCHED_OWN_PROGRAMS
#include "lib/sched.bpf.h"

/* Does @task go to sleep in a call that may wait for a lock, or for good? */
static __always_inline bool lazy__asks(struct task_struct *task, bool preempted, u32 task_state)
{
	struct syscall_regs regs;
	u64 nr;
	u32 class;

	if (task_state & TASK_DEAD)
		return true;
	if (preempted || task_state == TASK_RUNNING || !(CONFIG(lock_what) & ~LOCK_KERNEL) ||
	    (FIELD(task, flags) & PF_KTHREAD))
		return false;
	compat__syscall(task, &regs);
	nr = regs.nr;
	if (nr >= NR_SYSCALLS)
		return false;
	barrier_var(nr);
	class = config.syscall_class[nr & (NR_SYSCALLS - 1)];
	return class == CLASS_FUTEX || class == CLASS_FUTEX_WAIT || class == CLASS_FUTEX_WAITV ||
	       class == CLASS_FLOCK || class == CLASS_FCNTL ||
	       (CONFIG_HAS(lock_what, LOCK_EVENTS) && (class == CLASS_IPC || class == CLASS_CHILD));
}

static __always_inline bool lazy__wanted(const struct clock *clk)
{
	struct thread_ref *ref = thread_ref__get(0, clk->wait.tid);

	return ref && *(volatile u32 *)&ref->wanted;
}

/* It runs and has got no reason to be measured: its clock stands from now on. */
static __always_inline void lazy__cool(struct clock *clk, u64 now)
{
	struct segment seg;

	if (hot__all() || clk->state != STATE_CPU || clk->klock || clk->wait.past ||
	    now < clk->wait.hot_until || lazy__wanted(clk))
		return;
	clock__turn(clk, STATE_OTHER, now, &seg);
	clk->wait.cold = 1;
	hot__clear(clk->wait.tid);
	/* Somebody may have come meanwhile, and have set the mark before it was cleared. */
	if (lazy__wanted(clk))
		hot__set(clk->wait.tid);
}

static __always_inline void lazy__out(void *ctx, struct task_struct *prev, bool preempted,
				      u32 task_state)
{
	struct clock *clk;
	u64 now;

	if (!filter__maybe(prev) || (!hot__is(prev) && !lazy__asks(prev, preempted, task_state)))
		return;
	clk = clock__get(prev);
	if (!clk)
		return;
	now = bpf_ktime_get_ns();
	if (clk->wait.cold)
		holder__thaw(clk, STATE_CPU, now);
	if (!(task_state & TASK_DEAD))
		hot__set(clk->wait.tid);
	sched__leaves(ctx, clk, prev, sched__goes_to_sleep(prev, preempted, task_state), task_state,
		      now);
}

/* Wanted while its thread was runnable: nobody saw it woken since, so it had been preempted. */
static __always_inline void lazy__in(struct cpu *cpu, struct task_struct *next)
{
	struct clock *clk;
	u64 now;

	if (!filter__maybe(next) || !hot__is(next))
		return;
	clk = clock__get(next);
	if (!clk || (clk->wait.cold && !lazy__wanted(clk)))
		return;
	now = bpf_ktime_get_ns();
	if (clk->wait.cold)
		holder__thaw(clk, STATE_PREEMPT, now);
	sched__gets(cpu, clk, next, now);
	lazy__cool(clk, now);
}

SEC_TP("sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	u32 task_state = CONFIG(switch_has_state) ? (u32)ctx[3] : compat__task_state(prev);
	struct cpu *cpu = cpu__event(PROG_SWITCH);

	lazy__out(ctx, prev, preempt, task_state);
	lazy__in(cpu, next);
	return 0;
}

/* What @task slept for, which is just woken, while its clock was cold. */
static __always_inline void lazy__slept(struct clock *clk, struct task_struct *task)
{
	u32 state = cause__classify(clk, task, clk->wait.slept, false, SCHED_CAUSES);

	holder__thaw(clk, state, bpf_ktime_get_ns());
	holder__blocks(clk);
	/* Its memory could not be read: the next wait is not this one. */
	clk->memo.word = 0;
}

SEC_TP("sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task)
{
	struct clock *clk;

	cpu__event(PROG_WAKEUP);
	if (!filter__maybe(task) || !hot__is(task))
		return 0;
	clk = clock__get(task);
	if (!clk)
		return 0;
	if (clk->wait.cold) {
		/* It had not gone to sleep yet, or nobody asks. */
		if (compat__on_cpu(task) || !lazy__wanted(clk))
			return 0;
		lazy__slept(clk, task);
	}
	sched__wakes(task, clk);
	return 0;
}

#endif
