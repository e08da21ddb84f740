// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* Clocks that know of waits for a CPU alone, and who is charged with these: all made up. */
#include "lib/culprit_log.bpf.h"

#define CLOCK_QUEUED
#include "lib/clock.bpf.h"
#include "lib/culprit.bpf.h"

#include "queue_test.h"

struct queue_answer answer SEC(".data.test");

static __always_inline void sched__left(void *ctx, struct clock *clk, struct task_struct *task)
{
}

static __always_inline u32 sched__seeded(struct clock *clk, u32 state)
{
	return TALLY_NONE;
}

static __always_inline void sched__woken(struct clock *clk, const struct segment *seg)
{
}

static __always_inline void sched__runs(struct cpu *cpu, struct clock *clk,
					const struct segment *seg, u64 now)
{
	answer.wait_state = seg->state;
	answer.wait_ns = seg->total;
	answer.waits++;
}

static __always_inline void sched__switched(struct cpu *cpu, struct task_struct *next, u64 now)
{
}

#define SCHED_QUEUED
#define SCHED_CAUSES false
#include "lib/sched.bpf.h"

/* args: since: the driver runs, as far as its clock knows */
SEC("raw_tp")
int start(struct bpf_raw_tracepoint_args *ctx)
{
	struct clock *clk = clock__create(compat__current());

	if (!clk)
		return 1;
	clk->row = 1;
	clock__start(clk, SCHED_RUNS, TALLY_NONE, ctx->args[0]);
	return 0;
}

/* args: from, to, unseen: the driver loses its CPU, and gets one; did it run, unseen, meanwhile? */
SEC("raw_tp")
int wait(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = compat__current();
	struct clock *clk;

	sched__out(ctx, task, true, TASK_RUNNING, ctx->args[0]);
	clk = clock__get(task);
	if (!clk)
		return 1;
	if (ctx->args[2])
		clk->ran++;
	sched__in(cpu__get(), task, ctx->args[1]);
	answer.state = clk->state;
	return 0;
}

/* args: epoch, end: the driver's account */
SEC("raw_tp")
int account(struct bpf_raw_tracepoint_args *ctx)
{
	struct clock *clk = clock__get(compat__current());

	if (!clk)
		return 1;
	emit__account(&answer.rec, clk, ctx->args[0], ctx->args[1]);
	return 0;
}

/* args: tgid, now: a thread of process @tgid gets this CPU */
SEC("raw_tp")
int run(struct bpf_raw_tracepoint_args *ctx)
{
	struct culprit_log *log = culprit__log();

	if (!log)
		return 1;
	culprit__ran(log, compat__current(), ctx->args[1]);
	log->run[log->last & (CULPRIT_RUNS - 1)].tgid = ctx->args[0];
	return 0;
}

/* args: from, to: the driver waited */
SEC("raw_tp")
int charge(struct bpf_raw_tracepoint_args *ctx)
{
	u64 from = ctx->args[0], now = ctx->args[1];
	struct clock *clk = clock__get(compat__current());
	struct culprit_log *log = culprit__log();
	struct segment seg = {.state = STATE_RUNQ,
			      .epoch = window.epoch,
			      .inside = now - from,
			      .total = now - from};

	if (!clk || !log)
		return 1;
	culprit__charge(clk, log, &seg, now);
	return 0;
}
