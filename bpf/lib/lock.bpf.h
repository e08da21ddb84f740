/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Waits for locks, divided among those who had the lock meanwhile: what `lock` and `why` share.
 * Include this before all else of bpf/lib, and call holder__born() and holder__died() for each
 * thread, lock__begins() and lock__find_holder() when a thread goes to sleep for a lock. Two
 * functions are the command's own:
 *
 *   lock__holder_row()  the slot that a holder's part of a wait goes to
 *   lock__ended()       a wait ended; @by let go of the lock, or is 0
 */
#ifndef DWELL_LOCK_BPF_H
#define DWELL_LOCK_BPF_H

#include "lib/holder.bpf.h"
#include "lib/cause.bpf.h"
#include "lib/gil.bpf.h"
#include "lib/past.bpf.h"
#include "lib/klock.bpf.h"
#include "lock.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct lock_part_key);
	__type(value, struct lock_part);
} lock_parts SEC(".maps");

static const struct lock_part lock_part_empty;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32); /* tgid */
	__type(value, struct lock_runtime);
} runtimes SEC(".maps");

/* futex(2) operations that wake; include/uapi/linux/futex.h */
#define FUTEX_WAKE           1
#define FUTEX_REQUEUE        3
#define FUTEX_CMP_REQUEUE    4
#define FUTEX_WAKE_OP        5
#define FUTEX_UNLOCK_PI      7
#define FUTEX_WAKE_BITSET    10
#define FUTEX_CMP_REQUEUE_PI 12
#define FUTEX_WAKES                                                                                \
	(1U << FUTEX_WAKE | 1U << FUTEX_REQUEUE | 1U << FUTEX_CMP_REQUEUE | 1U << FUTEX_WAKE_OP |  \
	 1U << FUTEX_UNLOCK_PI | 1U << FUTEX_WAKE_BITSET | 1U << FUTEX_CMP_REQUEUE_PI)
#define SYS_FUTEX_WAKE    454 /* the same number everywhere; 6.7 */
#define SYS_FUTEX_REQUEUE 456
#define PF_EXITING        0x4

#define OWED_SHIFT 10 /* of a fixed-point factor */

#ifdef HOLDERS_BY_WAIT
#define LOCK_RUNTIMES false
#else
#define LOCK_RUNTIMES true
#endif

/* ---- parts ---- */

#define PART(slot, part) ((u64)(part) << 32 | (slot))
#define PART_BY(tid, of) ((u64)(of) << 32 | (tid))

/* The part @at, a PART(), of @by, a PART_BY(). */
static __always_inline struct lock_part *part__get(u64 at, u64 by, u64 id)
{
	struct lock_part_key key = {
		.id = id,
		.slot = at,
		.tid = by,
		.of = by >> 32,
		.part = at >> 32,
		.bank = CONFIG(banks) > 1 ? window.epoch & 1 : 0,
	};

	return map__take(&lock_parts, &key, &lock_part_empty, LOSS_ROW_FULL);
}

/* What thread @tid is called, for a part that is new. */
static __always_inline void part__name(struct lock_part *p, u32 tid)
{
	struct thread_ref *ref = thread_ref__get(0, tid);

	if (ref)
		bpf_probe_read_kernel(p->comm, sizeof(p->comm),
				      (void *)ref->clk + offsetof(struct clock, wait.comm));
}

/*
 * Adds a wait to part @at, a PART(), of @by, a PART_BY(), with id @id. If that is a stack, it
 * stands for @weight waits. A global function of scalars, which the verifier looks at once and not
 * once per caller.
 */
__noinline int part__add(u64 at, u64 by, u64 id, u64 ns, u64 weight)
{
	struct lock_part *p = part__get(at, by, id);

	if (!p)
		return 0;
	__sync_fetch_and_add(&p->count, 1);
	__sync_fetch_and_add(&p->ns, ns);
	if (weight)
		__sync_fetch_and_add(&p->seen_ns, ns * weight);
	if (unlikely(at >> 32 == PART_WAIT && (u32)by && !p->comm[0]))
		part__name(p, by);
	return 0;
}

/*
 * Of how many waits for the lock of @slot (or releases of it) the next one has its stack looked at:
 * for one of them itself, 0 if it has not. @seen: what its thread knows of its last ones.
 */
static __always_inline u32 part__weight(struct lock_seen seen[LOCK_SEEN], u32 slot)
{
	u64 i = slot & (LOCK_SEEN - 1);

	barrier_var(i);
	i &= LOCK_SEEN - 1;
	if (seen[i].slot != slot) {
		seen[i].slot = slot;
		seen[i].n = 0;
	}
	if (seen[i].n < LOCK_SURE) {
		seen[i].n++;
		seen[i].weight = 1;
	} else {
		seen[i].weight = bpf_get_prandom_u32() & (LOCK_SAMPLE - 1) ? 0 : LOCK_SAMPLE;
	}
	/* Where it came from is forgotten, or the verifier follows each of them. */
	return *(volatile u16 *)&seen[i].weight;
}

static __always_inline u32 lock__holder_row(const struct holder_scratch *s, u32 tid, u64 ns);
static __always_inline void lock__ended(void *ctx, struct clock *clk, u32 by, u64 ns);

/* What holder @tid, whose part of the row @slot is @p, did in state @state meanwhile. */
VERIFIED_ONCE int lock__charge_state(struct lock_part *p, u32 slot, u32 tid, u64 state)
{
	struct holder_scratch *s = holder__scratch();
	u32 cause;

	if (!p || !s || state >= NR_STATES)
		return 0;
	cause = s->last[state];
	__sync_fetch_and_add(&p->states[state], s->spent[state]);
	if (state >= STATE_DISK && cause && cause - 1 != TALLY_NONE)
		part__add(PART(slot, PART_DOING), PART_BY(tid, 0), cause - 1, s->spent[state], 0);
	return 0;
}

/*
 * @ns of @waits like the one in the scratch space were @tid's, whose name is there, too; with
 * @states also what he did meanwhile. A global function of scalars, which the verifier looks at
 * once.
 */
__noinline int lock__charge_holder(u32 tid, u64 ns, u32 waits, u32 states)
{
	struct holder_scratch *s = holder__scratch();
	struct lock_part *p;
	u32 slot;

	if (!s)
		return 0;
	slot = lock__holder_row(s, tid, ns);
	p = part__get(PART(slot, PART_HOLDER), PART_BY(tid, 0), 0);
	if (!p)
		return 0;
	__sync_fetch_and_add(&p->count, waits);
	__sync_fetch_and_add(&p->ns, ns);
	if (s->comm[0]) {
		p->comm[0] = s->comm[0];
		p->comm[1] = s->comm[1];
	}
	if (!states)
		return 0;
	for (int k = 1; k < NR_STATES; k++) {
		if (s->spent[k])
			lock__charge_state(p, slot, tid, k);
	}
	return 0;
}

static __always_inline void hold__owe(struct lock_hold *hold, u64 ns)
{
	hold->owed += ns;
	hold->owed_waits++;
}

/*
 * A hold that is over, and that the wait in the scratch space had all of: is it to be charged with
 * others like this? Where many wait in turn, each of them had the same holds.
 */
static __always_inline bool lock__owes_whole(struct lock_log *log, struct lock_hold *hold,
					     const struct holder_scratch *s)
{
	/* A part is of the epoch that its wait ended in, and may be of the waiter's row. */
	if (!LOCK_RUNTIMES || CONFIG(banks) > 1 || CONFIG(lock_by) != LOCK_BY_LOCK || s->runtime ||
	    !log->waiters)
		return false;
	/* All waits for a lock have slots of its row. */
	hold->slot = s->slot;
	log->owes = 1;
	return true;
}

/*
 * Hold @at of the lock has the wait in the scratch space from @from to @to. A global function of
 * scalars for the verifier's sake: it would go through all of it for each of the holds.
 */
__noinline int lock__charge_hold(u64 space, u64 addr, u32 at, u64 from, u64 to)
{
	struct lock_key key = {.space = space, .addr = addr};
	struct lock_log *log = bpf_map_lookup_elem(&lock_logs, &key);
	struct holder_scratch *s = holder__scratch();
	struct lock_hold *hold;
	bool whole, goes_on, known = false;

	if (!log || !s)
		return 0;
	hold = lock_log__hold(log, at);
	whole = from == hold->since;
	goes_on = !hold->until;
	if (goes_on && hold->guessed && s->runtime) {
		hold__owe(hold, to - from);
		return 0;
	}
	if (!hold->tid)
		return 0;
	if (whole && !goes_on && lock__owes_whole(log, hold, s)) {
		hold__owe(hold, to - from);
		return 0;
	}
	if (goes_on)
		hold__end(hold, to);
	s->comm[0] = hold->comm[0];
	s->comm[1] = hold->comm[1];
	/* Before more branches, or the verifier looks at this once for each way. */
	for (int i = 0; i < NR_STATES; i++)
		s->last[i] = hold->last[i];
	if ((hold->states & HOLD_END) && whole && (hold->states & HOLD_BEGIN)) {
		hold__spent(s, hold->begin, hold->end, hold->begin_open, hold->thawed);
		known = true;
	} else if ((hold->states & HOLD_END) && !whole && s->wait.snap_of == hold->tid) {
		hold__spent(s, s->wait.snap, hold->end, s->wait.snap_open, hold->thawed);
		known = true;
	}
	if (goes_on) {
		hold->until = 0;
		hold->states &= ~HOLD_END;
	}
	/* What he did in all of the hold tells, which is charged next. */
	if (!known && s->runtime && (goes_on || at == log->at - 1))
		hold__owe(hold, to - from);
	else
		lock__charge_holder(hold->tid, to - from, 1, known);
	return 0;
}

/*
 * Hold @at of the lock is over: whoever had it is charged with the waits that ended before, as far
 * as they fell into his time, in the proportions of what he did in all of it. @whole: these waits
 * had all of it. Scalars: see above.
 */
__noinline int lock__charge_owed(u64 space, u64 addr, u32 at, u32 whole)
{
	struct lock_key key = {.space = space, .addr = addr};
	struct lock_log *log = bpf_map_lookup_elem(&lock_logs, &key);
	struct holder_scratch *s = holder__scratch();
	struct lock_hold *hold;
	u64 span, part;
	bool known;

	if (!log || !s)
		return 0;
	hold = lock_log__hold(log, at);
	span = clock__span(hold->since, hold->until);
	if (!hold->owed || !hold->tid || !span)
		return 0;
	if (whole)
		s->slot = hold->slot;
	known = hold->states == (HOLD_BEGIN | HOLD_END);
	part = (hold->owed << OWED_SHIFT) / span;
	s->comm[0] = hold->comm[0];
	s->comm[1] = hold->comm[1];
	if (known)
		hold__spent(s, hold->begin, hold->end, hold->begin_open, hold->thawed);
	for (int i = 0; i < NR_STATES; i++) {
		s->spent[i] = s->spent[i] * part >> OWED_SHIFT;
		s->last[i] = hold->last[i];
	}
	lock__charge_holder(hold->tid, hold->owed, hold->owed_waits, known);
	hold->owed = hold->owed_waits = 0;
	return 0;
}

/* Nothing is owed any more to waits that had all of a hold… */
static __always_inline void lock__settle_all(struct lock_log *log, u64 space, u64 addr)
{
	if (!log->owes)
		return;
	log->owes = 0;
	for (int i = 0; i < LOCK_HOLDS; i++)
		lock__charge_owed(space, addr, i, true);
}

/* …of the lock, whose log the caller has. A global function, too. */
__noinline int lock__settle(u64 space, u64 addr)
{
	struct lock_key key = {.space = space, .addr = addr};
	struct lock_log *log = bpf_map_lookup_elem(&lock_logs, &key);

	if (log)
		lock__settle_all(log, space, addr);
	return 0;
}

/* The same if nobody waits any more; else of the hold whose place the next one takes. */
static __always_inline void lock__pay(struct lock_log *log, u64 space, u64 addr)
{
	if (!LOCK_RUNTIMES || likely(!log->owes))
		return;
	if (log->waiters)
		lock__charge_owed(space, addr, log->at + 1, true);
	else
		lock__settle(space, addr);
}

/*
 * Divides the wait from @since to @now among the holds of the lock, whose log the caller has, from
 * the last one on. A global function of scalars, too.
 */
__noinline int lock__charge_holds(u64 space, u64 addr, u64 since, u64 now)
{
	struct lock_key key = {.space = space, .addr = addr};
	struct lock_log *log = bpf_map_lookup_elem(&lock_logs, &key);
	u64 end = now;
	u32 at;

	if (!log)
		return 0;
	at = log->at;
	for (int i = 0; i < LOCK_HOLDS; i++, at--) {
		struct lock_hold *hold = lock_log__hold(log, at);
		u64 from = since + hold__minus(hold->since, since);

		if (!hold->since)
			break;
		end -= hold__minus(end, hold__until(hold));
		if (from < end)
			lock__charge_hold(space, addr, at, from, end);
		if (from == since)
			break;
		end = from;
	}
	return 0;
}

/* Are waits that end now told of? */
static __always_inline bool lock__runs(void)
{
	return window.epoch && window.epoch <= window.last;
}

/* ---- a wait begins ---- */

/* The number that the lock has for its owner, in the waiter's PID namespace; 0: it has none. */
static __always_inline u32 lock__owner_word(const struct clock_memo *m)
{
	u32 op = m->word >> WORD_FD_SHIFT, val = m->id2;

	if (futex__is_robust(op, val))
		return val & FUTEX_TID_MASK;
	return (m->id2 >> 32) & FUTEX_TID_MASK;
}

/* The thread that has the lock: what the lock says, if it is a thread that can have it. */
static __always_inline u32 lock__owner(struct clock *clk)
{
	u32 op = clk->memo.word >> WORD_FD_SHIFT, word;
	struct task_struct *owner;
	struct thread_ref *ref;

	if (clk->state == STATE_KLOCK) {
		owner = klock__owner(clk->memo.id, clk->klock_flags);
		return owner ? FOLLOW(task_struct, owner, pid) : 0;
	}
	word = lock__owner_word(&clk->memo);
	if (!word)
		return 0;
	ref = thread_ref__get(clk->wait.ns, word);
	if (!ref || ref->tid == clk->wait.tid)
		return 0;
	if ((op & FUTEX_PRIVATE) && ref->tgid != clk->wait.tgid)
		return 0;
	return ref->tid;
}

static __always_inline bool lock__is_futex(const struct clock *clk)
{
	u32 nr = clk->memo.word & 0xffff, class;

	if (nr >= NR_SYSCALLS)
		return false;
	class = config.syscall_class[nr & (NR_SYSCALLS - 1)];
	return class == CLASS_FUTEX || class == CLASS_FUTEX_WAIT || class == CLASS_FUTEX_WAITV;
}

/*
 * Does the thread wait for a condition variable that is a runtime's lock? Threads ask for such a
 * lock by waits of some ms, one after the other, and who has it is known when he lets it go: what
 * ended before is owed until then. That takes rows that are locks.
 */
static __always_inline bool lock__is_runtime(struct clock *clk)
{
	struct lock_runtime *runtime;
	u32 tgid = clk->wait.tgid;

	if (!LOCK_RUNTIMES || !CONFIG_HAS(lock_what, LOCK_BY_STACK) ||
	    CONFIG(lock_by) != LOCK_BY_LOCK || clk->state != STATE_SYNC || likely(!window.runtimes))
		return false;
	runtime = bpf_map_lookup_elem(&runtimes, &tgid);
	if (runtime && !runtime->end)
		past__keep(clk);
	return runtime && clk->memo.id - runtime->start < runtime->end - runtime->start;
}

/*
 * The word that the lock's holds are kept by: glibc's condition variables (nptl: __g_signals) have
 * two, one behind the other, that are waited for in turns.
 */
static __always_inline u64 lock__log_addr(const struct clock *clk)
{
	return clk->state == STATE_SYNC ? gil__word(&clk->memo, clk->wait.addr & ~7ULL)
					: clk->wait.addr;
}

/* Kernel locks are everybody's; addresses of user space mean something in one process. */
static __always_inline u64 lock__space_in(const struct clock *clk, u32 state)
{
	return state == STATE_KLOCK ? 0 : clk->wait.tgid;
}

static __always_inline u64 lock__space(const struct clock *clk)
{
	return lock__space_in(clk, clk->state);
}

/* A thread goes to sleep for what its clock's memo says; @stack stands for @weight such waits. */
static __always_inline void lock__begins(struct clock *clk, u64 stack, u32 weight)
{
	struct lock_wait *w = &clk->wait;

	w->addr = clk->memo.id ?: 1;
	w->since = clk->since;
	w->slot = clk->memo.slot;
	w->holder = w->log = w->snap_of = 0;
	w->open = 1;
	w->stack = stack;
	w->weight = weight;
}

/* The same of a runtime's lock, whose log the caller has. */
static __noinline struct lock_hold *lock__begins_runtime(struct lock_log *log, struct clock *clk,
							 struct holder_scratch *s, u64 now)
{
	struct lock_wait *w = &clk->wait;
	struct lock_hold *hold;

	w->holder = gil__owner(clk, s, w->log);
	hold = gil__waits(log, &s->gil, w, gil__is_dropped(&clk->memo), now);
	/* What it owes is divided by what its holder did from here on, if nobody waited before. */
	if (hold->tid && !(hold->states & HOLD_BEGIN))
		hold__begin_late(log, hold, hold->tid, now);
	return hold;
}

VERIFIED_ONCE int lock__find_holder(struct clock *clk, u64 now)
{
	struct holder_scratch *s = holder__scratch();
	struct lock_wait *w;
	struct lock_log *log;
	struct lock_hold *hold;
	bool runtime;

	if (!clk || !s)
		return 0;
	w = &clk->wait;
	runtime = lock__is_runtime(clk);
	if ((clk->state != STATE_KLOCK && !runtime &&
	     (clk->state != STATE_LOCK || !lock__is_futex(clk))))
		return 0;
	w->holder = runtime ? 0 : lock__owner(clk);
	log = lock_log__take(lock__space(clk), lock__log_addr(clk), true);
	if (!log)
		return 0;
	w->log = lock__log_addr(clk);
	hold = runtime ? lock__begins_runtime(log, clk, s, now)
		       : lock_log__waits(log, w->holder, w->tid, now);
	lock_log__want(log, hold->tid, now);
	/* Its frame is beside the ones above, and not on top of them: a kernel has 512 bytes. */
	if (runtime && lock__runs()) {
		s->row = clk->row;
		s->slot = clk->slot;
		lock__charge_owed(w->tgid, w->log, log->at - 1, false);
	}
	if (LOCK_RUNTIMES && !runtime && log->owes)
		lock__charge_owed(lock__space(clk), w->log, log->at + 1, true);
	s = holder__read(hold->tid, now);
	w->snap_of = s ? hold->tid : 0;
	if (s) {
		hold__copy(w->snap, s->ns);
		w->snap_open = s->open;
	}
	lock_log__give(log);
	return 0;
}

static __always_inline bool lock__wanted(u32 state)
{
	return (state == STATE_LOCK && CONFIG_HAS(lock_what, LOCK_USER)) ||
	       (state == STATE_KLOCK && CONFIG_HAS(lock_what, LOCK_KERNEL)) ||
	       (state == STATE_SYNC && CONFIG_HAS(lock_what, LOCK_EVENTS | LOCK_BY_STACK));
}

/* ---- and ends ---- */

/*
 * Is @task letting go of the futex that the thread of @clk waits for, or of all that it has? A
 * timer may interrupt anybody: a private futex is none of another process's.
 */
static __always_inline bool lock__wakes_futex(struct task_struct *task, const struct clock *clk)
{
	u32 op = clk->memo.word >> WORD_FD_SHIFT;
	struct syscall_regs regs;

	if ((op & FUTEX_PRIVATE) && FIELD(task, tgid) != clk->wait.tgid)
		return false;
	if (FIELD(task, flags) & PF_EXITING)
		return true;
	if (FIELD(task, flags) & PF_KTHREAD)
		return false;
	compat__syscall(task, &regs);
	if (regs.nr == SYS_FUTEX_WAKE || regs.nr == SYS_FUTEX_REQUEUE)
		return true;
	if ((u64)regs.nr >= NR_SYSCALLS ||
	    config.syscall_class[regs.nr & (NR_SYSCALLS - 1)] != CLASS_FUTEX)
		return false;
	return FUTEX_WAKES >> (compat__arg(&regs, 1) & FUTEX_CMD_MASK & 31) & 1;
}

/*
 * The lock has a waiter less; 1: it was the last one, and waits are owed. A global function of
 * scalars: it is called from many places.
 */
__noinline int lock__leave(u64 space, u64 addr, u64 now)
{
	struct lock_log *log = lock_log__take(space, addr, false);
	bool owes;

	/* Where nobody asks for it, callers would pass anything: verifiers take a number only. */
	barrier_var(now);
	if (!log)
		return 0;
	lock_log__left(log, now);
	owes = LOCK_RUNTIMES && log->owes && !log->waiters;
	lock_log__give(log);
	return owes;
}

/* What waits for the lock are owed is paid: beside lock__leave(), and not below, as said above. */
__noinline int lock__close(u64 space, u64 addr)
{
	struct lock_log *log = lock_log__take(space, addr, false);

	if (!log)
		return 0;
	lock__settle_all(log, space, addr);
	lock_log__give(log);
	return 0;
}

/* The wait of @clk, which was in @state, ended at @now, and its lock is to know no more of it. */
static __always_inline void lock__slip(struct clock *clk, u32 state, u64 now)
{
	u64 space = lock__space_in(clk, state);

	if (clk->wait.log && lock__leave(space, clk->wait.log, now))
		lock__close(space, clk->wait.log);
}

/* The wait of @clk for a runtime's lock, whose log the caller has, ends by current thread @by… */
static __noinline void lock__ends_runtime(struct lock_log *log, struct clock *clk,
					  struct holder_scratch *s, u32 by, u64 now)
{
	struct clock *own = by ? clock__get(compat__current()) : NULL;

	if (!by) {
		lock_log__left(log, now); /* …or by its time-out */
		return;
	}
	if (gil__read(s, clk->wait.log) && own)
		gil__is(own, s->gil.last_holder);
	if (gil__is_dropped(&clk->memo))
		gil__taken(log, by, now);
	else
		gil__released(log, &s->gil, by, clk->wait.tid, now);
}

/* The thread of @clk is woken by @waker, the current thread. */
static __always_inline void lock__ends(void *ctx, struct clock *clk, struct task_struct *waker,
				       u64 now)
{
	u64 since = clock__later(clk->wait.since, window.run_start);
	u64 ns = clock__span(since, now);
	struct holder_scratch *s = holder__scratch();
	struct lock_log *log = NULL;
	u32 by = FIELD(waker, pid);
	bool released, counts = ns >= CONFIG(min_ns);

	clk->wait.open = 0;
	if (!s)
		return;
	if (!lock__runs()) {
		lock__slip(clk, clk->state, now);
		return;
	}
	holder__note(clk);
	s->row = clk->row;
	s->slot = clk->slot;
	s->runtime = LOCK_RUNTIMES && clk->state == STATE_SYNC;
	/* A time-out or a signal wakes too, in whatever context. */
	released = by && by != clk->wait.tid &&
		   (!lock__is_futex(clk) || lock__wakes_futex(waker, clk));
	if (released && clk->state != STATE_KLOCK)
		holder__lets_go(waker, now);
	if (clk->wait.log)
		log = lock_log__take(lock__space(clk), clk->wait.log, false);
	if (log) {
		if (LOCK_RUNTIMES && s->runtime)
			lock__ends_runtime(log, clk, s, released ? by : 0, now);
		else if (released)
			lock_log__released(log, by, clk->wait.tid, clk->wait.since, now);
		else
			lock_log__left(log, now);
		if (counts)
			lock__charge_holds(lock__space(clk), clk->wait.log, since, now);
		if (LOCK_RUNTIMES && s->runtime)
			lock__charge_owed(clk->wait.tgid, clk->wait.log, log->at - 1, false);
		else
			lock__pay(log, lock__space(clk), clk->wait.log);
		lock_log__give(log);
	} else if (released && counts) {
		compat__comm(waker, s->comm);
		lock__charge_holder(by, ns, 1, past__tells(clk, clock__get(waker), since, now));
	}
	if (counts)
		lock__ended(ctx, clk, released ? by : 0, ns);
}

/*
 * The wait of @clk's thread, segment @seg, is over. True if it counts and none saw who ended it: he
 * came while the thread was still on its way to sleep, and had no wait yet. Then it is in the
 * scratch space. It was no longer than that way: who had the lock, and let it go, stays unknown.
 */
static __always_inline bool lock__slipped(struct clock *clk, const struct segment *seg)
{
	if (likely(!clk->wait.open))
		return false;
	clk->wait.open = 0;
	lock__slip(clk, seg->state, clk->since);
	holder__note(clk);
	return lock__runs() && seg->total >= CONFIG(min_ns);
}

static __always_inline void lock__waking(void *ctx, struct task_struct *task)
{
	struct task_struct *waker;
	struct clock *clk;

	if (!filter__maybe(task) || !hot__is(task))
		return;
	clk = clock__get(task);
	if (!clk)
		return;
	holder__wakes(clk, task);
	if (!clk->wait.addr || clk->state == STATE_CPU || clk->state == STATE_RUNQ ||
	    clk->state == STATE_PREEMPT || clk->state == STATE_NONE)
		return;
	waker = compat__current();
	lock__ends(ctx, clk, waker, bpf_ktime_get_ns());
}

/* In the context of who wakes, unlike sched_wakeup. */
SEC_TP("sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	cpu__event(PROG_WAKEUP);
	lock__waking(ctx, task);
	return 0;
}

/* Who has the lock that a thread waits for, now that it may have changed hands. */
static __always_inline u32 lock__holder_now(struct clock *clk)
{
	struct lock_key key = {.space = lock__space(clk), .addr = clk->wait.log};
	struct lock_log *log = key.addr ? bpf_map_lookup_elem(&lock_logs, &key) : NULL;
	struct lock_hold *hold;

	/* Of a runtime's lock, a hold's thread may be a guess. */
	if (!log || clk->state == STATE_SYNC)
		return clk->wait.holder;
	hold = lock_log__hold(log, log->at);
	return hold->until ? 0 : hold->tid;
}

/* After the last epoch: who waits now, for what, and who has it. */
SEC("iter/task")
int waiting(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct lock_waiting rec = {};
	struct clock *clk;

	if (!task)
		return 0;
	clk = clock__get(task);
	if (!clk || !clk->row || !clk->wait.addr || !lock__wanted(clk->state))
		return 0;
	if (LOCK_RUNTIMES && clk->wait.log)
		lock__close(lock__space(clk), clk->wait.log);
	rec.addr = clk->wait.addr;
	rec.ns = clock__span(clock__later(clk->wait.since, window.run_start), bpf_ktime_get_ns());
	rec.stack = clk->wait.stack;
	rec.weight = clk->wait.weight;
	rec.tid = FIELD(task, pid);
	rec.tgid = FIELD(task, tgid);
	rec.holder = lock__holder_now(clk);
	rec.slot = clk->wait.slot;
	rec.row_slot = clk->slot;
	bpf_core_read(&rec.comm, sizeof(rec.comm), &task->comm);
	bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
	return 0;
}

#endif
