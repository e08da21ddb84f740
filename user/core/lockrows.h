/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The rows of a report on locks: which waits belong to one lock, and what is known of it. */
#ifndef DWELL_LOCKROWS_H
#define DWELL_LOCKROWS_H

#include "base/table.h"
#include "core/ident.h"
#include "core/lockparts.h"
#include "core/session.h"

/* Item of lockrow.waiter_list. */
struct lockrow_waiter {
	uint32_t tid;
	const char *comm;
	uint64_t count;
	uint64_t total_ns;
};

struct lockrow {
	/* what makes it a row */
	uint64_t owner; /* the tally's row, 0 for what belongs to no process */
	uint64_t id;
	uint32_t group; /* the kind, or what stands for it */
	uint32_t pad;

	const struct tally_key *key; /* of the lock with the longest waits */
	const char *by_stack; /* its kind, if only who waits tells that it is a lock; or NULL */
	struct lockpart *parts;
	size_t nparts;

	struct ident who;
	const char *space;
	const char *kind;
	const char *name;
	uint64_t addr;
	uint64_t count, total_ns, mean_ns, waiters, unreleased;
	struct hist *hist;
	struct table_list holders, waiter_list;
	const char **wait_stack, **release_stack;
	struct table_list wait_frames, release_frames; /* of the stacks */
	const char *caller, *releaser;

	/* what lockrows__read() leaves empty */
	const char **chain; /* see lockchains__follow() */
	const char *holder; /* text: the first few */
	const char **folded, **details;
	const char *title;
	struct hist *shown_hist;
};

extern const struct column lockrows_holder_columns[], lockrows_waiter_columns[];

struct lockrows {
	struct session *s;
	enum lock_by by;
	bool events; /* waits for events are rows, too */
	struct lockparts parts;
	struct lockrow *rows;
	size_t n;
	const struct account *go; /* a process whose goroutines' locks can't be seen, or NULL */
};

/* The rows of the epoch that is reported. @last: the run is over, see lockparts__read(). */
enum dwell_exit lockrows__read(struct session *s, bool last, enum lock_by by, bool events,
			       struct lockrows *r);

/*
 * "orders", "mmap_lock"; without a name "0x7ffd… in checkout", by who waited, or by the module that
 * it lies in. @row: NULL if there is none. NULL without memory.
 */
const char *lockrows__name(struct lockrows *r, const struct lockrow *row,
			   const struct tally_key *key);

const char *lockrows__kind(const struct tally_key *key); /* "mutex" */

#endif
