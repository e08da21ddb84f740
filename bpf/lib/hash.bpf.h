/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* A hash of texts, eight bytes at a time. */
#ifndef DWELL_HASH_BPF_H
#define DWELL_HASH_BPF_H

#include "lib/compat.bpf.h"

/* The 64-bit FNV's, http://www.isthe.com/chongo/tech/comp/fnv/ */
#define HASH_SEED  0xcbf29ce484222325ULL
#define HASH_PRIME 0x100000001b3ULL

static __always_inline u64 hash__step(u64 hash, u64 word)
{
	hash = (hash ^ word) * HASH_PRIME;
	return hash ^ hash >> 32;
}

/*
 * The eight bytes of @text from @at on, wherever they lie: the processors that dwell runs on do not
 * care. Of an array of characters clang would take them one by one.
 */
static __always_inline u64 *hash__word(const char *text, u64 at)
{
	return (u64 *)(text + at);
}

/*
 * Of the @len bytes at @text, which has room for @size (a constant) and 8 more, and zeros in the
 * 8 behind @len.
 */
static __always_inline u64 hash__text(const char *text, u64 len, u64 size)
{
	u64 hash = HASH_SEED;

	for (u64 at = 0; at < size; at += 8) {
		if (at >= len)
			break;
		hash = hash__step(hash, *hash__word(text, at));
	}
	return hash;
}

#endif
