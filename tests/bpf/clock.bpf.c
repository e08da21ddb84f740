// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
#define CLOCK_READS
#include "lib/clock.bpf.h"
#include "lib/emit.bpf.h"

#include "clock_test.h"

struct clock_answer answer SEC(".data.test");

static struct clock the_clock;
static const struct clock new_clock;

static __always_inline void tell(void)
{
	answer.since = the_clock.since;
	answer.state = the_clock.state;
	answer.seq = the_clock.seq;
	answer.epoch = the_clock.epoch;
	answer.slot = the_clock.slot;
}

/* args: state, now, slot; answers whether the clock was started */
SEC("raw_tp")
int start(struct bpf_raw_tracepoint_args *ctx)
{
	bool started;

	the_clock.row = 1;
	started = clock__start(&the_clock, ctx->args[0], ctx->args[2], ctx->args[1]);
	tell();
	return started;
}

SEC("raw_tp")
int reset(void *ctx)
{
	the_clock = new_clock;
	return 0;
}

/* args: state, now, slot of the segment that begins */
SEC("raw_tp")
int turn(struct bpf_raw_tracepoint_args *ctx)
{
	struct segment seg;

	clock__turn(&the_clock, ctx->args[0], ctx->args[1], &seg);
	the_clock.slot = ctx->args[2];
	answer.seg_state = seg.state;
	answer.seg_slot = seg.slot;
	answer.seg_epoch = seg.epoch;
	answer.inside = seg.inside;
	answer.total = seg.total;
	tell();
	return 0;
}

SEC("raw_tp")
int notice(void *ctx)
{
	clock__notice(&the_clock);
	tell();
	return 0;
}

/* args: now */
SEC("raw_tp")
int read(struct bpf_raw_tracepoint_args *ctx)
{
	for (u32 i = 0; i < NR_STATES; i++)
		answer.read[i] = clock__read(&the_clock, i, ctx->args[0]);
	return 0;
}

/* args: epoch, its end */
SEC("raw_tp")
int account(struct bpf_raw_tracepoint_args *ctx)
{
	emit__account((struct thread_rec *)&answer.rec, &the_clock, ctx->args[0], ctx->args[1]);
	return 0;
}

/* args: epoch; answers whether it is for the caller to hand it over */
SEC("raw_tp")
int claim(struct bpf_raw_tracepoint_args *ctx)
{
	return emit__claim(&the_clock, ctx->args[0]);
}

static __always_inline struct task_struct *self(void)
{
#ifdef DWELL_RAW
	return (void *)bpf_get_current_task();
#else
	return bpf_get_current_task_btf();
#endif
}

/* The driver plays a thread that ends. */
SEC("raw_tp")
int end(void *ctx)
{
	emit__exit(&the_clock);
	return 0;
}

/* args: the new row */
SEC("raw_tp")
int rekey(struct bpf_raw_tracepoint_args *ctx)
{
	emit__rekey(&the_clock, self(), ctx->args[0]);
	return 0;
}

/* Answers with the row of the driver. */
SEC("raw_tp")
int row_of(void *ctx)
{
	answer.rec.row = emit__row(self());
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
