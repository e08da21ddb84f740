/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Reading what waits for locks were made of (include/lock.h). */
#ifndef DWELL_LOCKPARTS_H
#define DWELL_LOCKPARTS_H

#include "core/session.h"
#include "lock.h"

/* What a part tells, and its tid and id; where it says nothing, they are 0. */
enum lockpart_kind {
	LOCKPART_WAITER,        /* thread that waited; 0: whoever it was */
	LOCKPART_WAIT_STACK,    /* -; as tally_key.id of stacks: where it waited */
	LOCKPART_LOCK,          /* -; tally slot of the lock, where rows are of something else */
	LOCKPART_HOLDER,        /* thread that had the lock meanwhile */
	LOCKPART_DOING,         /* the holder; tally slot of what it was blocked on meanwhile */
	LOCKPART_RELEASE_STACK, /* -; where it was released */
	LOCKPART_LET_GO,        /* the thread that released it; where */
	LOCKPART_UNRELEASED,
};

struct lockpart {
	uint64_t id;
	uint32_t slot;
	uint32_t tid;
	enum lockpart_kind part;
	struct lock_part val; /* of stacks, ns is what they stand for, and count those looked at */
};

struct lockparts {
	struct lockpart *items; /* by slot, part, tid and id */
	size_t n;
	struct tally_key *keys;       /* of each tally slot; state STATE_NONE: not taken */
	struct lock_waiting *waiting; /* who waits now */
	size_t nwaiting;
};

/*
 * Reads the parts of the epoch that is reported, and takes them out of the map. @open: the waits
 * that go on are added as parts too, since the run is over.
 */
enum dwell_exit lockparts__read(struct session *s, bool open, struct lockparts *parts);

/* The slot of a tally of the epoch that is reported: parts know it by that. */

/* The parts of slot @slot: the first, and their number. */
const struct lockpart *lockparts__of(const struct lockparts *parts, uint32_t slot, size_t *n);

/*
 * Sorts @n items by part, tid and id and adds up what is the same; their new number. Slots mean
 * nothing any more.
 */
size_t lockparts__merge(struct lockpart *items, size_t n);

#endif
