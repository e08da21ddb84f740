// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Normal forms of statements that applications send, and what percona-toolkit says of the same. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/fingerprint.h"

#define FIXTURE "tests/unit/fixtures/statements.sql"
#define ORACLE  "pt-fingerprint --match-embedded-numbers"
#define MAX     512
#define TEXT    2048

struct statement {
	enum sql_dialect dialect;
	const char *form;   /* that it is to have */
	const char *reason; /* why the oracle may judge differently of it, or NULL */
	char sql[TEXT];
	char oracle[TEXT];
	bool differs; /* the oracle does */
};

static struct statement all[MAX];
static size_t n;

/* The file's statements: see its head. */
static int load(void **state)
{
	static const char *const dialects[] = {"postgresql", "mysql", "sqlite"};
	const char *form = NULL, *reason = NULL;
	enum sql_dialect dialect = SQL_POSTGRESQL;
	FILE *f = fopen(FIXTURE, "r");
	char line[TEXT];

	(void)state;
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		struct statement *s = &all[n];
		size_t len = strlen(line);

		line[--len] = '\0';
		if (!s->sql[0] && (!len || *line == '#'))
			continue;
		if (!s->sql[0] && !strncmp(line, "-- ", 3)) {
			for (int i = 0; i < NR_DIALECTS; i++) {
				if (!strcmp(line + 3, dialects[i]))
					dialect = (enum sql_dialect)i;
			}
			continue;
		}
		if (*line == '=' || *line == '@') {
			*(*line == '=' ? &form : &reason) = strdup(line + 1 + (line[1] == ' '));
			continue;
		}
		assert_true(n < MAX && strlen(s->sql) + len + 2 < sizeof(s->sql));
		strcat(strcat(s->sql, *s->sql ? "\n" : ""), line);
		if (line[len - 1] != ';')
			continue;
		s->sql[strlen(s->sql) - 1] = '\0';
		s->dialect = dialect;
		s->form = form;
		s->reason = reason;
		reason = NULL;
		n++;
	}
	fclose(f);
	return n ? 0 : -1;
}

static void test_forms(void **state)
{
	char form[TEXT];

	(void)state;
	for (size_t i = 0; i < n; i++) {
		fingerprint__sql(all[i].dialect, form, sizeof(form), all[i].sql, false);
		if (strcmp(form, all[i].form))
			print_error("of: %s\n", all[i].sql);
		assert_string_equal(form, all[i].form);
	}
}

/* The same with other numbers, more blanks, and outside quotes in capitals. */
static void vary(char *dst, const char *sql)
{
	char quote = 0, before = ' ';

	for (; *sql; before = *sql++) {
		bool number = isdigit((unsigned char)*sql) && !isalnum((unsigned char)before) &&
			      !strchr("_$?", before);

		if (quote && *sql == quote)
			quote = 0;
		else if (!quote && strchr("'\"`", *sql))
			quote = *sql;
		if (!quote && number)
			*dst++ = '1';
		if (!quote && *sql == ' ')
			*dst++ = '\t';
		*dst++ = quote ? *sql : (char)toupper((unsigned char)*sql);
	}
	*dst = '\0';
}

static void test_variations(void **state)
{
	char sql[2 * TEXT], form[TEXT];

	(void)state;
	for (size_t i = 0; i < n; i++) {
		/* what is quoted in other ways is not followed here, nor are comments */
		if (strpbrk(all[i].sql, "\\$#[") || strstr(all[i].sql, "--"))
			continue;
		vary(sql, all[i].sql);
		fingerprint__sql(all[i].dialect, form, sizeof(form), sql, false);
		if (strcmp(form, all[i].form))
			print_error("of: %s\n", sql);
		assert_string_equal(form, all[i].form);
	}
}

/* What the kernel side takes for one statement has one normal form here, too. */
static void test_scan_never_merges(void **state)
{
	static struct sqlscan tables[NR_DIALECTS];
	static __u64 hash[MAX];

	(void)state;
	for (int d = 0; d < NR_DIALECTS; d++)
		fingerprint__scan_table((enum sql_dialect)d, &tables[d]);
	for (size_t i = 0; i < n; i++) {
		__u64 at = SS_PLAIN;

		hash[i] = SQLSCAN_SEED;
		for (const char *c = all[i].sql; *c; c++)
			hash[i] = sqlscan__step(&tables[all[i].dialect], &at, hash[i], (uint8_t)*c);
		hash[i] = sqlscan__open(at) ? i : sqlscan__finish(at, hash[i]);
		for (size_t j = 0; j < i; j++) {
			if (hash[i] == hash[j] && all[i].dialect == all[j].dialect)
				assert_string_equal(all[i].form, all[j].form);
		}
	}
}

/* As the kernel side has it. */
static __u64 folded(const char *sql)
{
	__u64 hash = SQLSCAN_SEED, word = 0, x;
	size_t len = strlen(sql);

	for (size_t at = 0; at < len; at += sizeof(x)) {
		x = 0;
		memcpy(&x, sql + at, len - at < sizeof(x) ? len - at : sizeof(x));
		hash = sqlscan__add(hash, sqlscan__fold(x, &word));
	}
	return hash;
}

/* Is a text never remembered by its folded form? */
static bool has_names(const char *sql)
{
	size_t len = strlen(sql);
	__u64 x;

	for (size_t at = 0; at < len; at += sizeof(x)) {
		x = 0;
		memcpy(&x, sql + at, len - at < sizeof(x) ? len - at : sizeof(x));
		if (sqlscan__has_name(x))
			return true;
	}
	return false;
}

/* Another digit anywhere: the same but for numbers only if it is no other statement. */
static void test_fold_never_merges(void **state)
{
	char sql[TEXT], form[TEXT];
	size_t same = 0, other = 0;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		__u64 hash = folded(all[i].sql);

		strcpy(sql, all[i].sql);
		for (char *c = sql; !has_names(sql) && *c; c++) {
			char before = *c;

			if (!isdigit((unsigned char)*c))
				continue;
			*c = *c == '7' ? '3' : '7';
			fingerprint__sql(all[i].dialect, form, sizeof(form), sql, false);
			if (folded(sql) == hash) {
				same++;
				assert_string_equal(form, all[i].form);
			} else {
				other += strcmp(form, all[i].form) != 0;
			}
			*c = before;
		}
	}
	assert_in_range(same, 300, SIZE_MAX);
	assert_in_range(other, 30, SIZE_MAX);
}

static void test_folds(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} pairs[] = {
		{"select a from t where b = 1234567890", "select a from t where b = 9876543210",
		 true},
		{"select a from t where b=12 and c<'34'", "select a from t where b=99 and c<'00'",
		 true},
		{"select a from t where b = 123", "select a from t where b = 12", false},
		{"select c from sbtest1 where id=1", "select c from sbtest2 where id=1", false},
		{"select c from t_1234567890123", "select c from t_1234567890124", false},
		{"select c from t$1", "select c from t$2", false},
		{"select c from ä1", "select c from ä2", false},
		{"select c from sbtest1", "select c from sbtest2", false},
		{"select 'a', c, from_t1", "select 'a', c, from_t2", false},
		{"select a, b from tab_xyz$1 w", "select a, b from tab_xyz$2 w", false},
		{"select ab, cd, ef from t where b = 1", "select ab, cd, ef from t where b = 2",
		 true},
		{"select abcdefgh 1", "select abcdefgh 2", true},
		{"select abcdefghi1", "select abcdefghi2", false},
		{"select abcd, ef(1)", "select abcd, ef(2)", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		assert_int_equal(folded(pairs[i].a) == folded(pairs[i].b), pairs[i].same);
	assert_true(has_names("select \"a 1\""));
	assert_true(has_names("select 1 from `t 1`"));
	assert_true(has_names("select 1 from [t 1]"));
	assert_false(has_names("select 'a 1' from t_1"));
}

/* Asks the oracle for all statements at once. */
static void ask(void)
{
	char path[] = "/tmp/dwell-statements.XXXXXX", command[128];
	int fd = mkstemp(path);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	size_t answers = 0;

	assert_non_null(f);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%s;\n", all[i].sql);
	fclose(f);
	snprintf(command, sizeof(command), ORACLE " %s", path);
	f = popen(command, "r");
	assert_non_null(f);
	while (answers < n && fgets(all[answers].oracle, TEXT, f)) {
		char *end = strchr(all[answers++].oracle, '\n');

		/* what a comment leaves at the end */
		while (end && end > all[answers - 1].oracle && isspace((unsigned char)*end))
			*end-- = '\0';
	}
	/* without it, or if it counts otherwise, nothing that follows would mean anything */
	if (pclose(f) || answers != n)
		print_error("%zu answers for %zu statements: is percona-toolkit installed? "
			    "(sudo tools/install-deps)\n",
			    answers, n);
	remove(path);
	assert_int_equal(answers, n);
}

static const char *reason_of(const struct statement *s)
{
	return s->reason ?: "none";
}

/*
 * Two statements are one to dwell if and only if they are to pt-fingerprint; where not, the file
 * says why. A reason that is needed no more is a fault, too.
 */
static void test_oracle(void **state)
{
	size_t faults = 0;

	(void)state;
	ask();
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++) {
			struct statement *a = &all[i], *b = &all[j];

			if (a->dialect != b->dialect ||
			    !strcmp(a->form, b->form) == !strcmp(a->oracle, b->oracle))
				continue;
			a->differs = b->differs = true;
			if (a->reason || b->reason)
				continue;
			print_error("%s to dwell, not to the oracle: %s | %s\n  %s\n  %s\n",
				    strcmp(a->form, b->form) ? "two" : "one", a->sql, b->sql,
				    a->oracle, b->oracle);
			faults++;
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (all[i].reason && !all[i].differs) {
			print_error("no reason \"%s\" is needed: %s\n", reason_of(&all[i]),
				    all[i].sql);
			faults++;
		}
	}
	assert_int_equal(faults, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_variations),
		cmocka_unit_test(test_scan_never_merges),
		cmocka_unit_test(test_fold_never_merges),
		cmocka_unit_test(test_folds),
		cmocka_unit_test(test_oracle),
	};

	return cmocka_run_group_tests(tests, load, NULL);
}
