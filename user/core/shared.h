/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Arrays that both sides write to (BPF_F_MMAPABLE). What a process maps of such an array is in its
 * memory at once, looked at or not: so it is mapped piece by piece, as it is looked at.
 */
#ifndef DWELL_SHARED_H
#define DWELL_SHARED_H

#include <stddef.h>
#include <stdint.h>

#define SHARED_PIECES 1024 /* of an array, at most: each is a mapping of the process */

struct shared {
	char *at;     /* of the first element: the whole range is reserved; NULL: not open */
	size_t bytes; /* of it */
	size_t size;  /* of an element */
	size_t piece; /* bytes; whole pages */
	int fd;       /* of the map; the caller's */
	uint64_t mapped[SHARED_PIECES / 64];
};

/* Prepares for the @n elements of @size bytes of the array behind @fd. 0 or -errno. */
int shared__open(struct shared *s, int fd, size_t n, size_t size);

/* Element @i, which stays where it is. NULL with errno if it cannot be mapped. */
void *shared__at(struct shared *s, size_t i);

/* The same of the @n elements from @i on; @n != 0. */
void *shared__range(struct shared *s, size_t i, size_t n);

/* Maps all of it, at s->at. 0 or -errno. */
int shared__map_all(struct shared *s);

/* @s may be all zero. */
void shared__close(struct shared *s);

#endif
