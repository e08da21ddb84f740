/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The slowest statements of an epoch. The kernel side hands over those above a floor; as soon as
 * there are enough, the floor rises to the fastest that is kept, so that soon few come.
 */
#ifndef DWELL_EXEMPLARS_H
#define DWELL_EXEMPLARS_H

#include <stddef.h>
#include <stdint.h>

#include "query.h"

#define EXEMPLARS 10

struct exemplars {
	struct exemplars_epoch {
		struct query_exemplar items[EXEMPLARS]; /* the slowest first */
		size_t n;
	} epoch[2]; /* by the epoch's lowest bit */
};

/* Takes one that came. Returns the floor, in ns, for those that are to come in its epoch. */
uint64_t exemplars__add(struct exemplars *e, const struct query_exemplar *item);

/* Forgets @epoch's: its report is out. */
void exemplars__reset(struct exemplars *e, uint32_t epoch);

#endif
