/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What the kernel's walks of threads' own kernel stacks found last: a stack whose return addresses
 * are where they were is not walked again.
 *
 * Where they are is learned from walks: they are looked for among the words of the stack, from its
 * end up. What earlier calls left may look the same. But the kernel begins each call's stack at
 * another place (add_random_kstack_offset()), and the remains do not follow: so only what is found
 * at the same places by KMEMO_SURE walks, seen from the stack's end, is taken for true. It is
 * recalled if the thread does what it did then (`key`: how it went to sleep), and if all of these
 * places hold the same return addresses again.
 */
#ifndef DWELL_KMEMO_BPF_H
#define DWELL_KMEMO_BPF_H

#include "lib/peek.bpf.h"
#include "lib/unwind.bpf.h"

#define KMEMO_WORDS   128 /* of a stack, from its end on, that are looked at */
#define KMEMO_FRAMES  32
#define KMEMO_INNER   2  /* innermost ones that are not compared: the hook's, always the same */
#define KMEMO_SURE    3  /* walks that agree, after the first */
#define KMEMO_BACKOFF 63 /* walks, at most, after which one is learned from again */

/* A power of two. */
#define KMEMO_WAYS 2

struct kmemo {
	u64 key;   /* 0: nothing is remembered */
	u32 id;    /* of the stack */
	u16 depth; /* of the stack when it was looked at last */
	u8 n;      /* return addresses but for the outermost, … */
	u8 sure;   /* …agreed by so many walks… */
	u64 at[4]; /* …to be in these words, a byte each, from the stack's end up */
	u64 ip[KMEMO_FRAMES];
	u64 outer; /* the outermost, right at the stack's top */
};

struct kmemos {
	u32 rest; /* walks that are not learned from */
	u32 backoff;
	struct kmemo way[KMEMO_WAYS];
};

_Static_assert(sizeof(((struct kmemo *)0)->at) == KMEMO_FRAMES, "a byte for each frame");
_Static_assert(KMEMO_WORDS <= 256, "a word's number is a byte");

/* A command that asks for kernel stacks without a key (stack__id()) defines KMEMO_NONE. */
#if !defined(DWELL_RAW) && !defined(KMEMO_NONE)
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kmemos);
} kmemos SEC(".maps");

/* The end of the stack of the thread that is looked at, on each CPU. */
struct kmemo_page {
	u32 next;  /* the frame that is looked for */
	u32 words; /* that there are */
	u64 at[4]; /* as in struct kmemo */
	u64 word[KMEMO_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kmemo_page);
} kmemo_pages SEC(".maps");

/* Where a thread gets its clock: here it may be allocated for. Without, its stacks are walked. */
static __always_inline void kmemo__born(struct task_struct *task)
{
	if (CONFIG(memo) && CONFIG(kernel_stacks))
		bpf_task_storage_get(&kmemos, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static __always_inline struct kmemo_page *kmemo__page(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&kmemo_pages, &zero);
}

static __always_inline struct kmemos *kmemo__all(void)
{
	return bpf_task_storage_get(&kmemos, bpf_get_current_task_btf(), NULL, 0);
}

/* Above the current thread's kernel stack are the registers with which it entered the kernel. */
static __always_inline u64 kmemo__top(void)
{
	return peek__number(compat__regs(bpf_get_current_task_btf()));
}

/* Is the stack, from @end up, as @m has it? Read as one where each look takes a helper. */
static __always_inline bool kmemo__holds(const struct kmemo *m, u64 end, struct kmemo_page *page)
{
	u64 bytes = (((u8 *)m->at)[(m->n - 1) & (KMEMO_FRAMES - 1)] + 1) * sizeof(u64), at;

	barrier_var(bytes);
	bytes &= sizeof(page->word) - 1;
	if (!peek__loads() && bpf_probe_read_kernel(page->word, bytes, (void *)end))
		return false;
	for (u64 i = 0; i < KMEMO_FRAMES && i < m->n; i++) {
		at = ((u8 *)m->at)[i] & (KMEMO_WORDS - 1);
		if ((peek__loads() ? peek__load((u64 *)end + at) : page->word[at]) != m->ip[i])
			return false;
	}
	return peek__word((void *)(kmemo__top() - sizeof(u64))) == m->outer;
}

/* The id of what was remembered under @key at @way, if the stack, from @end up, is the same. */
__noinline u32 kmemo__try(u64 key, u64 end, u32 way)
{
	struct kmemo_page *page = kmemo__page();
	struct kmemos *all = kmemo__all();
	struct kmemo *m;

	if (!all || !page)
		return STACK_NONE;
	m = &all->way[way & (KMEMO_WAYS - 1)];
	if (m->key != key || m->sure < KMEMO_SURE || !m->n || !kmemo__holds(m, end, page))
		return STACK_NONE;
	return m->id;
}

/* The same of all of them. The hook's context is at the stack's end. */
__noinline u32 kmemo__recall(u64 key, u64 end)
{
	struct kmemos *all = kmemo__all();
	u32 id = STACK_NONE;

	for (u32 way = 0; way < KMEMO_WAYS && id == STACK_NONE; way++)
		id = kmemo__try(key, end, way);
	if (all && id != STACK_NONE)
		all->backoff /= 2;
	return id;
}

/* Finds the return addresses of walk.stack: 1 if all are there. */
__noinline int kmemo__find(void)
{
	struct kmemo_page *page = kmemo__page();
	struct walk *w = walk__get();

	if (!page || !w)
		return 0;
	page->next = KMEMO_INNER;
	__builtin_memset(page->at, 0, sizeof(page->at));
	for (u64 j = 0; j < KMEMO_WORDS - 1; j++) {
		/* Kept in the map: the verifier then takes one pass of the loop for another. */
		u64 next = *(volatile u32 *)&page->next;

		if (next + 1 >= w->stack.n)
			return 1;
		if (j >= page->words || page->word[j] != w->stack.ip[next & (2 * KMEMO_FRAMES - 1)])
			continue;
		((u8 *)page->at)[(next - KMEMO_INNER) & (KMEMO_FRAMES - 1)] = j;
		*(volatile u32 *)&page->next = next + 1;
	}
	return 0;
}

/* The way of @all to learn @key in. */
static __always_inline struct kmemo *kmemo__way(struct kmemos *all, u64 key)
{
	/* Any of them: the oldest would never be met again where there is one place too many. */
	u64 way = bpf_get_prandom_u32();

	for (u32 i = 0; i < KMEMO_WAYS; i++) {
		if (all->way[i].key == key)
			way = i;
	}
	return &all->way[way & (KMEMO_WAYS - 1)];
}

/* Learns from walk.stack, which is kept as @id; @end is where the stack ends, or above. */
__noinline int kmemo__learn(u64 key, u32 id, u64 end)
{
	struct kmemo_page *page = kmemo__page();
	struct kmemos *all = kmemo__all();
	struct walk *w = walk__get();
	u64 bytes = kmemo__top() - end, outer = 0, size, n;
	struct kmemo *m;

	if (!page || !all || !w || id >= STACK_IDS)
		return 0;
	n = w->stack.n;
	if (n <= KMEMO_INNER + 1 || n > KMEMO_FRAMES)
		return 0;
	bpf_probe_read_kernel(&outer, sizeof(outer), (void *)(end + bytes - sizeof(outer)));
	if (outer != w->stack.ip[(n - 1) & (KMEMO_FRAMES - 1)])
		return 0;
	/* Beyond the top is nothing. */
	size = bytes < sizeof(page->word) ? bytes : sizeof(page->word) - sizeof(u64);
	barrier_var(size);
	size &= sizeof(page->word) - 1;
	page->words = size / sizeof(u64);
	if (bpf_probe_read_kernel(page->word, size, (void *)end) || !kmemo__find())
		return 0;
	m = kmemo__way(all, key);
	if (m->key == key && m->id == id && m->at[0] == page->at[0] && m->at[1] == page->at[1] &&
	    m->at[2] == page->at[2] && m->at[3] == page->at[3]) {
		if (m->sure < KMEMO_SURE && m->depth != (u16)bytes)
			m->sure++;
		m->depth = bytes;
		return 0;
	}
	m->key = key;
	m->id = id;
	m->depth = bytes;
	m->n = n - 1 - KMEMO_INNER;
	m->sure = 0;
	m->outer = outer;
	__builtin_memcpy(m->at, page->at, sizeof(m->at));
	bpf_probe_read_kernel(m->ip, sizeof(m->ip), &w->stack.ip[KMEMO_INNER]);
	return 0;
}

/* The current thread's stack was walked, and is kept as @id. */
__noinline int kmemo__walked(u64 key, u32 id, u64 end)
{
	struct kmemos *all = kmemo__all();

	if (!all)
		return 0;
	if (all->rest) {
		all->rest--;
		return 0;
	}
	kmemo__learn(key, id, end);
	all->rest = all->backoff;
	if (all->backoff < KMEMO_BACKOFF)
		all->backoff = 2 * all->backoff + 1;
	return 0;
}

#else
/* Before task storage, too, each stack is walked. */
static __always_inline void kmemo__born(struct task_struct *task)
{
}

static __always_inline u32 kmemo__recall(u64 key, u64 end)
{
	return STACK_NONE;
}

static __always_inline void kmemo__walked(u64 key, u32 id, u64 end)
{
}
#endif

#endif
