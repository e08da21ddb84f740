/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Memory of one report: taken piece by piece, given back all at once. */
#ifndef DWELL_ARENA_H
#define DWELL_ARENA_H

#include <stddef.h>

struct arena {
	struct arena_block *blocks;
};

/* @size bytes, zeroed, aligned for any type; NULL without memory. */
void *arena__alloc(struct arena *a, size_t size);
/* @n elements of @size bytes; NULL also if the product overflows. */
void *arena__array(struct arena *a, size_t n, size_t size);
char *arena__printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Gives everything back; the arena can be used again. */
void arena__reset(struct arena *a);

#endif
