// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/dbsessions.h"

#include <stdlib.h>

#include "base/hist.h"
#include "base/str.h"
#include "base/time.h"
#include "core/engines.h"
#include "core/statements.h"

#define OPEN_SHOWN 10 /* the oldest: more are not told of one by one */

#define AT(field) .offset = offsetof(struct open_txn, field)

static const struct column open_columns[] = {
	{.key = "db", .type = COL_STR, AT(db)},
	{.key = "pid", .type = COL_U32, AT(pid)},
	{.key = "age_ns", .type = COL_NS, AT(age_ns)},
	{.key = "idle_ns", .type = COL_NS, AT(idle_ns)},
	{.key = "statements", .type = COL_COUNT, AT(statements)},
	{.key = "query", .type = COL_STR, AT(query)},
	COLUMN_END,
};

#undef AT
#define AT(field) .offset = offsetof(struct txn_row, field)

static const struct column idle_columns[] = {
	{.key = "total_ns", .type = COL_NS, AT(idle_ns)},
	{.key = "hist", .type = COL_HIST, AT(idle_hist)},
	COLUMN_END,
};

const struct column txn_columns[] = {
	{.name = "ENDED", .key = "count", .type = COL_COUNT, AT(count)},
	{.key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.name = "MEAN", .key = "mean_ns", .type = COL_NS, AT(mean_ns)},
	{.name = "", .key = "hist", .type = COL_HIST, AT(hist)},
	{.name = "IDLE", .key = "idle_share", .type = COL_SHARE, AT(idle_share)},
	{.key = "idle", .type = COL_OBJECT, .sub = idle_columns},
	{.name = "OPEN", .key = "open_count", .type = COL_COUNT, AT(open_count)},
	{.key = "open",
	 .type = COL_LIST,
	 AT(open),
	 .sub = open_columns,
	 .sub_size = sizeof(struct open_txn)},
	{.name = "OLDEST", .type = COL_STR, AT(oldest)},
	COLUMN_END,
};

#undef AT
#define AT(field) .offset = offsetof(struct dbsessions_row, field)

const struct column dbsessions_columns[] = {
	{.name = "OPENED", .key = "opened", .type = COL_COUNT, AT(opened)},
	{.name = "RATE", .type = COL_STR, AT(rate)},
	{.name = "SET-UP", .key = "mean_ns", .type = COL_NS, AT(mean_ns)},
	{.name = "", .key = "hist", .type = COL_HIST, AT(setup)},
	{.name = "AT ONCE", .key = "peak_active", .type = COL_COUNT, AT(peak)},
	{.name = "AT THE END", .key = "active", .type = COL_COUNT, AT(active)},
	COLUMN_END,
};

#undef AT

enum dwell_exit dbsessions__new(struct session *s, struct txn_row *txns,
				struct dbsessions_row *sessions)
{
	*txns = (struct txn_row){
		.hist = arena__alloc(&s->arena, sizeof(struct hist)),
		.idle_hist = arena__alloc(&s->arena, sizeof(struct hist)),
	};
	*sessions = (struct dbsessions_row){
		.setup = arena__alloc(&s->arena, sizeof(struct hist)),
	};
	return txns->hist && txns->idle_hist && sessions->setup
		       ? EXIT_OK
		       : err__fail("no memory for the report");
}

bool dbsessions__take(struct txn_row *txns, struct dbsessions_row *sessions, const struct tally *t)
{
	if (!(t->key.aux & QUERY_NO_STATEMENT))
		return false;
	if (t->key.aux & QUERY_TXN) {
		hist__merge(txns->hist, t->hist);
		txns->count += t->count;
		txns->total_ns += t->hist->sum;
	} else if (t->key.aux & QUERY_IDLE) {
		hist__merge(txns->idle_hist, t->hist);
		txns->idle_ns += t->hist->sum;
	} else {
		hist__merge(sessions->setup, t->hist);
		sessions->opened += t->count;
	}
	return true;
}

const char *dbsessions__rate(struct session *s, uint64_t count)
{
	double rate = (double)count * 1e9 / (double)(s->reported_ns ?: 1);
	char text[32];

	if (rate < 10)
		return arena__printf(&s->arena, "%.1f/s", rate);
	str__count(text, sizeof(text), (uint64_t)(rate + 0.5));
	return arena__printf(&s->arena, "%s/s", text);
}

static int open__compare(const void *a, const void *b)
{
	const struct open_txn *x = a, *y = b;

	return (x->age_ns < y->age_ns) - (x->age_ns > y->age_ns);
}

static const char *open__query(struct session *s, const struct query_txn *t)
{
	if (!t->statements)
		return "?";
	return statements__normal(s, t->statement[(t->statements - 1) % QUERY_TXN_STATEMENTS],
				  t->db, NULL);
}

/* Statements under way outside a block are no open transactions: only those that wait are. */
static enum dwell_exit open__list(struct session *s, struct txn_row *txns,
				  const struct query_txn *open, uint64_t end)
{
	struct open_txn *items = arena__array(&s->arena, QUERY_SESSIONS, sizeof(*items));
	size_t n = 0;

	if (!items)
		return err__fail("no memory for the report");
	for (size_t i = 0; i < QUERY_SESSIONS; i++) {
		struct query_txn t = open[i]; /* it may change meanwhile */

		if (!t.pid || !t.since || t.since > end || !t.idle)
			continue;
		items[n] = (struct open_txn){
			.db = statements__db(t.db),
			.pid = t.pid,
			.age_ns = end - t.since,
			.idle_ns = end > t.idle ? end - t.idle : 0,
			.statements = t.statements,
			.query = open__query(s, &t),
		};
		if (!items[n++].query)
			return err__fail("no memory for the report");
	}
	qsort(items, n, sizeof(*items), open__compare);
	txns->open_count = n;
	txns->open = (struct table_list){items, n < OPEN_SHOWN ? n : OPEN_SHOWN};
	return EXIT_OK;
}

static const char *open__oldest(struct session *s, const struct txn_row *txns)
{
	const struct open_txn *t = txns->open.items;
	char age[16], idle[16];

	if (!txns->open_count)
		return "-";
	time__format(age, sizeof(age), t->age_ns);
	time__format(idle, sizeof(idle), t->idle_ns);
	return arena__printf(&s->arena, "%s, idle for %s: %u, after %s", age, idle, t->pid,
			     t->query);
}

/* Of other servers than PostgreSQL's, neither a transaction's begin is seen nor a session's. */
static void not_known(struct txn_row *txns, struct dbsessions_row *sessions)
{
	txns->count = txns->total_ns = txns->mean_ns = txns->idle_ns = TABLE_UNKNOWN;
	txns->open_count = TABLE_UNKNOWN;
	txns->idle_share = __builtin_nan("");
	txns->hist = txns->idle_hist = NULL;
	sessions->opened = sessions->mean_ns = TABLE_UNKNOWN;
	sessions->setup = NULL;
	sessions->rate = "-";
}

enum dwell_exit dbsessions__finish(struct session *s, struct txn_row *txns,
				   struct dbsessions_row *sessions, const struct query_txn *open,
				   struct query_live *live, uint64_t end)
{
	int64_t active = __atomic_load_n(&live->active, __ATOMIC_RELAXED);
	int64_t peak = __atomic_exchange_n(&live->peak, active, __ATOMIC_RELAXED);
	enum dwell_exit status = open__list(s, txns, open, end);

	if (status)
		return status;
	txns->mean_ns = txns->total_ns / (txns->count ?: 1);
	txns->idle_share = (double)txns->idle_ns / (double)(txns->total_ns ?: 1);
	txns->oldest = open__oldest(s, txns);
	sessions->mean_ns = sessions->setup->sum / (sessions->opened ?: 1);
	sessions->active = active > 0 ? (uint64_t)active : 0;
	sessions->peak = peak > active ? (uint64_t)peak : sessions->active;
	sessions->rate = dbsessions__rate(s, sessions->opened);
	txns->known = s->object.part[PART_POSTGRESQL];
	if (!txns->known)
		not_known(txns, sessions);
	return txns->oldest && sessions->rate ? EXIT_OK : err__fail("no memory for the report");
}
