/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The programs that turn the clocks, shared by every command that is a view of thread time.
 *
 * A command includes this last, after defining SCHED_CAUSES (do blocked threads need a tally by
 * cause?) and five functions, which but for the second run under the run-queue lock:
 *
 *   sched__left()     a watched thread left the CPU: clk->state says why, clk->memo what for;
 *                     clk->slot is to be set if the segment that began is to be tallied
 *   sched__seeded()   a watched thread was found in @state before the run: the tally of this
 *   sched__woken()    a blocked thread became runnable: @seg ended (a wait for a CPU may also
 *                     come here, if its end was not seen)
 *   sched__runs()     a thread got its CPU: @seg ended
 *   sched__switched() the CPU goes to @next, watched or not
 *
 * A command that needs them defines SCHED_LIFE and two more, not under the run-queue lock and under
 * it: sched__born(), a thread has got its clock and its row; sched__died(), it goes. With
 * SCHED_CONTENTION also sched__contends() and sched__contended(): a watched thread wants a kernel
 * lock that is taken, and has it (or gave up). These see spinning too.
 *
 * With SCHED_OWN_PROGRAMS, on_switch and on_wakeup are the includer's: see lazy.bpf.h.
 *
 * A command that needs to know who a thread is, but not what it does, defines SCHED_STILL: no
 * program looks at switches and wake-ups, and a clock stands in STATE_OTHER while its thread lives.
 * One that needs its waits for a CPU only defines SCHED_QUEUED: from a thread's switch-in to the
 * begin of its next wait the clock stands in STATE_OTHER, and who goes to sleep is not looked at.
 */
#ifndef DWELL_SCHED_BPF_H
#define DWELL_SCHED_BPF_H

#include "lib/clock.bpf.h"
#include "lib/emit.bpf.h"

#ifndef SCHED_QUEUED
#include "lib/cause.bpf.h"
#include "lib/klock.bpf.h"
#else
static __always_inline u32 cause__classify(struct clock *clk, struct task_struct *task,
					   u32 task_state, bool current, bool tally)
{
	return STATE_OTHER;
}
#endif

#ifndef SCHED_LIFE
static __always_inline void sched__born(struct clock *clk, struct task_struct *task)
{
}

static __always_inline void sched__died(struct clock *clk, struct task_struct *task)
{
}
#endif

/* Are clocks turned where threads block? And the state of one that runs. */
#ifdef SCHED_QUEUED
#define SCHED_BLOCKS false
#define SCHED_RUNS   STATE_OTHER
#else
#define SCHED_BLOCKS true
#define SCHED_RUNS   STATE_CPU
#endif

#ifdef SCHED_CONTENTION
#define SCHED_SPINS true
#else
#define SCHED_SPINS false
static __always_inline void sched__contends(void *ctx, struct clock *clk, struct task_struct *task,
					    u64 lock, u32 flags)
{
}

static __always_inline void sched__contended(struct clock *clk, u64 lock)
{
}
#endif

/* Who had the CPU is asked by commands that include culprit.bpf.h: see there. */
#ifndef DWELL_CULPRIT_BPF_H
static __always_inline bool culprit__is_idle(void)
{
	return true;
}

static __always_inline void culprit__awaits(struct clock *clk)
{
}

static __always_inline void culprit__awaited(struct clock *clk)
{
}

static __always_inline void culprit__leaves(struct cpu *cpu, struct task_struct *task)
{
}
#endif

/* A command or cgroup that changes while a thread runs takes effect at its next switch. */
static __always_inline void sched__check_row(struct clock *clk, struct task_struct *task, u64 now)
{
	struct segment seg;
	u64 row;

	if (CONFIG(by) != BY_COMM && CONFIG(by) != BY_CGROUP)
		return;
	row = emit__row(task);
	if (likely(row == clk->row))
		return;
	clock__move(clk, clk->state, now, &seg);
	emit__rekey(clk, task, row);
}

static __always_inline bool sched__queued(const struct clock *clk)
{
	return clk->state == STATE_RUNQ || clk->state == STATE_PREEMPT;
}

/*
 * No hook saw the thread leave the CPU, or its wait for one end: how long it ran, or waited, is not
 * known. Or none saw it woken: then the wait is known, but not its share that was for the CPU.
 */
static __noinline __attribute__((unused)) void sched__unseen(struct clock *clk)
{
	loss__count(LOSS_MISSED);
	if (SCHED_BLOCKS && clk->state != STATE_CPU)
		return;
	clk->state = STATE_OTHER;
	clk->slot = TALLY_NONE;
}

#ifdef SCHED_QUEUED
/* A wait of @task for a CPU begins: how long it ran until then… */
static __always_inline void sched__queues(struct clock *clk, struct task_struct *task)
{
	clk->ran = FIELD(task, se.sum_exec_runtime);
}

/* …tells whether it ran since, and no hook saw it. */
static __always_inline bool sched__ran(struct clock *clk, struct task_struct *task)
{
	return clk->ran != (u32)FIELD(task, se.sum_exec_runtime);
}

/* One that sleeps and one that runs are in the same state. */
static __always_inline bool sched__is_awake(struct clock *clk, struct task_struct *task)
{
	if (!sched__queued(clk))
		return compat__on_cpu(task);
	if (likely(!sched__ran(clk, task)))
		return true;
	sched__unseen(clk);
	return false;
}
#else
static __always_inline void sched__queues(struct clock *clk, struct task_struct *task)
{
}

static __always_inline bool sched__ran(struct clock *clk, struct task_struct *task)
{
	return false;
}

static __always_inline bool sched__is_awake(struct clock *clk, struct task_struct *task)
{
	return clk->state == STATE_CPU || sched__queued(clk);
}
#endif

#ifndef SCHED_STILL
/*
 * The clock's thread leaves a CPU that no hook saw it get: its wait ended where the scheduler began
 * to count its run time, @ran ns ago. A kernel may keep switches from every tracer (while certain
 * threads run); that is counted, since the run queue's share of the wait is not known.
 */
VERIFIED_ONCE int sched__unseen_in(struct clock *clk, u64 ran, u64 now)
{
	struct segment seg;

	if (!clk)
		return 0;
	loss__count(LOSS_MISSED);
	now = clock__later(clk->since, now - (ran < now - clk->since ? ran : 0));
	clock__move(clk, SCHED_RUNS, now, &seg);
	sched__woken(clk, &seg);
	return 0;
}

static __always_inline void sched__ended(struct clock *clk)
{
	struct cpu_stat *stat = cpu_stat__get();

	if (!stat || !clk->ending)
		return;
	clk->ending = 0;
	__sync_fetch_and_add(&stat->ended, 1);
}

/*
 * Is @prev, which did not lose its CPU, going to sleep? Not if a signal was pending: __schedule()
 * then lets it run on, but up to 6.12 tells the hook what it had in mind. Nobody else may make it
 * TASK_RUNNING before the hook is over.
 */
static __always_inline bool sched__sleeps(struct task_struct *prev, u32 task_state)
{
	return task_state != TASK_RUNNING && compat__task_state(prev) != TASK_RUNNING;
}

/* Can what is asked whenever a segment begins change, too? */
static __always_inline bool sched__follows(void)
{
	return CONFIG_HAS(filter, FILTER_CHANGING) || CONFIG(by) == BY_COMM ||
	       CONFIG(by) == BY_CGROUP;
}

/* @prev, whose clock is @clk, leaves its CPU; @sleeps: it is not to have it again at once. */
static __always_inline void sched__leaves(void *ctx, struct clock *clk, struct task_struct *prev,
					  bool sleeps, u32 task_state, u64 now)
{
	bool dead = task_state & TASK_DEAD, watched;
	u32 state = STATE_NONE;
	struct segment seg;

	clock__notice(clk);
	culprit__awaited(clk);
	if (unlikely(clk->state != SCHED_RUNS && clk->state != STATE_NONE))
		sched__unseen_in(clk, compat__run_ns(prev), now);
	watched = !dead && filter__holds(prev);
	if (likely(watched)) {
		sched__check_row(clk, prev, now);
		state = STATE_PREEMPT;
		if (!sleeps)
			sched__queues(clk, prev);
		else if (SCHED_BLOCKS)
			state = cause__classify(clk, prev, task_state, true, SCHED_CAUSES);
		else
			state = SCHED_RUNS;
	}
	clock__move(clk, state, now, &seg);
	if (likely(watched)) {
		if (!sleeps)
			culprit__awaits(clk);
		sched__left(ctx, clk, prev);
	} else if (dead) {
		emit__exit(clk);
		sched__ended(clk);
		sched__died(clk, prev);
		clock__free(prev);
	}
}

static __always_inline bool sched__goes_to_sleep(struct task_struct *prev, bool preempted,
						 u32 task_state)
{
	return !(task_state & TASK_DEAD) && !preempted && sched__sleeps(prev, task_state);
}

static __always_inline void sched__out(void *ctx, struct task_struct *prev, bool preempted,
				       u32 task_state, u64 now)
{
	struct clock *clk;
	bool sleeps;

	if (!filter__maybe(prev))
		return;
	sleeps = sched__goes_to_sleep(prev, preempted, task_state);
	if (!SCHED_BLOCKS && sleeps && !sched__follows())
		return;
	clk = clock__get(prev);
	if (clk)
		sched__leaves(ctx, clk, prev, sleeps, task_state, now);
}

/* @next, whose clock is @clk, gets a CPU. */
static __always_inline void sched__gets(struct cpu *cpu, struct clock *clk,
					struct task_struct *next, u64 now)
{
	struct segment seg;

	culprit__awaited(clk);
	if (unlikely(clk->state != STATE_NONE && (!sched__queued(clk) || sched__ran(clk, next))))
		sched__unseen(clk);
	clock__turn(clk, filter__holds(next) ? SCHED_RUNS : STATE_NONE, now, &seg);
	sched__runs(cpu, clk, &seg, now);
}

static __always_inline void sched__in(struct cpu *cpu, struct task_struct *next, u64 now)
{
	struct clock *clk = filter__maybe(next) ? clock__get(next) : NULL;

	if (clk)
		sched__gets(cpu, clk, next, now);
}

/* @task is woken, whose clock is @clk. */
static __always_inline void sched__wakes(struct task_struct *task, struct clock *clk)
{
	struct segment seg;

	/* A wake-up of a thread that had not gone to sleep yet, or is queued already, is none. */
	if (sched__is_awake(clk, task))
		return;
	sched__queues(clk, task);
	culprit__awaits(clk);
	clock__turn(clk, filter__holds(task) ? STATE_RUNQ : STATE_NONE, bpf_ktime_get_ns(), &seg);
	sched__woken(clk, &seg);
}

#ifndef SCHED_OWN_PROGRAMS
/* One process is watched, and neither is of it: the least that a switch can cost. */
static __always_inline bool sched__is_others(struct task_struct *prev, struct task_struct *next)
{
	return CONFIG_HAS(filter, FILTER_TGID) && !CONFIG(follow) && !filter__maybe(prev) &&
	       !filter__maybe(next) && culprit__is_idle();
}

SEC_TP("sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct cpu *cpu = cpu__event(PROG_SWITCH);
	u32 task_state;
	u64 now;

	if (!cpu || sched__is_others(prev, next))
		return 0;
	now = bpf_ktime_get_ns();
	task_state = CONFIG(switch_has_state) ? (u32)ctx[3] : compat__task_state(prev);
	culprit__leaves(cpu, prev);
	sched__out(ctx, prev, preempt, task_state, now);
	sched__in(cpu, next, now);
	sched__switched(cpu, next, now);
	return 0;
}

SEC_TP("sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task)
{
	struct clock *clk;

	cpu__event(PROG_WAKEUP);
	if (!filter__maybe(task))
		return 0;
	clk = clock__get(task);
	if (clk)
		sched__wakes(task, clk);
	return 0;
}

#endif
#endif

#ifdef TALLY_OWN
/* For clock__is_alone(): does @child, just made, join the process that the clock is of? */
static __always_inline void sched__shares(struct clock *clk, struct task_struct *child)
{
	if (FIELD(child, tgid) != FIELD(child, pid))
		clk->shared = 1;
}

/* The same of a thread that was there. What changes once it has a clock, hooks tell. */
static __always_inline void sched__finds(struct clock *clk, struct task_struct *task)
{
	if (BPF_CORE_READ(task, signal, nr_threads) != 1)
		clk->shared = 1;
}
#else
static __always_inline void sched__shares(struct clock *clk, struct task_struct *child)
{
}

static __always_inline void sched__finds(struct clock *clk, struct task_struct *task)
{
}
#endif

/* Does it matter whether the parent of @child has a clock? A look at it takes a while. */
static __always_inline bool sched__asks_parent(struct task_struct *child)
{
	return CONFIG_HAS(filter, FILTER_FIXED) || FIELD(child, tgid) != FIELD(child, pid);
}

/* The state of a thread's clock that begins while the thread runs, or is about to. */
#ifdef SCHED_STILL
#define SCHED_BORN STATE_OTHER
#else
#define SCHED_BORN STATE_RUNQ
#endif

/* In copy_process(): process context, so that a clock may be allocated; the child is not queued. */
SEC_TP("task_newtask")
int BPF_PROG(on_newtask, struct task_struct *child)
{
	struct task_struct *parent = compat__current();
	struct clock *clk;
	bool watched;

	cpu__event(PROG_NEWTASK);
	if (CONFIG(lazy))
		return 0;
	clk = sched__asks_parent(child) ? clock__get(parent) : NULL;
	watched = clk && clk->state != STATE_NONE;
	if (clk)
		sched__shares(clk, child);
	if (!filter__inherits(parent, child, watched))
		return 0;
	clk = clock__create(child);
	if (!clk)
		return 0;
	sched__shares(clk, child);
	clk->row = emit__row(child);
	sched__born(clk, child);
	culprit__awaits(clk);
	clock__start(clk, filter__holds(child) ? SCHED_BORN : STATE_NONE, TALLY_NONE,
		     bpf_ktime_get_ns());
#ifdef DWELL_STACK_BPF_H
	kmemo__born(child);
	stack__forked(parent, child);
#endif
	return 0;
}

#ifdef SCHED_STILL
/* Nobody comes when it leaves its CPU for good: its account is handed over now. */
static __always_inline void sched__ending(struct task_struct *task)
{
	struct clock *clk = clock__get(task);
	struct segment seg;

	if (!clk || !clk->row)
		return;
	clock__turn(clk, STATE_NONE, bpf_ktime_get_ns(), &seg);
	emit__exit(clk);
	sched__died(clk, task);
	clock__free(task);
}
#else
/*
 * In do_exit(), before the task leaves the list that iterators walk: from then until it leaves its
 * CPU for good only this tells user space that an account is still to come.
 */
static __always_inline void sched__ending(struct task_struct *task)
{
	struct cpu_stat *stat = cpu_stat__get();
	struct clock *clk = clock__get(task);

	if (!stat || !clk || !clk->row)
		return;
	clk->ending = 1;
	__sync_fetch_and_add(&stat->ending, 1);
}
#endif

SEC_TP("sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	cpu__event(PROG_EXIT);
	sched__ending(task);
	return 0;
}

#if !defined(SCHED_STILL) && !defined(SCHED_QUEUED)
/* ee042be16cb4, 5.19: absent before, and then time on kernel locks is fs, other… */
SEC_TP_OPTIONAL("contention_begin")
int BPF_PROG(on_contention_begin, void *lock, u32 flags)
{
	struct task_struct *task = compat__current();
	struct clock *clk;

	cpu__event(PROG_CONTENTION);
	if ((flags & LCB_F_SPIN) && !SCHED_SPINS)
		return 0;
	if (!filter__maybe(task))
		return 0;
	clk = clock__get(task);
	if (!clk)
		return 0;
	flags |= klock__class(task, (u64)lock, flags) << KLOCK_CLASS_SHIFT;
	sched__contends(ctx, clk, task, (u64)lock, flags);
	if (flags & LCB_F_SPIN)
		return 0;
	clk->klock_flags = flags;
	clk->klock = (u64)lock;
	return 0;
}

SEC_TP_OPTIONAL("contention_end")
int BPF_PROG(on_contention_end, void *lock)
{
	struct task_struct *task = compat__current();
	struct clock *clk;

	cpu__event(PROG_CONTENTION);
	if (!filter__maybe(task))
		return 0;
	clk = clock__get(task);
	if (!clk)
		return 0;
	sched__contended(clk, (u64)lock);
	if (clk->klock == (u64)lock)
		clk->klock = 0;
	return 0;
}

#endif

/* The state of a thread that no hook has seen yet, from what its task says. */
static __always_inline u32 sched__seed_state(struct clock *clk, struct task_struct *task)
{
	u32 task_state = compat__task_state(task);

	if (!filter__holds(task))
		return STATE_NONE;
	if (SCHED_BORN == STATE_OTHER)
		return STATE_OTHER;
	if (compat__on_cpu(task))
		return SCHED_RUNS;
	if (task_state == TASK_RUNNING) {
		sched__queues(clk, task);
		return STATE_RUNQ;
	}
	if (!SCHED_BLOCKS)
		return SCHED_RUNS;
	return cause__classify(clk, task, task_state, false, SCHED_CAUSES);
}

/* It was leaving its CPU when it was seen, past the hook but still there; no hook came since. */
static __always_inline bool sched__slipped(struct clock *clk, struct task_struct *task)
{
	return clk->state == SCHED_RUNS && !clk->seq && !compat__on_cpu(task);
}

/* @task is seen for the first time; false if a hook was faster. */
static __always_inline bool sched__meets(struct clock *clk, struct task_struct *task)
{
	clk->row = emit__row(task);
	sched__born(clk, task);
#ifdef DWELL_STACK_BPF_H
	kmemo__born(task);
#endif
	if (likely(clk->state == STATE_NONE))
		return true;
	/* It knew no row: what it remembers is nobody's. */
	clock__forget(clk);
	return false;
}

/* Before the run: gives every thread that exists a clock. Run twice, so that none slips through. */
SEC("iter/task")
int seed(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct clock *clk;
	u32 state, slot;
	bool fresh;

	if (CONFIG(lazy) || !task || task->exit_state || !filter__admits(task))
		return 0;
	clk = clock__create(task);
	if (!clk)
		return 0;
	fresh = clk->row ? sched__slipped(clk, task) : sched__meets(clk, task);
	sched__finds(clk, task);
	if (!fresh)
		return 0;
	state = sched__seed_state(clk, task);
	slot = state == STATE_NONE ? TALLY_NONE : sched__seeded(clk, state);
	/* The holder of a lock could not be read from here: the next wait is not this one. */
	clock__forget(clk);
	/* Which of the two it was, the clock tells: the verifier then goes through this once. */
	if (!*(volatile u64 *)&clk->since) {
		if (state == STATE_RUNQ)
			culprit__awaits(clk);
		clock__start(clk, state, slot, bpf_ktime_get_ns());
	} else if (!*(volatile u32 *)&clk->seq) {
		clk->slot = slot;
		compat__claim(&clk->state, SCHED_RUNS, state);
	}
	return 0;
}

/* seq_write()'s own test: fs/seq_file.c */
static __always_inline bool sched__has_room(struct seq_file *seq, u64 size)
{
	return seq->count + size < seq->size;
}

/* After an epoch: each thread's account of it, without changing the clocks. */
SEC("iter/task")
int collect(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	u32 epoch = window.epoch - 1, seq;
	struct seq_file *seq_file = ctx->meta->seq;
	struct thread_rec rec;
	struct clock *clk;

	/* Once: see path.bpf.h for what it costs to follow. */
	barrier_var(seq_file);
	if (!task)
		return 0;
	clk = clock__get(task);
	if (!clk || !clk->row)
		return 0;
	seq = *(volatile u32 *)&clk->seq;
	emit__account(&rec, clk, epoch, window__start(epoch + 1));
	emit__identity(&rec, clk, task);
	/* The clock was turned meanwhile, or is another thread's: user space comes again. */
	if ((seq & 1) || seq != *(volatile u32 *)&clk->seq) {
		rec.flags = THREAD_TORN;
		bpf_seq_write(seq_file, &rec, sizeof(rec));
		return 0;
	}
	if (clk->ending)
		rec.flags |= THREAD_ENDING;
	/* Without room the write fails, and the kernel comes again with it: no claim yet. */
	if (sched__has_room(seq_file, sizeof(rec)) && !emit__claim(clk, epoch)) {
		if (!clk->ending)
			return 0;
		rec.flags |= THREAD_TAKEN;
	}
	bpf_seq_write(seq_file, &rec, sizeof(rec));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#endif
