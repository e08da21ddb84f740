/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The state clock: at each moment a watched thread is in one state; turning the clock ends one
 * segment and begins the next, so the segments add up to the thread's wall-clock time.
 *
 * Who writes: only the scheduler's hooks for that thread, which the kernel runs under the run-queue
 * lock that holds the thread, one after the other. So plain stores do. Who reads: iterators and
 * the hooks themselves; `seq` tells a reader that it saw a clock in the middle of a turn.
 */
#ifndef DWELL_CLOCK_BPF_H
#define DWELL_CLOCK_BPF_H

#include "lib/filter.bpf.h"
#include "lib/loss.bpf.h"
#include "lib/window.bpf.h"
#include "state.h"
#include "tally.h"

/* What a blocked thread was seen waiting for last, and what was found out about it. */
struct clock_memo {
	u64 word;
	u64 id;
	u64 id2;
	u32 state;
	u32 slot;
};

/* What a thread waited for CPUs and is not charged to anybody yet: see culprit.bpf.h. */
struct culprit_debt {
	u64 waited[2]; /* ns of waits after a wake-up and a preemption that were not divided */
	u64 unnamed;   /* ns charged to the others since a tally was taken last */
	u32 epoch;     /* that all of this is of */
	u32 tallies;   /* that this thread took */
};

struct clock {
	u64 since; /* start of the open segment, ns */
	u32 state; /* enum dwell_state of the open segment */
	u32 seq;   /* odd while the clock is being turned */
	u32 epoch; /* of the last turn */
	u32 slot;  /* tally of the open segment, or TALLY_NONE */
	u64 row;
	u64 klock; /* sleeping kernel lock that it contends for: address or 0 */
	u32 klock_flags;
	u32 emitted;    /* the last epoch that was handed over */
	u32 spill_slot; /* the segment that crossed into `epoch`: its tally and… */
	u32 ending;     /* it exits: counted in cpu_stat.ending, but not in .ended yet */
	u64 spill_ns;   /* …its part in the epoch before the last turn's */
	struct clock_memo memo;
	struct culprit_debt debt;
	u64 stack; /* the stacks with which it left the CPU: stack__ids() */
	u64 mm;    /* address space that was told of, and… */
	u64 code;  /* …its pages of code then: emit__seen() */
	/* Time in each state: of epochs before, and of the last two by the epoch's lowest bit. */
	u64 past[NR_STATES];
	u64 bank[2 * NR_STATES];
};

/* A segment that ended. */
struct segment {
	u32 state;
	u32 slot;
	u32 epoch;
	u32 pad;
	u64 inside; /* ns of it in the epoch */
	u64 total;  /* ns of it since the run's start */
};

#ifndef DWELL_RAW
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct clock);
} clocks SEC(".maps");

static __always_inline struct clock *clock__get(struct task_struct *task)
{
	return bpf_task_storage_get(&clocks, task, NULL, 0);
}

/*
 * Only where the run-queue lock is not held: this allocates, and an allocation may wake a kernel
 * thread.
 */
static __always_inline struct clock *clock__create(struct task_struct *task)
{
	struct clock *clk =
		bpf_task_storage_get(&clocks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!clk)
		loss__count(LOSS_THREAD);
	return clk;
}

/* Goes with the task. */
static __always_inline void clock__free(struct task_struct *task)
{
}
#else
/* Before task storage for tracing (a10787e6d58c, 5.11): a hash by the task's address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u64);
	__type(value, struct clock);
} clocks SEC(".maps");

static const struct clock clock_zero;

static __always_inline struct clock *clock__get(struct task_struct *task)
{
	u64 key = (u64)task;

	return bpf_map_lookup_elem(&clocks, &key);
}

static __always_inline struct clock *clock__create(struct task_struct *task)
{
	u64 key = (u64)task;
	struct clock *clk = bpf_map_lookup_elem(&clocks, &key);

	if (clk)
		return clk;
	bpf_map_update_elem(&clocks, &key, &clock_zero, BPF_NOEXIST);
	clk = bpf_map_lookup_elem(&clocks, &key);
	if (!clk)
		loss__count(LOSS_THREAD);
	return clk;
}

static __always_inline void clock__free(struct task_struct *task)
{
	u64 key = (u64)task;

	bpf_map_delete_elem(&clocks, &key);
}
#endif

static __always_inline u64 clock__later(u64 a, u64 b)
{
	return a > b ? a : b;
}

static __always_inline u64 clock__span(u64 from, u64 to)
{
	return to > from ? to - from : 0;
}

static __always_inline u64 *clock__bank(struct clock *clk, u32 epoch, u32 state)
{
	u64 i = (u64)(epoch & 1) * NR_STATES + (state & STATE_MASK);

	/* Verifiers up to 6.1 don't see the bound of an OR, which this is: the mask shows it. */
	barrier_var(i);
	return &clk->bank[i & (2 * NR_STATES - 1)];
}

/*
 * The first turn in a new epoch: the open segment's part before the cut goes to the old epoch's
 * bank, and the older of the two banks becomes the new epoch's.
 */
static __noinline void clock__cross(struct clock *clk, u32 epoch)
{
	u32 before = epoch - 1, i;
	bool adjacent = clk->epoch == before;
	u64 part =
		clock__span(clock__later(clk->since, window__start(before)), window__start(epoch));

	for (i = 0; i < NR_STATES; i++) {
		/* The bank that is reused holds epoch - 2's or older times: they are past. */
		clk->past[i] += *clock__bank(clk, epoch, i);
		*clock__bank(clk, epoch, i) = 0;
		if (!adjacent) {
			clk->past[i] += *clock__bank(clk, before, i);
			*clock__bank(clk, before, i) = 0;
		}
	}
	/* A clock that slept through whole epochs: what lies before the last one is past. */
	if (!adjacent)
		clk->past[clk->state & STATE_MASK] +=
			clock__span(clk->since, window__start(before));
	*clock__bank(clk, before, clk->state) += part;
	clk->spill_ns = part;
	clk->spill_slot = clk->slot;
	clk->epoch = epoch;
}

/*
 * Ends the open segment at @now (told in @seg) and begins one in @state. Time never goes back: not
 * behind the segment's begin, which another CPU may have read from a clock that was ahead, and not
 * behind the epoch's, which is announced before it begins.
 */
static __always_inline void clock__turn(struct clock *clk, u32 state, u64 now, struct segment *seg)
{
	u32 epoch = window.epoch;
	u64 since = clk->since, from;

	(*(volatile u32 *)&clk->seq)++;
	compat__wmb();
	if (unlikely(clk->epoch != epoch))
		clock__cross(clk, epoch);
	from = clock__later(since, window__start(epoch));
	now = clock__later(now, from);
	seg->state = clk->state;
	seg->slot = clk->slot;
	seg->epoch = epoch;
	seg->inside = now - from;
	seg->total = clock__span(clock__later(since, window.run_start), now);
	*clock__bank(clk, epoch, clk->state) += seg->inside;
	clk->state = state;
	clk->since = now;
	clk->slot = TALLY_NONE;
	compat__wmb();
	(*(volatile u32 *)&clk->seq)++;
}

/* Sets a clock that no hook has turned yet; hooks that come at the same time win. */
static __always_inline bool clock__start(struct clock *clk, u32 state, u32 slot, u64 now)
{
	u32 epoch = window.epoch;

	clk->since = clock__later(now, window__start(epoch));
	clk->slot = slot;
	clk->spill_slot = TALLY_NONE;
	clk->epoch = epoch;
	clk->emitted = epoch ? epoch - 1 : 0; /* of what was before there is nothing to hand over */
	return compat__claim(&clk->state, STATE_NONE, state);
}

/* The time in @state up to @now, monotonic over the whole run: spans are differences of it. */
static __always_inline u64 clock__read(struct clock *clk, u32 state, u64 now)
{
	u64 ns = clk->past[state & STATE_MASK] + *clock__bank(clk, 0, state) +
		 *clock__bank(clk, 1, state);

	return ns + (clk->state == state ? clock__span(clk->since, now) : 0);
}

#endif
