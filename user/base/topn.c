// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "base/topn.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The best k so far as a heap of indices, the worst of them on top. */
struct heap {
	const char *base;
	size_t size;
	int (*cmp)(const void *a, const void *b, const void *arg);
	const void *arg;
	size_t *index;
	size_t n;
};

/* Equal elements rank by position: that is what keeps their order. */
static bool goes_before(const struct heap *h, size_t a, size_t b)
{
	int order = h->cmp(h->base + a * h->size, h->base + b * h->size, h->arg);

	return order < 0 || (order == 0 && a < b);
}

/* Puts @index where it belongs at or below @at, whose element is free to be overwritten. */
static void sift_down(struct heap *h, size_t at, size_t index)
{
	size_t child;

	while ((child = 2 * at + 1) < h->n) {
		if (child + 1 < h->n && goes_before(h, h->index[child], h->index[child + 1]))
			child++;
		if (!goes_before(h, index, h->index[child]))
			break;
		h->index[at] = h->index[child];
		at = child;
	}
	h->index[at] = index;
}

/* Leaves the indices of the best h->n of @n elements in h->index, the best first. */
static void select_best(struct heap *h, size_t n)
{
	const size_t k = h->n;

	for (size_t i = 0; i < k; i++)
		h->index[i] = i;
	for (size_t i = k / 2; i-- > 0;)
		sift_down(h, i, h->index[i]);
	for (size_t i = k; i < n; i++) {
		if (goes_before(h, i, h->index[0]))
			sift_down(h, 0, i);
	}
	while (h->n > 1) {
		size_t worst = h->index[0];

		h->n--;
		sift_down(h, 0, h->index[h->n]);
		h->index[h->n] = worst;
	}
}

/*
 * Moves the elements at index[0..k) to the front. The others of the first k go to the places
 * behind k that this frees: there are as many of these as of those.
 */
static void move_to_front(char *base, size_t size, size_t k, const size_t *index, char *chosen,
			  bool *stays)
{
	size_t from = 0;

	for (size_t i = 0; i < k; i++) {
		memcpy(chosen + i * size, base + index[i] * size, size);
		if (index[i] < k)
			stays[index[i]] = true;
	}
	for (size_t i = 0; i < k; i++) {
		if (index[i] < k)
			continue;
		while (stays[from])
			from++;
		memcpy(base + index[i] * size, base + from * size, size);
		from++;
	}
	memcpy(base, chosen, k * size);
}

int topn__sort(void *base, size_t n, size_t size, size_t k,
	       int (*cmp)(const void *a, const void *b, const void *arg), const void *arg)
{
	struct heap heap = {.base = base, .size = size, .cmp = cmp, .arg = arg};
	char *memory;

	if (k > n)
		k = n;
	if (k == 0)
		return 0;
	/* for each: its index, the element, whether it is chosen and stays in front */
	memory = calloc(k, sizeof(size_t) + size + sizeof(bool));
	if (!memory)
		return -ENOMEM;
	heap.index = (size_t *)memory;
	heap.n = k;
	select_best(&heap, n);
	move_to_front(base, size, k, heap.index, memory + k * sizeof(size_t),
		      (bool *)(memory + k * (sizeof(size_t) + size)));
	free(memory);
	return 0;
}
