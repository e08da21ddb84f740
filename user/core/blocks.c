// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/blocks.h"

#include <stdlib.h>
#include <string.h>

#include "core/statements.h"

#define AT(field) .offset = offsetof(struct block_row, field)

const struct column block_columns[] = {
	{.key = "db", .type = COL_STR, AT(db)},
	{.name = "WAITS", .key = "count", .type = COL_COUNT, AT(count)},
	{.name = "NOW", .key = "waiting", .type = COL_COUNT, AT(waiting)},
	{.name = "TOTAL", .type = COL_NS, AT(all_ns)},
	{.key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.key = "waiting_ns", .type = COL_NS, AT(waiting_ns)},
	{.name = "MAX", .key = "max_ns", .type = COL_NS, AT(max_ns)},
	{.name = "LOCK", .key = "lock", .type = COL_STR, AT(lock), .max_columns = 14},
	{.key = "mode", .type = COL_STR, AT(mode)},
	{.name = "QUERY", .key = "query", .type = COL_STR, AT(query), .max_columns = 60},
	{.name = "HELD BY", .type = COL_STR, AT(who), .max_columns = 10},
	{.key = "holder_pid", .type = COL_U32, AT(holder)},
	{.key = "holder_statements", .type = COL_STRV, AT(statements)},
	{.name = "IN ITS TRANSACTION", .type = COL_STR, AT(ran)},
	COLUMN_END,
};

#undef AT

/* LockTagType and LOCKMODE of src/include/storage/lock.h and lockdefs.h. */
static const char *const kinds[] = {
	"relation",   "extend",    "frozenid", "page", "tuple",    "transaction",
	"virtualxid", "spectoken", "object",   "user", "advisory", "applytransaction",
};

static const char *const modes[] = {
	NULL,    "AccessShare",       "RowShare",  "RowExclusive",    "ShareUpdateExclusive",
	"Share", "ShareRowExclusive", "Exclusive", "AccessExclusive",
};

#define NAME_OF(names, i) ((i) < sizeof(names) / sizeof(*(names)) ? (names)[i] : NULL)

struct blocks {
	struct session *s;
	struct block_row *rows;
	size_t n;
};

static enum dwell_exit blocks__statements(struct session *s, struct block_row *row,
					  const __u64 *fingerprints, uint32_t n, uint32_t db)
{
	uint32_t kept = n < QUERY_TXN_STATEMENTS ? n : QUERY_TXN_STATEMENTS;

	row->statements = arena__array(&s->arena, kept + 1, sizeof(*row->statements));
	if (!row->statements)
		return err__fail("no memory for the report");
	row->ran = NULL;
	for (uint32_t i = 0; i < kept; i++) {
		uint64_t fp = fingerprints[(n - kept + i) % QUERY_TXN_STATEMENTS];

		row->statements[i] = statements__normal(s, fp, db, NULL);
		if (!row->statements[i])
			return err__fail("no memory for the report");
		row->ran =
			row->ran ? arena__printf(&s->arena, "%s; %s", row->ran, row->statements[i])
				 : row->statements[i];
	}
	return EXIT_OK;
}

/*
 * The row of such waits: one for all fingerprints with the same normal form. A new one is empty but
 * for that. NULL without memory.
 */
static struct block_row *blocks__row(struct blocks *b, uint64_t fingerprint, uint32_t holder,
				     uint32_t kind, uint32_t mode, uint32_t db)
{
	const char *query = statements__normal(b->s, fingerprint, db, NULL);
	struct block_row *row;

	if (!query)
		return NULL;
	for (size_t i = 0; i < b->n; i++) {
		row = &b->rows[i];
		if (row->holder == holder && row->kind == kind && !strcmp(row->query, query))
			return row;
	}
	row = &b->rows[b->n];
	*row = (struct block_row){
		.holder = holder,
		.kind = kind,
		.db = statements__db(db),
		.query = query,
		.lock = NAME_OF(kinds, kind),
		.mode = NAME_OF(modes, mode),
		.who = holder ? arena__printf(&b->s->arena, "%u", holder) : "?",
	};
	if (!row->who)
		return NULL;
	b->n++;
	return row;
}

static bool blocks__wanted(const void *key, uint32_t bank)
{
	return ((const struct query_block_key *)key)->bank == bank;
}

static enum dwell_exit blocks__ended(struct blocks *b, const struct statements_map *map)
{
	const struct query_block_key *keys = map->keys;
	const struct query_block *sums = map->values;
	enum dwell_exit status = EXIT_OK;

	for (size_t i = 0; !status && i < map->n; i++) {
		struct block_row *row = blocks__row(b, keys[i].fingerprint, keys[i].holder,
						    keys[i].kind, sums[i].mode, keys[i].db);

		if (!row)
			return err__fail("no memory for the report");
		row->count += sums[i].count;
		row->total_ns += sums[i].ns;
		if (sums[i].max > row->max_ns)
			row->max_ns = sums[i].max;
		status = blocks__statements(b->s, row, sums[i].statement, sums[i].statements,
					    keys[i].db);
	}
	return status;
}

/* What the session @pid has under way, or what it had when the wait began. */
static const struct query_txn *blocks__holder(const struct query_txn *txns,
					      const struct query_txn *then)
{
	for (size_t i = 0; then->pid && i < QUERY_SESSIONS; i++) {
		if (txns[i].pid == then->pid && txns[i].since == then->since)
			return &txns[i];
	}
	return then;
}

static enum dwell_exit blocks__open(struct blocks *b, const struct statements_map *map,
				    const struct query_txn *txns, uint64_t end)
{
	const struct query_wait *waits = map->values;
	enum dwell_exit status = EXIT_OK;

	for (size_t i = 0; !status && i < map->n; i++) {
		uint64_t ns = end > waits[i].since ? end - waits[i].since : 0;
		const struct query_txn *holder = blocks__holder(txns, &waits[i].holder);
		struct block_row *row = blocks__row(b, waits[i].fingerprint, waits[i].holder.pid,
						    waits[i].kind, waits[i].mode, DB_POSTGRESQL);

		if (!row)
			return err__fail("no memory for the report");
		row->waiting++;
		row->waiting_ns += ns;
		if (ns > row->max_ns)
			row->max_ns = ns;
		status = blocks__statements(b->s, row, holder->statement, holder->statements,
					    DB_POSTGRESQL);
	}
	return status;
}

static int blocks__compare(const void *a, const void *b)
{
	const struct block_row *x = a, *y = b;

	return (x->all_ns < y->all_ns) - (x->all_ns > y->all_ns);
}

enum dwell_exit blocks__read(struct session *s, const struct query_txn *txns, uint64_t end,
			     struct table_list *rows)
{
	struct statements_map ended, open;
	struct blocks b = {.s = s};
	enum dwell_exit status;

	status = statements__take(s, "query_blocks", sizeof(struct query_block_key),
				  sizeof(struct query_block), blocks__wanted, &ended);
	if (!status)
		status = statements__take(s, "query_waits", sizeof(uint32_t),
					  sizeof(struct query_wait), NULL, &open);
	if (status)
		return status;
	b.rows = arena__array(&s->arena, ended.n + open.n + 1, sizeof(*b.rows));
	if (!b.rows)
		return err__fail("no memory for the report");
	status = blocks__ended(&b, &ended);
	if (!status)
		status = blocks__open(&b, &open, txns, end);
	for (size_t i = 0; i < b.n; i++)
		b.rows[i].all_ns = b.rows[i].total_ns + b.rows[i].waiting_ns;
	qsort(b.rows, b.n, sizeof(*b.rows), blocks__compare);
	*rows = (struct table_list){b.rows, b.n};
	return status;
}
