// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/bursts.h"

#include <math.h>
#include <stdlib.h>

#include "core/statements.h"

/* Repeats per row of the source: some rows need none, or two have one. */
#define REPEATS_MIN 0.5
#define REPEATS_MAX 1.5
#define ROWS_MAX    1.05 /* of a repeat */
/*
 * Bursts that fit, of all; and bursts, of the source's calls. Where each of a program's statements
 * is drawn at random, the lengths are geometric: with rows from 5 to 1000 and any odds it stays
 * under 0.73 in the one where it reaches 0.4 in the other (see burst__fits(); test_exemplars.c).
 */
#define FIT_MIN   0.8
#define CALLS_MIN 0.4
/* So few may be chance nevertheless: then repeats differ from rows by this share at most. */
#define FEW       3
#define FEW_APART 0.1

#define AT(field) .offset = offsetof(struct burst_row, field)

const struct column burst_columns[] = {
	{.key = "db", .type = COL_STR, AT(db)},
	{.name = "BURSTS", .key = "bursts", .type = COL_COUNT, AT(bursts)},
	{.name = "OF", .key = "repeats_per_burst", .type = COL_COUNT, AT(per_burst)},
	{.key = "source_calls", .type = COL_COUNT, AT(calls)},
	{.key = "repeats", .type = COL_COUNT, AT(repeats)},
	{.name = "FOR ROWS", .key = "source_rows", .type = COL_COUNT, AT(source_rows)},
	{.key = "rows", .type = COL_COUNT, AT(rows)},
	{.name = "RUNNING", .key = "exec_ns", .type = COL_NS, AT(exec_ns)},
	{.name = "BETWEEN", .key = "gap_ns", .type = COL_NS, AT(gap_ns)},
	{.name = "BILL", .key = "bill_ns", .type = COL_NS, AT(bill_ns)},
	{.name = "QUERY", .key = "query", .type = COL_STR, AT(query), .max_columns = 70},
	{.name = "CALLS", .type = COL_COUNT, AT(calls)},
	{.name = "FOR EACH ROW OF", .key = "source", .type = COL_STR, AT(source)},
	COLUMN_END,
};

#undef AT

bool bursts__agree(const struct query_burst *b, uint64_t calls)
{
	double repeats = (double)b->repeats, rows = (double)b->source_rows;
	double bursts = (double)b->bursts;

	if (!b->bursts || repeats < REPEATS_MIN * rows || repeats > REPEATS_MAX * rows ||
	    (double)b->rows > ROWS_MAX * repeats)
		return false;
	if (calls != TABLE_UNKNOWN && bursts < CALLS_MIN * (double)calls)
		return false;
	if (b->bursts < FEW && fabs(repeats - rows) > FEW_APART * rows)
		return false;
	return (double)b->fit >= FIT_MIN * bursts;
}

/* Those that were too short for --min are not known of. */
static uint64_t bursts__calls(const struct session *s, const struct burst_sources *sources,
			      const struct query_burst_key *of)
{
	uint64_t calls = 0;

	if (s->config.min_ns)
		return TABLE_UNKNOWN;
	for (size_t i = 0; i < sources->n; i++) {
		if (sources->items[i].fingerprint == of->source && sources->items[i].db == of->db)
			calls += sources->items[i].calls;
	}
	return calls;
}

static bool bursts__wanted(const void *key, uint32_t bank)
{
	return ((const struct query_burst_key *)key)->bank == bank;
}

static int bursts__compare(const void *a, const void *b)
{
	const struct burst_row *x = a, *y = b;

	return (x->bill_ns < y->bill_ns) - (x->bill_ns > y->bill_ns);
}

enum dwell_exit bursts__read(struct session *s, const struct burst_sources *sources,
			     struct table_list *rows)
{
	struct statements_map map;
	const struct query_burst_key *keys;
	const struct query_burst *sums;
	struct burst_row *items;
	enum dwell_exit status = statements__take(s, "query_bursts", sizeof(*keys), sizeof(*sums),
						  bursts__wanted, &map);

	if (status)
		return status;
	keys = map.keys;
	sums = map.values;
	items = arena__array(&s->arena, map.n + 1, sizeof(*items));
	*rows = (struct table_list){items, 0};
	for (size_t i = 0; items && i < map.n; i++) {
		struct burst_row *row = &items[rows->n];
		uint64_t calls = bursts__calls(s, sources, &keys[i]);

		if (!bursts__agree(&sums[i], calls))
			continue;
		*row = (struct burst_row){
			.db = statements__db(keys[i].db),
			.source = statements__normal(s, keys[i].source, keys[i].db, NULL),
			.query = statements__normal(s, keys[i].repeated, keys[i].db, NULL),
			.bursts = sums[i].bursts,
			.calls = calls,
			.repeats = sums[i].repeats,
			.per_burst = sums[i].repeats / sums[i].bursts,
			.source_rows = sums[i].source_rows / sums[i].bursts,
			.rows = sums[i].rows,
			.exec_ns = sums[i].exec_ns,
			.gap_ns = sums[i].gap_ns,
			.bill_ns = sums[i].exec_ns + sums[i].gap_ns,
		};
		if (!row->source || !row->query)
			return err__fail("no memory for the report");
		rows->n++;
	}
	if (!items)
		return err__fail("no memory for the report");
	qsort(items, rows->n, sizeof(*items), bursts__compare);
	return EXIT_OK;
}
