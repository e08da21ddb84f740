// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* why: 100 % of wall-clock time by state, and what the waits were for. */
#include <string.h>

#include "base/str.h"
#include "core/causes.h"
#include "core/ident.h"
#include "core/names.h"
#include "core/session.h"
#include "why.btf.skel.h"
#include "why.raw.skel.h"

struct why_row {
	struct ident id;
	uint64_t threads;
	uint64_t exited;
	uint64_t wall_ns;
	uint64_t active_ns; /* not idle: the default order */
	uint64_t states[NR_STATES];
	const char *breakdown;
	const char *top;
	struct table_list causes;
	uint64_t row;
};

#define AT(field) .offset = offsetof(struct why_row, field)

static const struct column why_columns[] = {
	IDENT_COLUMNS(struct why_row, id),
	{.name = "THREADS", .key = "threads", .type = COL_COUNT, AT(threads)},
	{.key = "exited", .type = COL_COUNT, AT(exited)},
	{.name = "WALL", .key = "wall_ns", .type = COL_NS, AT(wall_ns)},
	{.key = "active_ns", .type = COL_NS, AT(active_ns)},
	{.key = "states", .type = COL_STATES, AT(states)},
	{.name = "STATES", .type = COL_STR, AT(breakdown), .max_columns = 40},
	{.name = "TOP CAUSE", .type = COL_STR, AT(top)},
	{.key = "causes",
	 .type = COL_LIST,
	 AT(causes),
	 .sub = report_cause_columns,
	 .sub_size = sizeof(struct report_cause)},
	COLUMN_END,
};

#undef AT

/* The longest of the states that are idle, or of those that are not. */
static enum dwell_state why__longest(const uint64_t *states, bool idle)
{
	enum dwell_state longest = STATE_NONE;

	for (int i = STATE_NONE + 1; i < NR_STATES; i++) {
		enum dwell_state state = (enum dwell_state)i;

		if (states[i] && names__state_idle(state) == idle &&
		    (longest == STATE_NONE || states[i] > states[longest]))
			longest = state;
	}
	return longest;
}

static const struct report_cause *why__cause(const struct table_list *causes,
					     enum dwell_state state)
{
	const struct report_cause *cause = causes->items;

	for (size_t i = 0; i < causes->n; i++) {
		if (cause[i].state_id == state)
			return &cause[i];
	}
	return NULL;
}

static double why__percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* "disk 71 %  cpu 20 %  runq 8 %" */
static const char *why__breakdown(struct session *s, const struct why_row *row)
{
	uint64_t left[NR_STATES];
	char text[80] = "";
	size_t len = 0;

	memcpy(left, row->states, sizeof(left));
	for (int shown = 0; shown < 3; shown++) {
		enum dwell_state a = why__longest(left, false), b = why__longest(left, true);
		enum dwell_state state = left[a] >= left[b] ? a : b;

		if (!left[state] || why__percent(left[state], row->wall_ns) < 0.5)
			break;
		str__append(text, sizeof(text), &len, "%s%s %.0f%%", shown ? " " : "",
			    names__state(state), why__percent(left[state], row->wall_ns));
		left[state] = 0;
	}
	return arena__printf(&s->arena, "%s", text);
}

/* "71 % of wall time waits for the disk: pread64 /…" */
static const char *why__reason(struct session *s, const struct report *report,
			       enum dwell_state state, uint64_t of, const char *of_what)
{
	const struct report_cause *cause = why__cause(&report->causes, state);
	const char *link = state == STATE_RUNQ || state == STATE_PREEMPT ? ", held by " : ": ";

	return arena__printf(&s->arena, "%.0f %%%s %s%s%s%s%s",
			     why__percent(report->states[state], of), of_what,
			     names__state_text(state), cause ? link : "", cause ? cause->name : "",
			     cause && cause->doing ? ", meanwhile in " : "",
			     cause && cause->doing ? cause->doing : "");
}

static const char *why__verdict(struct session *s, const struct report *report)
{
	enum dwell_state busy = why__longest(report->states, false);
	enum dwell_state idle = why__longest(report->states, true);
	uint64_t idle_ns = 0, active_ns;
	const char *first;

	for (int i = STATE_NONE + 1; i < NR_STATES; i++)
		idle_ns += names__state_idle((enum dwell_state)i) ? report->states[i] : 0;
	active_ns = report->wall_ns - idle_ns;
	if (!busy || !active_ns)
		return arena__printf(&s->arena, "All of the wall time is idle.");
	if (idle_ns <= report->states[busy])
		return arena__printf(&s->arena, "%s.",
				     why__reason(s, report, busy, report->wall_ns,
						 " of wall time"));
	first = why__reason(s, report, idle, report->wall_ns, " of wall time");
	return arena__printf(&s->arena, "%s. Of the %.1f %% that is not idle, %s.", first,
			     why__percent(active_ns, report->wall_ns),
			     why__reason(s, report, busy, active_ns, ""));
}

static enum dwell_exit why__row(struct session *s, const struct account *account,
				struct why_row *row)
{
	enum dwell_exit status = ident__set(s, account->row, &row->id);

	if (status)
		return status;
	row->row = account->row;
	row->threads = account->threads;
	row->exited = account->exited;
	row->wall_ns = account->wall_ns;
	for (int i = STATE_NONE + 1; i < NR_STATES; i++) {
		row->states[i] = account->ns[i];
		if (!names__state_idle((enum dwell_state)i))
			row->active_ns += account->ns[i];
	}
	row->breakdown = why__breakdown(s, row);
	return row->breakdown ? EXIT_OK : err__fail("no memory for the report");
}

static enum dwell_exit why__causes(struct session *s, const struct lockparts *parts,
				   struct why_row *row)
{
	bool one = s->config.by == BY_PROCESS || s->config.by == BY_THREAD;
	enum dwell_exit status =
		causes__of(s, row->row, one ? row->id.pid : 0, parts, &row->causes);
	const struct report_cause *cause;
	uint64_t waits[NR_STATES];

	/* Of the longest wait that asks for a remedy; time on a CPU has no causes. */
	memcpy(waits, row->states, sizeof(waits));
	waits[STATE_CPU] = 0;
	cause = why__cause(&row->causes, why__longest(waits, false));
	row->top = cause ? cause->name : NULL;
	return status;
}

static enum dwell_exit why__snapshot(struct session *s, const void *options, struct report *report)
{
	const struct accounts *accounts = session__accounts(s);
	struct why_row *rows = arena__array(&s->arena, accounts->n + 1, sizeof(*rows));
	const struct account *account;
	struct lockparts parts = {0};
	enum dwell_exit status = EXIT_OK;
	size_t n = 0;

	(void)options;
	if (!rows)
		return err__fail("no memory for the report");
	for (account = accounts->by_row; !status && account; account = account->hh.next) {
		if (account->wall_ns)
			status = why__row(s, account, &rows[n++]);
	}
	if (!status)
		status = session__rows(s, rows, n, report);
	causes__prepare(s);
	if (!status && s->object.window->holders)
		status = lockparts__read(s, s->reported >= s->object.window->last, &parts);
	for (size_t i = 0; !status && i < report->rows.n; i++)
		status = why__causes(s, &parts, &rows[i]);
	if (!status)
		status = causes__of(s, 0, 0, &parts, &report->causes);
	if (status)
		return status;
	report->verdict = why__verdict(s, report);
	return report->verdict ? EXIT_OK : err__fail("no memory for the report");
}

static void why__configure(const void *options, struct config *config)
{
	(void)options;
	config->lock_what = LOCK_USER | LOCK_KERNEL | LOCK_CAUSES;
}

static const struct tool_object why_object = {
	.name = "why",
	.btf = why_btf__elf_bytes,
	.raw = why_raw__elf_bytes,
};

extern const struct tool tool_why;

const struct tool tool_why = {
	.name = "why",
	.summary = "Where does the time go? All of it, by state and cause",
	.examples = "  dwell why                        the whole machine, 5 seconds\n"
		    "  dwell why -p 4242                one process\n"
		    "  dwell why --by thread -p 4242    its threads one by one\n"
		    "  dwell why -i 1 -p 4242           every second until Ctrl-C\n"
		    "  dwell why -- make -j8            a command from start to end\n",
	.object = &why_object,
	.shape = SHAPE_BREAKDOWN,
	.columns = why_columns,
	.row_size = sizeof(struct why_row),
	.sort = "active_ns",
	.configure = why__configure,
	.snapshot = why__snapshot,
};
