// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* query: database statements by their normal form, and where their time went. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <uthash.h>

#include "base/hist.h"
#include "base/str.h"
#include "base/time.h"
#include "core/blocks.h"
#include "core/bursts.h"
#include "core/dbsessions.h"
#include "core/engines.h"
#include "core/exemplars.h"
#include "core/fingerprint.h"
#include "core/ident.h"
#include "core/session.h"
#include "core/silence.h"
#include "core/statements.h"
#include "query.btf.skel.h"
#include "query.h"
#include "query.raw.skel.h"
#include "query_mysql.btf.skel.h"
#include "query_mysql.raw.skel.h"
#include "query_postgresql.btf.skel.h"
#include "query_postgresql.raw.skel.h"
#include "query_redis.btf.skel.h"
#include "query_redis.raw.skel.h"
#include "query_sqlite.btf.skel.h"
#include "query_sqlite.raw.skel.h"

#define QUIET_TICKS 2 /* seconds without a single hit, until the user is told */

struct query_options {
	bool literals;
	bool hist;
	const char *db;
	const char *user;
};

static const struct opt query_options[] = {
	{0, "literals", NULL, OPT_FLAG, offsetof(struct query_options, literals), 0, 0, NULL,
	 "Show one statement of each kind with its literals (they may be personal data)", 3},
	{0, "hist", NULL, OPT_FLAG, offsetof(struct query_options, hist), 0, 0, NULL,
	 "Print the histogram of each statement, too", 4},
	{0, "db", "NAME", OPT_STR, offsetof(struct query_options, db), 0, 0, NULL,
	 "Measure the sessions of this database (PostgreSQL)", 1},
	{0, "user", "NAME", OPT_STR, offsetof(struct query_options, user), 0, 0, NULL,
	 "Measure the sessions of this database user (PostgreSQL)", 1},
	OPTION_END};

/* ---- the databases -------------------------------------------------------------------------- */

static void query__prepare(struct bpf_object *obj, enum sql_dialect dialect)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj, ".rodata.sqlscan");
	struct sqlscan scan = {0};

	if (!map || dialect == SQL_NONE)
		return;
	fingerprint__scan_table(dialect, &scan);
	bpf_map__set_initial_value(map, &scan, sizeof(scan));
}

/* PART(the part in lower case, its dialect) */
#define PART(db, dialect)                                                                          \
	static void query__prepare_##db(struct bpf_object *obj)                                    \
	{                                                                                          \
		query__prepare(obj, dialect);                                                      \
	}                                                                                          \
                                                                                                   \
	static const struct tool_object query_##db = {                                             \
		.name = #db,                                                                       \
		.btf = query_##db##_btf__elf_bytes,                                                \
		.raw = query_##db##_raw__elf_bytes,                                                \
		.prepare = query__prepare_##db,                                                    \
	}

PART(postgresql, SQL_POSTGRESQL);
PART(sqlite, SQL_SQLITE);
PART(mysql, SQL_MYSQL);
PART(redis, SQL_NONE);

static const struct tool_object *const query_parts[] = {
	[PART_POSTGRESQL] = &query_postgresql,
	[PART_SQLITE] = &query_sqlite,
	[PART_MYSQL] = &query_mysql,
	[PART_REDIS] = &query_redis,
	[NR_PARTS] = NULL,
};

static const struct tool_object query_object = {
	.name = "query",
	.btf = query_btf__elf_bytes,
	.raw = query_raw__elf_bytes,
	.parts = query_parts,
};

/* ---- the run -------------------------------------------------------------------------------- */

/* What the command keeps while it runs. */
struct query_run {
	struct probes *probes;
	struct probe_scope scope;
	/* Shared with the kernel side: */
	struct shared sums, txns, live; /* banks * slots of query_sum; QUERY_SESSIONS; one */
	struct exemplars slowest;
	unsigned int quiet;     /* seconds since something was attached, without a hit… */
	struct silence silence; /* …and who was there at their begin */
	bool told;
	bool counts; /* a server tells what it counts */
};

static uint64_t query__name_hash(const char *name)
{
	uint64_t hash = CONFIG_NAME_SEED;

	if (!name)
		return 0;
	for (; *name; name++)
		hash = config__name_hash(hash, (uint8_t)*name);
	return hash;
}

static void query__configure(const void *data, struct config *config)
{
	const struct query_options *options = data;

	config->db_name = query__name_hash(options->db);
	config->db_user = query__name_hash(options->user);
	config->lazy = 1;
	/* Which sessions are measured is asked at their first statement, of their ancestors too. */
	config->follow = 1;
}

/* Whose programs are to be probed. */
static void query__scope(const struct session *s, struct probe_scope *scope)
{
	const struct option_list *ids = &s->run.target.ids;
	bool named = s->config.filter & (FILTER_TGID | FILTER_TGIDS);

	*scope = (struct probe_scope){.all = !named, .pids = ids->value, .n = ids->n};
	if ((s->config.filter & FILTER_TGID) && s->launch.pid > 0) {
		scope->pids = &s->config.tgid;
		scope->n = 1;
	}
}

/* What is not there yet, but likely to come: it would have run for a while until it is found. */
static void query__expect(const struct session *s, struct query_run *run)
{
	char path[PATH_MAX];

	if (s->run.target.program)
		probes__expect(run->probes,
			       launch__find(s->run.target.program[0], path) ? NULL : path);
	else if (run->scope.all)
		probes__expect(run->probes, NULL);
}

static enum dwell_exit query__numbers(const struct session *s)
{
	int fd = object__map_fd(&s->object, "query_numbers");

	for (uint32_t i = 0; i < QUERY_SESSIONS; i++) {
		if (bpf_map_update_elem(fd, NULL, &i, BPF_ANY))
			return err__fail("the sessions cannot be prepared: %s", strerror(errno));
	}
	return EXIT_OK;
}

static enum dwell_exit query__share(const struct session *s, struct query_run *run)
{
	size_t sums = (size_t)s->config.slots * s->config.banks;
	int err;

	err = object__share(&s->object, "query_sums", sums, sizeof(struct query_sum), &run->sums);
	if (!err)
		err = object__share_all(&s->object, "query_txns", QUERY_SESSIONS,
					sizeof(struct query_txn), &run->txns);
	if (!err)
		err = object__share_all(&s->object, "query_live", 1, sizeof(struct query_live),
					&run->live);
	return err ? err__fail("the statements cannot be mapped: %s", strerror(-err)) : EXIT_OK;
}

static enum dwell_exit query__attach(struct session *s, const void *options)
{
	struct query_run *run = calloc(1, sizeof(*run));
	enum dwell_exit status;

	(void)options;
	s->state = run;
	if (run) {
		query__scope(s, &run->scope);
		run->probes =
			probes__new(&s->object, &query_object, engines, engines_n, &run->scope);
	}
	if (!run || !run->probes)
		return err__fail("no memory");
	status = query__share(s, run);
	if (!status)
		status = query__numbers(s);
	query__expect(s, run);
	if (!status)
		status = probes__scan(run->probes);
	silence__look(&run->silence, run->probes);
	if (!status && !probes__count(run->probes) && !s->run.target.program)
		log__note("no database server runs here that can be probed: waiting for one%s",
			  probes__expected(run->probes) ? " (and for who uses SQLite)" : "");
	return status;
}

/* From the ring: one of the slowest statements so far. */
static bool query__record(struct session *s, const void *record, size_t size)
{
	struct query_run *run = s->state;
	struct query_live *live = (void *)run->live.at;
	const struct query_exemplar *item = record;
	uint64_t floor;

	if (size != sizeof(*item))
		return false;
	if (item->epoch > s->object.window->last)
		return true;
	floor = exemplars__add(&run->slowest, item);
	/* What comes late from the epoch before says nothing of this one. */
	if (item->epoch == s->epoch)
		__atomic_store_n(&live->floor, floor, __ATOMIC_RELAXED);
	return true;
}

/* Times that the probes were hit so far. */
static uint64_t query__hits(const struct session *s)
{
	struct cpu_stat stat;

	return loss__read(object__map_fd(&s->object, "cpus"), &stat) ? 1 : stat.events[PROG_PROBE];
}

static void query__tick(struct session *s, const void *options)
{
	struct query_run *run = s->state;
	char reason[256];

	(void)options;
	/* What cannot be read now may be the next time. */
	probes__scan(run->probes);
	if (run->told || !probes__count(run->probes))
		return;
	if (!run->silence.n)
		silence__look(&run->silence, run->probes);
	if (++run->quiet < QUIET_TICKS)
		return;
	run->told = true;
	if (query__hits(s))
		return;
	silence__reason(&run->silence, run->probes, reason, sizeof(reason));
	log__note("no probe was hit in %d s: %s", QUIET_TICKS, reason);
}

static void query__detach(struct session *s)
{
	struct query_run *run = s->state;

	if (!run)
		return;
	probes__free(run->probes);
	shared__close(&run->sums);
	shared__close(&run->txns);
	shared__close(&run->live);
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
	uint64_t queued_ns; /* Redis: requests had come, and others were executed before */
	uint64_t states[NR_STATES];
	const char *breakdown;
	const char *rate;
	struct hist *hist;
	/* By the server's own account: of `measured` statements, TABLE_UNKNOWN of none. */
	uint64_t measured;
	uint64_t buffers_hit, buffers_read, wal_bytes;
	uint64_t hit_per_call, read_per_call, wal_per_call;
	uint64_t waits[NR_WAITS];
	bool tells; /* which of its statements waited for what is known */
	struct table_list wait_list;
	const char *waits_text;
	uint64_t workers;   /* parallel workers of these statements… */
	uint64_t worker_ns; /* …and their time, which is not in total_ns */
	UT_hash_handle hh;
};

#define AT(field) .offset = offsetof(struct query_row, field)
#define TELLS     (1U << 31) /* only if a server tells what it counts: PostgreSQL */

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
	{.key = "queued_ns", .type = COL_NS, AT(queued_ns)},
	{.key = "states", .type = COL_STATES, AT(states)},
	{.key = "waits", .type = COL_COUNTS, AT(wait_list)},
	{.key = "buffers_hit", .type = COL_COUNT, AT(buffers_hit)},
	{.key = "buffers_read", .type = COL_COUNT, AT(buffers_read)},
	{.key = "wal_bytes", .type = COL_BYTES, AT(wal_bytes)},
	{.key = "workers", .type = COL_COUNT, AT(workers)},
	{.key = "worker_ns", .type = COL_NS, AT(worker_ns)},
	{.name = "HIT", .type = COL_COUNT, AT(hit_per_call), .only = TELLS},
	{.name = "READ", .type = COL_COUNT, AT(read_per_call), .only = TELLS},
	{.name = "WAL", .type = COL_BYTES, AT(wal_per_call), .only = TELLS},
	{.name = "STATES", .type = COL_STR, AT(breakdown), .max_columns = 40},
	{.name = "WAITS", .type = COL_STR, AT(waits_text), .max_columns = 30, .only = TELLS},
	{.name = "QUERY", .key = "query", .type = COL_STR, AT(query)},
	COLUMN_END,
};

#undef AT

static enum dwell_exit query__no_memory(void)
{
	return err__fail("no memory for the report");
}

/* The row of tally @t: one for all fingerprints with the same normal form. */
static struct query_row *query__row(struct session *s, const struct query_options *options,
				    const struct tally *t, struct query_row **by_key,
				    struct query_row *fresh)
{
	const char *db = statements__db(t->key.aux), *sample = NULL;
	const char *normal = statements__normal(s, t->key.row, t->key.aux, &sample);
	struct query_row *row = NULL;

	if (!normal || !sample)
		return NULL;
	fresh->key =
		arena__printf(&s->arena, "%s %llx %s", db, (unsigned long long)t->key.id, normal);
	if (!fresh->key)
		return NULL;
	HASH_FIND_STR(*by_key, fresh->key, row);
	if (row)
		return row;
	fresh->db = db;
	fresh->query = options->literals ? sample : normal;
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
	row->queued_ns += sum->before_ns;
	row->total_ns += t->hist->sum;
	row->mean_ns = row->count ? row->total_ns / row->count : 0;
	for (int i = STATE_NONE + 1; i < NR_STATES; i++)
		row->states[i] += sum->ns[i];
	row->measured += sum->measured;
	row->buffers_hit += sum->buffers_hit;
	row->buffers_read += sum->buffers_read;
	row->wal_bytes += sum->wal_bytes;
	for (int i = 0; i < NR_WAITS; i++)
		row->waits[i] += sum->waits[i];
	row->tells |= sum->tells != 0;
	row->workers += sum->workers;
	row->worker_ns += sum->worker_ns;
}

static void query__per_call(struct query_row *row)
{
	uint64_t n = row->measured;

	if (!n) {
		row->buffers_hit = row->buffers_read = row->wal_bytes = TABLE_UNKNOWN;
		row->hit_per_call = row->read_per_call = row->wal_per_call = TABLE_UNKNOWN;
		return;
	}
	row->hit_per_call = (row->buffers_hit + n / 2) / n;
	row->read_per_call = (row->buffers_read + n / 2) / n;
	row->wal_per_call = (row->wal_bytes + n / 2) / n;
}

/* The states, and what came before the statements. NULL without memory. */
static const char *query__breakdown(struct session *s, const struct query_row *row)
{
	const char *states = statements__states(s, row->states, row->total_ns);
	char each[16];

	if (!states || !row->queued_ns)
		return states;
	time__format(each, sizeof(each), row->queued_ns / (row->count ?: 1));
	return arena__printf(&s->arena, "%s; queued %s", states, each);
}

static enum dwell_exit query__finish(struct session *s, struct query_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct query_row *row = &rows[i];

		query__per_call(row);
		row->breakdown = query__breakdown(s, row);
		row->waits_text =
			row->tells ? statements__waits(s, row->waits, row->total_ns) : "?";
		row->wait_list = statements__wait_list(s, row->waits);
		row->rate = dbsessions__rate(s, row->count);
		if (!row->breakdown || !row->waits_text || !row->wait_list.items || !row->rate)
			return query__no_memory();
		if (!row->tells)
			row->wait_list.n = TABLE_UNKNOWN;
	}
	return EXIT_OK;
}

/* ---- what else there is to tell -------------------------------------------------------------- */

struct exemplar_row {
	const char *at; /* RFC 3339 */
	const char *db;
	const char *query;
	const char *time; /* of `at`, for people */
	uint32_t pid;
	uint64_t latency_ns;
	uint64_t rows;
	uint32_t failed;
	uint64_t states[NR_STATES];
	uint64_t wait_ns[NR_WAITS];
	struct table_list waits;
	const char *breakdown;
	const char *waits_text;
};

#define AT(field) .offset = offsetof(struct exemplar_row, field)

static const struct column exemplar_columns[] = {
	{.key = "at", .type = COL_STR, AT(at)},
	{.name = "AT", .type = COL_STR, AT(time)},
	{.key = "db", .type = COL_STR, AT(db)},
	{.name = "PID", .key = "pid", .type = COL_U32, AT(pid)},
	{.name = "TOOK", .key = "latency_ns", .type = COL_NS, AT(latency_ns)},
	{.name = "ROWS", .key = "rows", .type = COL_COUNT, AT(rows)},
	{.key = "failed", .type = COL_U32, AT(failed)},
	{.key = "states", .type = COL_STATES, AT(states)},
	{.key = "waits", .type = COL_COUNTS, AT(waits)},
	{.name = "STATES", .type = COL_STR, AT(breakdown), .max_columns = 40},
	{.name = "WAITS", .type = COL_STR, AT(waits_text), .max_columns = 30},
	{.name = "QUERY", .key = "query", .type = COL_STR, AT(query)},
	COLUMN_END,
};

#undef AT

static enum dwell_exit query__exemplar(struct session *s, const struct query_exemplar *e,
				       struct exemplar_row *row)
{
	char at[48];

	time__rfc3339_at(at, sizeof(at), e->start + time__since_1970());
	*row = (struct exemplar_row){
		.at = arena__printf(&s->arena, "%s", at),
		.db = statements__db(e->db),
		.query = statements__normal(s, e->fingerprint, e->db, NULL),
		.time = arena__printf(&s->arena, "%.12s", strchr(at, 'T') + 1),
		.pid = e->pid,
		.latency_ns = e->latency,
		.rows = e->rows,
		.failed = e->failed,
	};
	memcpy(row->states, e->ns, sizeof(row->states));
	memcpy(row->wait_ns, e->waits, sizeof(row->wait_ns));
	row->waits = statements__wait_list(s, row->wait_ns);
	row->breakdown = statements__states(s, row->states, e->latency);
	row->waits_text = statements__waits(s, row->wait_ns, e->latency);
	return row->at && row->query && row->time && row->waits.items && row->breakdown &&
			       row->waits_text
		       ? EXIT_OK
		       : query__no_memory();
}

static enum dwell_exit query__exemplars(struct session *s, struct table_list *rows)
{
	struct query_run *run = s->state;
	const struct exemplars_epoch *of = &run->slowest.epoch[s->reported & 1];
	struct exemplar_row *items = arena__array(&s->arena, EXEMPLARS, sizeof(*items));
	enum dwell_exit status = items ? EXIT_OK : query__no_memory();

	for (size_t i = 0; !status && i < of->n; i++)
		status = query__exemplar(s, &of->items[i], &items[i]);
	*rows = (struct table_list){items, of->n};
	exemplars__reset(&run->slowest, s->reported);
	return status;
}

static enum dwell_exit query__tables(struct session *s, const struct burst_sources *sources,
				     struct txn_row *txns, struct dbsessions_row *sessions,
				     struct report *report)
{
	struct query_run *run = s->state;
	struct query_live *live = (void *)run->live.at;
	const struct query_txn *open = (const void *)run->txns.at;
	uint64_t end = s->epoch_start + s->reported_ns;
	struct table_list slowest = {0}, bursts = {0}, blocks = {0};
	enum dwell_exit status;

	/* The next epoch's are measured anew. */
	__atomic_store_n(&live->floor, 0, __ATOMIC_RELAXED);
	status = query__exemplars(s, &slowest);
	if (!status)
		status = bursts__read(s, sources, &bursts);
	if (!status)
		status = blocks__read(s, open, end, &blocks);
	if (!status)
		status = dbsessions__finish(s, txns, sessions, open, live, end);
	report->tables[0] = (struct report_table){.key = "exemplars",
						  .title = "The slowest",
						  .columns = exemplar_columns,
						  .rows = slowest,
						  .row_size = sizeof(struct exemplar_row)};
	report->tables[1] =
		(struct report_table){.key = "n_plus_one",
				      .title = "One statement for each row of another (N+1)",
				      .columns = burst_columns,
				      .rows = bursts,
				      .row_size = sizeof(struct burst_row)};
	report->tables[2] = (struct report_table){.key = "blocked_by",
						  .title = "Waits for locks of other sessions",
						  .columns = block_columns,
						  .rows = blocks,
						  .row_size = sizeof(struct block_row)};
	report->tables[3] =
		(struct report_table){.key = "transactions",
				      .title = "Transactions",
				      .columns = txn_columns,
				      .rows = {txns, 1},
				      .row_size = sizeof(*txns),
				      .object = true,
				      .quiet = !txns->known || (!txns->count && !txns->open_count)};
	report->tables[4] = (struct report_table){.key = "sessions",
						  .title = "Sessions",
						  .columns = dbsessions_columns,
						  .rows = {sessions, 1},
						  .row_size = sizeof(*sessions),
						  .object = true,
						  .quiet = (!txns->known || !sessions->opened) &&
							   !sessions->peak};
	return status;
}

static enum dwell_exit query__snapshot(struct session *s, const void *data, struct report *report)
{
	struct query_row *rows = arena__array(&s->arena, s->tallies.n + 1, sizeof(*rows));
	struct dbsessions_row *sessions = arena__alloc(&s->arena, sizeof(*sessions));
	struct txn_row *txns = arena__alloc(&s->arena, sizeof(*txns));
	struct query_row *by_key = NULL;
	const struct query_options *options = data;
	struct query_run *run = s->state;
	struct burst_sources sources = {
		.items = arena__array(&s->arena, s->tallies.n + 1, sizeof(*sources.items))};
	bool failed =
		!rows || !sessions || !txns || !sources.items || dbsessions__new(s, txns, sessions);
	size_t n = 0;

	for (size_t i = 0; !failed && i < s->tallies.n; i++) {
		const struct tally *t = &s->tallies.items[i];
		struct query_sum *sum;
		struct query_row *row;

		if (dbsessions__take(txns, sessions, t))
			continue;
		row = query__row(s, options, t, &by_key, &rows[n]);
		sum = shared__at(&run->sums, tallies__index(&s->config, s->reported, t->slot));
		failed = !row || !sum;
		if (failed)
			break;
		if (sum->many)
			sources.items[sources.n++] =
				(struct burst_source){t->key.row, sum->many, t->key.aux & QUERY_DB};
		n += row == &rows[n];
		query__add(row, t, sum);
		memset(sum, 0, sizeof(*sum));
	}
	HASH_CLEAR(hh, by_key);
	if (failed || query__finish(s, rows, n))
		return failed ? query__no_memory() : EXIT_FAIL;
	if (query__tables(s, &sources, txns, sessions, report))
		return EXIT_FAIL;
	/* The sessions' clocks stand between their statements: theirs is no time of anything. */
	report->whole = "in statements";
	report->wall_ns = 0;
	memset(report->states, 0, sizeof(report->states));
	for (size_t i = 0; i < n; i++) {
		report->wall_ns += rows[i].total_ns;
		for (int k = STATE_NONE + 1; k < NR_STATES; k++)
			report->states[k] += rows[i].states[k];
		run->counts |= rows[i].measured != 0;
	}
	table__select(s->columns, TABLE_COLUMNS_MAX, s->tool->columns,
		      1U << s->run.by | (run->counts ? TELLS : 0));
	report->row_hists = options->hist;
	return session__rows(s, rows, n, report);
}

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
	.record = query__record,
	.snapshot = query__snapshot,
};
