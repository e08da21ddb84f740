/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Who has a lock while others wait for it, and what does he do? Include this before all else of
 * bpf/lib: it adds to the clock.
 *
 * Each lock that is waited for keeps its last few holds. One begins when a waiter goes to sleep and
 * finds an owner in the lock, or when a waiter is woken: the lock is then his, unless the next
 * waiter finds another owner. It ends where the holder wakes a waiter. A hold has two readings of
 * the holder's clock, and a wait is divided among the holds that it overlaps; what no reading
 * covers is not known, and never guessed.
 */
#ifndef DWELL_HOLDER_BPF_H
#define DWELL_HOLDER_BPF_H

#include "lib/compat.bpf.h"
#include "state.h"

/* A thread's wait for a lock, in its clock. */
struct lock_wait {
	u64 addr;  /* 0: it does not wait for a lock */
	u64 since; /* ns */
	u64 stack;
	u64 ns;      /* its innermost PID namespace, 0: the initial one */
	u32 vtid;    /* its number there, and… */
	u32 tid;     /* …in the initial one */
	u32 holder;  /* the lock's when the wait began, 0: not known */
	u32 slot;    /* of the lock's tally */
	u32 log;     /* 1: the lock keeps its holds */
	u32 spins;   /* of spin[] */
	u32 snap_of; /* thread that snap[] is of, 0: none */
	u32 pad;
	u64 comm[2];         /* command name when it left the CPU last */
	u64 snap[NR_STATES]; /* the holder's clock when the wait began */
	struct {
		u64 lock;
		u64 since;
		u64 stack;
		u32 flags;
		u32 pad;
	} spin[2]; /* contended spinlocks: an interrupt's inside another's */
};

#define CLOCK_EXTRA struct lock_wait wait;

#include "lib/clock.bpf.h"

/* ---- threads by their numbers ---- */

struct thread_id {
	u64 ns; /* PID namespace; 0: the initial one */
	u32 tid;
	u32 pad;
};

struct thread_ref {
	u64 clk; /* address of its struct clock */
	u32 tid;
	u32 tgid;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct thread_id);
	__type(value, struct thread_ref);
} thread_refs SEC(".maps");

static __always_inline struct thread_ref *thread_ref__get(u64 ns, u32 tid)
{
	struct thread_id id = {.ns = ns, .tid = tid};

	return bpf_map_lookup_elem(&thread_refs, &id);
}

static __always_inline void thread_ref__add(u64 ns, u32 number, struct clock *clk, u32 tid,
					    u32 tgid)
{
	struct thread_id id = {.ns = ns, .tid = number};
	struct thread_ref ref = {.tid = tid, .tgid = tgid}, *kept;

	if (bpf_map_update_elem(&thread_refs, &id, &ref, BPF_ANY)) {
		loss__count(LOSS_HOLDER);
		return;
	}
	kept = bpf_map_lookup_elem(&thread_refs, &id);
	if (kept)
		kept->clk = (u64)clk;
}

static __always_inline void thread_ref__remove(u64 ns, u32 tid)
{
	struct thread_id id = {.ns = ns, .tid = tid};

	bpf_map_delete_elem(&thread_refs, &id);
}

/* @task has got its clock. */
static __always_inline void holder__born(struct clock *clk, struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u32 level = BPF_CORE_READ(pid, level), tid = FIELD(task, pid), tgid = FIELD(task, tgid);
	struct upid upid = {};

	bpf_probe_read_kernel(&upid, sizeof(upid),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      level * sizeof(upid));
	clk->wait.tid = tid;
	clk->wait.vtid = upid.nr;
	clk->wait.ns = level ? (u64)upid.ns : 0;
	thread_ref__add(0, tid, clk, tid, tgid);
	if (level)
		thread_ref__add((u64)upid.ns, upid.nr, clk, tid, tgid);
}

static __always_inline void holder__died(struct clock *clk)
{
	thread_ref__remove(0, clk->wait.tid);
	if (clk->wait.ns)
		thread_ref__remove(clk->wait.ns, clk->wait.vtid);
}

/* ---- reading another thread's clock ---- */

struct holder_scratch {
	struct clock clk;      /* as it was read */
	u64 ns[NR_STATES];     /* clock__read() of each state */
	u64 spent[NR_STATES];  /* hold__spent() */
	struct lock_wait wait; /* of the waiter whose wait is divided among holders, … */
	u64 row;               /* …its clock's row… */
	u32 slot;              /* …and slot */
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct holder_scratch);
} holder_scratches SEC(".maps");

static __always_inline struct holder_scratch *holder__scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&holder_scratches, &zero);
}

/*
 * The clock of thread @tid at @now into the scratch space of this CPU; NULL if it is not watched or
 * just being turned. The space is good until the next call: interrupts are off in all callers.
 */
static __noinline struct holder_scratch *holder__read(u32 tid, u64 now)
{
	struct thread_ref *ref = thread_ref__get(0, tid);
	struct holder_scratch *s;
	u32 state;

	s = holder__scratch();
	if (!s || !ref || !tid)
		return NULL;
	/* Turning takes some ns: the second time it is done. */
	for (int i = 0; i < 2; i++) {
		if (bpf_probe_read_kernel(&s->clk, sizeof(s->clk), (void *)ref->clk))
			return NULL;
		if (!(s->clk.seq & 1))
			break;
	}
	state = s->clk.state;
	if ((s->clk.seq & 1) || s->clk.wait.tid != tid || state == STATE_NONE)
		return NULL;
	for (int i = 0; i < NR_STATES; i++) {
		s->ns[i] = s->clk.past[i] + s->clk.bank[i] + s->clk.bank[NR_STATES + i];
		if (i == state)
			s->ns[i] += clock__span(s->clk.since, now);
	}
	return s;
}

/* ---- a lock's holds ---- */

#define LOCK_HOLDS 16 /* a wait that saw more of them has a part that nobody is named for */

struct lock_hold {
	u64 since;
	u64 until; /* 0: it goes on */
	u32 tid;   /* 0: not known until it ends */
	u32 doing; /* tally slot of what the holder was blocked on last; TALLY_NONE */
	u32 guessed;
	u32 doing_state; /* the state that it was in then */
	u32 states;      /* bits: begin[] was read, end[] was read */
	u64 comm[2];     /* of the holder, 0: not known */
	u64 begin[NR_STATES];
	u64 end[NR_STATES];
};

#define HOLD_BEGIN 1
#define HOLD_END   2

struct lock_log {
	u32 busy;
	u32 at; /* the last hold, masked */
	struct lock_hold hold[LOCK_HOLDS];
};

struct lock_key {
	u64 row; /* 0: a kernel lock */
	u64 addr;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct lock_key);
	__type(value, struct lock_log);
} lock_logs SEC(".maps");

static const struct lock_log lock_log_empty;

#define LOG_TRIES 256

/* The log of the lock, for this CPU alone; NULL without room, or if others keep it busy. */
static __always_inline struct lock_log *lock_log__take(u64 row, u64 addr, bool create)
{
	struct lock_key key = {.row = row, .addr = addr};
	struct lock_log *log = bpf_map_lookup_elem(&lock_logs, &key);

	if (!log) {
		if (!create)
			return NULL;
		bpf_map_update_elem(&lock_logs, &key, &lock_log_empty, BPF_NOEXIST);
		log = bpf_map_lookup_elem(&lock_logs, &key);
	}
	for (int i = 0; log && i < LOG_TRIES; i++) {
		if (compat__claim(&log->busy, 0, 1))
			return log;
	}
	loss__count(LOSS_HOLDER);
	return NULL;
}

static __always_inline void lock_log__give(struct lock_log *log)
{
	compat__wmb();
	*(volatile u32 *)&log->busy = 0;
}

static __always_inline struct lock_hold *lock_log__hold(struct lock_log *log, u32 at)
{
	u64 i = at & (LOCK_HOLDS - 1);

	barrier_var(i);
	return &log->hold[i & (LOCK_HOLDS - 1)];
}

static __always_inline void hold__copy(u64 to[NR_STATES], const u64 from[NR_STATES])
{
	for (int i = 0; i < NR_STATES; i++)
		to[i] = from[i];
}

static __noinline void hold__begin(struct lock_hold *hold, u32 tid, u64 now)
{
	struct holder_scratch *s = holder__read(tid, now);

	hold->tid = tid;
	hold->states = 0;
	hold->doing = TALLY_NONE;
	if (!s)
		return;
	hold__copy(hold->begin, s->ns);
	hold->states = HOLD_BEGIN;
}

/* The same, but the hold began at hold->since: back to then, as far as its clock has not turned. */
static __always_inline void hold__begin_late(struct lock_hold *hold, u32 tid, u64 now)
{
	struct holder_scratch *s;
	u64 state;

	hold__begin(hold, tid, now);
	s = holder__scratch();
	if (!hold->states || !s)
		return;
	state = s->clk.state & STATE_MASK;
	barrier_var(state);
	hold->begin[state & STATE_MASK] -=
		clock__span(clock__later(s->clk.since, hold->since), now);
}

static __noinline void hold__end(struct lock_hold *hold, u64 now)
{
	struct holder_scratch *s = holder__read(hold->tid, now);

	hold->until = now;
	hold->comm[0] = 0;
	if (!s)
		return;
	hold__copy(hold->end, s->ns);
	hold->comm[0] = s->clk.wait.comm[0];
	hold->comm[1] = s->clk.wait.comm[1];
	hold->doing = s->clk.memo.word ? s->clk.memo.slot : TALLY_NONE;
	hold->doing_state = s->clk.memo.state;
	hold->states |= HOLD_END;
}

static __always_inline struct lock_hold *lock_log__push(struct lock_log *log, u32 tid, u64 now,
							bool guessed)
{
	struct lock_hold *hold;

	log->at = (log->at + 1) & (LOCK_HOLDS - 1);
	hold = lock_log__hold(log, log->at);
	hold->since = now;
	hold->until = 0;
	hold->guessed = guessed;
	hold__begin(hold, tid, now);
	return hold;
}

/* @waiter goes to sleep, and finds @owner in the lock (0: it does not say). */
static __always_inline struct lock_hold *lock_log__waits(struct lock_log *log, u32 owner,
							 u32 waiter, u64 now)
{
	struct lock_hold *hold = lock_log__hold(log, log->at);
	struct lock_hold *before = lock_log__hold(log, log->at - 1);
	bool open = hold->since && !hold->until;

	if (!owner) {
		if (open && hold->tid != waiter)
			return hold;
		if (!open)
			return lock_log__push(log, 0, now, true);
		/*
		 * It was woken for the lock, and did not get it. Likely who let it go has taken it
		 * again; whose release it is tells in the end.
		 */
		if (before->until && before->tid != waiter) {
			hold__begin_late(hold, before->tid, now);
			return hold;
		}
		hold->until = hold->since;
		return lock_log__push(log, 0, now, true);
	}
	if (open && hold->tid == owner) {
		hold->guessed = false;
		return hold;
	}
	if (open && hold->guessed) {
		/* Another thread was faster than the one that was woken for it. */
		hold->guessed = false;
		hold__begin_late(hold, owner, now);
		return hold;
	}
	if (open)
		hold__end(hold, now);
	return lock_log__push(log, owner, now, false);
}

/* @by wakes @waiter, who has waited since @since: it lets go of the lock. */
static __always_inline void lock_log__released(struct lock_log *log, u32 by, u32 waiter, u64 since,
					       u64 now)
{
	struct lock_hold *hold = lock_log__hold(log, log->at);
	struct lock_hold *before = lock_log__hold(log, log->at - 1);

	if (hold->since && !hold->until) {
		/* Readers are woken all at once. */
		if (hold->guessed && hold->tid != by && since < hold->since && before->until &&
		    before->tid == by)
			return;
		if (hold->tid != by) {
			/* It came in between, and nobody saw it until now. */
			hold__begin_late(hold, by, now);
		}
		hold__end(hold, now);
	}
	lock_log__push(log, waiter, now, true);
}

/* a - b, but not below 0, without a branch: verifiers go through all paths of loops. */
static __always_inline u64 hold__minus(u64 a, u64 b)
{
	u64 d = a - b;

	return d & ~(u64)((s64)d >> 63);
}

/* Between two readings of a clock. */
static __always_inline void hold__spent(struct holder_scratch *s, const u64 *from, const u64 *to)
{
#pragma unroll
	for (int i = 0; i < NR_STATES; i++)
		s->spent[i] = hold__minus(to[i], from[i]);
}

#endif
