// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
#include "lib/span.bpf.h"

#include "clock_test.h"

struct clock_answer answer SEC(".data.test");

static struct clock the_clock;
static struct span_stack stack;
static struct span_waits waits;
static struct span_result result;

/* args: state, now */
SEC("raw_tp")
int start(struct bpf_raw_tracepoint_args *ctx)
{
	return clock__start(&the_clock, ctx->args[0], TALLY_NONE, ctx->args[1]);
}

/* args: state, now */
SEC("raw_tp")
int turn(struct bpf_raw_tracepoint_args *ctx)
{
	struct segment seg;

	clock__turn(&the_clock, ctx->args[0], ctx->args[1], &seg);
	if (seg.state != STATE_CPU)
		span__waited(&waits, &the_clock, &seg);
	return 0;
}

/* args: kind, now; answers whether a span was opened */
SEC("raw_tp")
int begin(struct bpf_raw_tracepoint_args *ctx)
{
	bool opened = span__begin(&stack, &the_clock, &waits, ctx->args[0], ctx->args[1]);

	answer.depth = stack.depth;
	return opened;
}

/* args: kind, now; answers whether a span was closed */
SEC("raw_tp")
int end(struct bpf_raw_tracepoint_args *ctx)
{
	bool closed = span__end(&stack, &the_clock, &waits, ctx->args[0], ctx->args[1], &result);

	answer.depth = stack.depth;
	answer.start = result.start;
	answer.latency = result.latency;
	for (u32 i = 0; i < NR_STATES; i++)
		answer.read[i] = result.ns[i];
	return closed;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
