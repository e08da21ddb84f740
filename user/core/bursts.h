/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* N+1: pairs of statements of which one came for each row of the other. */
#ifndef DWELL_BURSTS_H
#define DWELL_BURSTS_H

#include "core/session.h"
#include "query.h"

struct burst_row {
	const char *db;
	const char *source; /* the statement that returned the rows, and… */
	const char *query;  /* …the one that came for each */
	uint64_t bursts;
	uint64_t repeats;
	uint64_t per_burst;
	uint64_t source_rows; /* per burst */
	uint64_t rows;        /* of all repeats */
	uint64_t exec_ns;
	uint64_t gap_ns;  /* between the repeats: what the client and the way to it took */
	uint64_t bill_ns; /* both */
};

extern const struct column burst_columns[];

/*
 * Do these numbers say N+1? The source returned about as many rows as it was followed by repeats,
 * and a repeat returns one at most.
 */
bool bursts__agree(const struct query_burst *b);

/* Those of the reported epoch, the longest bill first. */
enum dwell_exit bursts__read(struct session *s, struct table_list *rows);

#endif
