/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Kernel memory whose address comes from elsewhere than a pointer that the verifier knows (a slot
 * of an array, what a map keeps) is read by a helper, value by value, at 20 to 30 ns each. Where
 * the kernel can make such an address a pointer (bpf_rdonly_cast(), a35b9af4ec2c, 6.2), these are
 * plain loads: the call costs nothing, and what is not mapped reads as 0, as with the helper.
 *
 * The loader writes the call in: user/core/peek.c.
 */
#ifndef DWELL_PEEK_BPF_H
#define DWELL_PEEK_BPF_H

#include "lib/compat.bpf.h"

static __always_inline bool peek__loads(void)
{
#ifdef DWELL_RAW
	return false;
#else
	return config.peek_type;
#endif
}

static void *(*const peek__cast)(const void *p, u32 type) = (void *)CONFIG_PEEK_CALL;

/* The 8 bytes at @p, where peek__loads(): by a structure that begins with such a number. */
static __always_inline u64 peek__load(const void *p)
{
	return ((struct timespec64 *)peek__cast(p, config.peek_type))->tv_sec;
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

/* A number or pointer of @size bytes, @offset bytes from @p, which lies at a multiple of 8. */
static __always_inline u64 peek__member(const void *p, u32 offset, u32 size)
{
	u64 word;

	/* Not beyond the 8 bytes that it is in: there may be nothing. All is little-endian here. */
	word = peek__load(p + (offset & ~7U)) >> (offset & 7) * 8;
	return size < 8 ? word & ((1ULL << (size & 7) * 8) - 1) : word;
}

/*
 * A member, as BPF_CORE_READ() gives it (here and in the kernel it may differ in size), where
 * peek__loads(): who asks once for several keeps the program short that the verifier goes through.
 */
#define PEEK(p, member)                                                                            \
	({                                                                                         \
		__auto_type p__ = (p);                                                             \
                                                                                                   \
		(typeof(p__->member))peek__member(p__, bpf_core_field_offset(p__->member),         \
						  bpf_core_field_size(p__->member));               \
	})

/* The same on any kernel: by the helper where there are no such loads. */
#define FOLLOW(p, member)                                                                          \
	({                                                                                         \
		__auto_type f__ = (p);                                                             \
                                                                                                   \
		peek__loads() ? PEEK(f__, member) : BPF_CORE_READ(f__, member);                    \
	})

#endif
