/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* N+1: pairs of statements of which one came for each row of the other. */
#ifndef DWELL_BURSTS_H
#define DWELL_BURSTS_H

#include "core/session.h"
#include "query.h"

/* How often a statement that may be a source gave QUERY_BURST_MIN rows or more. */
struct burst_source {
	uint64_t fingerprint;
	uint64_t calls;
	uint32_t db; /* enum query_db */
};

/* In any order; a fingerprint may come several times. */
struct burst_sources {
	struct burst_source *items;
	size_t n;
};

struct burst_row {
	const char *db;
	const char *source; /* the statement that returned the rows, and… */
	const char *query;  /* …the one that came for each */
	uint64_t bursts;
	uint64_t calls; /* of the source, as burst_source.calls; TABLE_UNKNOWN */
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
 * in nearly each burst, a repeat returns one at most, and the source is seldom without. @calls: of
 * the source, as above. A program that mixes statements at random has bursts, too, but of any
 * length.
 */
bool bursts__agree(const struct query_burst *b, uint64_t calls);

/* Those of the reported epoch, the longest bill first. */
enum dwell_exit bursts__read(struct session *s, const struct burst_sources *sources,
			     struct table_list *rows);

#endif
