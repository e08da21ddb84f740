/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The slowest requests, one by one. */
#ifndef DWELL_SLOWEST_H
#define DWELL_SLOWEST_H

#include "core/session.h"
#include "request.h"

#define SLOWEST 64 /* requests kept for the list */

struct slowest_epoch {
	struct request_slow item[SLOWEST];
	size_t n;
	size_t least; /* the fastest of them */
};

/* All zero before the run. */
struct slowest {
	struct slowest_epoch epoch[2]; /* by its lowest bit */
};

/* Keeps @slow if it is one; once there are enough, the kernel side tells of no faster ones. */
void slowest__add(struct session *s, struct slowest *all, const struct request_slow *slow);

/* The table of the epoch that is reported, which is emptied. */
enum dwell_exit slowest__table(struct session *s, struct slowest *all, struct report_table *table);

#endif
