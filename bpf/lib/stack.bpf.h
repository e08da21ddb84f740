/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Stacks of the current thread, kept once each under an id. */
#ifndef DWELL_STACK_BPF_H
#define DWELL_STACK_BPF_H

#include "lib/filter.bpf.h"
#include "lib/kmemo.bpf.h"
#include "lib/loss.bpf.h"
#include "lib/memo.bpf.h"
#include "lib/unwind.bpf.h"
#include "stack.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct stack);
} stacks SEC(".maps");

#define STACK_PROBES 8 /* places at which a stack may be kept */

/* Frames that are looked at by one call: the verifier looks at each pass of a loop. */
#define STACK_FEW 16

/* @hash and walk.stack's frames from @from on, a few of them. */
__noinline u64 stack__hash_few(u64 hash, u64 from)
{
	struct walk *w = walk__get();
	u64 n;

	if (!w)
		return 0;
	n = w->stack.n;
	for (u64 i = 0; i < STACK_FEW; i++) {
		u64 at = from + i;

		barrier_var(at);
		if (at >= n || at >= STACK_FRAMES)
			break;
		hash = (hash ^ w->stack.ip[at]) * 0xd6e8feb86659fd93ULL;
		hash ^= hash >> 32;
	}
	return hash;
}

/* The hash of walk.stack. */
__noinline int stack__hash(u32 n)
{
	struct walk *w = walk__get();
	u64 hash = 0x9e3779b97f4a7c15ULL;

	if (!w)
		return 0;
	hash ^= (u64)w->stack.space << 32 | w->stack.tgid;
	hash ^= w->stack.end;
	for (u64 i = 0; i < STACK_FRAMES && i < n; i += STACK_FEW)
		hash = stack__hash_few(hash, i);
	return (u32)(hash ^ hash >> 32);
}

/* Are a few frames of walk.stack, from @from on, those of @kept? */
VERIFIED_ONCE int stack__are(const struct stack *kept, u64 from)
{
	struct walk *w = walk__get();
	u64 n;

	if (!w || !kept)
		return false;
	n = w->stack.n;
	for (u64 i = 0; i < STACK_FEW; i++) {
		u64 at = from + i;

		barrier_var(at);
		if (at >= n || at >= STACK_FRAMES)
			break;
		if (kept->ip[at] != w->stack.ip[at])
			return false;
	}
	return true;
}

/* Is what is kept under @id the stack in walk.stack? 1: yes, 0: nothing is kept, -1: another. */
__noinline int stack__is(u32 id)
{
	struct stack *kept = bpf_map_lookup_elem(&stacks, &id);
	struct walk *w = walk__get();

	if (!w || !kept)
		return 0;
	if (kept->n != w->stack.n || kept->end != w->stack.end || kept->space != w->stack.space ||
	    (!kept->space && kept->tgid != w->stack.tgid))
		return -1;
	for (u64 i = 0; i < STACK_FRAMES && i < w->stack.n; i += STACK_FEW) {
		if (!stack__are(kept, i))
			return -1;
	}
	return 1;
}

/* The id of walk.stack, which is kept if it is new. A global function, verified once. */
__noinline u32 stack__keep(void)
{
	struct walk *w = walk__get();
	u32 tgid, id;

	if (!w)
		return STACK_LOST;
	tgid = w->stack.tgid;
	/* Processes with the same mappings share their stacks. */
	if (w->stack.space)
		w->stack.tgid = 0;
	id = (u32)stack__hash(w->stack.n);
	w->stack.tgid = tgid;
	for (u32 i = 0; i < STACK_PROBES; i++, id++) {
		int is;

		if (unlikely(id >= STACK_IDS))
			id -= STACK_IDS;
		is = stack__is(id);
		/* Another CPU may keep its stack at the same moment: then look again. */
		if (!is && !bpf_map_update_elem(&stacks, &id, &w->stack, BPF_NOEXIST))
			return id;
		if (!is)
			is = stack__is(id);
		if (likely(is > 0))
			return id;
		if (!is)
			break; /* no room */
	}
	loss__count(LOSS_STACK_FULL);
	return STACK_LOST;
}

/* One walk per CPU at a time; what interrupts it loses its stack. */
static __always_inline struct walk *stack__begin(void)
{
	struct walk *w = walk__get();

	if (!w)
		return NULL;
	if (unlikely(w->busy)) {
		loss__count(LOSS_STACK_FAULT);
		return NULL;
	}
	w->busy = 1;
	return w;
}

static __always_inline u32 stack__kernel_walk(void *ctx, struct walk *w)
{
	u32 id = STACK_LOST;
	long bytes;

	bytes = bpf_get_stack(ctx, w->stack.ip, sizeof(w->stack.ip), 0);
	if (likely(bytes > 0)) {
		w->stack.n = (u32)bytes / 8;
		w->stack.end = w->stack.tgid = w->stack.space = 0;
		id = stack__keep();
	} else {
		loss__count(LOSS_STACK_FAULT);
	}
	return id;
}

/* Is what is kept under @id the stack in walk.stack, but for the hook's own frames? */
__noinline int stack__is_alike(u32 id)
{
	struct stack *kept = bpf_map_lookup_elem(&stacks, &id);
	struct walk *w = walk__get();

	if (!w || !kept || kept->n != w->stack.n)
		return 0;
	for (u64 i = KMEMO_INNER; i < KMEMO_FRAMES && i < w->stack.n; i++) {
		if (kept->ip[i] != w->stack.ip[i])
			return 0;
	}
	return 1;
}

/* The kernel stack was @known, or else walked; with MEMO_CHECK it was both, and is kept as @id. */
__noinline int stack__count_kernel(u32 known, u32 id)
{
	struct cpu_stat *stat = cpu_stat__get();

	if (!stat)
		return 0;
	if (known == STACK_NONE) {
		stat->kernel_walked++;
		return 0;
	}
	stat->kernel_recalled++;
	if (CONFIG(memo) == MEMO_CHECK && id != known && !stack__is_alike(known))
		stat->kernel_misremembered++;
	return 0;
}

/*
 * The kernel stack. @key: with the same one, it is the same code that calls, from the same stack of
 * the same thread; so what was found before may be found again. 0: it is walked.
 */
static __always_inline u32 stack__kernel(void *ctx, u64 key)
{
	u32 known = STACK_NONE, id = STACK_NONE;
	struct walk *w = stack__begin();

	if (!w)
		return STACK_LOST;
	if (key && CONFIG(memo))
		known = kmemo__recall(key, peek__number(ctx));
	if (known == STACK_NONE || CONFIG(memo) == MEMO_CHECK)
		id = stack__kernel_walk(ctx, w);
	if (known == STACK_NONE && key && CONFIG(memo))
		kmemo__walked(key, id, peek__number(ctx));
	stack__count_kernel(known, id);
	w->busy = 0;
	return known != STACK_NONE ? known : id;
}

/* By frame pointers alone: programs of 32 bits, and machines that there are no tables for. */
static __always_inline bool stack__by_kernel(void *ctx, struct walk *w)
{
	long bytes = bpf_get_stack(ctx, w->stack.ip, sizeof(w->stack.ip), BPF_F_USER_STACK);

	if (bytes <= 0)
		return false;
	w->stack.n = (u32)bytes / 8;
	w->stack.end = STACK_COMPLETE;
	w->stack.space = 0;
	return true;
}

/* The id of the stack that the registers in @w have: as remembered, or walked. */
static __always_inline u32 stack__by_tables(struct walk *w)
{
	struct cpu_stat *stat = cpu_stat__get();
	u32 known = CONFIG(memo) ? memo__recall() : STACK_NONE, id;

	if (stat && known != STACK_NONE)
		stat->recalled++;
	if (known != STACK_NONE && CONFIG(memo) != MEMO_CHECK)
		return known;
	unwind__walk();
	id = stack__keep();
	if (stat)
		stat->walked++;
	if (stat && known != STACK_NONE && known != id)
		stat->misremembered++;
	if (CONFIG(memo) && known == STACK_NONE)
		memo__keep(w, id);
	return id;
}

static __always_inline u32 stack__walk(void *ctx, struct walk *w, struct task_struct *task)
{
	u64 mm = (u64)FOLLOW(task_struct, task, mm);

	/* Kernel threads and exiting threads have no user stack. */
	if (!mm)
		return STACK_NONE;
	w->stack.tgid = FIELD(task, tgid);
#if defined(__TARGET_ARCH_x86)
	if (bpf_probe_read_kernel(&w->saved, sizeof(w->saved), compat__regs(task)))
		return STACK_NONE;
	/* Threads that the kernel has made within a process have no registers. */
	if (unlikely(!w->saved.cs))
		return STACK_NONE;
	if (likely(w->saved.cs == UNWIND_USER_CS && !CONFIG(frame_pointers))) {
		unwind__registers(w);
		unwind__enter(w, w->stack.tgid, mm);
		return stack__by_tables(w);
	}
#endif
	return stack__by_kernel(ctx, w) ? stack__keep() : STACK_NONE;
}

static __always_inline u32 stack__user(void *ctx)
{
	struct walk *w = stack__begin();
	struct task_struct *task;
	u32 id;

	if (!w)
		return STACK_LOST;
#ifdef DWELL_RAW
	task = (struct task_struct *)bpf_get_current_task();
#else
	task = bpf_get_current_task_btf();
#endif
	id = stack__walk(ctx, w, task);
	w->busy = 0;
	return id;
}

static __always_inline u32 stack__id(void *ctx, u64 flags)
{
	return flags & BPF_F_USER_STACK ? stack__user(ctx) : stack__kernel(ctx, 0);
}

/* The stacks that were asked for: user << 32 | kernel. @key: as for stack__kernel(). */
static __always_inline u64 stack__ids(void *ctx, u64 key)
{
	u64 user = STACK_NONE, kernel = STACK_NONE;

	if (CONFIG(user_stacks))
		user = stack__id(ctx, BPF_F_USER_STACK);
	if (CONFIG(kernel_stacks))
		kernel = stack__kernel(ctx, key);
	return user << 32 | kernel;
}

/* A new process has its parent's code: its stacks can be walked before user space knows of it. */
static __always_inline void stack__forked(struct task_struct *parent, struct task_struct *child)
{
	u32 from = FIELD(parent, tgid), to = FIELD(child, tgid);
	struct unwind_space space, *known;

	if (!CONFIG(user_stacks) || from == to)
		return;
	known = bpf_map_lookup_elem(&unwind_spaces, &from);
	if (!known || (known->mm && known->mm != (u64)FOLLOW(task_struct, parent, mm)))
		return;
	space = *known;
	space.mm = (u64)FOLLOW(task_struct, child, mm);
	space.code = 0;
	bpf_map_update_elem(&unwind_spaces, &to, &space, BPF_ANY);
}

#endif
