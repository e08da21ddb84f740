/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Which statement waited for which session's lock, and what that one's transaction has run. */
#ifndef DWELL_BLOCKS_H
#define DWELL_BLOCKS_H

#include "core/session.h"
#include "query.h"

struct block_row {
	const char *db;
	const char *query; /* that waits */
	const char *lock;  /* "transaction", "relation"… */
	const char *mode;  /* that is asked for */
	uint64_t count;    /* waits that ended */
	uint64_t total_ns;
	uint64_t max_ns;
	uint64_t waiting; /* waits that go on, and… */
	uint64_t waiting_ns;
	uint32_t holder;         /* pid; 0: unknown */
	const char *who;         /* the same for people */
	const char **statements; /* of the holder's transaction, the first first */
	const char *ran;         /* the same for people */
	uint32_t kind;
	uint64_t all_ns; /* total_ns and waiting_ns */
};

extern const struct column block_columns[];

/*
 * Those of the reported epoch, the longest first. @txns: map `query_txns`; @end: of the epoch,
 * CLOCK_MONOTONIC ns.
 */
enum dwell_exit blocks__read(struct session *s, const struct query_txn *txns, uint64_t end,
			     struct table_list *rows);

#endif
