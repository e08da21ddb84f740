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
	inode = PEEK(PEEK(PEEK(compat__current(), fs), pwd.dentry), d_inode);
	answer.ino = PEEK(inode, i_ino);
	answer.mode = PEEK(inode, i_mode);
	answer.generation = PEEK(inode, i_generation);
	answer.dev = PEEK(PEEK(inode, i_sb), s_dev);
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

char LICENSE[] SEC("license") = "Dual BSD/GPL";
