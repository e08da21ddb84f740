/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Threads whose clocks somebody needs: those that wait for a lock, or have one that others wait
 * for. All the others cost a look at one word where they are switched and woken. A word has the
 * number of the one thread that it stands for, or HOT_SHARED, for good, once it stood for two.
 */
#ifndef DWELL_HOT_BPF_H
#define DWELL_HOT_BPF_H

#include "lib/filter.bpf.h"

#define HOT_WORDS  65536 /* a power of two; 256 KB */
#define HOT_SHARED 0xffffffffU

u32 hot_words[HOT_WORDS];

static __always_inline u32 *hot__word(u32 tid)
{
	u64 i = tid & (HOT_WORDS - 1);

	barrier_var(i);
	return &hot_words[i & (HOT_WORDS - 1)];
}

/* Threads that begin and cease to be measured need their clocks all along. */
static __always_inline bool hot__all(void)
{
	return CONFIG_HAS(filter, FILTER_CHANGING);
}

static __always_inline bool hot__is(struct task_struct *task)
{
	return hot__all() || *(volatile u32 *)hot__word(FIELD(task, pid));
}

static __always_inline void hot__set(u32 tid)
{
	u32 *word = hot__word(tid);

	if (*(volatile u32 *)word == tid || compat__claim(word, 0, tid))
		return;
	*(volatile u32 *)word = HOT_SHARED;
}

static __always_inline void hot__clear(u32 tid)
{
	compat__claim(hot__word(tid), tid, 0);
}

#endif
