/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Reading what waits for locks were made of (include/lock.h). */
#ifndef DWELL_LOCKPARTS_H
#define DWELL_LOCKPARTS_H

#include "core/session.h"
#include "lock.h"

struct lockpart {
	uint64_t id;
	uint32_t slot;
	enum lock_part_kind part;
	struct lock_part val;
};

struct lockparts {
	struct lockpart *items; /* by slot, part and id */
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

/* The parts of slot @slot: the first, and their number. */
const struct lockpart *lockparts__of(const struct lockparts *parts, uint32_t slot, size_t *n);

/*
 * Sorts @n items by part and id and adds up what is the same; their new number. Slots mean nothing
 * any more.
 */
size_t lockparts__merge(struct lockpart *items, size_t n);

#endif
