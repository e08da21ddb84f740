/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Sorting of rows. */
#ifndef DWELL_TOPN_H
#define DWELL_TOPN_H

#include <stddef.h>

/*
 * Sorts the first min(@k, @n) of @n elements of @size bytes into place by @cmp (negative: the first
 * goes before the second) in O(n log k); what follows them is in no order. Elements that compare
 * equal keep their order, so that the same data always prints the same report. 0 or -ENOMEM.
 */
int topn__sort(void *base, size_t n, size_t size, size_t k,
	       int (*cmp)(const void *a, const void *b, const void *arg), const void *arg);

#endif
