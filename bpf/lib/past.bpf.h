/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What a thread did of late. Where only its stack tells that a thread waits for a lock, the word
 * that it waits for mostly is its own, and who has the lock is known when he wakes it. What he did
 * meanwhile must have been kept before anybody knew that he had it: so the threads that wait like
 * that, and those that wake them, keep their last turns.
 */
#ifndef DWELL_PAST_BPF_H
#define DWELL_PAST_BPF_H

#include "lib/holder.bpf.h"

#ifndef HOLDERS_BY_WAIT
#define PAST_STATE_BITS 4
_Static_assert(NR_STATES <= 1 << PAST_STATE_BITS, "a turn has room for its state");

/* The clock has been turned. */
static __always_inline void past__turned(struct clock *clk)
{
	u64 i;

	if (likely(!clk->wait.past))
		return;
	i = clk->wait.past++ & (PAST_TURNS - 1);
	barrier_var(i);
	clk->wait.turn[i & (PAST_TURNS - 1)] = clk->since << PAST_STATE_BITS | clk->state;
}

/* From now on its last turns are kept, and its clock goes on. */
static __always_inline void past__keep(struct clock *clk)
{
	if (likely(clk->wait.past))
		return;
	clk->wait.past = 1;
	past__turned(clk);
	hot__set(clk->wait.tid);
}

/*
 * What the current thread @own did from @since to @now, as far as it is known, into the scratch
 * space: spent. No branch in the loop, since the verifier would take both ways at each turn.
 */
VERIFIED_ONCE int past__spent(struct clock *own, u64 since, u64 now)
{
	struct holder_scratch *s = holder__scratch();
	u64 n;

	if (!own || !s)
		return 0;
	n = own->wait.past;
	for (int i = 0; i < NR_STATES; i++) {
		s->spent[i] = 0;
		s->last[i] = own->wait.last[i];
	}
	for (int i = 1; i <= PAST_TURNS; i++) {
		u64 at = (n - i) & (PAST_TURNS - 1), turn, state;

		barrier_var(at);
		turn = own->wait.turn[at & (PAST_TURNS - 1)];
		state = turn & ((1 << PAST_STATE_BITS) - 1);
		turn = since + hold__minus(turn >> PAST_STATE_BITS, since);
		barrier_var(state);
		s->spent[state & STATE_MASK] += hold__minus(now, turn);
		now -= hold__minus(now, turn);
	}
	return 1;
}

/* Is it known what the current thread @own, which wakes that of @clk, did since @since? */
static __always_inline bool past__tells(struct clock *clk, struct clock *own, u64 since, u64 now)
{
	if (likely(!clk->wait.past) || !own || own->state == STATE_NONE)
		return false;
	past__keep(own);
	return past__spent(own, since, now);
}
#else
static __always_inline void past__keep(struct clock *clk)
{
}

static __always_inline bool past__tells(struct clock *clk, struct clock *own, u64 since, u64 now)
{
	return false;
}
#endif

#endif
