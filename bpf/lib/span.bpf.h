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

#define SPAN_DEPTH 4

struct span {
	u64 start; /* ns */
	u64 kind;  /* the caller's: an end must name the begin's */
	u64 ns[NR_STATES]; /* reading of the clock at the begin */
};

/* A thread's open spans; lives in the caller's task storage, next to the clock. */
struct span_stack {
	u32 depth;
	u32 pad;
	struct span open[SPAN_DEPTH];
};

/* A span that ended: @ns sums up to @latency. */
struct span_result {
	u64 start;
	u64 latency;
	u64 ns[NR_STATES];
};

/* Opens a span. False, and counted, if SPAN_DEPTH are open already. */
static __always_inline bool span__begin(struct span_stack *stack, struct clock *clk, u64 kind, u64 now)
{
	u32 depth = stack->depth;
	struct span *span;

	if (depth >= SPAN_DEPTH) {
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

/* Closes the innermost span of @kind. False, and counted, if none is open. */
static __always_inline bool span__end(struct span_stack *stack, struct clock *clk, u64 kind, u64 now,
				      struct span_result *out)
{
	u32 depth = stack->depth;

	for (u32 n = 0; n < SPAN_DEPTH && depth; n++) {
		struct span *span = &stack->open[--depth & (SPAN_DEPTH - 1)];

		if (span->kind != kind) {
			loss__count(LOSS_SPAN_ORPHAN);
			continue;
		}
		out->start = span->start;
		out->latency = clock__span(span->start, now);
		for (u32 i = 0; i < NR_STATES; i++)
			out->ns[i] = clock__read(clk, i, now) - span->ns[i];
		stack->depth = depth;
		return true;
	}
	stack->depth = 0;
	loss__count(LOSS_SPAN_ORPHAN);
	return false;
}

#endif
