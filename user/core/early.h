/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Waits that threads kept to themselves and handed over with their accounts: thread_rec.early. */
#ifndef DWELL_EARLY_H
#define DWELL_EARLY_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "core/tallies.h"

struct early_key {
	uint64_t row;
	uint64_t state;
};

struct early_tally {
	struct early_key key;
	struct hist hist;
	bool merged;
	UT_hash_handle hh;
};

struct early {
	struct early_tally *by_key;
	uint32_t n, max; /* kept, and at most */
	uint64_t lost;   /* waits without room */
};

/*
 * Adds the waits of a thread's record, as tallies__settle() does those that have tallies. 0 or
 * -ENOMEM.
 */
int early__add(struct early *e, const struct thread_rec *rec, uint64_t min_ns, bool final);
/* Adds them all to @tallies, which were read before, and last as long as @e does. 0 or -ENOMEM. */
int early__merge(struct early *e, struct arena *arena, struct tallies *tallies);
void early__reset(struct early *e);

#endif
