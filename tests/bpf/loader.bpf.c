// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* Programs of each kind that dwell loads at its start, and such as no kernel takes. */
#include "lib/compat.bpf.h"

#include "loader_test.h"

struct loader_answer answer SEC(".data.test");

static __always_inline u32 watched(u64 id)
{
	return id >> 32 == answer.tgid;
}

SEC_TP("sched_switch")
int on_switch(void *ctx)
{
	answer.switches += watched(bpf_get_current_pid_tgid());
	return 0;
}

SEC("iter/task")
int threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		answer.threads += watched((u64)task->tgid << 32);
	return 0;
}

/* Of different lengths, and not by their order here. */
SEC("raw_tp")
int one(struct bpf_raw_tracepoint_args *ctx)
{
	return ctx->args[0] + 1;
}

SEC("raw_tp")
int two(struct bpf_raw_tracepoint_args *ctx)
{
	return ctx->args[0] * ctx->args[1] + ctx->args[2] * ctx->args[3] + 2;
}

SEC("raw_tp")
int three(struct bpf_raw_tracepoint_args *ctx)
{
	return ctx->args[0] * ctx->args[1] + 3;
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct loader_pair[LOADER_PAIRS]);
} mem_pairs SEC(".maps");

static __always_inline struct loader_pair *pairs(void)
{
	struct loader_pair *memory = (void *)&mem_pairs;

	barrier_var(memory);
	return memory;
}

/* args: index, values */
SEC("raw_tp")
int store(struct bpf_raw_tracepoint_args *ctx)
{
	u64 i = ctx->args[0];

	if (i >= LOADER_PAIRS)
		return 1;
	pairs()[i].first = ctx->args[1];
	pairs()[i].second = ctx->args[2];
	return 0;
}

SEC("raw_tp")
int last(void *ctx)
{
	return pairs()[LOADER_PAIRS - 1].second;
}

/* What it reads may be anywhere. */
SEC_TP_OPTIONAL("sched_switch")
int refused(u64 *ctx)
{
	return *(volatile u32 *)(ctx[1] * 3);
}

SEC_TP_OPTIONAL("no_such_tracepoint")
int nowhere(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
