/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Spans: something with a begin and an end on one thread (a query, a call, a system call), which
 * gets its latency and its decomposition into states as the difference of two readings of the
 * thread's clock. The parts add up to the latency by construction.
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

/* Opens a span. False, and counted, if SPAN_DEPTH are open already. */
static __always_inline bool span__begin(struct span_stack *stack, struct clock *clk, u64 kind,
					u64 now)
{
	u32 depth = stack->depth;
	struct span *span;

	if (depth >= SPAN_DEPTH) {
		stack->over++;
		loss__count(LOSS_SPAN_DEPTH);
		return false;
	}
	span = &stack->open[depth];
	span->start = now;
	span->kind = kind;
	for (u32 i = 0; i < NR_STATES; i++)
		span->ns[i] = clock__read(clk, i, now);
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

/* Closes the innermost span of @kind. False if none is open, or the begin was refused: counted. */
static __always_inline bool span__end(struct span_stack *stack, struct clock *clk, u64 kind,
				      u64 now, struct span_result *out)
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
	out->start = span->start;
	out->latency = clock__span(span->start, now);
	for (u32 i = 0; i < NR_STATES; i++)
		out->ns[i] = clock__read(clk, i, now) - span->ns[i];
	for (u32 n = 0; n < SPAN_DEPTH && stack->depth > at + 1; n++) {
		stack->depth--;
		loss__count(LOSS_SPAN_ORPHAN);
	}
	stack->depth = at;
	return true;
}

#endif
