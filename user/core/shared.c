// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/shared.h"

#define SHARED_PIECE (64UL * 1024) /* at least */

static size_t shared__round(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

int shared__open(struct shared *s, int fd, size_t n, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *at;

	*s = (struct shared){.size = size, .fd = fd, .bytes = shared__round(n * size, page)};
	s->piece = shared__round(s->bytes / SHARED_PIECES + 1, shared__round(SHARED_PIECE, page));
	at = mmap(NULL, s->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	s->at = at;
	return 0;
}

static bool shared__map(struct shared *s, size_t piece)
{
	uint64_t *word = &s->mapped[piece / 64], bit = 1ULL << piece % 64;
	size_t from = piece * s->piece;
	size_t bytes = s->bytes - from < s->piece ? s->bytes - from : s->piece;

	if (*word & bit)
		return true;
	if (mmap(s->at + from, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, s->fd,
		 (off_t)from) == MAP_FAILED)
		return false;
	*word |= bit;
	return true;
}

void *shared__range(struct shared *s, size_t i, size_t n)
{
	size_t from = i * s->size, to = from + n * s->size - 1;

	for (size_t piece = from / s->piece; piece <= to / s->piece; piece++) {
		if (!shared__map(s, piece))
			return NULL;
	}
	return s->at + from;
}

void *shared__at(struct shared *s, size_t i)
{
	return shared__range(s, i, 1);
}

int shared__map_all(struct shared *s)
{
	for (size_t piece = 0; piece * s->piece < s->bytes; piece++) {
		if (!shared__map(s, piece))
			return -errno;
	}
	return 0;
}

void shared__close(struct shared *s)
{
	if (s->at)
		munmap(s->at, s->bytes);
	s->at = NULL;
}
