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
 *
 * A command without rows of locks and their stacks defines HOLDERS_BY_WAIT: its clocks are smaller.
 * With HOLDERS_LAZY defined, clocks turn only while somebody needs them: see lazy.bpf.h. Without,
 * they turn all along, and threads are hot while they wait for a lock.
 */
#ifndef DWELL_HOLDER_BPF_H
#define DWELL_HOLDER_BPF_H

#include "lib/compat.bpf.h"
#include "state.h"
#include "lib/hot.bpf.h"

#define LOCK_SEEN  4  /* locks of a thread; a power of two */
#define PAST_TURNS 32 /* a power of two */

/* Waits of a thread for a lock, or releases of it, up to LOCK_SURE. */
struct lock_seen {
	u32 slot; /* of the lock's tally; their number is of another one's if it is not the same */
	u16 n;
	u16 weight; /* of the last one */
};

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
	u64 log;     /* the word that the lock's holds are kept by, 0: it keeps none */
	u32 open;    /* 1: nobody was seen to wake it yet */
	u32 spins;   /* of spin[] */
	u32 snap_of; /* thread that snap[] is of, 0: none */
	u32 tgid;
	u64 gil_self;        /* what CPython's lock calls it, 0: not known (gil.bpf.h) */
	u64 snap_open;       /* as lock_hold.begin_open, of snap[] */
	u64 hot_until;       /* ns: its clock turns at least until then */
	u32 cold;            /* 1: its clock stands, since nobody needs it (lib/lazy.bpf.h) */
	u32 thawed;          /* enum dwell_state in which its clock went on */
	u32 slept;           /* what it slept in as its task says, while cold is 1 */
	u32 weight;          /* waits that `stack` stands for: part__weight() */
	u64 comm[2];         /* command name when it left the CPU last */
	u32 last[NR_STATES]; /* tally slot + 1 of what it was blocked on last in each state, or 0 */
	/* From here on, other threads don't read it: holder__fill(). */
	u64 snap[NR_STATES]; /* the holder's clock when the wait began */
#ifndef HOLDERS_BY_WAIT
	struct lock_seen waited[LOCK_SEEN], let_go[LOCK_SEEN];
	struct {
		u64 stack, addr;
		u32 slot, row_slot;
	} placed;             /* of what stack, word and lock the last wait was, and its row */
	u64 past;             /* of turn[], the next one, 0: they are not kept (lib/past.bpf.h) */
	u64 turn[PAST_TURNS]; /* its clock's last turns: when, and to what state */
	struct {
		u64 lock;
		u64 since;
		u64 stack;
		u32 flags;
		u32 weight; /* spins that `stack` stands for, 0: it was not looked at */
	} spin[2];          /* contended spinlocks: an interrupt's inside another's */
#endif
};

#define CLOCK_EXTRA struct lock_wait wait;
#define CLOCK_READS

#include "lib/clock.bpf.h"
#include "lib/pidns.bpf.h"

/*
 * So long after a wait its clock goes on: who waits for a lock mostly has it, and waits again. A
 * clock that goes on costs as much as several that stand, so it is not longer than locks that are
 * fought for need it.
 */
#define HOLDER_LINGER_NS 1000000

/* ---- threads by their numbers ---- */

struct thread_id {
	u64 ns;  /* PID namespace; 0: the initial one; or lock_wait.gil_self… */
	u32 tid; /* …and then its process */
	u32 pad;
};

struct thread_ref {
	u64 clk; /* address of its struct clock */
	u32 tid;
	u32 tgid;
	u64 wanted_at; /* ns: since then… */
	u32 wanted; /* …so many locks that are waited for need its clock; in the initial space */
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct thread_id);
	__type(value, struct thread_ref);
} thread_refs SEC(".maps");

static const struct thread_ref thread_ref_empty;

static __always_inline struct thread_ref *thread_ref__get(u64 ns, u32 tid)
{
	struct thread_id id = {.ns = ns, .tid = tid};

	return bpf_map_lookup_elem(&thread_refs, &id);
}

static __always_inline void thread_ref__add(u64 ns, u32 number, struct clock *clk, u32 tid,
					    u32 tgid)
{
	struct thread_id id = {.ns = ns, .tid = number};
	struct thread_ref *ref = map__take(&thread_refs, &id, &thread_ref_empty, LOSS_HOLDER);

	if (!ref)
		return;
	ref->tid = tid;
	ref->tgid = tgid;
	ref->clk = (u64)clk;
}

static __always_inline void thread_ref__remove(u64 ns, u32 tid)
{
	struct thread_id id = {.ns = ns, .tid = tid};

	bpf_map_delete_elem(&thread_refs, &id);
}

/* What was an alias of thread @tid may be another one's by now. */
static __always_inline void thread_ref__forget(u64 ns, u32 number, u32 tid)
{
	struct thread_ref *ref = ns ? thread_ref__get(ns, number) : NULL;

	if (ref && ref->tid == tid)
		thread_ref__remove(ns, number);
}

/* While @task still says what it sleeps in. */
static __always_inline void holder__wakes(struct clock *clk, struct task_struct *task)
{
#ifdef HOLDERS_LAZY
	if (clk->wait.cold)
		clk->wait.slept = compat__task_state(task);
#endif
}

#ifdef HOLDERS_LAZY
/* The clock of thread @tid is needed from @now on, and the mark that says so comes last. */
static __always_inline void thread_ref__want(u32 tid, u64 now)
{
	struct thread_ref *ref = thread_ref__get(0, tid);

	if (!ref)
		return;
	if (!ref->wanted)
		ref->wanted_at = now;
	__sync_fetch_and_add(&ref->wanted, 1);
	hot__set(tid);
}

static __always_inline void thread_ref__unwant(u32 tid)
{
	struct thread_ref *ref = thread_ref__get(0, tid);

	if (ref && ref->wanted)
		__sync_fetch_and_add(&ref->wanted, -1);
}
#endif

#ifdef HOLDERS_LAZY
/* Its clock goes on: it was in @state since somebody wanted to know, or is from now on. */
VERIFIED_ONCE int holder__thaw(struct clock *clk, u32 state, u64 now)
{
	struct thread_ref *ref;
	struct segment seg;
	u64 from;

	if (!clk)
		return 0;
	ref = thread_ref__get(0, clk->wait.tid);
	from = ref && ref->wanted ? ref->wanted_at : now;
	clock__turn(clk, state, from < now ? from : now, &seg);
	clk->wait.thawed = state;
	compat__wmb();
	clk->wait.cold = 0;
	return 0;
}
#endif

/*
 * The current thread lets go of a lock that others want. It may take it again before whom it wakes,
 * who tells of that later: so its clock goes on. Nobody else turns it, since it runs.
 */
static __always_inline void holder__lets_go(struct task_struct *task, u64 now)
{
#ifdef HOLDERS_LAZY
	struct clock *clk = clock__get(task);

	if (!clk || clk->state == STATE_NONE)
		return;
	clk->wait.hot_until = now + HOLDER_LINGER_NS;
	if (!clk->wait.cold)
		return;
	hot__set(clk->wait.tid);
	holder__thaw(clk, STATE_CPU, now);
#endif
}

/* It leaves the CPU, blocked. */
static __always_inline void holder__blocks(struct clock *clk)
{
	u64 state = clk->state & STATE_MASK;

	barrier_var(state);
	clk->wait.last[state & STATE_MASK] = clk->memo.slot + 1;
}

/* @task has got its clock. */
static __always_inline void holder__born(struct clock *clk, struct task_struct *task)
{
	u32 level, tid = FIELD(task, pid), tgid = FIELD(task, tgid);
	struct upid upid;

	level = pidns__read(task, &upid);
	clk->wait.tid = tid;
	clk->wait.tgid = tgid;
	clk->wait.vtid = upid.nr;
	clk->wait.ns = level ? (u64)upid.ns : 0;
#ifdef HOLDERS_LAZY
	hot__set(tid); /* until its first switch */
#endif
	thread_ref__add(0, tid, clk, tid, tgid);
	if (level)
		thread_ref__add((u64)upid.ns, upid.nr, clk, tid, tgid);
}

static __always_inline void holder__died(struct clock *clk)
{
	thread_ref__remove(0, clk->wait.tid);
#ifdef HOLDERS_LAZY
	hot__clear(clk->wait.tid);
#endif
	if (clk->wait.ns)
		thread_ref__remove(clk->wait.ns, clk->wait.vtid);
	thread_ref__forget(clk->wait.gil_self, clk->wait.tgid, clk->wait.tid);
}

/* ---- reading another thread's clock ---- */

/* Of CPython's lock: struct _gil_runtime_state from this member on. */
struct gil {
	u64 last_holder;
	u32 locked;
	u32 pad;
	u64 switches;
};

struct holder_scratch {
	struct clock clk;      /* as it was read */
	u64 ns[NR_STATES];     /* clock__read() of each state */
	u64 spent[NR_STATES];  /* hold__spent() */
	u32 last[NR_STATES];   /* …and what for: lock_hold.last */
	struct lock_wait wait; /* of the waiter whose wait is divided among holders, … */
	u64 row;               /* …its clock's row… */
	u32 slot;              /* …and slot */
	u32 runtime;           /* 1: for a runtime's lock */
	struct gil gil;        /* of a runtime's lock; 0: not known */
	u64 comm[2];           /* of the holder whose part it is, 0: not known */
	u64 open; /* of clk: ns up to now in a state that its next event tells, not in ns[] */
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

/* The wait that is divided: what only the thread itself needs is not part of it. */
VERIFIED_ONCE int holder__note(const struct clock *clk)
{
	struct holder_scratch *s = holder__scratch();

	if (clk && s)
		__builtin_memcpy(&s->wait, &clk->wait,
				 offsetof(struct lock_wait, snap) + sizeof(s->wait.snap));
	return 0;
}

/*
 * The clock of thread @tid at @now into the scratch space of this CPU; 0 if it is not watched or
 * just being turned. A global function of scalars, which the verifier looks at once.
 */
__noinline int holder__fill(u32 tid, u64 now)
{
	struct thread_ref *ref = thread_ref__get(0, tid);
	struct holder_scratch *s;
	u64 state;

	s = holder__scratch();
	if (!s || !ref || !tid)
		return 0;
	/* Turning takes some ns: the second time it is done. */
	for (int i = 0; i < 2; i++) {
		if (bpf_probe_read_kernel(&s->clk, offsetof(struct clock, wait.snap),
					  (void *)ref->clk))
			return 0;
		if (!(s->clk.seq & 1))
			break;
	}
	state = s->clk.state;
	if ((s->clk.seq & 1) || s->clk.wait.tid != tid || state == STATE_NONE)
		return 0;
	clock__ended(&s->clk, s->ns);
	s->open = 0;
	if (s->clk.wait.cold) {
		s->ns[STATE_OTHER] += clock__span(s->clk.since, ref->wanted_at);
		s->open = clock__span(clock__later(s->clk.since, ref->wanted_at), now);
		return ref->wanted;
	}
	barrier_var(state);
	s->ns[state & STATE_MASK] += clock__span(s->clk.since, now);
	return 1;
}

/*
 * The scratch space with what holder__fill() read, or NULL. It is good until the next call:
 * interrupts are off in all callers.
 */
static __always_inline struct holder_scratch *holder__read(u32 tid, u64 now)
{
	return holder__fill(tid, now) ? holder__scratch() : NULL;
}

/* ---- a lock's holds ---- */

#define LOCK_HOLDS 16 /* a wait that saw more of them has a part that nobody is named for */

struct lock_hold {
	u64 since;
	u64 until; /* 0: it goes on */
	u32 tid;   /* 0: not known until it ends */
	u32 guessed;
	u32 states;     /* bits: begin[] was read, end[] was read */
	u32 thawed;     /* begin_open was in this state */
	u64 begin_open; /* ns up to the begin that its clock had not counted yet: holder__fill() */
	u64 comm[2];    /* of the holder, 0: not known */
	u64 owed;       /* ns of waits that ended and that nobody is charged with yet */
	u32 owed_waits;
	u32 switches; /* of CPython's lock when it began (gil.bpf.h) */
	u32 slot;     /* of waits that are owed and had all of the hold */
	u32 pad;
	u32 last[NR_STATES]; /* lock_wait.last of the holder at its end */
	u64 begin[NR_STATES];
	u64 end[NR_STATES];
};

#define HOLD_BEGIN 1
#define HOLD_END   2

struct lock_log {
	u32 busy;
	u32 at;      /* the last hold, masked */
	u32 waiters; /* that wait now and have the log */
	u32 wants;   /* the thread whose clock is needed for them, 0: none */
	u32 owes;    /* 1: to waits that had all of a hold */
	u32 pad;
	struct lock_hold hold[LOCK_HOLDS];
};

struct lock_key {
	u64 space; /* process; 0: a kernel lock */
	u64 addr;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct lock_key);
	__type(value, struct lock_log);
} lock_logs SEC(".maps");

static const struct lock_log lock_log_empty;

#define LOG_TRIES 64

/* Is the log the caller's from now on? Global functions of scalars: the verifier goes through… */
__noinline int lock_log__claim(u64 space, u64 addr)
{
	struct lock_key key = {.space = space, .addr = addr};
	struct lock_log *log = bpf_map_lookup_elem(&lock_logs, &key);

	return log && compat__claim(&log->busy, 0, 1);
}

/* …each of the tries. They go on until others are done with the log. */
__noinline int lock_log__await(u64 space, u64 addr)
{
	for (int i = 0; i < LOG_TRIES; i++) {
		if (lock_log__claim(space, addr))
			return 1;
	}
	loss__count(LOSS_HOLDER);
	return 0;
}

/* The log of the lock, for this CPU alone; NULL without room, or if others keep it busy. */
static __always_inline struct lock_log *lock_log__take(u64 space, u64 addr, bool create)
{
	struct lock_key key = {.space = space, .addr = addr};
	struct lock_log *log = bpf_map_lookup_elem(&lock_logs, &key);

	if (!log && create)
		log = map__take(&lock_logs, &key, &lock_log_empty, LOSS_HOLDER);
	if (!log)
		return NULL;
	if (likely(compat__claim(&log->busy, 0, 1)))
		return log;
	/* Meanwhile another one may have taken its place. */
	return lock_log__await(space, addr) ? bpf_map_lookup_elem(&lock_logs, &key) : NULL;
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

/* The clock of @tid, who has the lock, turns while others wait for it. */
static __always_inline void lock_log__want(struct lock_log *log, u32 tid, u64 now)
{
#ifdef HOLDERS_LAZY
	u32 wants = log->wants;

	if (wants == tid)
		return;
	if (tid)
		thread_ref__want(tid, now);
	if (wants)
		thread_ref__unwant(wants);
	log->wants = tid;
#endif
}

/* Without waiters nobody asks what the holder does: the next one reads its clock by himself. */
VERIFIED_ONCE int hold__begin(struct lock_log *log, struct lock_hold *hold, u32 tid, u64 now)
{
	struct holder_scratch *s;

	if (!log || !hold)
		return 0;
	hold->tid = tid;
	hold->states = 0;
	if (!log->waiters)
		return 0;
	lock_log__want(log, tid, now);
	s = holder__read(tid, now);
	if (!s)
		return 0;
	hold__copy(hold->begin, s->ns);
	hold->begin_open = s->open;
	hold->states = HOLD_BEGIN;
	return 0;
}

/* The same, but the hold began at hold->since: back to then, as far as its clock has not turned. */
static __noinline void hold__begin_late(struct lock_log *log, struct lock_hold *hold, u32 tid,
					u64 now)
{
	struct holder_scratch *s;
	u64 state;

	hold__begin(log, hold, tid, now);
	s = holder__scratch();
	if (!hold->states || !s || s->clk.wait.cold)
		return;
	state = s->clk.state & STATE_MASK;
	barrier_var(state);
	hold->begin[state & STATE_MASK] -=
		clock__span(clock__later(s->clk.since, hold->since), now);
}

/* A clock that stood all along is of a thread that has run all along, if it runs now. */
VERIFIED_ONCE int hold__end(struct lock_hold *hold, u64 now)
{
	struct holder_scratch *s;
	bool runs;

	if (!hold)
		return 0;
	s = holder__read(hold->tid, now);
	runs = hold->tid == (u32)bpf_get_current_pid_tgid();
	hold->until = now;
	hold->comm[0] = 0;
	if (!s)
		return 0;
	hold__copy(hold->end, s->ns);
	hold->comm[0] = s->clk.wait.comm[0];
	hold->comm[1] = s->clk.wait.comm[1];
	for (int i = 0; i < NR_STATES; i++)
		hold->last[i] = s->clk.wait.last[i];
	hold->thawed = s->clk.wait.cold ? STATE_CPU : s->clk.wait.thawed;
	hold->end[STATE_CPU] += s->open;
	if (!s->open || runs)
		hold->states |= HOLD_END;
	return 0;
}

static __noinline struct lock_hold *lock_log__push(struct lock_log *log, u32 tid, u64 now,
						   bool guessed)
{
	struct lock_hold *hold;

	log->at = (log->at + 1) & (LOCK_HOLDS - 1);
	hold = lock_log__hold(log, log->at);
	hold->since = now;
	hold->until = 0;
	hold->guessed = guessed;
	hold->owed = hold->owed_waits = 0;
	hold__begin(log, hold, tid, now);
	return hold;
}

/* @waiter goes to sleep, and finds @owner in the lock (0: it does not say). */
static __always_inline struct lock_hold *lock_log__waits(struct lock_log *log, u32 owner,
							 u32 waiter, u64 now)
{
	struct lock_hold *hold = lock_log__hold(log, log->at);
	struct lock_hold *before = lock_log__hold(log, log->at - 1);
	bool open = hold->since && !hold->until;

	log->waiters++;
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
			hold__begin_late(log, hold, before->tid, now);
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
		hold__begin_late(log, hold, owner, now);
		return hold;
	}
	if (open)
		hold__end(hold, now);
	return lock_log__push(log, owner, now, false);
}

/* A waiter is none any more. (There may be fewer than it knows: logs are forgotten and begun.) */
static __always_inline void lock_log__left(struct lock_log *log, u64 now)
{
	if (log->waiters)
		log->waiters--;
	if (!log->waiters)
		lock_log__want(log, 0, now);
}

/* @by lets go of the lock, and @waiter is woken for it. */
static __noinline void lock_log__passes(struct lock_log *log, u32 by, u32 waiter, u64 now)
{
	struct lock_hold *hold = lock_log__hold(log, log->at);
	bool open = hold->since && !hold->until;

	/* It came in between, and nobody saw it until now. */
	if (open && hold->tid != by)
		hold__begin_late(log, hold, by, now);
	if (open)
		hold__end(hold, now);
	lock_log__left(log, now);
	lock_log__push(log, waiter, now, true);
}

/* @by wakes @waiter, who has waited since @since: it lets go of the lock. */
static __always_inline void lock_log__released(struct lock_log *log, u32 by, u32 waiter, u64 since,
					       u64 now)
{
	struct lock_hold *hold = lock_log__hold(log, log->at);
	struct lock_hold *before = lock_log__hold(log, log->at - 1);
	bool open = hold->since && !hold->until;

	/* Readers are woken all at once. */
	if (open && hold->guessed && hold->tid != by && since < hold->since && before->until &&
	    before->tid == by) {
		lock_log__left(log, now);
		return;
	}
	lock_log__passes(log, by, waiter, now);
}

/* a - b, but not below 0, without a branch: verifiers go through all paths of loops. */
static __always_inline u64 hold__minus(u64 a, u64 b)
{
	u64 d = a - b, below = (s64)d >> 63;

	/* Or clang takes it for a maximum, which is a branch. */
	barrier_var(below);
	return d & ~below;
}

/* When @hold ended, or later than any time, without a branch, too. */
static __always_inline u64 hold__until(const struct lock_hold *hold)
{
	return ((hold->until - 1) & ~(1ULL << 63)) + 1;
}

/*
 * Between two readings of a clock; @open ns before the first of them were in state @thawed, and are
 * in the second one alone.
 */
static __always_inline void hold__spent(struct holder_scratch *s, const u64 *from, const u64 *to,
					u64 open, u64 thawed)
{
#pragma unroll
	for (int i = 0; i < NR_STATES; i++)
		s->spent[i] = hold__minus(to[i], from[i]);
	if (!open)
		return;
	barrier_var(thawed);
	thawed &= STATE_MASK;
	s->spent[thawed] = hold__minus(s->spent[thawed], open);
}

#endif
