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
#ifndef DWELL_RAW
#include "lib/seat.bpf.h"
#endif
#include "lib/window.bpf.h"
#include "state.h"
#include "tally.h"

/* What a command keeps in each thread's clock: members, set before this file is included. */
#ifndef CLOCK_EXTRA
#define CLOCK_EXTRA
#endif

/*
 * A new thread's clock is cleared, and those of threads by the hundred share the cache with what
 * they do. So what only some commands need is not in all clocks:
 *
 *   CLOCK_READS   clock__read() is used: times of the whole run are kept, not of two epochs alone
 *   CLOCK_QUEUED  for SCHED_QUEUED: nothing of what a thread is blocked on; and never are clocks
 *                 turned to others than four states
 *
 * The states whose time is kept, and the index of each below their number, a power of two.
 */
#ifdef CLOCK_QUEUED
#define CLOCK_STATES       4
#define CLOCK_INDEX(state) (((state) + ((state) >> 3) * 2) & (CLOCK_STATES - 1))
#define CLOCK_KEEPS(state)                                                                         \
	((state) == STATE_NONE || (state) == STATE_OTHER || (state) == STATE_RUNQ ||               \
	 (state) == STATE_PREEMPT)
_Static_assert(CLOCK_INDEX(STATE_NONE) == 0 && CLOCK_INDEX(STATE_OTHER) == 1 &&
		       CLOCK_INDEX(STATE_RUNQ) == 2 && CLOCK_INDEX(STATE_PREEMPT) == 3,
	       "each has its own");
#else
#define CLOCK_STATES       NR_STATES
#define CLOCK_INDEX(state) ((state)&STATE_MASK)
#define CLOCK_KEEPS(state) true
#endif

/* What a blocked thread was seen waiting for last, and what was found out about it. */
struct clock_memo {
	u64 word;
	u64 id;
	u64 id2;
	u32 state;
	u32 slot;
};

/* How many such waits a thread keeps besides: a command that finds tallies for them has some. */
#ifndef CLOCK_MEMOS
#define CLOCK_MEMOS 0
#endif

/* What a thread waited for CPUs and is not charged to anybody yet: see culprit.bpf.h. */
struct culprit_debt {
	u64 waited[2]; /* ns of waits after a wake-up and a preemption that were not divided */
	u32 epoch;     /* that all of this is of */
	u16 unnamed;   /* ns charged to the others since a tally was taken last, or CULPRIT_WORTH */
	u16 tallies;   /* that this thread took */
};

/*
 * What each switch needs comes first, in few cache lines: a line each for what the thread does, for
 * what it waits for, and for each half of the states in an epoch.
 */
struct clock {
	u64 since; /* start of the open segment, ns; from epoch 1 on not before the run's */
	u64 from;  /* what is in no bank yet begins here: `since`, or where the epoch did */
	u32 state; /* enum dwell_state of the open segment */
	u32 seq;   /* odd while the clock is being turned */
	u32 epoch; /* of the last turn */
	u32 slot;  /* tally of the open segment, or TALLY_NONE */
	u64 row;
	u8 queued; /* it is counted in culprit_awaited */
	u8 ending; /* it exits: counted in cpu_stat.ending, but not in .ended yet */
#ifdef CLOCK_QUEUED
	u8 earlies; /* waits that it keeps to itself, as long as… */
	u8 late;    /* …it had no more of them: see bpf/runq.bpf.c */
	u32 ran;    /* ns that it had run where its wait began, the low half: sched__queues() */
#else
	u8 shared;  /* its process has, or had, more threads: see clock__is_alone() */
	u8 follows; /* why: its wait for a lock is followed */
	u32 klock_flags;
	u64 klock; /* sleeping kernel lock that it contends for: address or 0 */
	u64 stack; /* the stacks with which it left the CPU: stack__ids() */

	struct clock_memo memo;
	struct culprit_debt debt;
#endif
	u64 spill_ns; /* the segment that crossed into `epoch`: its part in the epoch before… */
#ifdef CLOCK_QUEUED
	u32 spill_slot; /* …and its tally */
	u32 emitted;    /* the last epoch that was handed over */
#endif

	/* Time in each state, of the last two epochs by the epoch's lowest bit… */
	u64 bank[2 * CLOCK_STATES];
#ifdef CLOCK_READS
	u64 past[CLOCK_STATES]; /* …and of those before */
#endif
#ifdef CLOCK_QUEUED
	struct culprit_debt debt;
#else
#if CLOCK_MEMOS
	struct clock_memo before[CLOCK_MEMOS]; /* waits before that one, the last one first */
#endif
	u32 spill_slot;
	u32 emitted;
	u64 mm;   /* address space that was told of, and… */
	u64 code; /* …its pages of code then: emit__seen() */
#endif
#ifdef CLOCK_EXTRA
	CLOCK_EXTRA /* what a command keeps for each thread besides */
#endif
} __attribute__((aligned(64)));

_Static_assert(__builtin_offsetof(struct clock, bank) % 64 == 0, "lines");

/* A segment that ended. */
struct segment {
	u32 state;
	u32 slot;
	u32 epoch;
	u32 pad;
	u64 inside; /* ns of it in the epoch */
	u64 total;  /* ns of it since the run's start */
};

/* All of a clock that is nobody's, or a dead thread's. */
VERIFIED_ONCE int clock__reset(struct clock *clk)
{
	volatile u64 *word = (volatile u64 *)clk;

	if (!clk)
		return 0;
#pragma unroll
	for (unsigned long i = 0; i < sizeof(*clk) / sizeof(*word); i++)
		word[i] = 0;
	return 0;
}

/* How many threads have a clock at once is said before this is loaded. */
#ifndef DWELL_RAW
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE); /* or it does not begin where a cache line does */
	__type(key, u32);
	__type(value, struct clock);
} clocks SEC(".maps");

/* Without a number, 0, there is none. */
static __always_inline struct clock *clock__at(u32 number)
{
	u32 i = number - 1;

	return bpf_map_lookup_elem(&clocks, &i);
}

static __always_inline struct clock *clock__get(struct task_struct *task)
{
	return clock__at(seat__find(task));
}

/* Certainly without a clock: quicker to tell than what clock it has. */
static __always_inline bool clock__is_unknown(struct task_struct *task)
{
	return seat__is_unknown(seat__key(task));
}

static __always_inline struct clock *clock__new(struct task_struct *task)
{
	u32 number = seat__number(&clocks);
	struct clock *clk = clock__at(number);
	u64 key = seat__key(task);

	if (!clk)
		return NULL;
	clock__reset(clk);
	if (likely(seat__sit(key, number)))
		return clk;
	/* Of two that seat the same thread, both use the clock that is found. */
	return seat__sit_somewhere(key, number) ? clock__get(task) : NULL;
}

static __always_inline void clock__free(struct task_struct *task)
{
	seat__leave(seat__key(task));
}
#else
/* Before atomics that return a value (5ffa25502b5a, 5.12): a hash by the task's address. */
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

static __always_inline bool clock__is_unknown(struct task_struct *task)
{
	return false;
}

static __always_inline struct clock *clock__new(struct task_struct *task)
{
	u64 key = (u64)task;

	bpf_map_update_elem(&clocks, &key, &clock_zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(&clocks, &key);
}

static __always_inline void clock__free(struct task_struct *task)
{
	u64 key = (u64)task;

	bpf_map_delete_elem(&clocks, &key);
}
#endif

/* It was turned last before @task began: that of a thread before, whose end no hook saw. */
static __always_inline bool clock__is_stale(const struct clock *clk, struct task_struct *task)
{
	return clk->since && clk->since < FIELD(task, start_time);
}

/* @task's clock, never turned if it had none; NULL, and counted: there is none left. */
static __always_inline struct clock *clock__create(struct task_struct *task)
{
	struct clock *clk = likely(clock__is_unknown(task)) ? NULL : clock__get(task);

	if (!clk)
		clk = clock__new(task);
	else if (clock__is_stale(clk, task))
		clock__reset(clk);
	if (!clk)
		loss__count(LOSS_THREAD);
	return clk;
}

/* What it was blocked on last is not what it is blocked on next, even if it looks the same. */
static __always_inline void clock__forget(struct clock *clk)
{
#ifndef CLOCK_QUEUED
	clk->memo.word = 0;
#endif
#if CLOCK_MEMOS
	for (int i = 0; i < CLOCK_MEMOS; i++)
		clk->before[i].word = 0;
#endif
}

#ifndef CLOCK_QUEUED
/*
 * Is no other thread of @clk's row? What only such a thread's hooks write, they write one after the
 * other: no atomic operation is needed, and these wait for all that was not in the cache before.
 * Commands that ask define TALLY_OWN, or else clock.shared is not kept.
 */
static __always_inline bool clock__is_alone(const struct clock *clk)
{
	return CONFIG(by) == BY_THREAD || (CONFIG(by) == BY_PROCESS && likely(!clk->shared));
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
	u64 i = (u64)(epoch & 1) * CLOCK_STATES + CLOCK_INDEX(state);

	/* Verifiers up to 6.1 don't see the bound of an OR, which this is: the mask shows it. */
	barrier_var(i);
	return &clk->bank[i & (2 * CLOCK_STATES - 1)];
}

/* An epoch's whole bank, for loops: the verifier takes longer for a bound of each element. */
static __always_inline u64 *clock__times(struct clock *clk, u32 epoch)
{
	u64 first = (u64)(epoch & 1) * CLOCK_STATES;

	barrier_var(first);
	return &clk->bank[first & CLOCK_STATES];
}

/* @ns more of the time in state number @i, of epochs before. */
static __always_inline void clock__past(struct clock *clk, u32 i, u64 ns)
{
#ifdef CLOCK_READS
	clk->past[i] += ns;
#endif
}

/* What the bank that is reused for @epoch holds is past. */
static __always_inline void clock__retire(struct clock *clk, u32 epoch)
{
	u64 *times = clock__times(clk, epoch);

#pragma unroll
	for (int i = 0; i < CLOCK_STATES; i++) {
		clock__past(clk, i, times[i]);
		times[i] = 0;
	}
}

/*
 * The first turn in a new epoch: the open segment's part before the cut goes to the old epoch's
 * bank, and the older of the two banks becomes the new epoch's. What the turns in between would
 * look up each time is reckoned here: from where they count, in the epoch and in the run.
 */
VERIFIED_ONCE int clock__cross(struct clock *clk, u32 epoch)
{
	u32 before = epoch - 1;
	bool adjacent;
	u64 part;

	if (!clk)
		return 0;
	adjacent = clk->epoch == before;
	part = clock__span(clock__later(clk->since, window__start(before)), window__start(epoch));
	clock__retire(clk, epoch);
	/* A clock that slept through whole epochs: what lies before the last one is past. */
	if (!adjacent) {
		clock__retire(clk, before);
		clock__past(clk, CLOCK_INDEX(clk->state),
			    clock__span(clk->since, window__start(before)));
	}
	*clock__bank(clk, before, clk->state) += part;
	clk->spill_ns = part;
	clk->spill_slot = clk->slot;
	if (!clk->epoch)
		clk->since = clock__later(clk->since, window.run_start);
	clk->from = clock__later(clk->since, window__start(epoch));
	clk->epoch = epoch;
	return 0;
}

/* What a reader is to see as a whole is written between these two: `seq`. */
static __always_inline void clock__change(struct clock *clk)
{
	(*(volatile u32 *)&clk->seq)++;
	compat__wmb();
}

static __always_inline void clock__changed(struct clock *clk)
{
	compat__wmb();
	(*(volatile u32 *)&clk->seq)++;
}

/*
 * The clock goes over to the epoch that has begun. What follows in the same hook, with a time that
 * was taken before, needs no other look: clock__move().
 */
static __always_inline void clock__notice(struct clock *clk)
{
	u32 epoch = window.epoch;

	if (likely(clk->epoch == epoch))
		return;
	clock__change(clk);
	clock__cross(clk, epoch);
	clock__changed(clk);
}

/*
 * Ends the open segment at @now (told in @seg) and begins one in @state. Time never goes back: not
 * behind the segment's begin, which another CPU may have read from a clock that was ahead, and not
 * behind the epoch's, which is announced before it begins.
 */
static __always_inline void clock__move(struct clock *clk, u32 state, u64 now, struct segment *seg)
{
	u32 epoch = clk->epoch;
	u64 from = clk->from;

	clock__change(clk);
	now = clock__later(now, from);
	seg->state = clk->state;
	seg->slot = clk->slot;
	seg->epoch = epoch;
	seg->inside = now - from;
	seg->total = now - clk->since;
	*clock__bank(clk, epoch, clk->state) += seg->inside;
	clk->state = state;
	clk->since = clk->from = now;
	clk->slot = TALLY_NONE;
	clock__changed(clk);
}

/* The same, whatever epoch the clock is in. */
static __always_inline void clock__turn(struct clock *clk, u32 state, u64 now, struct segment *seg)
{
	clock__notice(clk);
	clock__move(clk, state, now, seg);
}

/* A clock goes on that stood: what lies before @now is of no state. */
static __always_inline void clock__resume(struct clock *clk, u64 now)
{
	clk->since = clk->from = now;
}

/* Sets a clock that no hook has turned yet; hooks that come at the same time win. */
static __always_inline bool clock__start(struct clock *clk, u32 state, u32 slot, u64 now)
{
	u32 epoch = window.epoch;

	clock__resume(clk, clock__later(now, window__start(epoch)));
	clk->slot = slot;
	clk->spill_slot = TALLY_NONE;
	clk->epoch = epoch;
	clk->emitted = epoch ? epoch - 1 : 0; /* of what was before there is nothing to hand over */
	return compat__claim(&clk->state, STATE_NONE, state);
}

#ifdef CLOCK_READS
_Static_assert(CLOCK_STATES == NR_STATES, "each state has its own index");

/* The time in @state up to @now, monotonic over the whole run: spans are differences of it. */
static __always_inline u64 clock__read(struct clock *clk, u32 state, u64 now)
{
	u64 ns = clk->past[CLOCK_INDEX(state)] + *clock__bank(clk, 0, state) +
		 *clock__bank(clk, 1, state);

	return ns + (clk->state == state ? clock__span(clk->from, now) : 0);
}

/*
 * The time of each state's segments that ended. No branch in the loop, of which the verifier would
 * go both ways at each turn.
 */
static __always_inline void clock__ended(const struct clock *clk, u64 to[NR_STATES])
{
#pragma unroll
	for (int i = 0; i < NR_STATES; i++)
		to[i] = clk->past[i] + clk->bank[i] + clk->bank[CLOCK_STATES + i];
}

/* clock__read() of each state. */
struct clock_reading {
	u64 ns[NR_STATES];
};

VERIFIED_ONCE int clock__read_states(struct clock *clk, u64 now, struct clock_reading *to)
{
	u64 open;

	if (!clk || !to)
		return 0;
	clock__ended(clk, to->ns);
	open = clk->state & STATE_MASK;
	barrier_var(open);
	to->ns[open & STATE_MASK] += clock__span(clk->from, now);
	return 0;
}

static __always_inline void clock__read_all(struct clock *clk, u64 now, u64 to[NR_STATES])
{
	clock__read_states(clk, now, (struct clock_reading *)to);
}
#endif

#endif
