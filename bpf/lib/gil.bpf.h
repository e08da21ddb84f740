/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * CPython's global lock: a flag, and two condition variables beside it. Threads wait for `cond`
 * some ms at a time, one wait after the other, and ask the one that has the lock to drop it. He
 * signals `cond`; if he was asked, he then waits for `switch_cond` until another one has taken it.
 *
 * Whoever takes it need not have been woken for it: a signal may come to a thread whose time was
 * up, and which has not had a CPU since. So a waiter looks who has it. That is told by a pointer to
 * a thread's state, which a thread is known by once it was seen to drop the lock, or to take it.
 */
#ifndef DWELL_GIL_BPF_H
#define DWELL_GIL_BPF_H

#include "lib/holder.bpf.h"
#include "lib/cause.bpf.h"

/* Of struct _gil_runtime_state (Include/internal/pycore_gil.h), alike from 3.7 to 3.13. */
#define GIL_HEAD 64 /* from its member last_holder to what is waited for of cond: __g_signals */
#ifdef __TARGET_ARCH_arm64
#define GIL_SWITCH_COND 96 /* from cond to switch_cond: pthread_cond_t, pthread_mutex_t */
#else
#define GIL_SWITCH_COND 88
#endif

/* Who waits without a time-out has dropped the lock, and waits for another one to take it. */
static __always_inline bool gil__is_dropped(const struct clock_memo *m)
{
	return m->word & WORD_ZERO_ARG;
}

/* What the holds of the lock are kept by, of which the current thread waits for word @addr. */
static __always_inline u64 gil__word(const struct clock_memo *m, u64 addr)
{
	return addr - (gil__is_dropped(m) ? GIL_SWITCH_COND : 0);
}

/* A thread of the process says who has the lock at @word, or had it last. */
static __always_inline bool gil__read(struct holder_scratch *s, u64 word)
{
	if (!bpf_probe_read_user(&s->gil, sizeof(s->gil), (void *)word - GIL_HEAD) &&
	    s->gil.locked <= 1 && s->gil.last_holder)
		return true;
	s->gil.last_holder = s->gil.locked = s->gil.switches = 0;
	return false;
}

/* The current thread, whose clock is @clk, is the one that had the lock last. */
static __always_inline void gil__is(struct clock *clk, u64 last_holder)
{
	struct lock_wait *w = &clk->wait;
	struct thread_ref *ref = thread_ref__get(last_holder, w->tgid);

	if (likely(ref && ref->tid == w->tid && w->gil_self == last_holder))
		return;
	if (w->gil_self != last_holder)
		thread_ref__forget(w->gil_self, w->tgid, w->tid);
	w->gil_self = last_holder;
	thread_ref__add(last_holder, w->tgid, clk, w->tid, w->tgid);
}

/* Who has the lock that the current thread goes to sleep for; 0: nobody, or it is not known. */
static __always_inline u32 gil__owner(struct clock *clk, struct holder_scratch *s, u64 word)
{
	struct thread_ref *ref;

	if (!gil__read(s, word) || gil__is_dropped(&clk->memo))
		return 0;
	ref = s->gil.locked ? thread_ref__get(s->gil.last_holder, clk->wait.tgid) : NULL;
	return ref && ref->tid != clk->wait.tid ? ref->tid : 0;
}

/* Another one has the lock than who was woken for it: had he got it before? */
static __always_inline bool gil__was_faster(const struct lock_hold *hold, const struct gil *gil)
{
	return hold->guessed && (u32)gil->switches - hold->switches <= 1;
}

/* The current thread goes to sleep for the lock; @dropped: after it had it. */
static __always_inline struct lock_hold *gil__waits(struct lock_log *log, const struct gil *gil,
						    const struct lock_wait *w, bool dropped,
						    u64 now)
{
	struct lock_hold *hold = lock_log__hold(log, log->at);
	bool open = hold->since && !hold->until;

	log->waiters++;
	if (open && dropped && hold->tid != w->tid)
		hold__begin_late(log, hold, w->tid, now);
	if (open && !dropped) {
		if (w->holder && w->holder == hold->tid)
			hold->guessed = false;
		if (w->holder == hold->tid || (!w->holder && hold->tid != w->tid))
			return hold;
		if (gil__was_faster(hold, gil)) {
			hold->guessed = !w->holder;
			hold__begin_late(log, hold, w->holder, now);
			return hold;
		}
	}
	if (open)
		hold__end(hold, now);
	hold = lock_log__push(log, w->holder, now, !w->holder);
	hold->switches = gil->switches;
	return hold;
}

/* The current thread @by wakes @waiter: it drops the lock, … */
static __always_inline void gil__released(struct lock_log *log, const struct gil *gil, u32 by,
					  u32 waiter, u64 now)
{
	lock_log__passes(log, by, waiter, now);
	lock_log__hold(log, log->at)->switches = gil->switches;
}

/* …or has taken it. */
static __always_inline void gil__taken(struct lock_log *log, u32 by, u64 now)
{
	struct lock_hold *hold = lock_log__hold(log, log->at);

	if (hold->until || !hold->since)
		hold = lock_log__push(log, by, now, false);
	else if (hold->tid != by)
		hold__begin_late(log, hold, by, now);
	hold->guessed = false;
	lock_log__left(log, now);
}

#endif
