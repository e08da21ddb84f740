/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Spans: something with a begin and an end on one thread (a query, a call, a system call), which
 * gets its latency and its decomposition into states. What is not in another state is `cpu`, so the
 * parts add up to the latency by construction.
 *
 * Most spans never leave the CPU. So their readings are not of the thread's clock, whose times in
 * each state are sums, but of what the scheduler's hooks add up besides: the waits that ended, and
 * how many they were. If none came between a span's begin and its end, there is nothing to read.
 *
 * Spans of a thread nest: an end closes the innermost open span of its kind, and those that were
 * opened inside it and never ended (longjmp, exceptions) are dropped and counted as orphans.
 */
#ifndef DWELL_SPAN_BPF_H
#define DWELL_SPAN_BPF_H

#include "lib/clock.bpf.h"
#include "lib/span_rec.bpf.h"

#define SPAN_DEPTH 4 /* a power of two: an index is masked for the verifier */

/* A thread's open spans; lives in the caller's task storage, next to the clock. */
struct span_stack {
	u32 depth;
	u32 over; /* begins that were refused, and not ended yet */
	struct span open[SPAN_DEPTH];
};

static __always_inline void span__wait(struct span_waits *w, u32 state, u64 since, u64 until)
{
	u64 at = state;

	barrier_var(at);
	w->ns[at & STATE_MASK] += clock__span(clock__later(since, w->read), until);
	w->count++;
}

/* For the scheduler's hooks: the clock was turned, and the segment that ended was a wait. */
static __always_inline void span__waited(struct span_waits *w, const struct clock *clk,
					 const struct segment *seg)
{
	span__wait(w, seg->state, clk->since - seg->total, clk->since);
}

/*
 * The thread runs, and yet its clock has it in a wait: of a switch that the kernel kept to itself
 * the clock hears when the thread leaves its CPU. Until then the wait goes on, up to @now.
 */
static __always_inline void span__read(struct span_waits *w, const struct clock *clk, u64 now)
{
	if (likely(clk->state == STATE_CPU))
		return;
	span__wait(w, clk->state, clk->since, now);
	w->read = now;
}

/* Opens a span. False, and counted, if SPAN_DEPTH are open already. */
static __always_inline bool span__begin(struct span_stack *stack, const struct clock *clk,
					struct span_waits *w, u64 kind, u64 now)
{
	u32 depth = stack->depth;
	struct span *span;

	if (depth >= SPAN_DEPTH) {
		stack->over++;
		loss__count(LOSS_SPAN_DEPTH);
		return false;
	}
	span__read(w, clk, now);
	span = &stack->open[depth];
	span->start = now;
	span->kind = kind;
	span->waits = w->count;
	__builtin_memcpy(span->ns, w->ns, sizeof(span->ns));
	stack->depth = depth + 1;
	return true;
}

/* The depth at which the innermost open span of @kind lies; SPAN_DEPTH if there is none. */
static __always_inline u64 span__find(struct span_stack *stack, u64 kind)
{
	u64 at = stack->depth;

	for (u32 n = 0; n < SPAN_DEPTH && at; n++) {
		at--;
		/* Says the bound again, in a way that clang 14 does not optimise away. */
		barrier_var(at);
		at &= SPAN_DEPTH - 1;
		if (stack->open[at].kind == kind)
			return at;
	}
	return SPAN_DEPTH;
}

/* What lies between the readings at the begin of @span and now; the rest is cpu. */
static __always_inline void span__states(struct span_result *out, const struct span *span,
					 const struct span_waits *w)
{
	u64 others = 0;

	if (unlikely(out->waited))
		__builtin_memset(out->ns, 0, sizeof(out->ns));
	out->waited = span->waits != w->count;
	if (unlikely(out->waited)) {
		for (u32 i = 0; i < NR_STATES; i++) {
			out->ns[i] = w->ns[i] - span->ns[i];
			others += out->ns[i];
		}
	}
	out->ns[STATE_CPU] = clock__span(others, out->latency);
}

/*
 * Closes the innermost span of @kind. False if none is open, or the begin was refused: counted.
 * @out is that of the thread's span before, or all zero.
 */
static __always_inline bool span__end(struct span_stack *stack, const struct clock *clk,
				      struct span_waits *w, u64 kind, u64 now,
				      struct span_result *out)
{
	struct span *span;
	u64 at;

	/* Of those too deep to be kept: their loss was counted at the begin. */
	if (stack->over) {
		stack->over--;
		return false;
	}
	at = span__find(stack, kind);
	if (at >= SPAN_DEPTH) {
		loss__count(LOSS_SPAN_ORPHAN);
		return false;
	}
	barrier_var(at);
	span = &stack->open[at & (SPAN_DEPTH - 1)];
	span__read(w, clk, now);
	out->start = span->start;
	out->latency = clock__span(span->start, now);
	span__states(out, span, w);
	for (u32 n = 0; n < SPAN_DEPTH && stack->depth > at + 1; n++) {
		stack->depth--;
		loss__count(LOSS_SPAN_ORPHAN);
	}
	stack->depth = at;
	return true;
}

#endif
