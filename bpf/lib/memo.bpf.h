/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What the last stacks went by, on each CPU: a stack that is the same is not walked again.
 *
 * This is safe: a walk is a function of the tables, of some registers and of the words that it
 * read (struct memo). All of these are compared, the words with what is on the stack now. Threads
 * that do the same have the same stacks, each somewhere else: so a new thread need not learn.
 */
#ifndef DWELL_MEMO_BPF_H
#define DWELL_MEMO_BPF_H

#include "lib/unwind.bpf.h"

/* Powers of two. */
#define MEMO_WAYS 4
#define MEMO_SETS 64

struct memos {
	struct memo way[MEMO_WAYS];
};

#ifndef DWELL_RAW
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MEMO_SETS);
	__type(key, u32);
	__type(value, struct memos);
} memos SEC(".maps");

/*
 * Where a stack is remembered. Many calls lead to the same place in the code, and mostly each
 * leaves its stack at another place in its page. Stacks of threads begin with a page.
 */
static __always_inline struct memos *memos__of(u64 ip, u64 sp, u32 serial)
{
	u64 hash = ip ^ (sp & 0xfff) << 32 ^ (u64)serial << 44;
	u32 set = hash * 0x9e3779b97f4a7c15ULL >> 32 & (MEMO_SETS - 1);

	return bpf_map_lookup_elem(&memos, &set);
}

/* Of the walk that is to begin. */
static __always_inline struct memos *memos__for(const struct walk *w)
{
	return memos__of(w->reg[UNWIND_PC], w->reg[UNWIND_RSP], w->stack.space);
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
	u64 moved = w->reg[UNWIND_RSP] - m->sp;

	return m->ip == w->reg[UNWIND_PC] && m->serial == w->stack.space && !(moved & 7) &&
	       (!m->by_rbp || m->bp + moved == w->reg[UNWIND_RBP]);
}

#define MEMO_FEW 16 /* words that are compared by one call */

/*
 * Are the words of @m, from word @from on, on the stack that @moved bytes from where it was? A few
 * of them, since the verifier looks at each pass of a loop.
 */
VERIFIED_ONCE int memo__are(const struct memo *m, struct memo_page *page, u64 moved, u64 from)
{
	u64 at, word, sp, n;

	/* Or the number that is tested is not the one that is used. */
	barrier_var(from);
	if (!m || !page || from > MEMO_WORDS - MEMO_FEW)
		return false;
	sp = m->sp + moved;
	n = m->n - from;
	for (u64 i = 0; i < MEMO_FEW; i++) {
		/* Here, or the loop is entered in its middle, which verifiers up to 6.1 refuse. */
		barrier_var(i);
		if (i >= n)
			break;
		at = (m->at + from)[i];
		word = (m->word + from)[i] + (moved & -(at & MEMO_RBP));
		at = sp + (at & ~(u64)MEMO_RBP);
		if (at - page->from >= page->bytes && !memo__turn_page(at))
			return false;
		if (page->word[(at - page->from) / 8 & (MEMO_PAGE - 1)] != word)
			return false;
	}
	return true;
}

static __always_inline bool memo__holds(const struct memo *m, u64 moved, struct memo_page *page)
{
	for (u64 i = 0; i < MEMO_WORDS && i < m->n; i += MEMO_FEW) {
		if (!memo__are(m, page, moved, i))
			return false;
	}
	return true;
}

/* A global function, verified once: the id of memo @way of the walk's set if it holds. */
__noinline u32 memo__try(u32 way)
{
	struct memo_page *page = memo__page();
	struct walk *w = walk__get();
	struct memos *all;
	struct memo *m;

	if (!w || !page)
		return STACK_NONE;
	all = memos__for(w);
	if (!all)
		return STACK_NONE;
	m = &all->way[way & (MEMO_WAYS - 1)];
	return memo__holds(m, w->reg[UNWIND_RSP] - m->sp, page) ? m->id : STACK_NONE;
}

/* The same of all of them: of those that cannot be it, nothing more is looked at. */
__noinline u32 memo__recall(void)
{
	struct memo_page *page = memo__page();
	struct walk *w = walk__get();
	u32 id = STACK_NONE;
	struct memos *all;

	if (!page || !w || w->interrupted || !w->stack.space)
		return STACK_NONE;
	all = memos__for(w);
	if (!all)
		return STACK_NONE;
	page->bytes = 0;
	for (u32 way = 0; way < MEMO_WAYS && id == STACK_NONE; way++) {
		if (memo__fits(w, &all->way[way]))
			id = memo__try(way);
	}
	return id;
}

/* Remembers the walk in @w, whose stack is kept as @id, if it can be. */
static __always_inline void memo__keep(struct walk *w, u32 id)
{
	struct memos *all;
	struct memo *m;

	if (w->memo.n > MEMO_WORDS || w->blind || !w->stack.space || id >= STACK_IDS)
		return;
	all = memos__of(w->memo.ip, w->memo.sp, w->stack.space);
	if (!all)
		return;
	/* Any of them: the oldest would never be met again where there is one place too many. */
	m = &all->way[bpf_get_prandom_u32() & (MEMO_WAYS - 1)];
	w->memo.id = id;
	w->memo.serial = w->stack.space;
	bpf_probe_read_kernel(m, sizeof(*m), &w->memo);
}
#else
/* Verifiers of 5.10 are not asked for more: each stack is walked. */
static __always_inline u32 memo__recall(void)
{
	return STACK_NONE;
}

static __always_inline void memo__keep(struct walk *w, u32 id)
{
}
#endif

#endif
