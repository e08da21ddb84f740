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
	uint64_t count;
	struct hist *hist;           /* in the shared memory: valid until the bank is cleared */
	struct tally_states *states; /* the same; NULL where the command has none */
};

struct tallies {
	struct tally *items;
	size_t n;
};

/* The histograms of @epoch's bank. */
struct hist *tallies__bank(const struct object *o, const struct config *config, uint32_t epoch);

/*
 * Credits the bank with what a thread's record says of a segment that crossed the epoch's end or
 * was still open at it: its time; and, if the run ends here (@final), the wait itself, unless it is
 * shorter than those that were asked for.
 */
void tallies__settle(struct hist *bank, const struct config *config, const struct thread_rec *rec,
		     bool final);

/* All tallies with something in them. 0 or -errno. */
int tallies__read(const struct object *o, struct hist *bank, uint32_t slots, struct arena *arena,
		  struct tallies *out);

/* Empties the bank for the epoch after next. */
void tallies__clear(const struct tallies *used);

#endif
