/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* From tallies to causes: sorted, merged where they mean the same, named. */
#ifndef DWELL_CAUSES_H
#define DWELL_CAUSES_H

#include "core/lockparts.h"
#include "core/session.h"

/*
 * All tallies of row @row (0: of all rows, with what is the same in several rows added up) as
 * report_cause, the longest first. @tgid: the process that the row is of, 0 if it is of several.
 * @parts: of waits for locks, from which their holders are told; or NULL.
 */
enum dwell_exit causes__of(struct session *s, uint64_t row, uint32_t tgid,
			   const struct lockparts *parts, struct table_list *out);

/* Sorts the tallies so that causes__of() finds a row's; once per report, before the first call. */
void causes__prepare(struct session *s);

/* Those of the causes that are of kind `task`, as {pid, comm, total_ns}: who had the CPU. */
struct culprit {
	uint64_t pid;
	const char *comm;
	uint64_t total_ns;
};

extern const struct column culprit_columns[];

enum dwell_exit causes__culprits(struct session *s, uint64_t row, struct table_list *out);

#endif
