/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Who had a lock while others waited for it, and what he did meanwhile. */
#ifndef DWELL_HOLDERS_H
#define DWELL_HOLDERS_H

#include "base/table.h"
#include "core/lockparts.h"
#include "core/session.h"

#define HOLDERS_STACKS 3

struct holder {
	uint32_t tid;
	const char *comm;
	double share; /* of all waiting for the lock */
	uint64_t count;
	uint64_t total_ns;
	uint64_t states[NR_STATES];
	uint64_t unknown_ns; /* of total_ns: what it did then is not known */
	const char *doing;   /* what it was blocked on, mostly; or NULL */
	uint64_t doing_ns;
	const char **stack; /* where it let go, mostly; or NULL */
};

#define HOLDER_COLUMN(name, kind, field)                                                           \
	{                                                                                          \
		.key = (name), .type = (kind), .offset = offsetof(struct holder, field)            \
	}
#define HOLDER_COLUMNS                                                                             \
	HOLDER_COLUMN("tid", COL_U32, tid), HOLDER_COLUMN("comm", COL_STR, comm),                  \
		HOLDER_COLUMN("share", COL_SHARE, share),                                          \
		HOLDER_COLUMN("count", COL_COUNT, count),                                          \
		HOLDER_COLUMN("total_ns", COL_NS, total_ns),                                       \
		HOLDER_COLUMN("states", COL_STATES, states),                                       \
		HOLDER_COLUMN("unknown_ns", COL_NS, unknown_ns),                                   \
		HOLDER_COLUMN("doing", COL_STR, doing)

/* HOLDER_COLUMNS alone. */
extern const struct column holder_columns[];

/* What parts of waits are told as: the names of causes are the command's. */
struct holder_names {
	const char *(*cause)(void *arg, const struct tally_key *key); /* NULL without memory */
	/* May be NULL: stacks of the first HOLDERS_STACKS. */
	const char **(*stack)(void *arg, uint64_t id);
	void *arg;
};

/*
 * The holders in the @n parts @of (all of one lock) as struct holder, the longest first. @all: for
 * the causes that parts name by slot; @waited_ns: what shares are of.
 */
enum dwell_exit holders__of(struct session *s, const struct lockparts *all,
			    const struct lockpart *of, size_t n, uint64_t waited_ns,
			    const struct holder_names *names, struct table_list *out);

/* The command name of @tid; @kept: as the kernel side kept it, or NULL. NULL without memory. */
const char *holders__comm(struct session *s, uint32_t tid, const __u64 *kept);

/* "disk 71 %, cpu 22 %, runq 7 %; fsync /var/…"; empty if nothing is known. */
void holders__doing_text(const struct holder *h, char *text, size_t size);

#endif
