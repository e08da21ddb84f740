// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* syscall: every system call of watched threads, by number and error, with its states. */
#include "lib/compat.bpf.h"
#include "tally.h"

#define SYSCALL_MEMOS 16 /* a power of two */

/* A tally that a thread needed: threads make a few calls in turn. */
struct syscall_memo {
	u32 call; /* SYSCALL_CALL(), plus 1; 0: none */
	u32 slot;
};

#define CALL_EXTRA                                                                                 \
	u64 row; /* whose `memo` are */                                                            \
	struct syscall_memo memo[SYSCALL_MEMOS];
#define TALLY_OWN
#include "lib/call.bpf.h"
#include "lib/cause.bpf.h"

#define MAX_ERRNO             4095 /* include/linux/err.h */
#define SYSCALL_CALL(nr, err) ((nr) | (err) << 16)

#define QUIET_LEFT(ctx, clk) call__left(clk)
#include "lib/quiet.bpf.h"

static __always_inline u32 syscall__slot(struct clock *clk, u32 nr, u32 error)
{
	struct tally_key key = {.row = clk->row, .aux = error, .syscall = nr};
	u32 call = SYSCALL_CALL(nr, error) + 1;
	/* openat() and its like are 256 behind the first ones, which are as frequent. */
	u64 at = (nr + (nr >> 6) + error) & (SYSCALL_MEMOS - 1);
	struct syscall_memo *memo;
	bool fresh = false;

	barrier_var(at);
	memo = &clk->call.memo[at & (SYSCALL_MEMOS - 1)];
	if (unlikely(clk->call.row != clk->row)) {
		__builtin_memset(clk->call.memo, 0, sizeof(clk->call.memo));
		clk->call.row = clk->row;
	}
	if (likely(memo->call == call))
		return memo->slot;
	memo->slot = tally__slot(&key, &fresh);
	/* Each that finds no room is counted as lost. */
	memo->call = memo->slot == TALLY_NONE ? 0 : call;
	return memo->slot;
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

	if (!clk || !call__end(clk, &span) || span.latency < CONFIG(min_ns))
		return 0;
	if (ret < 0 && ret >= -MAX_ERRNO)
		error = -ret;
	call__add(clk, syscall__slot(clk, clk->call.span.kind, error), epoch, &span);
	return 0;
}
