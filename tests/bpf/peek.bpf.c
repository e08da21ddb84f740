// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
#include "lib/peek.bpf.h"
#include "lib/window.bpf.h"

#include "peek_test.h"

struct peek_answer answer SEC(".data.test");

/* The driver's working directory. */
SEC("raw_tp")
int look(struct bpf_raw_tracepoint_args *ctx)
{
	struct inode *inode;

	if (!peek__loads())
		return 0;
	inode = FOLLOW(task_struct, compat__current(), fs, pwd.dentry, d_inode);
	answer.ino = FOLLOW(inode, inode, i_ino);
	answer.mode = FOLLOW(inode, inode, i_mode);
	answer.generation = FOLLOW(inode, inode, i_generation);
	answer.dev = FOLLOW(inode, inode, i_sb, s_dev);
	return 1;
}

/* args: address */
SEC("raw_tp")
int word(struct bpf_raw_tracepoint_args *ctx)
{
	answer.word = peek__word((void *)ctx->args[0]);
	return 0;
}

/* The driver's own, in two ways. */
SEC("raw_tp")
int number(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = compat__current();

	answer.number[0] = peek__number(task);
	answer.number[1] = bpf_get_current_task();
	return 0;
}

SEC("raw_tp")
int constants(struct bpf_raw_tracepoint_args *ctx)
{
	answer.constant[0] = CONFIG(min_ns);
	answer.constant[1] = CONFIG(tgid);
	answer.constant[2] = CONFIG(banks);
	answer.constant[3] = CONFIG(comm[1]);
	answer.constant[4] = CONFIG_HAS(filter, FILTER_TIDS);
	answer.constant[5] = CONFIG_HAS(filter, FILTER_COMM);
	answer.constant[6] = CONFIG_HAS(filter, FILTER_TIDS | FILTER_COMM);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
