/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Kernel memory whose address comes from elsewhere than a pointer that the verifier knows (a slot
 * of an array, what a map keeps) is read by a helper, value by value, at 20 to 30 ns each. Where
 * the kernel can make such an address a pointer (bpf_rdonly_cast(), a35b9af4ec2c, 6.2), these are
 * plain loads: the call costs nothing, and what is not mapped reads as 0, as with the helper.
 *
 * The loader writes the call in: user/core/patch.c.
 */
#ifndef DWELL_PEEK_BPF_H
#define DWELL_PEEK_BPF_H

#include "lib/compat.bpf.h"

/* Does the kernel have struct @type, and make pointers to it? */
#ifdef DWELL_RAW
#define peek__knows(type) false
#else
#define peek__knows(type) CONFIG(peek_type[PEEK_##type])
#endif

/* Where it does, it has all that are not of a part that can be left out. */
static __always_inline bool peek__loads(void)
{
	return peek__knows(timespec64);
}

static void *(*const peek__cast)(const void *p, u32 type) = (void *)CONFIG_PEEK_CALL;

/* @p as a pointer to struct @type, one of PEEK_TYPES, where peek__loads(). */
#define PEEK_AS(type, p) ((struct type *)peek__cast(p, CONFIG(peek_type[PEEK_##type])))

/* The 8 bytes at @p, where peek__loads(). */
static __always_inline u64 peek__load(const void *p)
{
	return PEEK_AS(timespec64, p)->tv_sec;
}

/* The same anywhere. */
static __always_inline u64 peek__word(const void *p)
{
	u64 word = 0;

	if (peek__loads())
		return peek__load(p);
	bpf_probe_read_kernel(&word, sizeof(word), p);
	return word;
}

/* An address as a number, such as global functions take: verifiers let nobody reckon with those. */
static __always_inline u64 peek__number(const void *p)
{
#ifndef DWELL_RAW
	return peek__word(&p);
#else
	return (u64)p;
#endif
}

/*
 * A member, or one that is reached by following members that are pointers, as BPF_CORE_READ() gives
 * it: by loads where there are any. @p is a pointer to a struct @type, one of PEEK_TYPES.
 */
#define FOLLOW(type, p, ...)                                                                       \
	({                                                                                         \
		struct type *f__ = (void *)(p);                                                    \
                                                                                                   \
		peek__knows(type) ? ___arrow(PEEK_AS(type, f__), __VA_ARGS__)                      \
				  : BPF_CORE_READ(f__, __VA_ARGS__);                               \
	})

#endif
