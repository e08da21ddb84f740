// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* The hooks' bodies on the driver's own clock, with switches that the test makes up. */
#define TALLY_OWN
#define CLOCK_READS
#include "lib/cause.bpf.h"
#include "lib/clock.bpf.h"

#include "sched_test.h"

struct sched_answer answer SEC(".data.test");

static __always_inline void sched__left(void *ctx, struct clock *clk, struct task_struct *task)
{
}

static __always_inline u32 sched__seeded(struct clock *clk, u32 state)
{
	return TALLY_NONE;
}

static __always_inline void sched__woken(struct clock *clk, const struct segment *seg)
{
	answer.wait_state = seg->state;
	answer.wait_ns = seg->total;
	answer.waits++;
}

static __always_inline void sched__runs(struct cpu *cpu, struct clock *clk,
					const struct segment *seg, u64 now)
{
	sched__woken(clk, seg);
}

static __always_inline void sched__switched(struct cpu *cpu, struct task_struct *next, u64 now)
{
}

#define SCHED_CAUSES false
#include "lib/sched.bpf.h"

static __always_inline struct task_struct *self(void)
{
#ifdef DWELL_RAW
	return (void *)bpf_get_current_task();
#else
	return bpf_get_current_task_btf();
#endif
}

static __always_inline void tell(struct clock *clk, u64 now)
{
	answer.state = clk->state;
	answer.since = clk->since;
	answer.cpu_ns = clock__read(clk, STATE_CPU, now);
	answer.other_ns = clock__read(clk, STATE_OTHER, now);
}

/* args: state, since */
SEC("raw_tp")
int start(struct bpf_raw_tracepoint_args *ctx)
{
	struct clock *clk = clock__create(self());

	if (!clk)
		return 1;
	clk->row = 1;
	clock__start(clk, ctx->args[0], TALLY_NONE, ctx->args[1]);
	return 0;
}

/* Is the clock that the driver has one that was never turned? */
SEC("raw_tp")
int fresh(void *ctx)
{
	struct clock *clk = clock__create(self());

	return clk && !clk->row && !clk->since && clk->state == STATE_NONE;
}

/* args: task state, now: the driver leaves its CPU */
SEC("raw_tp")
int out(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = self();
	struct clock *clk;

	sched__out(ctx, task, false, ctx->args[0], ctx->args[1]);
	clk = clock__get(task);
	if (!clk)
		return 1;
	tell(clk, ctx->args[1]);
	return 0;
}

/* Has nobody else the driver's row? */
SEC("raw_tp")
int alone(void *ctx)
{
	struct clock *clk = clock__get(self());

	return clk && clock__is_alone(clk);
}

/* The driver begins to exit. */
SEC("raw_tp")
int ending(struct bpf_raw_tracepoint_args *ctx)
{
	sched__ending(self());
	return 0;
}

/* args: now: the driver leaves its CPU for good */
SEC("raw_tp")
int die(struct bpf_raw_tracepoint_args *ctx)
{
	sched__out(ctx, self(), false, TASK_DEAD, ctx->args[0]);
	return 0;
}

/* args: now: the driver gets a CPU */
SEC("raw_tp")
int in(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = self();
	struct clock *clk;

	sched__in(cpu__get(), task, ctx->args[0]);
	clk = clock__get(task);
	if (!clk)
		return 1;
	tell(clk, ctx->args[0]);
	return 0;
}
