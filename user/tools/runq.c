// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* runq: how long runnable threads waited for a CPU, and who had it. */
#include "base/hist.h"
#include "base/str.h"
#include "core/causes.h"
#include "core/ident.h"
#include "core/names.h"
#include "core/session.h"
#include "runq.btf.skel.h"
#include "runq.raw.skel.h"

/* In the text's last column: how many, and from which share of the row's waits (%) on. */
#define CULPRITS_SHOWN 3
#define CULPRIT_SHARE  5

struct runq_row {
	uint64_t row;
	struct ident id;
	uint32_t cpu; /* --by cpu */
	uint64_t count;
	uint64_t total_ns;
	uint64_t preempt_ns; /* of total_ns: pushed off, not woken */
	uint64_t mean_ns;
	struct hist *hist;
	struct table_list culprits;
	const char *culprit;
};

#define AT(field) .offset = offsetof(struct runq_row, field)

static const struct column runq_columns[] = {
	IDENT_COLUMNS(struct runq_row, id),
	{.name = "CPU", .key = "cpu", .type = COL_U32, AT(cpu), .only = ONLY(CPU)},
	{.name = "WAITS", .key = "count", .type = COL_COUNT, AT(count)},
	{.name = "TOTAL", .key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.name = "PREEMPTED", .key = "preempt_ns", .type = COL_NS, AT(preempt_ns)},
	{.key = "mean_ns", .type = COL_NS, AT(mean_ns)},
	{.name = "", .key = "hist", .type = COL_HIST, AT(hist)},
	{.key = "culprits",
	 .type = COL_LIST,
	 AT(culprits),
	 .sub = culprit_columns,
	 .sub_size = sizeof(struct culprit)},
	{.name = "WHO HAD THE CPU", .type = COL_STR, AT(culprit)},
	COLUMN_END,
};

#undef AT

static enum dwell_exit runq__new_row(struct session *s, struct runq_row *row, uint64_t id)
{
	row->row = id;
	row->hist = arena__alloc(&s->arena, sizeof(*row->hist));
	if (!row->hist)
		return err__fail("no memory for the report");
	if (s->config.by == BY_CPU)
		row->cpu = (uint32_t)id;
	return ident__set(s, id, &row->id);
}

/* Tallies are sorted by row: each either adds to the last row or begins the next. */
static enum dwell_exit runq__add(struct session *s, struct runq_row *rows, size_t *n,
				 const struct tally *t)
{
	enum dwell_exit status = EXIT_OK;
	struct runq_row *row;

	if (!*n || rows[*n - 1].row != t->key.row)
		status = runq__new_row(s, &rows[(*n)++], t->key.row);
	if (status)
		return status;
	row = &rows[*n - 1];
	hist__merge(row->hist, t->hist);
	row->count += t->count;
	row->total_ns += t->hist->sum;
	if (t->key.state == STATE_PREEMPT)
		row->preempt_ns += t->hist->sum;
	row->mean_ns = row->count ? row->total_ns / row->count : 0;
	return EXIT_OK;
}

/* "cruncher 49%, backup 48%": the first few, as far as they matter. */
static enum dwell_exit runq__culprits(struct session *s, struct runq_row *row)
{
	enum dwell_exit status = causes__culprits(s, row->row, &row->culprits);
	const struct culprit *c = row->culprits.items;
	char text[160] = "";
	size_t len = 0;

	for (size_t i = 0; !status && i < row->culprits.n && i < CULPRITS_SHOWN; i++) {
		double share = 100.0 * (double)c[i].total_ns / (double)(row->total_ns ?: 1);

		if (i && share < CULPRIT_SHARE)
			break;
		str__append(text, sizeof(text), &len, "%s%s %.0f%%", i ? ", " : "", c[i].comm,
			    share);
	}
	if (status || !len)
		return status;
	row->culprit = arena__printf(&s->arena, "%s", text);
	return row->culprit ? EXIT_OK : err__fail("no memory for the report");
}

static enum dwell_exit runq__snapshot(struct session *s, const void *options, struct report *report)
{
	struct runq_row *rows = arena__array(&s->arena, s->tallies.n + 1, sizeof(*rows));
	struct hist *all = arena__alloc(&s->arena, sizeof(*all));
	enum dwell_exit status = EXIT_OK;
	size_t n = 0;

	(void)options;
	if (!rows || !all)
		return err__fail("no memory for the report");
	causes__prepare(s);
	for (size_t i = 0; !status && i < s->tallies.n; i++) {
		if (s->tallies.items[i].key.kind != CAUSE_NONE)
			continue;
		hist__merge(all, s->tallies.items[i].hist);
		status = runq__add(s, rows, &n, &s->tallies.items[i]);
	}
	if (!status)
		status = session__rows(s, rows, n, report);
	for (size_t i = 0; !status && i < report->rows.n; i++)
		status = runq__culprits(s, &rows[i]);
	report->hist = all;
	report->hist_title = "From runnable to running";
	return status;
}

static const struct tool_object runq_object = {
	.name = "runq",
	.btf = runq_btf__elf_bytes,
	.raw = runq_raw__elf_bytes,
};

extern const struct tool tool_runq;

const struct tool tool_runq = {
	.name = "runq",
	.summary = "How long do threads wait for a CPU, and who has it meanwhile?",
	.examples = "  dwell runq                  the whole machine, 5 seconds\n"
		    "  dwell runq --by cpu         one row per CPU\n"
		    "  dwell runq -p 4242 -i 1     one process, every second\n"
		    "  dwell runq --min 10ms       waits of at least 10 ms only\n",
	.object = &runq_object,
	.shape = SHAPE_HISTOGRAM,
	.accepts = ACCEPTS_BY_CPU,
	.columns = runq_columns,
	.row_size = sizeof(struct runq_row),
	.sort = "total_ns",
	.snapshot = runq__snapshot,
};
