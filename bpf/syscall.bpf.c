// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* syscall: every system call of watched threads, by number and error, with its states. */
#include "lib/call.bpf.h"
#include "lib/cause.bpf.h"

#define MAX_ERRNO 4095 /* include/linux/err.h */

#define QUIET_LEFT(ctx, clk) call__left(clk)
#include "lib/quiet.bpf.h"

/* A thread mostly makes the call that it made last. */
static __always_inline u32 syscall__slot(struct clock *clk, u32 nr, u32 error)
{
	struct call *call = &clk->call;
	struct tally_key key = {.row = clk->row, .aux = error, .syscall = nr};
	bool fresh = false;

	if (likely(call->row == clk->row && call->nr == nr && call->error == error))
		return call->slot;
	call->slot = tally__slot(&key, &fresh);
	call->row = clk->row;
	call->nr = nr;
	call->error = error;
	return call->slot;
}

SEC_TP("sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long nr)
{
	struct task_struct *task = compat__current();
	struct clock *clk = quiet__clock(task, PROG_CALL_BEGIN);

	if (clk)
		call__begin(clk, task, nr);
	return 0;
}

SEC_TP("sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	struct task_struct *task = compat__current();
	struct clock *clk = quiet__clock(task, PROG_CALL_END);
	u32 epoch = window.epoch, error = 0;
	struct span_result span;

	if (!clk || !call__end(clk, &span) || span.latency < config.min_ns)
		return 0;
	if (ret < 0 && ret >= -MAX_ERRNO)
		error = -ret;
	call__add(clk, syscall__slot(clk, clk->call.span.kind, error), epoch, &span);
	return 0;
}
