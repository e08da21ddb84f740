// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/hist.h"
#include "base/str.h"
#include "base/time.h"
#include "core/names.h"
#include "core/sink.h"
#include "version.h"

#define WIDTH_DEFAULT    100
#define WIDTH_MIN        60
#define BAR_COLUMNS      30
#define CAUSES_PER_STATE 3
#define BESIDE_ROWS      10   /* of tables beside the rows, in text */
#define CAUSE_SHARE_MIN  0.01 /* of its state's time: smaller ones are in JSON only */

static unsigned int sink__width(FILE *out)
{
	struct winsize ws;

	if (isatty(fileno(out)) && !ioctl(fileno(out), TIOCGWINSZ, &ws) && ws.ws_col)
		return ws.ws_col < WIDTH_MIN ? WIDTH_MIN : ws.ws_col;
	return WIDTH_DEFAULT;
}

enum dwell_exit sink__open(struct sink *sink, const struct sink_options *options, bool intervals)
{
	if (options->json + options->jsonl + options->folded > 1)
		return err__usage("only one of --json, --jsonl and --folded can be given");
	if (options->json && intervals)
		return err__usage("--json is one document: use --jsonl with --interval");
	if (options->folded && intervals)
		return err__usage("--folded is one profile: it cannot be had by --interval");
	sink->options = *options;
	sink->out = stdout;
	if (options->path) {
		sink->out = fopen(options->path, "we");
		if (!sink->out)
			return err__fail("%s cannot be written: %s", options->path,
					 strerror(errno));
		sink->owned = true;
	}
	sink->width = sink__width(sink->out);
	return EXIT_OK;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void sink__json_meta(struct json *j, const struct tool *tool, const struct sink_meta *meta)
{
	struct utsname un;

	json__kv_str(j, "schema", "dwell/1");
	json__kv_str(j, "tool", tool->name);
	json__kv_str(j, "version", DWELL_VERSION);
	json__kv_str(j, "kernel", uname(&un) ? NULL : un.release);
	json__kv_u64(j, "ncpu", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
	json__kv_str(j, "attach", meta->attach);
	json__key(j, "target");
	json__object_begin(j);
	json__kv_str(j, "text", meta->target);
	json__object_end(j);
	json__kv_str(j, "started", meta->started);
	json__kv_u64(j, "duration_ns", meta->duration_ns);
	if (meta->interval)
		json__kv_u64(j, "interval", meta->interval);
	json__key(j, "loss");
	loss__json(j, meta->loss);
	json__key(j, "cost");
	cost__json(j, meta->cost);
}

/* How user stacks end: those that are whole, and why others are not. */
static const char *const stack_ends[NR_STACK_ENDS] = {"complete",
#define X(id, key, text) key,
						      DWELL_STACK_ENDS(X)
#undef X
};

static void sink__json_stacks(struct json *j, const struct report *report)
{
	json__key(j, "stacks");
	json__object_begin(j);
	for (int i = 0; i < NR_STACK_ENDS; i++)
		json__kv_u64(j, stack_ends[i], report->stack_ends[i]);
	json__object_end(j);
}

/* Says on stderr how many user stacks are not whole, and why. */
static void sink__stacks_footer(const struct report *report)
{
	static const char *const why[NR_STACK_ENDS] = {"",
#define X(id, key, text) text,
						       DWELL_STACK_ENDS(X)
#undef X
	};
	uint64_t all = report->stack_ends[STACK_COMPLETE];
	char text[512] = "";

	for (int i = 1; i < NR_STACK_ENDS; i++) {
		size_t len = strlen(text);

		all += report->stack_ends[i];
		if (report->stack_ends[i])
			snprintf(text + len, sizeof(text) - len, "%s%" PRIu64 " %s",
				 len ? ", " : "", report->stack_ends[i], why[i]);
	}
	if (*text)
		log__note("of %" PRIu64 " waits, the user stack is cut: %s", all, text);
}

static void sink__json(struct sink *sink, const struct tool *tool, const struct report *report,
		       const struct sink_meta *meta)
{
	struct json j;

	json__init(&j, sink->out);
	json__object_begin(&j);
	sink__json_meta(&j, tool, meta);
	json__key(&j, "summary");
	json__object_begin(&j);
	json__kv_u64(&j, "wall_ns", report->wall_ns);
	json__key(&j, "states");
	table__states_json(&j, report->states);
	if (report->verdict)
		json__kv_str(&j, "verdict", report->verdict);
	json__kv_u64(&j, "more_rows", report->more_rows);
	if (tool->accepts & ACCEPTS_STACKS)
		sink__json_stacks(&j, report);
	for (int i = 0; i < REPORT_TABLES && report->tables[i].key; i++) {
		const struct report_table *t = &report->tables[i];

		json__key(&j, t->key);
		if (t->object)
			table__json_row(&j, t->columns, t->rows.items);
		else
			table__json(&j, t->columns, t->rows.items, t->rows.n, t->row_size);
	}
	json__object_end(&j);
	json__key(&j, "rows");
	table__json(&j, report->columns, report->rows.items, report->rows.n, tool->row_size);
	json__object_end(&j);
	json__end(&j);
}

/* ---- text ---------------------------------------------------------------------------------- */

static void sink__bar(FILE *out, double share, unsigned int columns)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	unsigned int n = (unsigned int)(share * columns * 8 + 0.5), used = n / 8;

	for (unsigned int i = 0; i < n / 8; i++)
		fputs("█", out);
	if (n % 8) {
		fputs(eighths[n % 8], out);
		used++;
	}
	fprintf(out, "%*s", columns > used ? (int)(columns - used) : 0, "");
}

static void sink__head(FILE *out, const struct tool *tool, const struct report *report,
		       const struct sink_meta *meta)
{
	char duration[16], wall[16], target[256];

	time__format(duration, sizeof(duration), meta->duration_ns);
	time__format(wall, sizeof(wall), report->wall_ns);
	str__printable(target, sizeof(target), meta->target, 0);
	if (meta->interval)
		fprintf(out, "\n[%u] ", meta->interval);
	fprintf(out, "%s · %s · %s", tool->name, target, duration);
	if (!(tool->accepts & WITHOUT_CLOCKS))
		fprintf(out, " · %s %s", wall, report->whole ?: "of thread time");
	fputs("\n\n", out);
}

static void sink__cause(FILE *out, const struct report_cause *cause, unsigned int width)
{
	char name[512], total[16], p99[16], max[16], count[32];
	const unsigned int numbers = 54;
	size_t columns;

	str__printable(name, sizeof(name), cause->name, width > numbers ? width - numbers : 8);
	time__format(total, sizeof(total), cause->total_ns);
	time__format(p99, sizeof(p99), cause->p99_ns);
	time__format(max, sizeof(max), cause->max_ns);
	str__count(count, sizeof(count), cause->count);
	columns = str__columns(name) + numbers;
	fprintf(out, "    %s%*s %8s %9s waits  p99 %6s  max %6s\n", name,
		width > columns ? (int)(width - columns) : 0, "", total, count, p99, max);
	if (!cause->doing)
		return;
	str__printable(name, sizeof(name), cause->doing, width > 17 ? width - 17 : 8);
	fprintf(out, "      meanwhile: %s\n", name);
}

static void sink__state(FILE *out, const struct report *report, enum dwell_state state,
			unsigned int width)
{
	double share = (double)report->states[state] / (double)report->wall_ns;
	const struct report_cause *causes = report->causes.items;
	unsigned int shown = 0;
	char total[16];

	time__format(total, sizeof(total), report->states[state]);
	fprintf(out, "  %-8s %5.1f %%  ", names__state(state), 100 * share);
	sink__bar(out, share, BAR_COLUMNS);
	fprintf(out, " %8s  %s\n", total, names__state_text(state));
	for (size_t i = 0; i < report->causes.n && shown < CAUSES_PER_STATE; i++) {
		if (causes[i].state_id != state ||
		    (double)causes[i].total_ns < CAUSE_SHARE_MIN * (double)report->states[state])
			continue;
		sink__cause(out, &causes[i], width);
		shown++;
	}
}

/* States by their share, most first. */
static unsigned int sink__order(const struct report *report, enum dwell_state order[NR_STATES])
{
	unsigned int n = 0, at;

	for (int state = STATE_NONE + 1; state < NR_STATES; state++) {
		if (!report->states[state])
			continue;
		for (at = n++; at && report->states[order[at - 1]] < report->states[state]; at--)
			order[at] = order[at - 1];
		order[at] = (enum dwell_state)state;
	}
	return n;
}

static void sink__table(struct sink *sink, const struct tool *tool, const struct report *report)
{
	/* In a file or a pipe there is room for whole names. */
	table__print(sink->out, report->columns, report->rows.items, report->rows.n, tool->row_size,
		     isatty(fileno(sink->out)) ? sink->width : 0);
	if (report->more_rows)
		fprintf(sink->out, "  … and %zu more (-n)\n", report->more_rows);
}

static void sink__breakdown(struct sink *sink, const struct tool *tool, const struct report *report)
{
	enum dwell_state order[NR_STATES];
	unsigned int n = sink__order(report, order);

	if (report->verdict) {
		char verdict[1024];

		str__printable(verdict, sizeof(verdict), report->verdict, 0);
		fprintf(sink->out, "  %s\n\n", verdict);
	}
	for (unsigned int i = 0; i < n; i++)
		sink__state(sink->out, report, order[i], sink->width);
	if (report->rows.n > 1) {
		fputc('\n', sink->out);
		sink__table(sink, tool, report);
	}
}

static const void *sink__field(const void *row, size_t offset)
{
	return (const char *)row + offset;
}

static const void *sink__pointer(const void *row, size_t offset)
{
	return *(const void *const *)sink__field(row, offset);
}

static void sink__stacks(struct sink *sink, const struct tool *tool, const struct report *report)
{
	const char *row = report->rows.items;

	/* The heaviest last: that is where the eye is, next to the prompt. */
	for (size_t i = report->rows.n; i-- > 0;) {
		const void *r = row + i * tool->row_size;
		const char *const *frame = sink__pointer(r, tool->stack_offset);
		char text[256];

		for (; frame && *frame; frame++) {
			str__printable(text, sizeof(text), *frame, sink->width - 4);
			fprintf(sink->out, "    %s\n", text);
		}
		str__printable(text, sizeof(text), sink__pointer(r, tool->title_offset), 0);
		fprintf(sink->out, "  %s\n\n", text);
	}
	if (report->more_rows)
		fprintf(sink->out, "  … and %zu more (-n)\n", report->more_rows);
}

static void sink__row_hists(struct sink *sink, const struct tool *tool, const struct report *report)
{
	const char *row = report->rows.items;
	char title[512];

	for (size_t i = 0; i < report->rows.n; i++, row += tool->row_size) {
		str__printable(title, sizeof(title), sink__pointer(row, tool->title_offset),
			       sink->width);
		fputc('\n', sink->out);
		hist__print(sink->out, sink__pointer(row, tool->hist_offset), title, sink->width);
	}
}

static void sink__beside(struct sink *sink, const struct report_table *t)
{
	size_t shown = t->rows.n < BESIDE_ROWS ? t->rows.n : BESIDE_ROWS;

	if (!t->title || !t->rows.n || t->quiet)
		return;
	fprintf(sink->out, "\n%s\n", t->title);
	table__print(sink->out, t->columns, t->rows.items, shown, t->row_size,
		     isatty(fileno(sink->out)) ? sink->width : 0);
	if (t->rows.n > shown)
		fprintf(sink->out, "  … and %zu more (--json)\n", t->rows.n - shown);
}

static void sink__histogram(struct sink *sink, const struct tool *tool, const struct report *report)
{
	if (report->hist) {
		hist__print(sink->out, report->hist, report->hist_title, sink->width);
		fputc('\n', sink->out);
	}
	sink__table(sink, tool, report);
	for (int i = 0; i < REPORT_TABLES; i++)
		sink__beside(sink, &report->tables[i]);
	if (report->row_hists)
		sink__row_hists(sink, tool, report);
}

/* A verdict and a table; then for each row its title, its details and its histogram. */
static void sink__details(struct sink *sink, const struct tool *tool, const struct report *report)
{
	const char *row = report->rows.items, *title;
	char text[1024];

	if (report->verdict) {
		str__printable(text, sizeof(text), report->verdict, 0);
		fprintf(sink->out, "  %s\n\n", text);
	}
	if (report->rows.n)
		sink__table(sink, tool, report);
	for (size_t i = 0; i < report->rows.n; i++) {
		const void *r = row + i * tool->row_size;
		const char *const *line = sink__pointer(r, tool->details_offset);
		const struct hist *hist = sink__pointer(r, tool->hist_offset);

		title = sink__pointer(r, tool->title_offset);
		if (!title)
			continue;
		str__printable(text, sizeof(text), title, 0);
		fprintf(sink->out, "\n%s\n", text);
		for (; line && *line; line++) {
			str__printable(text, sizeof(text), *line, 0);
			fprintf(sink->out, "  %s\n", text);
		}
		if (hist)
			hist__print(sink->out, hist, NULL, sink->width);
	}
}

/* Is there anything besides the rows to show? */
static bool sink__has_tables(const struct report *report)
{
	for (int i = 0; i < REPORT_TABLES && report->tables[i].key; i++) {
		if (report->tables[i].rows.n && !report->tables[i].quiet)
			return true;
	}
	return false;
}

static void sink__text(struct sink *sink, const struct tool *tool, const struct report *report,
		       const struct sink_meta *meta)
{
	sink__head(sink->out, tool, report, meta);
	if (!report->wall_ns && !(tool->accepts & WITHOUT_CLOCKS) && !report->whole) {
		fputs("  No thread that matches ran or waited in this time.\n", sink->out);
		return;
	}
	if (!report->rows.n &&
	    ((tool->accepts & WITHOUT_CLOCKS) || (report->whole && !sink__has_tables(report)))) {
		fputs("  Nothing that matches ended, or is under way.\n", sink->out);
		return;
	}
	switch (tool->shape) {
	case SHAPE_BREAKDOWN:
		sink__breakdown(sink, tool, report);
		break;
	case SHAPE_STACKS:
		if (report->hist)
			hist__print(sink->out, report->hist, report->hist_title, sink->width);
		fputc('\n', sink->out);
		sink__stacks(sink, tool, report);
		break;
	case SHAPE_HISTOGRAM:
		sink__histogram(sink, tool, report);
		break;
	case SHAPE_DETAILS:
		sink__details(sink, tool, report);
		break;
	}
}

/* "a;b;c 123": what flame graph tools read; the count is in µs. */
static void sink__folded(struct sink *sink, const struct tool *tool, const struct report *report)
{
	const char *row = report->rows.items;

	for (size_t i = 0; i < report->rows.n; i++) {
		const void *r = row + i * tool->row_size;
		const char *const *frame =
			*(const char *const *const *)sink__field(r, tool->folded_offset);
		uint64_t ns = *(const uint64_t *)sink__field(r, tool->total_offset);
		char text[1024];

		if (ns < NSEC_PER_USEC)
			continue;
		for (; frame && *frame; frame++) {
			str__printable(text, sizeof(text), *frame, 0);
			for (char *c = text; *c; c++) {
				if (*c == ';')
					*c = ':';
			}
			fprintf(sink->out, "%s%s", text, frame[1] ? ";" : "");
		}
		fprintf(sink->out, " %llu\n", ns / NSEC_PER_USEC);
	}
}

void sink__print(struct sink *sink, const struct tool *tool, const struct report *report,
		 const struct sink_meta *meta)
{
	if (sink->options.json || sink->options.jsonl)
		sink__json(sink, tool, report, meta);
	else if (sink->options.folded)
		sink__folded(sink, tool, report);
	else
		sink__text(sink, tool, report, meta);
	if (tool->accepts & ACCEPTS_STACKS)
		sink__stacks_footer(report);
}

enum dwell_exit sink__flush(struct sink *sink)
{
	if (fflush(sink->out) || ferror(sink->out))
		return err__fail("the report cannot be written%s%s: %s",
				 sink->options.path ? " to " : "", sink->options.path ?: "",
				 strerror(errno));
	return EXIT_OK;
}

enum dwell_exit sink__close(struct sink *sink)
{
	FILE *out = sink->out;

	sink->out = NULL;
	if (!out || !sink->owned)
		return EXIT_OK;
	if (fclose(out))
		return err__fail("%s cannot be written: %s", sink->options.path, strerror(errno));
	return EXIT_OK;
}
