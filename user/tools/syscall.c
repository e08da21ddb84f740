// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* syscall: system calls by number: how many, how long, in which states, with which errors. */
#include <stdlib.h>
#include <string.h>

#include "base/hist.h"
#include "base/str.h"
#include "core/ident.h"
#include "core/names.h"
#include "core/session.h"
#include "core/syscalls.h"
#include "syscall.btf.skel.h"
#include "syscall.raw.skel.h"

/* In the text's last columns: how many, and from which share of the row's time (%) on. */
#define STATES_SHOWN 3
#define STATE_SHARE  1
#define ERRORS_SHOWN 3

struct syscall_row {
	struct ident id;
	const char *name;
	uint64_t count;
	uint64_t failed;
	uint64_t total_ns;
	uint64_t mean_ns;
	struct tally_sum sum;
	uint64_t states[NR_STATES];
	struct table_list errors; /* struct table_count */
	const char *states_text;
	const char *errors_text;
};

#define AT(field) .offset = offsetof(struct syscall_row, field)

static const struct column syscall_columns[] = {
	IDENT_COLUMNS(struct syscall_row, id),
	{.name = "SYSCALL", .key = "syscall", .type = COL_STR, AT(name), .max_columns = 24},
	{.name = "CALLS", .key = "count", .type = COL_COUNT, AT(count)},
	{.name = "FAILED", .key = "failed", .type = COL_COUNT, AT(failed)},
	{.name = "TOTAL", .key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.key = "mean_ns", .type = COL_NS, AT(mean_ns)},
	{.name = "", .key = "hist", .type = COL_HIST, AT(sum.hist)},
	{.key = "states", .type = COL_STATES, AT(states)},
	{.key = "errors", .type = COL_COUNTS, AT(errors)},
	{.name = "STATES", .type = COL_STR, AT(states_text)},
	{.name = "ERRORS", .type = COL_STR, AT(errors_text)},
	COLUMN_END,
};

#undef AT

/* All errors of a call stand together. */
static int syscall__compare(const void *a, const void *b)
{
	const struct tally_key *x = &((const struct tally *)a)->key;
	const struct tally_key *y = &((const struct tally *)b)->key;

	if (x->row != y->row)
		return x->row < y->row ? -1 : 1;
	if (x->syscall != y->syscall)
		return x->syscall < y->syscall ? -1 : 1;
	return x->aux < y->aux ? -1 : x->aux > y->aux;
}

static bool syscall__same(const struct tally *a, const struct tally *b)
{
	return a->key.row == b->key.row && a->key.syscall == b->key.syscall;
}

static const char *syscall__name(struct session *s, uint16_t nr)
{
	if (nr == SYSCALL_NONE)
		return "(32-bit or unknown)";
	return syscalls__name(nr) ?: arena__printf(&s->arena, "syscall_%u", nr);
}

static int syscall__most_first(const void *a, const void *b)
{
	const struct table_count *x = a, *y = b;

	return (x->n < y->n) - (x->n > y->n);
}

/* The row of @n tallies that differ only in the error. */
static enum dwell_exit syscall__row(struct session *s, const struct tally *t, size_t n,
				    struct syscall_row *row)
{
	struct table_count *errors = arena__array(&s->arena, n, sizeof(*errors));
	size_t kinds = 0;

	tallies__sum_none(&row->sum);
	row->name = syscall__name(s, t->key.syscall);
	if (!row->name || !errors)
		return err__fail("no memory for the report");
	for (size_t i = 0; i < n; i++) {
		if (tallies__sum_add(&row->sum, t[i].hist, &s->arena))
			return err__fail("no memory for the report");
		tallies__add_states(row->states, &t[i]);
		row->count += t[i].count;
		if (!t[i].key.aux)
			continue;
		row->failed += t[i].count;
		errors[kinds].key = syscalls__error(t[i].key.aux)
					    ?: arena__printf(&s->arena, "%u", t[i].key.aux);
		if (!errors[kinds].key)
			return err__fail("no memory for the report");
		errors[kinds++].n = t[i].count;
	}
	qsort(errors, kinds, sizeof(*errors), syscall__most_first);
	row->errors = (struct table_list){errors, kinds};
	row->total_ns = row->sum.hist->sum;
	row->mean_ns = row->total_ns / (row->count ?: 1);
	return ident__set(s, t->key.row, &row->id);
}

/* "EAGAIN 12, EINTR 3, …" */
static enum dwell_exit syscall__errors_text(struct session *s, struct syscall_row *row)
{
	const struct table_count *errors = row->errors.items;
	char text[128] = "", count[32];
	size_t len = 0;

	if (!row->errors.n)
		return EXIT_OK;
	for (size_t i = 0; i < row->errors.n && i < ERRORS_SHOWN; i++) {
		str__count(count, sizeof(count), errors[i].n);
		str__append(text, sizeof(text), &len, "%s%s %s", i ? ", " : "", errors[i].key,
			    count);
	}
	if (row->errors.n > ERRORS_SHOWN)
		str__append(text, sizeof(text), &len, ", …");
	row->errors_text = arena__printf(&s->arena, "%s", text);
	return row->errors_text ? EXIT_OK : err__fail("no memory for the report");
}

static enum dwell_exit syscall__snapshot(struct session *s, const void *options,
					 struct report *report)
{
	struct tally *t = s->tallies.items;
	size_t left = s->tallies.n, n = 0, same;
	struct syscall_row *rows = arena__array(&s->arena, left + 1, sizeof(*rows));
	enum dwell_exit status = EXIT_OK;

	(void)options;
	if (!rows)
		return err__fail("no memory for the report");
	qsort(t, left, sizeof(*t), syscall__compare);
	for (; !status && left; t += same, left -= same) {
		for (same = 1; same < left && syscall__same(t, t + same);)
			same++;
		status = syscall__row(s, t, same, &rows[n++]);
	}
	if (!status)
		status = session__rows(s, rows, n, report);
	for (size_t i = 0; !status && i < report->rows.n; i++) {
		rows[i].states_text =
			names__states(rows[i].states, STATES_SHOWN, STATE_SHARE, &s->arena);
		if (!rows[i].states_text)
			return err__fail("no memory for the report");
		status = syscall__errors_text(s, &rows[i]);
	}
	return status;
}

static const struct tool_object syscall_object = {
	.name = "syscall",
	.btf = syscall_btf__elf_bytes,
	.raw = syscall_raw__elf_bytes,
};

extern const struct tool tool_syscall;

const struct tool tool_syscall = {
	.name = "syscall",
	.summary = "Which system calls take the time, and in which states? Counts, errors",
	.examples = "  dwell syscall -p 4242                one process, 5 seconds\n"
		    "  dwell syscall --by thread -p 4242    one row per thread and call\n"
		    "  dwell syscall --sort failed -- make  what fails most\n"
		    "  dwell syscall --min 10ms             calls of at least 10 ms only\n",
	.object = &syscall_object,
	.shape = SHAPE_HISTOGRAM,
	.accepts = ACCEPTS_BY_ALL,
	.columns = syscall_columns,
	.row_size = sizeof(struct syscall_row),
	.sort = "total_ns",
	.by = BY_ALL,
	.snapshot = syscall__snapshot,
};
