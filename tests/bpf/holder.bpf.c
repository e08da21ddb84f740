// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* The hooks' bodies of lock on the driver's own clock: it waits for a kernel lock that is none. */
#include "lock.bpf.c"

#include "holder_test.h"

struct holder_answer answer SEC(".data.test");

static __always_inline int tell(const struct clock *clk)
{
	struct lock_key key = {.addr = HOLDER_LOCK};
	struct lock_log *log = bpf_map_lookup_elem(&lock_logs, &key);

	answer.state = clk->state;
	answer.logged = log != NULL;
	answer.waiters = log ? log->waiters : 0;
	return 0;
}

/* args: since */
SEC("raw_tp")
int start(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = compat__current();
	struct clock *clk = clock__create(task);

	if (!clk)
		return 1;
	clk->row = 1;
	holder__born(clk, task);
	clock__start(clk, STATE_CPU, TALLY_NONE, ctx->args[0]);
	return 0;
}

/* args: now: the driver goes to sleep for the lock */
SEC("raw_tp")
int sleep(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = compat__current();
	struct clock *clk = clock__get(task);

	if (!clk)
		return 1;
	clk->klock = HOLDER_LOCK;
	clk->klock_flags = LCB_F_MUTEX;
	sched__leaves(ctx, clk, task, true, TASK_INTERRUPTIBLE, ctx->args[0]);
	return tell(clk);
}

/* Somebody is about to wake the driver (it is the driver)… */
SEC("raw_tp")
int waking(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = compat__current();
	struct clock *clk = clock__get(task);

	if (!clk)
		return 1;
	lock__waking(ctx, task);
	return tell(clk);
}

/* …and it is runnable. */
SEC("raw_tp")
int wakeup(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = compat__current();
	struct clock *clk = clock__get(task);

	if (!clk)
		return 1;
	sched__wakes(task, clk);
	return tell(clk);
}

/* args: now: it has got a CPU */
SEC("raw_tp")
int in(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = compat__current();
	struct clock *clk = clock__get(task);

	if (!clk)
		return 1;
	sched__gets(cpu__get(), clk, task, ctx->args[0]);
	return tell(clk);
}
