/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What threads' last stacks went by: a stack that is the same is not walked again.
 *
 * This is safe: a walk is a function of the tables, of some registers and of the words that it
 * read (struct memo). All of these are compared, the words with what is on the stack now.
 */
#ifndef DWELL_MEMO_BPF_H
#define DWELL_MEMO_BPF_H

#include "lib/unwind.bpf.h"

/* A thread waits in a few places in turn. A power of two. */
#define MEMO_WAYS 4

struct memos {
	struct memo way[MEMO_WAYS];
};

#ifndef DWELL_RAW
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct memos);
} memos SEC(".maps");

/* Where a thread gets its clock: here it may be allocated for. Without, its stacks are walked. */
static __always_inline void memo__born(struct task_struct *task)
{
	if (config.memo && config.user_stacks)
		bpf_task_storage_get(&memos, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static __always_inline struct memos *memos__of(struct task_struct *task)
{
	return bpf_task_storage_get(&memos, task, NULL, 0);
}

#define MEMO_PAGE 128 /* words of the stack that are read at a time */

struct memo_page {
	u64 from, bytes; /* what is in it: its address, how much */
	u64 word[MEMO_PAGE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct memo_page);
} memo_pages SEC(".maps");

static __always_inline struct memo_page *memo__page(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&memo_pages, &zero);
}

/*
 * Reads the page that begins at @at; 0 if not even the word there can be read. A global function of
 * scalars: it is called from a loop that the verifier goes through.
 */
__noinline int memo__turn_page(u64 at)
{
	struct memo_page *page = memo__page();

	if (!page)
		return 0;
	page->from = at;
	page->bytes = sizeof(page->word);
	if (!bpf_probe_read_user(page->word, sizeof(page->word), (void *)at))
		return 1;
	/* Near the stack's end there are fewer. */
	page->bytes = sizeof(page->word[0]);
	if (!bpf_probe_read_user(page->word, sizeof(page->word[0]), (void *)at))
		return 1;
	page->bytes = 0;
	return 0;
}

static __always_inline bool memo__fits(const struct walk *w, const struct memo *m)
{
	return m->ip == w->reg[UNWIND_PC] && m->sp == w->reg[UNWIND_RSP] &&
	       m->serial == w->stack.space && (!m->by_rbp || m->bp == w->reg[UNWIND_RBP]);
}

/* Are the words of @m still on the stack? */
static __always_inline bool memo__holds(const struct memo *m, struct memo_page *page)
{
	u64 at, i, n = m->n;

	for (i = 0; i < MEMO_WORDS && i < n; i++) {
		at = m->at[i];
		if (at & MEMO_RBP && !m->by_rbp)
			continue;
		at = m->sp + (at & ~(u64)MEMO_RBP);
		if (at - page->from >= page->bytes && !memo__turn_page(at))
			return false;
		if (page->word[(at - page->from) / 8 & (MEMO_PAGE - 1)] != m->word[i])
			return false;
	}
	return true;
}

/* A global function, verified once: the id of the current thread's memo @way if it holds. */
__noinline u32 memo__try(u32 way)
{
	struct memos *all = memos__of(bpf_get_current_task_btf());
	struct memo_page *page = memo__page();
	struct memo *m;

	if (!all || !page)
		return STACK_NONE;
	m = &all->way[way & (MEMO_WAYS - 1)];
	return memo__holds(m, page) ? m->id : STACK_NONE;
}

/* The same of all of them: of those that cannot be it, nothing more is looked at. */
__noinline u32 memo__recall(void)
{
	struct memos *all = memos__of(bpf_get_current_task_btf());
	struct memo_page *page = memo__page();
	struct walk *w = walk__get();
	u32 id = STACK_NONE;

	if (!all || !page || !w || w->interrupted || !w->stack.space)
		return STACK_NONE;
	page->bytes = 0;
	for (u32 way = 0; way < MEMO_WAYS && id == STACK_NONE; way++) {
		if (memo__fits(w, &all->way[way]))
			id = memo__try(way);
	}
	return id;
}

/* Remembers the walk in @w, whose stack is kept as @id, if it can be. */
static __always_inline void memo__keep(struct walk *w, struct memos *all, u32 id)
{
	/* Any of them: the oldest would never be met again where there is one place too many. */
	struct memo *m = &all->way[bpf_get_prandom_u32() & (MEMO_WAYS - 1)];

	if (w->memo.n > MEMO_WORDS || w->blind || !w->stack.space || id >= STACK_IDS)
		return;
	w->memo.id = id;
	w->memo.serial = w->stack.space;
	bpf_probe_read_kernel(m, sizeof(*m), &w->memo);
}
#else
/* Before task storage, each stack is walked. */
static __always_inline void memo__born(struct task_struct *task)
{
}

static __always_inline struct memos *memos__of(struct task_struct *task)
{
	return NULL;
}

static __always_inline u32 memo__recall(void)
{
	return STACK_NONE;
}

static __always_inline void memo__keep(struct walk *w, struct memos *all, u32 id)
{
}
#endif

#endif
