// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* query: database statements by their normal form, and where their time went. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <uthash.h>

#include "base/hist.h"
#include "base/str.h"
#include "base/time.h"
#include "core/fingerprint.h"
#include "core/ident.h"
#include "core/names.h"
#include "core/probes.h"
#include "core/session.h"
#include "query.btf.skel.h"
#include "query.h"
#include "query.raw.skel.h"

#define STATES_SHOWN 3
#define QUIET_TICKS  2 /* seconds without a single hit, until the user is told */

struct query_options {
	bool literals;
	bool hist;
};

static const struct opt query_options[] = {
	{0, "literals", NULL, OPT_FLAG, offsetof(struct query_options, literals), 0, 0, NULL,
	 "Show one statement of each kind with its literals (they may be personal data)", 3},
	{0, "hist", NULL, OPT_FLAG, offsetof(struct query_options, hist), 0, 0, NULL,
	 "Print the histogram of each statement, too", 4},
	OPTION_END};

/* ---- where statements are seen -------------------------------------------------------------- */

static const char *const postgresql_names[] = {"postgres", "postmaster", NULL};

static const struct probe_point postgresql_points[] = {
	{"pg_activity", "pgstat_report_activity", 2, false},
	{"pg_end_command", "EndCommand", 1, false},
	{"pg_abort", "AbortCurrentTransaction", 0, false},
};

#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

static const struct probe_target query_targets[] = {
	{"PostgreSQL", postgresql_names, postgresql_points, ARRAY_SIZE(postgresql_points)},
};

static const char *const query_dbs[NR_DBS] = {
#define X(id, key) [id] = key,
	DWELL_QUERY_DBS(X)
#undef X
};

/* What the command keeps while it runs. */
struct query_run {
	struct probes *probes;
	struct query_sum *sums; /* banks * slots of them, shared with the kernel side */
	size_t sums_bytes;
	unsigned int quiet; /* seconds since something was attached, without a hit */
	bool told;
};

static void query__prepare(struct bpf_object *obj)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj, ".rodata.sqlscan");
	struct sqlscan scan = {0};

	fingerprint__scan_table(&scan);
	if (map)
		bpf_map__set_initial_value(map, &scan, sizeof(scan));
}

static void query__configure(const void *options, struct config *config)
{
	(void)options;
	config->lazy = 1;
	/* Which sessions are measured is asked at their first statement, of their ancestors too. */
	config->follow = 1;
}

static enum dwell_exit query__attach(struct session *s, const void *options)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct query_run *run = calloc(1, sizeof(*run));
	enum dwell_exit status;

	(void)options;
	s->state = run;
	if (run)
		run->probes = probes__new();
	if (!run || !run->probes)
		return err__fail("no memory");
	run->sums_bytes = (size_t)s->config.slots * s->config.banks * sizeof(*run->sums);
	run->sums_bytes = (run->sums_bytes + page - 1) / page * page;
	run->sums = mmap(NULL, run->sums_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			 object__map_fd(&s->object, "query_sums"), 0);
	if (run->sums == MAP_FAILED) {
		run->sums = NULL;
		return err__fail("the statements' sums cannot be mapped: %s", strerror(errno));
	}
	status = probes__scan(run->probes, &s->object, query_targets, ARRAY_SIZE(query_targets));
	if (!status && !probes__count(run->probes))
		log__note("no database server runs here that can be probed (PostgreSQL): waiting "
			  "for one");
	return status;
}

/* Times that the probes were hit so far. */
static uint64_t query__hits(const struct session *s)
{
	struct cpu_stat stat;

	return loss__read(object__map_fd(&s->object, "cpu_stats"), &stat) ? 1
									  : stat.events[PROG_PROBE];
}

static void query__tick(struct session *s, const void *options)
{
	struct query_run *run = s->state;

	(void)options;
	/* What cannot be read now may be the next time. */
	probes__scan(run->probes, &s->object, query_targets, ARRAY_SIZE(query_targets));
	if (run->told || !probes__count(run->probes) || ++run->quiet < QUIET_TICKS)
		return;
	run->told = true;
	if (!query__hits(s))
		log__note("no probe was hit in %d s: the servers had no statements, or they run "
			  "from another file than the one that was probed",
			  QUIET_TICKS);
}

static void query__detach(struct session *s)
{
	struct query_run *run = s->state;

	if (!run)
		return;
	probes__free(run->probes);
	if (run->sums)
		munmap(run->sums, run->sums_bytes);
	free(run);
	s->state = NULL;
}

/* ---- the report ----------------------------------------------------------------------------- */

struct query_row {
	const char *db;
	const char *query; /* the normal form, or with --literals a statement */
	const char *key;   /* what rows are merged by */
	struct ident id;   /* with --by */
	uint64_t count;
	uint64_t errors;
	uint64_t rows;
	uint64_t total_ns;
	uint64_t mean_ns;
	uint64_t states[NR_STATES];
	const char *breakdown;
	const char *rate;
	struct hist *hist;
	UT_hash_handle hh;
};

#define AT(field) .offset = offsetof(struct query_row, field)
#define BY_WHOM   (ONLY(THREAD) | ONLY(COMM) | ONLY(CGROUP))

static const struct column query_columns[] = {
	{.name = "PID", .key = "pid", .type = COL_U32, AT(id.pid), .only = ONLY(THREAD)},
	{.key = "tid", .type = COL_U32, AT(id.tid), .only = ONLY(THREAD)},
	{.name = "COMMAND",
	 .key = "comm",
	 .type = COL_STR,
	 .max_columns = 15,
	 AT(id.comm),
	 .only = ONLY(THREAD) | ONLY(COMM)},
	{.name = "CGROUP",
	 .key = "cgroup",
	 .type = COL_STR,
	 .max_columns = 40,
	 AT(id.cgroup),
	 .only = ONLY(CGROUP)},
	{.key = "db", .type = COL_STR, AT(db)},
	{.name = "CALLS", .key = "count", .type = COL_COUNT, AT(count)},
	{.name = "RATE", .type = COL_STR, AT(rate), .max_columns = 10},
	{.name = "ERRORS", .key = "errors", .type = COL_COUNT, AT(errors)},
	{.name = "ROWS", .key = "rows", .type = COL_COUNT, AT(rows)},
	{.name = "TOTAL", .key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.name = "MEAN", .key = "mean_ns", .type = COL_NS, AT(mean_ns)},
	{.name = "", .key = "hist", .type = COL_HIST, AT(hist)},
	{.key = "states", .type = COL_STATES, AT(states)},
	{.name = "STATES", .type = COL_STR, AT(breakdown), .max_columns = 40},
	{.name = "QUERY", .key = "query", .type = COL_STR, AT(query)},
	COLUMN_END,
};

#undef AT

static enum dwell_exit query__no_memory(void)
{
	return err__fail("no memory for the report");
}

/* "cpu 71%, disk 20%": the longest few. */
static const char *query__breakdown(struct session *s, const struct query_row *row)
{
	uint64_t left[NR_STATES];
	char text[80] = "";
	size_t len = 0;

	memcpy(left, row->states, sizeof(left));
	for (int shown = 0; shown < STATES_SHOWN; shown++) {
		int longest = STATE_NONE;
		double share;

		for (int i = STATE_NONE + 1; i < NR_STATES; i++) {
			if (left[i] > left[longest] || (longest == STATE_NONE && left[i]))
				longest = i;
		}
		share = 100.0 * (double)left[longest] / (double)(row->total_ns ?: 1);
		if (longest == STATE_NONE || share < 0.5)
			break;
		str__append(text, sizeof(text), &len, "%s%s %.0f%%", shown ? ", " : "",
			    names__state((enum dwell_state)longest), share);
		left[longest] = 0;
	}
	return arena__printf(&s->arena, "%s", text);
}

static const char *query__text_of(struct session *s, const struct query_options *options,
				  const struct tally_key *key, const char **normal)
{
	const char *unrun = key->aux & QUERY_UNRUN ? "(not executed) " : "";
	char form[QUERY_TEXT + 64];
	struct query_text text;

	*normal = NULL;
	if ((key->aux & QUERY_NO_TEXT) ||
	    bpf_map_lookup_elem(object__map_fd(&s->object, "query_texts"), &key->row, &text)) {
		*normal = arena__printf(&s->arena, "%s(a text that could not be read)", unrun);
		return *normal;
	}
	text.text[QUERY_TEXT] = '\0';
	fingerprint__sql(form, sizeof(form), text.text, text.truncated);
	*normal = arena__printf(&s->arena, "%s%s", unrun, *form ? form : "(empty)");
	if (!options->literals)
		return *normal;
	return arena__printf(&s->arena, "%s%s%s", unrun, text.text, text.truncated ? "…" : "");
}

/* The row of tally @t: one for all fingerprints with the same normal form. */
static struct query_row *query__row(struct session *s, const struct query_options *options,
				    const struct tally *t, struct query_row **by_key,
				    struct query_row *fresh)
{
	const char *db = query_dbs[t->key.aux & QUERY_DB], *normal, *query;
	struct query_row *row = NULL;

	query = query__text_of(s, options, &t->key, &normal);
	if (!query || !normal)
		return NULL;
	fresh->key =
		arena__printf(&s->arena, "%s %llx %s", db, (unsigned long long)t->key.id, normal);
	if (!fresh->key)
		return NULL;
	HASH_FIND_STR(*by_key, fresh->key, row);
	if (row)
		return row;
	fresh->db = db;
	fresh->query = query;
	fresh->hist = arena__alloc(&s->arena, sizeof(*fresh->hist));
	if (!fresh->hist || ident__set(s, t->key.id, &fresh->id))
		return NULL;
	HASH_ADD_KEYPTR(hh, *by_key, fresh->key, strlen(fresh->key), fresh);
	return fresh;
}

static void query__add(struct query_row *row, const struct tally *t, const struct query_sum *sum)
{
	hist__merge(row->hist, t->hist);
	row->count += t->count;
	row->errors += sum->errors;
	row->rows += sum->rows;
	row->total_ns += t->hist->sum;
	row->mean_ns = row->count ? row->total_ns / row->count : 0;
	for (int i = STATE_NONE + 1; i < NR_STATES; i++)
		row->states[i] += sum->ns[i];
}

/* "1,204/s", "0.4/s" */
static const char *query__rate(struct session *s, uint64_t count)
{
	double rate = (double)count * 1e9 / (double)(s->reported_ns ?: 1);
	char text[32];

	if (rate < 10)
		return arena__printf(&s->arena, "%.1f/s", rate);
	str__count(text, sizeof(text), (uint64_t)(rate + 0.5));
	return arena__printf(&s->arena, "%s/s", text);
}

static enum dwell_exit query__finish(struct session *s, struct query_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		rows[i].breakdown = query__breakdown(s, &rows[i]);
		rows[i].rate = query__rate(s, rows[i].count);
		if (!rows[i].breakdown || !rows[i].rate)
			return query__no_memory();
	}
	return EXIT_OK;
}

static enum dwell_exit query__snapshot(struct session *s, const void *data, struct report *report)
{
	struct query_row *rows = arena__array(&s->arena, s->tallies.n + 1, sizeof(*rows));
	struct query_row *by_key = NULL;
	const struct query_options *options = data;
	struct query_run *run = s->state;
	const struct hist *all = s->object.tallies;
	bool failed = !rows;
	size_t n = 0;

	for (size_t i = 0; !failed && i < s->tallies.n; i++) {
		const struct tally *t = &s->tallies.items[i];
		struct query_sum *sum = &run->sums[t->hist - all];
		struct query_row *row = query__row(s, options, t, &by_key, &rows[n]);

		failed = !row;
		if (failed)
			break;
		n += row == &rows[n];
		query__add(row, t, sum);
		memset(sum, 0, sizeof(*sum));
	}
	HASH_CLEAR(hh, by_key);
	if (failed || query__finish(s, rows, n))
		return failed ? query__no_memory() : EXIT_FAIL;
	report->row_hists = options->hist;
	return session__rows(s, rows, n, report);
}

static const struct tool_object query_object = {
	.name = "query",
	.btf = query_btf__elf_bytes,
	.raw = query_raw__elf_bytes,
	.prepare = query__prepare,
};

extern const struct tool tool_query;

const struct tool tool_query = {
	.name = "query",
	.summary = "How long do database statements take, and where does their time go?",
	.examples = "  dwell query                       every server on this machine, 5 seconds\n"
		    "  dwell query -p 812                one server: its postmaster's or a "
		    "backend's id\n"
		    "  dwell query -i 1 --sort max       every second, the slowest first\n"
		    "  dwell query --min 100ms           slow statements only\n",
	.object = &query_object,
	.shape = SHAPE_HISTOGRAM,
	.options = query_options,
	.options_size = sizeof(struct query_options),
	.columns = query_columns,
	.row_size = sizeof(struct query_row),
	.sort = "total_ns",
	.title_offset = offsetof(struct query_row, query),
	.hist_offset = offsetof(struct query_row, hist),
	.configure = query__configure,
	.attach = query__attach,
	.tick = query__tick,
	.detach = query__detach,
	.snapshot = query__snapshot,
};
