// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* offcpu: time off the CPU by stack and state. */
#include <stdlib.h>
#include <string.h>

#include "base/hist.h"
#include "base/str.h"
#include "base/time.h"
#include "core/frames.h"
#include "core/ident.h"
#include "core/names.h"
#include "offcpu.btf.skel.h"
#include "offcpu.raw.skel.h"
#include "stack.h"

struct offcpu_row {
	struct tally tally;
	struct ident id;
	const char *state;
	uint64_t count;
	uint64_t total_ns;
	uint64_t mean_ns;
	struct hist *hist;
	const char **stack;       /* innermost first: kernel, then user */
	struct table_list frames; /* of the stack */
	const char **folded;      /* outermost first, after the command, with the state's frame */
	const char *title;
};

#define AT(field) .offset = offsetof(struct offcpu_row, field)

static const struct column offcpu_columns[] = {
	IDENT_COLUMNS(struct offcpu_row, id),
	{.name = "STATE", .key = "state", .type = COL_STR, AT(state), .max_columns = 8},
	{.name = "WAITS", .key = "count", .type = COL_COUNT, AT(count)},
	{.name = "TOTAL", .key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.key = "mean_ns", .type = COL_NS, AT(mean_ns)},
	{.name = "", .key = "hist", .type = COL_HIST, AT(hist)},
	{.key = "stack", .type = COL_STRV, AT(stack)},
	FRAMES_COLUMN("frames", struct offcpu_row, frames),
	COLUMN_END,
};

/* "comm;[state];outermost;…;innermost;[state]", by --state-frame. */
static enum dwell_exit offcpu__fold(struct session *s, struct offcpu_row *row)
{
	uint32_t where = s->run.sink.state_frame;
	const char *state = arena__printf(&s->arena, "[%s]", row->state);
	const char **out;
	size_t n = 0, at = 0;

	while (row->stack[n])
		n++;
	out = arena__array(&s->arena, n + 4, sizeof(*out));
	if (!state || !out)
		return err__fail("no memory for the report");
	out[at++] = (s->config.by == BY_CGROUP ? row->id.cgroup : row->id.comm) ?: "?";
	if (where == STATE_FRAME_ROOT)
		out[at++] = state;
	while (n)
		out[at++] = row->stack[--n];
	if (where == STATE_FRAME_LEAF)
		out[at++] = state;
	row->folded = out;
	return EXIT_OK;
}

static enum dwell_exit offcpu__title(struct session *s, struct offcpu_row *row)
{
	const char *who = ident__label(s, &row->id);
	char total[16], mean[16], max[16], count[32];

	time__format(total, sizeof(total), row->total_ns);
	time__format(mean, sizeof(mean), row->mean_ns);
	time__format(max, sizeof(max), row->hist->max);
	str__count(count, sizeof(count), row->count);
	row->title = arena__printf(&s->arena, "%s %s  %s  %s waits, mean %s, max %s", total,
				   names__state_text(row->tally.key.state), who ?: "?", count, mean,
				   max);
	return who && row->title ? EXIT_OK : err__fail("no memory for the report");
}

static enum dwell_exit offcpu__row(struct session *s, const struct tally *t, struct offcpu_row *row)
{
	row->tally = *t;
	row->state = names__state((enum dwell_state)t->key.state);
	row->count = t->count;
	row->total_ns = t->hist->sum;
	row->hist = t->hist;
	return ident__set(s, t->key.row, &row->id);
}

static int offcpu__compare_stacks(const char **a, const char **b)
{
	int order = 0;

	for (; !order && *a && *b; a++, b++)
		order = strcmp(*a, *b);
	return order ?: !!*a - !!*b;
}

static int offcpu__compare(const void *a, const void *b)
{
	const struct offcpu_row *x = a, *y = b;

	if (x->tally.key.row != y->tally.key.row)
		return x->tally.key.row < y->tally.key.row ? -1 : 1;
	if (x->tally.key.state != y->tally.key.state)
		return x->tally.key.state < y->tally.key.state ? -1 : 1;
	return offcpu__compare_stacks(x->stack, y->stack);
}

/* Adds @from to @to. */
static enum dwell_exit offcpu__add(struct session *s, struct offcpu_row *to,
				   const struct offcpu_row *from)
{
	struct hist *sum = arena__alloc(&s->arena, sizeof(*sum));

	if (!sum)
		return err__fail("no memory for the report");
	*sum = *to->hist;
	hist__merge(sum, from->hist);
	to->hist = sum;
	to->count += from->count;
	to->total_ns += from->total_ns;
	return EXIT_OK;
}

/* Stacks that read the same are one, though they differ in where in a function the calls are. */
static enum dwell_exit offcpu__merge(struct session *s, struct offcpu_row *rows, size_t *n)
{
	enum dwell_exit status = EXIT_OK;
	size_t out = 0;

	qsort(rows, *n, sizeof(*rows), offcpu__compare);
	for (size_t i = 0; !status && i < *n; i++) {
		if (out && !offcpu__compare(&rows[out - 1], &rows[i]))
			status = offcpu__add(s, &rows[out - 1], &rows[i]);
		else
			rows[out++] = rows[i];
	}
	for (size_t i = 0; i < out; i++)
		rows[i].mean_ns = rows[i].total_ns / (rows[i].count ?: 1);
	*n = out;
	return status;
}

static enum dwell_exit offcpu__snapshot(struct session *s, const void *options,
					struct report *report)
{
	struct offcpu_row *rows = arena__array(&s->arena, s->tallies.n + 1, sizeof(*rows));
	struct hist *all = arena__alloc(&s->arena, sizeof(*all));
	enum dwell_exit status = EXIT_OK;
	size_t n = s->tallies.n;

	(void)options;
	if (!rows || !all)
		return err__fail("no memory for the report");
	for (size_t i = 0; !status && i < n; i++) {
		status = offcpu__row(s, &s->tallies.items[i], &rows[i]);
		if (!status) {
			rows[i].stack = frames__names(s, rows[i].id.pid, rows[i].tally.key.id,
						      &rows[i].frames);
			status = rows[i].stack ? EXIT_OK : err__fail("no memory for the report");
		}
		frames__count(s, rows[i].tally.key.id, rows[i].count, report);
		hist__merge(all, rows[i].hist);
	}
	status = status ?: offcpu__merge(s, rows, &n);
	status = status ?: session__rows(s, rows, n, report);
	for (size_t i = 0; !status && i < report->rows.n; i++) {
		status = offcpu__fold(s, &rows[i]);
		status = status ?: offcpu__title(s, &rows[i]);
	}
	report->hist = all;
	report->hist_title = "Times off the CPU";
	return status;
}

static const struct tool_object offcpu_object = {
	.name = "offcpu",
	.btf = offcpu_btf__elf_bytes,
	.raw = offcpu_raw__elf_bytes,
};

extern const struct tool tool_offcpu;

const struct tool tool_offcpu = {
	.name = "offcpu",
	.summary = "Where do threads leave the CPU? Time by stack and state",
	.examples = "  dwell offcpu -p 4242                    one process, 5 seconds\n"
		    "  dwell offcpu -k -p 4242                 kernel stacks only\n"
		    "  dwell offcpu --folded -p 4242 >out      for a flame graph\n"
		    "  dwell offcpu --min 1ms -- make          long waits of a command\n",
	.object = &offcpu_object,
	.shape = SHAPE_STACKS,
	.accepts = ACCEPTS_STACKS,
	.columns = offcpu_columns,
	.row_size = sizeof(struct offcpu_row),
	.sort = "total_ns",
	.stack_offset = offsetof(struct offcpu_row, stack),
	.title_offset = offsetof(struct offcpu_row, title),
	.folded_offset = offsetof(struct offcpu_row, folded),
	.total_offset = offsetof(struct offcpu_row, total_ns),
	.snapshot = offcpu__snapshot,
};
