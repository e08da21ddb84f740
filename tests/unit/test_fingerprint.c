// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* CFLAGS: -Wno-missing-field-initializers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/fingerprint.h"
#include "query.h"

static const struct {
	const char *sql, *form;
	enum sql_dialect dialect;
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

	{"SELECT `a`, \"b\", 'it\\'s' FROM `My Table`", "select `a`, ?, ? from `My Table`",
	 SQL_MYSQL},
	{"select 1 # it's a comment\n, 2 -- and another\n from t", "select ?, ? from t", SQL_MYSQL},
	{"select 5--3", "select ? - ?", SQL_MYSQL},
	{"select @a, @@autocommit, @b := 5", "select @a, @@autocommit, @b := ?", SQL_MYSQL},
	{"select * from t where a=`b` and c=@d", "select * from t where a = `b` and c = @d",
	 SQL_MYSQL},
	{"select \"a\\\"b\", \"c\"\"d\", x'ff', n'x'", "select ?, ?, ?, ?", SQL_MYSQL},
	{"select /*! straight_join */ a from t /* x /* y */ where b=1",
	 "select a from t where b = ?", SQL_MYSQL},
	{"SELECT c FROM sbtest1 WHERE id BETWEEN 4980 AND 5079 ORDER BY c",
	 "select c from sbtest1 where id between ? and ? order by c", SQL_MYSQL},
	{"INSERT INTO sbtest1 (id, k, c, pad) VALUES (5018, 4990, 'a-b', 'c')",
	 "insert into sbtest1(id, k, c, pad) values (?+)", SQL_MYSQL},

	{"select a from t where b=?1 and c=:name and d=@x and e=$y and f=?",
	 "select a from t where b = ? and c = ? and d = ? and e = ? and f = ?", SQL_SQLITE},
	{"select [a b], \"c\", `d` from [My Table] where x='it''s' and y=x'ff'",
	 "select [a b], \"c\", `d` from [My Table] where x = ? and y = ?", SQL_SQLITE},
	{"select a /* x /* y */ from t -- z", "select a from t", SQL_SQLITE},
	{"insert into t values(?1,?2),(?3,?4)", "insert into t values (?+)", SQL_SQLITE},
	{"select * from t where a->>'$.x' = :v", "select * from t where a ->> ? = ?", SQL_SQLITE},
	{"pragma journal_mode=wal", "pragma journal_mode = wal", SQL_SQLITE},
};

static void test_forms(void **state)
{
	char form[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		fingerprint__sql(forms[i].dialect, form, sizeof(form), forms[i].sql, false);
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
		fingerprint__sql(forms[i].dialect, form, sizeof(form), forms[i].sql, false);
		fingerprint__sql(forms[i].dialect, again, sizeof(again), form, false);
		assert_string_equal(again, form);
	}
}

static void test_truncated(void **state)
{
	char form[64];

	(void)state;
	/* what is cut may be part of a literal: it is not shown */
	fingerprint__sql(SQL_POSTGRESQL, form, sizeof(form), "select a from t where b = 'secr",
			 true);
	assert_string_equal(form, "select a from t where b =…");
	fingerprint__sql(SQL_POSTGRESQL, form, sizeof(form), "select a from t where b = 12", true);
	assert_string_equal(form, "select a from t where b =…");
	fingerprint__sql(SQL_POSTGRESQL, form, sizeof(form), "select a from tab", true);
	assert_string_equal(form, "select a from…");
}

/* Whatever the room, it is terminated, and never cut inside a token. */
static void test_room(void **state)
{
	char form[64];

	(void)state;
	for (size_t size = 4; size < sizeof(form); size++) {
		memset(form, '#', sizeof(form));
		fingerprint__sql(SQL_POSTGRESQL, form, size, "select abc from def where x = 'y'",
				 false);
		assert_true(strlen(form) < size);
		assert_null(strchr(form, '\''));
	}
	fingerprint__sql(SQL_POSTGRESQL, form, 16, "select abcdefghijkl", false);
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
			fingerprint__sql(forms[i].dialect, form, sizeof(form), sql, false);
			assert_true(strlen(form) <= 2 * cut + 1);
			fingerprint__sql(forms[i].dialect, form, sizeof(form), forms[i].sql + cut,
					 true);
		}
	}
}

static __u64 scan(enum sql_dialect dialect, const char *sql, __u64 *end)
{
	static struct sqlscan tables[NR_DIALECTS];
	const struct sqlscan *table = &tables[dialect];
	__u64 hash = SQLSCAN_SEED, state = SS_PLAIN;

	fingerprint__scan_table(dialect, &tables[dialect]);
	for (; *sql; sql++)
		hash = sqlscan__step(table, &state, hash, (uint8_t)*sql);
	*end = state;
	return sqlscan__finish(state, hash);
}

static const char *const hard[] = {
	"select 1e-5",     "select 1-5",    "select 1 - 5",       "select a-5",     "select a - -5",
	"select 'a-5'",    "select a/5",    "select a/*5*/",      "select a--5",    "select $1",
	"select $a",       "select e'a'",   "select e 'a'",       "select ea",      "select \"A\"",
	"select \"a\"",    "select a",      "select 1.5",         "select 1 .5",    "select a.5",
	"select -$1",      "select 5-",     "select a, -/*x*/5",  "select /5",      "select 'a''b'",
	"select 'a' 'b'",  "select -'a'",   "select -a",          "select - -a",    "select 5e5e5",
	"select `A`",      "select `a`",    "select a#5",         "select a#b",     "select a -- b",
	"select 'a\\' b'", "select 'a\\'",  "select \"a\\\" b\"", "select \"a\\\"", "select [a]",
	"select a--b",     "select a--\nb", "select :a",          "select @a",      "select ?1",
};

/* What the kernel side takes for one statement has one normal form, in each dialect. */
static void never_merges(enum sql_dialect dialect)
{
	const size_t n = sizeof(forms) / sizeof(*forms), all = n + sizeof(hard) / sizeof(*hard);
	char a[1024], b[1024];
	__u64 open;

	for (size_t i = 0; i < all; i++) {
		const char *x = i < n ? forms[i].sql : hard[i - n];

		for (size_t j = 0; j < i; j++) {
			const char *y = j < n ? forms[j].sql : hard[j - n];
			__u64 hash = scan(dialect, x, &open);

			if (sqlscan__open(open) || hash != scan(dialect, y, &open) ||
			    sqlscan__open(open))
				continue;
			fingerprint__sql(dialect, a, sizeof(a), x, false);
			fingerprint__sql(dialect, b, sizeof(b), y, false);
			if (strcmp(a, b))
				print_error("one for the kernel (%d): %s | %s\n", dialect, x, y);
			assert_string_equal(a, b);
		}
	}
}

static void test_scan_never_merges(void **state)
{
	(void)state;
	for (int dialect = 0; dialect < NR_DIALECTS; dialect++)
		never_merges((enum sql_dialect)dialect);
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
		assert_true(scan(SQL_POSTGRESQL, same[i], &end) ==
			    scan(SQL_POSTGRESQL, same[0], &end));
	assert_true(scan(SQL_POSTGRESQL, "select b from t", &end) !=
		    scan(SQL_POSTGRESQL, "select a from t", &end));
	scan(SQL_POSTGRESQL, "select 'open", &end);
	assert_true(sqlscan__open(end));
}

static void test_commands(void **state)
{
	static const struct {
		const char *word[3];
		unsigned int argc;
		const char *form, *literal;
	} commands[] = {
		{{"get", "a-key"}, 2, "GET ?", "GET a-key"},
		{{"SeT", "a", "b"}, 3, "SET ? ?", "SET a b"},
		{{"PING"}, 1, "PING", "PING"},
		{{"mset", "a", "1"}, 5, "MSET ?+", "MSET a 1  "},
		{{"config", "get", "x"}, 3, "CONFIG GET ?", "CONFIG GET x"},
		{{"config"}, 1, "CONFIG", "CONFIG"},
		{{"configure", "get", "x"}, 3, "CONFIGURE ? ?", "CONFIGURE get x"},
		{{"xinfo", "stream", "k"}, 9, "XINFO STREAM ?+", "XINFO STREAM k      …"},
		{{"", "a"}, 2, " ?", " a"},
	};
	char text[REDIS_CELLS * REDIS_CELL], form[256];

	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		memset(text, 0, sizeof(text));
		for (size_t w = 0; w < 3 && commands[i].word[w]; w++)
			snprintf(text + w * REDIS_CELL, REDIS_CELL, "%s", commands[i].word[w]);
		fingerprint__command(form, sizeof(form), text, commands[i].argc, false);
		assert_string_equal(form, commands[i].form);
		fingerprint__command(form, sizeof(form), text, commands[i].argc, true);
		assert_string_equal(form, commands[i].literal);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),      cmocka_unit_test(test_stable),
		cmocka_unit_test(test_truncated),  cmocka_unit_test(test_room),
		cmocka_unit_test(test_fragments),  cmocka_unit_test(test_scan_never_merges),
		cmocka_unit_test(test_scan_folds), cmocka_unit_test(test_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
