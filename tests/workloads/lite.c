// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* LDFLAGS: -lsqlite3 */
/*
 * lite ROUNDS: statements of known number and times in SQLite. They are prepared first; then it
 * says "ready", waits for a line on its standard input, runs them and writes as JSON what it
 * measured: for each the rows and errors of all, and the ns of each from its first step until it
 * was done or reset.
 */
#include <sqlite3.h>

#include "workload.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* In the order in which they run: the lengths differ tenfold. */
static const struct statement {
	const char *sql, *form;
	int rows; /* after which it is reset; 0: it is done by itself */
} statements[] = {
	{"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 3000) "
	 "SELECT sum(x) FROM c",
	 "with recursive c(x) as (select ? union all select x + ? from c where x < ?) select "
	 "sum(x) from c",
	 0},
	{"INSERT INTO t VALUES (?1, :name, abs(random()))",
	 "insert into t values (?, ?, abs(random()))", 0},
	{"SELECT [a], b FROM t WHERE a < 100 -- some\n", "select [a], b from t where a < ?", 0},
	{"SELECT a FROM t ORDER BY c, a", "select a from t order by c, a", 5},
	{"INSERT INTO once VALUES (1)", "insert into once values (?+)", 0},
};

struct seen {
	sqlite3_stmt *stmt;
	uint64_t *ns;
	unsigned int calls, rows, errors;
};

static sqlite3 *db;

static void lite__exec(const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL))
		workload__die("%s: %s", sql, sqlite3_errmsg(db));
}

static void lite__run(const struct statement *s, struct seen *seen)
{
	uint64_t begin = workload__clock(CLOCK_MONOTONIC);
	int rows = 0, status;

	do {
		status = sqlite3_step(seen->stmt);
		rows += status == SQLITE_ROW;
	} while (status == SQLITE_ROW && rows != s->rows);
	if (status == SQLITE_ROW)
		sqlite3_reset(seen->stmt);
	seen->ns[seen->calls++] = workload__clock(CLOCK_MONOTONIC) - begin;
	seen->errors += status != SQLITE_ROW && status != SQLITE_DONE;
	seen->rows += (unsigned int)rows;
	sqlite3_reset(seen->stmt);
}

/* While a row of the one is looked at, another statement runs: they are not nested. */
static void lite__interleaved(struct seen *outer, struct seen *inner)
{
	uint64_t begin = workload__clock(CLOCK_MONOTONIC);

	while (sqlite3_step(outer->stmt) == SQLITE_ROW) {
		outer->rows++;
		if (outer->rows % 100 == 50)
			lite__run(&statements[0], inner);
	}
	outer->ns[outer->calls++] = workload__clock(CLOCK_MONOTONIC) - begin;
	sqlite3_reset(outer->stmt);
}

static void lite__report(const struct seen *seen)
{
	printf("[");
	for (size_t i = 0; i < COUNT(statements); i++) {
		printf("%s{\"query\": \"%s\", \"count\": %u, \"rows\": %u, \"errors\": %u, \"ns\": "
		       "[",
		       i ? ",\n" : "", statements[i].form, seen[i].calls, seen[i].rows,
		       seen[i].errors);
		for (unsigned int k = 0; k < seen[i].calls; k++)
			printf("%s%llu", k ? "," : "", (unsigned long long)seen[i].ns[k]);
		printf("]}");
	}
	printf("]\n");
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 200;
	struct seen seen[COUNT(statements)] = {0};
	char line[16];

	if (sqlite3_open(":memory:", &db))
		workload__die("no database: %s", sqlite3_errmsg(db));
	lite__exec("CREATE TABLE t (a, b, c); CREATE TABLE once (a PRIMARY KEY)");
	for (size_t i = 0; i < COUNT(statements); i++) {
		seen[i].ns = calloc(2 * rounds + 2, sizeof(uint64_t));
		if (!seen[i].ns ||
		    sqlite3_prepare_v2(db, statements[i].sql, -1, &seen[i].stmt, NULL))
			workload__die("%s: %s", statements[i].sql, sqlite3_errmsg(db));
	}
	fprintf(stderr, "ready\n");
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (unsigned int r = 0; r < rounds; r++) {
		for (size_t i = 0; i < COUNT(statements); i++) {
			if (i == 1)
				sqlite3_bind_int(seen[i].stmt, 1, (int)r);
			lite__run(&statements[i], &seen[i]);
		}
	}
	lite__interleaved(&seen[2], &seen[0]);
	lite__report(seen);
	for (size_t i = 0; i < COUNT(statements); i++)
		sqlite3_finalize(seen[i].stmt);
	sqlite3_close(db);
	return 0;
}
