/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/*
 * The one histogram of the project, for both sides.
 *
 * Base-2 exponential buckets at scale 4: 16 buckets per octave, whose boundaries are 2^(i/16)
 * *seconds* for integer i, as in OTLP's exponential histograms and Prometheus' native histograms
 * (https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram), so that they
 * convert without loss and merge exactly. A value lies within 2^(1/32) - 1 = 2.2 % of its bucket's
 * geometric middle.
 *
 * OTLP's buckets are upper-inclusive, (lower, upper]; ours are [lower, upper): they differ for a
 * value that is exactly a boundary only, and the only boundaries that are whole nanoseconds are
 * the powers of two of a second from 2^-9 s up.
 */
#ifndef DWELL_HIST_H
#define DWELL_HIST_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define HIST_SCALE      4
#define HIST_PER_OCTAVE (1 << HIST_SCALE)
#define HIST_MIN_LOG2   (-27) /* lowest boundary: 2^-27 s = 7.45 ns; below it: the zero bucket */
#define HIST_MAX_LOG2   15    /* highest: 2^15 s = 9.1 h; above it: the last bucket */
#define HIST_BUCKETS    ((HIST_MAX_LOG2 - HIST_MIN_LOG2) * HIST_PER_OCTAVE)
/* OTLP's index (of seconds) of bucket i is i + HIST_BASE. */
#define HIST_BASE   (HIST_MIN_LOG2 * HIST_PER_OCTAVE)
#define HIST_MIN_NS 8 /* the smallest whole ns that is not in the zero bucket */
#define HIST_ERROR  0.022
#define HIST_ZERO   (-1) /* hist__index() of a value below HIST_MIN_NS */

struct hist {
	__u64 sum;  /* ns; of the values, or of their part inside the interval (see tally.h) */
	__u64 max;  /* ns; exact */
	__u32 zero; /* values below HIST_MIN_NS */
	__u32 pad;
	__u32 bucket[HIST_BUCKETS];
};

_Static_assert(sizeof(struct hist) == 24 + 4 * HIST_BUCKETS, "no hidden padding");

/* 2^(i/16) as the 31 bits behind the leading one, rounded up: what is below an edge stays below. */
static const __u32 hist_edges[HIST_PER_OCTAVE + 1] = {
	0,          95077224,   194363876,  298046324,  406319186,  519385697,
	637458090,  760757995,  889516852,  1023976352, 1164388882, 1311018006,
	1464138955, 1624039149, 1791018728, 1965391126, 0x80000000,
};

/*
 * The sub-bucket in which each 32nd of the mantissa begins; no cell holds more than one edge. The
 * 33rd is never read: clang puts constants of 32 bytes into a section that BTF then misnames.
 */
static const __u8 hist_cells[33] = {
	0, 0, 1,  2,  2,  3,  3,  4,  5,  5,  6,  6,  7,  7,  8,  8,
	9, 9, 10, 10, 11, 11, 12, 12, 12, 13, 13, 14, 14, 14, 15, 15,
};

/* Position of the highest bit, by a de Bruijn sequence: BPF has no instruction for it. @v != 0. */
static const __u8 hist_debruijn[64] = {
	0,  47, 1,  56, 48, 27, 2,  60, 57, 49, 41, 37, 28, 16, 3,  61, 54, 58, 35, 52, 50, 42,
	21, 44, 38, 32, 29, 23, 17, 11, 4,  62, 46, 55, 26, 59, 40, 36, 15, 53, 34, 51, 20, 43,
	31, 22, 10, 45, 25, 39, 14, 33, 19, 30, 9,  24, 13, 18, 8,  12, 7,  6,  5,  63,
};

static inline __attribute__((always_inline)) __u32 hist__log2(__u64 v)
{
	v |= v >> 1;
	v |= v >> 2;
	v |= v >> 4;
	v |= v >> 8;
	v |= v >> 16;
	v |= v >> 32;
	return hist_debruijn[(v * 0x03f79d71b4cb0a89ULL) >> 58];
}

/*
 * The bucket of @ns: floor(16 * log2(ns * 1e-9)) - HIST_BASE, clamped to the highest; HIST_ZERO
 * below HIST_MIN_NS. Exact but for values within 4e-10 (relative) of a boundary.
 *
 * ns * 1e-9 = (ns * 2^30/1e9) * 2^-30, so one multiply aligns nanoseconds with powers of two of a
 * second; 2^30/1e9 = 1.0737… is held as 1152921505 / 2^30, rounded up so that boundaries that are
 * whole nanoseconds stay in the upper bucket.
 */
static inline __attribute__((always_inline)) __s32 hist__index(__u64 ns)
{
	__u64 log2, product;
	__u32 fraction, cell;
	__s32 index;

	if (ns < HIST_MIN_NS)
		return HIST_ZERO;
	log2 = hist__log2(ns) & 63;
	/* 32-bit mantissa with its top bit set, times 31 bits: in [2^61, 2^63) */
	product = ((ns << (63 - log2)) >> 32) * 1152921505ULL;
	if (product >> 62)
		log2++;
	else
		product <<= 1;
	fraction = (product >> 31) & 0x7fffffff;
	cell = hist_cells[fraction >> 26] & (HIST_PER_OCTAVE - 1);
	cell += fraction >= hist_edges[cell + 1];
	index = ((__s32)log2 - 30) * HIST_PER_OCTAVE + (__s32)cell - HIST_BASE;
	return index < HIST_BUCKETS ? index : HIST_BUCKETS - 1;
}

#endif
