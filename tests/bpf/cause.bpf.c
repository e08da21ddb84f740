// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
#define CLOCK_MEMOS 2
#include "lib/cause.bpf.h"

#include "cause_test.h"

struct cause_answer answer SEC(".data.test");

static struct clock the_clock;

static __always_inline struct task_struct *self(void)
{
#ifdef DWELL_RAW
	return (void *)bpf_get_current_task();
#else
	return bpf_get_current_task_btf();
#endif
}

static __always_inline void tell(const struct cause *c, u32 state)
{
	answer.key = c->key;
	answer.state = state;
}

/*
 * args: uaddr, op, val, timeout: futex(2)'s, where uaddr is in the driver's memory; uaddr and state
 * of the wait before
 */
SEC("raw_tp")
int futex(struct bpf_raw_tracepoint_args *ctx)
{
	struct clock_memo last = {.id = ctx->args[4], .state = ctx->args[5]};
	struct clock_memo m = {.word = WORD_SET};
	struct cause c = {};

	cause__print_futex(&m, ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3], true);
	tell(&c, cause__futex(&c, &m, &last));
	return 0;
}

/* args: system call, enum cause_test_flags, argument, id, id2 */
SEC("raw_tp")
int blocked(struct bpf_raw_tracepoint_args *ctx)
{
	u64 flags = ctx->args[1];
	struct clock_memo m = {
		.word = WORD_SET | (ctx->args[0] & 0xffff) | WORD_ARG(ctx->args[2]),
		.id = ctx->args[3],
		.id2 = ctx->args[4],
	};
	struct clock_memo last = {};
	struct cause c = {};

	m.word |= flags & BLOCKED_IOWAIT ? WORD_IOWAIT : 0;
	m.word |= flags & BLOCKED_KTHREAD ? WORD_KTHREAD : 0;
	m.word |= flags & BLOCKED_FROZEN ? WORD_FROZEN : 0;
	m.word |= flags & BLOCKED_KLOCK ? WORD_KLOCK : 0;
	m.word |= flags & BLOCKED_ZERO_ARG ? WORD_ZERO_ARG : 0;
	tell(&c, cause__state(&c, &m, &last));
	return 0;
}

/* args: system call, descriptor of the driver's, iowait, argument */
SEC("raw_tp")
int blocked_on_fd(struct bpf_raw_tracepoint_args *ctx)
{
	struct clock_memo m = {
		.word = WORD_SET | (ctx->args[0] & 0xffff) | (ctx->args[2] ? WORD_IOWAIT : 0) |
			WORD_ARG(ctx->args[3]),
	};
	struct clock_memo last = {};
	struct cause c = {};

	cause__print_fd(&m, self(), ctx->args[1], true);
	tell(&c, cause__state(&c, &m, &last));
	return 0;
}

/* args: system call, descriptor of the driver's; takes a tally and keeps the name */
SEC("raw_tp")
int name_of_fd(struct bpf_raw_tracepoint_args *ctx)
{
	struct clock_memo m = {.word = WORD_SET | (ctx->args[0] & 0xffff)};

	cause__print_fd(&m, self(), ctx->args[1], true);
	cause__find_tally(&the_clock, &m, false);
	answer.state = the_clock.memo.state;
	answer.slot = the_clock.memo.slot;
	return 0;
}

/*
 * args: task state, address of a kernel lock; the driver itself, which is in bpf(2). Answers with
 * what the clock remembers.
 */
SEC("raw_tp")
int classify(struct bpf_raw_tracepoint_args *ctx)
{
	the_clock.row = 1;
	the_clock.klock = ctx->args[1];
	answer.state = cause__classify(&the_clock, self(), ctx->args[0], true, true);
	answer.slot = the_clock.memo.slot;
	return 0;
}

/* args: word, id, id2, state: the clock's next wait. Answers with the state that it recalls. */
SEC("raw_tp")
int recall(struct bpf_raw_tracepoint_args *ctx)
{
	struct clock_memo m = {
		.word = WORD_SET | ctx->args[0],
		.id = ctx->args[1],
		.id2 = ctx->args[2],
	};

	answer.state = cause__recall(&the_clock, &m) ? m.state : STATE_NONE;
	m.state = ctx->args[3];
	the_clock.memo = m;
	return 0;
}

/* The thread goes on under another row. */
SEC("raw_tp")
int forget(struct bpf_raw_tracepoint_args *ctx)
{
	clock__forget(&the_clock);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
