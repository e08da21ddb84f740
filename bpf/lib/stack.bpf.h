/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Stacks of the current thread, kept once each under an id. */
#ifndef DWELL_STACK_BPF_H
#define DWELL_STACK_BPF_H

#include "lib/filter.bpf.h"
#include "lib/loss.bpf.h"
#include "stack.h"

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, STACK_FRAMES * sizeof(u64));
} stacks SEC(".maps");

/* Stacks whose bucket another one has in `stacks`; the id is the bucket's in both. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, STACK_FRAMES * sizeof(u64));
} stacks_more SEC(".maps");

/* linux/errno.h; the kernel's own header is for user space */
#define EEXIST 17

static __always_inline u32 stack__id(void *ctx, u64 flags)
{
	long id = bpf_get_stackid(ctx, &stacks, flags);

	if (likely(id >= 0))
		return id;
	/* Two stacks with the same hash: the one that was there first stays. */
	if (id == -EEXIST) {
		id = bpf_get_stackid(ctx, &stacks_more, flags);
		if (likely(id >= 0))
			return id | STACK_MORE;
		loss__count(LOSS_STACK_COLLISION);
		return STACK_LOST;
	}
	if (flags & BPF_F_USER_STACK)
		return STACK_NONE; /* kernel threads and exiting processes have none */
	loss__count(LOSS_STACK_FAULT);
	return STACK_LOST;
}

/* The stacks that were asked for: user << 32 | kernel. */
static __always_inline u64 stack__ids(void *ctx)
{
	u64 user = STACK_NONE, kernel = STACK_NONE;

	if (config.user_stacks)
		user = stack__id(ctx, BPF_F_USER_STACK);
	if (config.kernel_stacks)
		kernel = stack__id(ctx, 0);
	return user << 32 | kernel;
}

#endif
