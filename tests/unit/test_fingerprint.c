// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/fingerprint.h"

static const struct {
	const char *sql, *form;
} forms[] = {
	{"", ""},
	{";", ""},
	{"SELECT 1", "select ?"},
	{"select  1 ;", "select ?"},
	{"SELECT\n\tabalance\nFROM x WHERE aid=12;", "select abalance from x where aid = ?"},
	{"select abalance from x where aid = $1", "select abalance from x where aid = ?"},
	{"UPDATE t SET a = a + -2981 WHERE b = 7", "update t set a = a + ? where b = ?"},
	{"UPDATE t SET a = a + 2981 WHERE b = 7", "update t set a = a + ? where b = ?"},
	{"UPDATE t SET a = a - 5", "update t set a = a - ?"},
	{"select a-1, b -1, (c)-1, -1", "select a - ?, b - ?, (c) - ?, ?"},
	{"select -1", "select ?"},
	{"select x where a between -1 and -2.5e-3", "select x where a between ? and ?"},
	{"select 1e-5, 1 - 5", "select ?, ? - ?"},
	{"select 0xFF, .5, 5., 1_000", "select ?, ?, ?, ?"},
	{"select 'it''s', 'x'", "select ?, ?"},
	{"select E'it\\'s', B'01', X'ff', N'n', U&'\\0041'", "select ?, ?, ?, ?, ?"},
	{"select $$it's$$, $tag$ $$ 'a' $tag$, 1", "select ?, ?, ?"},
	{"select \"Name\" from \"T\"", "select \"Name\" from \"T\""},
	{"select a -- 'comment\n, b /* c /* nested */ 'x' */ from t", "select a, b from t"},
	{"select * from t where a in (1, 2, 3)", "select * from t where a in (?+)"},
	{"select * from t where a IN ($1)", "select * from t where a in (?+)"},
	{"select * from t where a in(1,NULL,'x'::text)", "select * from t where a in (?+)"},
	{"select * from t where a in (select b from u)",
	 "select * from t where a in (select b from u)"},
	{"insert into t (a, b) values (1, 'x')", "insert into t(a, b) values (?+)"},
	{"insert into t (a) values (1, 'x'), (2, 'y'),(3,NULL)", "insert into t(a) values (?+)"},
	{"insert into t values (1, now())", "insert into t values (?, now())"},
	{"insert into t values (1), (now())", "insert into t values (?+), (now())"},
	{"insert into t values (1) returning id", "insert into t values (?+) returning id"},
	{"select count( * ) , max(a)", "select count(*), max(a)"},
	{"select a::int, '5'::numeric(10,2)", "select a::int, ?::numeric(?, ?)"},
	{"select a->>'k', b || 'x', c<>-1, d>=-1", "select a ->> ?, b || ?, c <> ?, d >= ?"},
	{"select a is null, b is not null, c = null", "select a is null, b is not null, c = ?"},
	{"select array[1,2,3], a[4]", "select array[?+], a[?]"},
	{"select t1.c2, x1 from t1", "select t1.c2, x1 from t1"},
	{"begin; select 1; end;", "begin; select ?; end"},
	{"execute p(4)", "execute p(?)"},
	{"call new_order(1,2,'x')", "call new_order(?, ?, ?)"},
	{"SELECT \"auth_user\".\"id\" FROM \"auth_user\" WHERE \"auth_user\".\"username\" = 'bob' "
	 "LIMIT 21",
	 "select \"auth_user\".\"id\" from \"auth_user\" where \"auth_user\".\"username\" = ? "
	 "limit ?"},
	{"SELECT  \"users\".* FROM \"users\" WHERE \"users\".\"id\" = $1 LIMIT $2 /*app:web*/",
	 "select \"users\".* from \"users\" where \"users\".\"id\" = ? limit ?"},
	{"select o_orderpriority from orders where o_orderdate >= date '1993-07-01' and "
	 "o_orderdate < date '1993-07-01' + interval '3' month",
	 "select o_orderpriority from orders where o_orderdate >= date ? and o_orderdate < date ? "
	 "+ "
	 "interval ? month"},
	{"COPY t (a) FROM STDIN WITH (FORMAT csv)", "copy t(a) from stdin with (format csv)"},
	{"SELECT c FROM sbtest1 WHERE id=?", "select c from sbtest1 where id = ?"},
	{"select 'never closed", "select ?"},
	{"select /* never closed", "select"},
};

static void test_forms(void **state)
{
	char form[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		fingerprint__sql(form, sizeof(form), forms[i].sql, false);
		if (strcmp(form, forms[i].form))
			print_error("of: %s\n", forms[i].sql);
		assert_string_equal(form, forms[i].form);
	}
}

/* The normal form of a normal form is itself, but for the marks of what was left out. */
static void test_stable(void **state)
{
	char form[1024], again[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		if (strstr(forms[i].form, "?+"))
			continue;
		fingerprint__sql(form, sizeof(form), forms[i].sql, false);
		fingerprint__sql(again, sizeof(again), form, false);
		assert_string_equal(again, form);
	}
}

static void test_truncated(void **state)
{
	char form[64];

	(void)state;
	/* what is cut may be part of a literal: it is not shown */
	fingerprint__sql(form, sizeof(form), "select a from t where b = 'secr", true);
	assert_string_equal(form, "select a from t where b =…");
	fingerprint__sql(form, sizeof(form), "select a from t where b = 12", true);
	assert_string_equal(form, "select a from t where b =…");
	fingerprint__sql(form, sizeof(form), "select a from tab", true);
	assert_string_equal(form, "select a from…");
}

/* Whatever the room, it is terminated, and never cut inside a token. */
static void test_room(void **state)
{
	char form[64];

	(void)state;
	for (size_t size = 4; size < sizeof(form); size++) {
		memset(form, '#', sizeof(form));
		fingerprint__sql(form, size, "select abc from def where x = 'y'", false);
		assert_true(strlen(form) < size);
		assert_null(strchr(form, '\''));
	}
	fingerprint__sql(form, 16, "select abcdefghijkl", false);
	assert_string_equal(form, "select…");
}

/* Every prefix and every suffix of every statement: nothing is read outside, no literal is kept. */
static void test_fragments(void **state)
{
	char sql[1024], form[2048];

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		size_t len = strlen(forms[i].sql);

		for (size_t cut = 0; cut <= len; cut++) {
			memcpy(sql, forms[i].sql, cut);
			sql[cut] = '\0';
			fingerprint__sql(form, sizeof(form), sql, false);
			assert_true(strlen(form) <= 2 * cut + 1);
			fingerprint__sql(form, sizeof(form), forms[i].sql + cut, true);
		}
	}
}

static __u64 scan(const char *sql, __u64 *end)
{
	struct sqlscan table;
	__u64 hash = SQLSCAN_SEED, state = SS_PLAIN;

	fingerprint__scan_table(&table);
	for (; *sql; sql++)
		hash = sqlscan__step(&table, &state, hash, (uint8_t)*sql);
	*end = state;
	return sqlscan__finish(state, hash);
}

/* What the kernel side takes for one statement has one normal form. */
static void test_scan_never_merges(void **state)
{
	static const char *const more[] = {
		"select 1e-5",   "select 1-5",     "select 1 - 5",      "select a-5",
		"select a - -5", "select 'a-5'",   "select a/5",        "select a/*5*/",
		"select a--5",   "select $1",      "select $a",         "select e'a'",
		"select e 'a'",  "select ea",      "select \"A\"",      "select \"a\"",
		"select a",      "select 1.5",     "select 1 .5",       "select a.5",
		"select -$1",    "select 5-",      "select a, -/*x*/5", "select /5",
		"select 'a''b'", "select 'a' 'b'", "select -'a'",       "select -a",
		"select - -a",   "select 5e5e5",
	};
	const size_t n = sizeof(forms) / sizeof(*forms), all = n + sizeof(more) / sizeof(*more);
	char a[1024], b[1024];
	__u64 open;

	(void)state;
	for (size_t i = 0; i < all; i++) {
		const char *x = i < n ? forms[i].sql : more[i - n];

		for (size_t j = 0; j < i; j++) {
			const char *y = j < n ? forms[j].sql : more[j - n];

			if (scan(x, &open) != scan(y, &open) || sqlscan__open(open))
				continue;
			fingerprint__sql(a, sizeof(a), x, false);
			fingerprint__sql(b, sizeof(b), y, false);
			if (strcmp(a, b))
				print_error("one for the kernel: %s | %s\n", x, y);
			assert_string_equal(a, b);
		}
	}
}

/* Literals, case, comments and white space make no difference to the kernel side either. */
static void test_scan_folds(void **state)
{
	static const char *const same[] = {
		"select a from t where b = 5 and c = 'x'",
		"SELECT a FROM t WHERE b = 77123 and c = 'It is long'",
		"select  a\nfrom\tt where b = 5.25e10 and c = ''",
		"select a from t where b = $1 and c = $2",
	};
	__u64 end;

	(void)state;
	for (size_t i = 1; i < sizeof(same) / sizeof(*same); i++)
		assert_true(scan(same[i], &end) == scan(same[0], &end));
	assert_true(scan("select b from t", &end) != scan("select a from t", &end));
	scan("select 'open", &end);
	assert_true(sqlscan__open(end));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),      cmocka_unit_test(test_stable),
		cmocka_unit_test(test_truncated),  cmocka_unit_test(test_room),
		cmocka_unit_test(test_fragments),  cmocka_unit_test(test_scan_never_merges),
		cmocka_unit_test(test_scan_folds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
