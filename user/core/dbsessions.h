/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Transactions and sessions of the databases: how long, how many, how idle. */
#ifndef DWELL_DBSESSIONS_H
#define DWELL_DBSESSIONS_H

#include "core/session.h"
#include "query.h"

/* A transaction that is not over. */
struct open_txn {
	const char *db;
	uint32_t pid;
	uint64_t age_ns;
	uint64_t idle_ns; /* since its last statement; 0: one runs */
	uint64_t statements;
	const char *query; /* the last */
};

/* Blocks of several messages (BEGIN … COMMIT) that ended in the epoch. */
struct txn_row {
	uint64_t count;
	uint64_t total_ns;
	uint64_t mean_ns;
	struct hist *hist;
	uint64_t idle_ns;       /* of total_ns: no statement ran */
	double idle_share;      /* of total_ns */
	struct hist *idle_hist; /* of each one's idle time */
	struct table_list open; /* struct open_txn, the oldest first */
	uint64_t open_count;
	const char *oldest; /* for people */
	bool known;         /* a server tells of transactions and of begins of sessions */
};

struct dbsessions_row {
	uint64_t opened;
	const char *rate;
	uint64_t mean_ns;   /* of the set-up */
	struct hist *setup; /* from the fork of a session's process until it is ready */
	uint64_t peak;      /* sessions that ran a statement at the same time, the most… */
	uint64_t active;    /* …and at the epoch's end */
};

extern const struct column txn_columns[];
extern const struct column dbsessions_columns[];

/* Takes tally @t, if it is of no statement; else false. */
bool dbsessions__take(struct txn_row *txns, struct dbsessions_row *sessions, const struct tally *t);

/* Empty rows; their histograms are from the session's arena. NULL ones without memory. */
enum dwell_exit dbsessions__new(struct session *s, struct txn_row *txns,
				struct dbsessions_row *sessions);

/* Fills in the rest. @open: map `query_txns`; @end: of the epoch, CLOCK_MONOTONIC ns. */
enum dwell_exit dbsessions__finish(struct session *s, struct txn_row *txns,
				   struct dbsessions_row *sessions, const struct query_txn *open,
				   struct query_live *live, uint64_t end);

/* "1,204/s", "0.4/s"; NULL without memory. */
const char *dbsessions__rate(struct session *s, uint64_t count);

#endif
