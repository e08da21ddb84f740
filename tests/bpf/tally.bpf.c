// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
#define TALLY_OWN
#include "lib/tally.bpf.h"

#include "tally_test.h"

struct tally_answer answer SEC(".data.test");

/* A global function, so that the verifier looks at it once and not once per value. */
__noinline int index_one(u32 i)
{
	u64 at = i;

	if (at < TALLY_BATCH)
		answer.index[at] = hist__index(answer.value[at]);
	return 0;
}

SEC("raw_tp")
int index_all(void *ctx)
{
	for (u32 i = 0; i < TALLY_BATCH; i++)
		index_one(i);
	return 0;
}

/* args: slot, epoch, inside, total */
SEC("raw_tp")
int add(struct bpf_raw_tracepoint_args *ctx)
{
	tally__add(ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3]);
	return 0;
}

/* The same, while nobody else adds to the tally. */
SEC("raw_tp")
int add_alone(struct bpf_raw_tracepoint_args *ctx)
{
	tally__add_weighted(ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3], TALLY_ALONE);
	return 0;
}

/* args: value */
SEC("raw_tp")
int max(struct bpf_raw_tracepoint_args *ctx)
{
	compat__max((u64 *)&answer.max, ctx->args[0]);
	return 0;
}

/* args: row, id; answers with the slot */
SEC("raw_tp")
int slot_of(struct bpf_raw_tracepoint_args *ctx)
{
	struct tally_key key = {.row = ctx->args[0], .id = ctx->args[1]};
	bool fresh = false;

	answer.slot = tally__slot(&key, &fresh);
	answer.fresh = fresh;
	return 0;
}

/* args: row; answers whether it stands for a CPU, and which */
SEC("raw_tp")
int cpu_row(struct bpf_raw_tracepoint_args *ctx)
{
	answer.row = tally__cpu_row(ctx->args[0]);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
