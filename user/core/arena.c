// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"

#define BLOCK_SIZE (64 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	max_align_t data[];
};

static struct arena_block *arena__block(struct arena *a, size_t size)
{
	struct arena_block *block = a->blocks;

	if (block && block->size - block->used >= size)
		return block;
	if (size < BLOCK_SIZE)
		size = BLOCK_SIZE;
	block = calloc(1, sizeof(*block) + size);
	if (!block)
		return NULL;
	block->size = size;
	block->next = a->blocks;
	a->blocks = block;
	return block;
}

void *arena__alloc(struct arena *a, size_t size)
{
	struct arena_block *block;
	void *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	block = arena__block(a, size);
	if (!block)
		return NULL;
	p = (char *)block->data + block->used;
	block->used += size;
	return p;
}

void *arena__array(struct arena *a, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	return arena__alloc(a, total);
}

char *arena__printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	s = arena__alloc(a, (size_t)n + 1);
	if (!s)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

void arena__reset(struct arena *a)
{
	struct arena_block *block, *next;

	for (block = a->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	a->blocks = NULL;
}
