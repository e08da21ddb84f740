/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Reading the tallies (include/tally.h) of one epoch. */
#ifndef DWELL_TALLIES_H
#define DWELL_TALLIES_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/object.h"
#include "hist.h"
#include "tally.h"
#include "thread.h"

struct tally {
	struct tally_key key;
	uint32_t slot;
	uint64_t count;
	struct hist *hist;           /* in the shared memory: valid until the bank is cleared */
	struct tally_states *states; /* the same; NULL where the command has none */
};

struct tallies {
	struct tally *items;
	size_t n;
};

/* Where arrays that have an element per tally have that of @slot in @epoch. */
size_t tallies__index(const struct config *config, uint32_t epoch, uint32_t slot);

/* The histogram of @slot, below config->slots, in @epoch. NULL with errno: it cannot be mapped. */
struct hist *tallies__hist(struct object *o, const struct config *config, uint32_t epoch,
			   uint32_t slot);

/* Counts a wait of @ns in @hist; its sum is kept elsewhere. */
void tallies__end(struct hist *hist, uint64_t ns);

/*
 * Credits the tallies with what a thread's record says of a segment that crossed its epoch's end or
 * was still open at it: its time; and, if the run ends here (@final), the wait itself, unless it is
 * shorter than those that were asked for. 0 or -errno.
 */
int tallies__settle(struct object *o, const struct config *config, const struct thread_rec *rec,
		    bool final);

/*
 * The sum of tallies' histograms: of none, or of one, it is that itself, so that of many rows only
 * those take memory that are of several.
 */
struct tally_sum {
	const struct hist *hist; /* never NULL once it was begun; not to be written to */
	uint32_t n;              /* tallies in it */
};

/* Begins the sum of no tallies. */
void tallies__sum_none(struct tally_sum *sum);

/* Adds @hist, which stays where it is as long as @sum is used. 0 or -ENOMEM. */
int tallies__sum_add(struct tally_sum *sum, const struct hist *hist, struct arena *arena);

/* All tallies with something in them in @epoch. 0 or -errno. */
int tallies__read(struct object *o, const struct config *config, uint32_t epoch,
		  struct arena *arena, struct tallies *out);

/* Adds the states that @t's time was spent in: see struct tally_states. */
void tallies__add_states(uint64_t to[NR_STATES], const struct tally *t);

/* Empties them for the epoch after next. */
void tallies__clear(const struct tallies *used);

#endif
