/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Handing threads' accounts to user space: through an iterator, or a ring where a thread ends. */
#ifndef DWELL_EMIT_BPF_H
#define DWELL_EMIT_BPF_H

#include "lib/clock.bpf.h"
#include "lib/peek.bpf.h"
#include "thread.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

/* The id of @task's cgroup (v2). */
static __always_inline u64 emit__cgroup(struct task_struct *task)
{
	return FOLLOW(task_struct, task, cgroups, dfl_cgrp, kn, id);
}

/* What the row of @task is: see enum group_by. */
static __always_inline u64 emit__row(struct task_struct *task)
{
	struct task_struct *whole = CONFIG(by) == BY_THREAD ? task : FIELD(task, group_leader);
	u64 comm[2];

	if (CONFIG(by) >= BY_ALL)
		return 1;
	if (CONFIG(by) == BY_CGROUP)
		return emit__cgroup(task);
	if (CONFIG(by) == BY_COMM) {
		compat__comm_key(task, comm);
		return comm[0] * 0x9e3779b97f4a7c15ULL ^ comm[1];
	}
	/* The start time tells processes apart that had the same id one after the other. */
	return (u64)FIELD(whole, pid) << 32 | (u32)FIELD(whole, start_boottime);
}

static __always_inline void emit__identity(struct thread_rec *rec, struct clock *clk,
					   struct task_struct *task)
{
	rec->row = clk->row;
	rec->start_ns = FIELD(task, start_boottime);
	rec->cgroup = emit__cgroup(task);
	rec->tid = FIELD(task, pid);
	rec->tgid = FIELD(task, tgid);
	rec->pad = 0;
	compat__comm(task, (u64 *)rec->comm);
}

static __always_inline void emit__times(struct thread_rec *rec, const u64 *times, bool known)
{
#pragma unroll
	for (int i = 0; i < NR_STATES; i++)
		rec->ns[i] = known && CLOCK_KEEPS(i) ? times[CLOCK_INDEX(i)] : 0;
}

/* What the thread kept to itself: see bpf/runq.bpf.c. */
static __always_inline void emit__early(struct thread_rec *rec, const struct clock *clk)
{
#ifdef CLOCK_EARLY
	/* All bits or none: for a branch the verifier would look at the rest once more. */
	u64 keeps = -(s64)clk->earlies >> 63;
#endif

#pragma unroll
	for (int i = 0; i < THREAD_EARLY; i++) {
#ifdef CLOCK_EARLY
		rec->early[i] = clk->early[i] & keeps;
#else
		rec->early[i] = 0;
#endif
	}
}

/*
 * The account of @epoch, which is the clock's own, the one before it, or a later one that it has
 * not noticed yet; @end is where the epoch ended.
 */
static __always_inline void emit__account(struct thread_rec *rec, struct clock *clk, u32 epoch,
					  u64 end)
{
	u32 of = clk->epoch;
	u64 since = clk->since;

	rec->epoch = epoch;
	rec->flags = 0;
	rec->spill_slot = rec->open_slot = TALLY_NONE;
	rec->spill_ns = rec->open_ns = rec->open_total_ns = 0;
	rec->open_state = STATE_NONE;
	emit__times(rec, clock__times(clk, epoch), of >= epoch);
	emit__early(rec, clk);
	if (of > epoch) {
		rec->spill_slot = clk->spill_slot;
		rec->spill_ns = clk->spill_ns;
		return;
	}
	if (clk->state == STATE_NONE)
		return;
	rec->flags = THREAD_OPEN;
	rec->open_state = clk->state;
	rec->open_slot = clk->slot;
	rec->open_ns = clock__span(clock__later(since, window__start(epoch)), end);
	rec->open_total_ns = clock__span(clock__later(since, window.run_start), end);
	rec->ns[rec->open_state & STATE_MASK] += rec->open_ns;
}

/* Each epoch of a thread is handed over once, by the iterator or at the thread's end. */
static __always_inline bool emit__claim(struct clock *clk, u32 epoch)
{
	u32 last = clk->emitted;

	return last < epoch && compat__claim(&clk->emitted, last, epoch);
}

/*
 * User space empties the ring at its own pace, unless it fills up; whether it does is looked at
 * once in so many records, since what says so is memory of its own.
 */
static __always_inline void emit__submit(struct thread_rec *rec)
{
	struct cpu_stat *stat = cpu_stat__get();
	u64 wake = BPF_RB_NO_WAKEUP;

	if ((!stat || !(++stat->emitted & CONFIG(ring_mask))) &&
	    bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) * 2 >
		    bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE))
		wake = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(rec, wake);
}

static __always_inline void emit__ended(struct clock *clk, struct task_struct *task, u32 epoch,
					u32 flags)
{
	struct thread_rec *rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);

	if (!rec) {
		loss__count(LOSS_RING_FULL);
		return;
	}
	emit__identity(rec, clk, task);
	emit__account(rec, clk, epoch, 0);
	rec->flags |= flags;
	emit__submit(rec);
}

/* The epoch before has just ended, and the iterator may not have come to this thread. */
static __always_inline void emit__before(struct clock *clk, struct task_struct *task, u32 epoch)
{
	if (epoch > 1 && emit__claim(clk, epoch - 1))
		emit__ended(clk, task, epoch - 1, 0);
}

/* The current thread will not run again; its clock was turned to STATE_NONE just now. */
VERIFIED_ONCE int emit__exit(struct clock *clk)
{
	struct task_struct *task = compat__current();
	u32 epoch;

	if (!clk)
		return 0;
	epoch = clk->epoch;
	emit__before(clk, task, epoch);
	if (epoch && emit__claim(clk, epoch))
		emit__ended(clk, task, epoch, THREAD_EXITED);
	return 0;
}

/* @task goes on under another row: what it did so far is handed over under the old one. */
static __noinline __attribute__((unused)) void emit__rekey(struct clock *clk,
							   struct task_struct *task, u64 row)
{
	u32 epoch = clk->epoch;

	if (clk->row && epoch) {
		emit__before(clk, task, epoch);
		emit__ended(clk, task, epoch, THREAD_PARTIAL);
	}
	clock__retire(clk, epoch);
	clk->row = row;
	clock__forget(clk);
}

#ifndef CLOCK_QUEUED
/* The first of its threads keeps what was told of a process, for the others; true: it had this. */
static __always_inline bool emit__is_told(struct task_struct *task, u64 mm, u64 code)
{
	struct clock *clk = clock__get(FIELD(task, group_leader));

	if (!clk)
		return false;
	if (clk->mm == mm && clk->code == code)
		return true;
	clk->mm = mm;
	clk->code = code;
	return false;
}

/*
 * A process's first stacks, or the first since an exec or since code was mapped: user space reads
 * its mappings now, for they may be gone when the stacks are to be resolved. The current thread's.
 */
VERIFIED_ONCE int emit__tell(struct clock *clk)
{
	struct task_struct *task = compat__current();
	struct mm_struct *mm = FIELD(task, mm);
	struct thread_seen *seen;
	bool told;
	u64 code;

	if (!clk || !mm)
		return 0;
	code = FIELD(mm, exec_vm);
	told = emit__is_told(task, (u64)mm, code);
	clk->mm = (u64)mm;
	clk->code = code;
	if (told)
		return 0;
	seen = bpf_ringbuf_reserve(&ring, sizeof(*seen), 0);
	if (!seen)
		return 0; /* the stacks are there all the same, some perhaps without names */
	seen->tgid = FIELD(task, tgid);
	seen->pad = 0;
	seen->mm = (u64)mm;
	seen->code = code;
	bpf_ringbuf_submit(seen, BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* The stack of @task, the current thread, was looked at. */
static __always_inline void emit__seen(struct clock *clk, struct task_struct *task)
{
	struct mm_struct *mm = FIELD(task, mm);

	/* Another number of pages of code means that something was mapped. */
	if (mm && unlikely((u64)mm != clk->mm || FIELD(mm, exec_vm) != clk->code))
		emit__tell(clk);
}
#endif

#endif
