// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/str.h"
#include "base/table.h"
#include "base/topn.h"
#include "state.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct item {
	const char *name;
	uint64_t ns;
};

struct row {
	char comm[16];
	const char *path;
	uint32_t pid;
	uint64_t id, count, total, bytes, addr;
	const struct hist *hist;
	uint64_t states[NR_STATES];
	struct table_list items;
	const char *const *frames;
};

static const struct column item_columns[] = {
	{"NAME", "name", COL_STR, .offset = offsetof(struct item, name)},
	{NULL, "total_ns", COL_NS, .offset = offsetof(struct item, ns)},
	COLUMN_END,
};

static const struct column columns[] = {
	{"PID", "pid", COL_U32, .offset = offsetof(struct row, pid)},
	{"COMM", "comm", COL_CHARS, .offset = offsetof(struct row, comm), .max_columns = 10},
	{"ID", "id", COL_U64, .offset = offsetof(struct row, id)},
	{"COUNT", "count", COL_COUNT, .offset = offsetof(struct row, count)},
	{"TOTAL", "total_ns", COL_NS, .offset = offsetof(struct row, total)},
	{"BYTES", "bytes", COL_BYTES, .offset = offsetof(struct row, bytes)},
	{"ADDR", "addr", COL_HEX, .offset = offsetof(struct row, addr)},
	{"HIST", "hist", COL_HIST, .offset = offsetof(struct row, hist)},
	{"STATES", "states", COL_STATES, .offset = offsetof(struct row, states)},
	{"ITEMS", "items", COL_LIST, .offset = offsetof(struct row, items), .sub = item_columns,
	 .sub_size = sizeof(struct item)},
	{"STACK", "stack", COL_STRV, .offset = offsetof(struct row, frames)},
	{"ONLY TEXT", NULL, COL_U32, .offset = offsetof(struct row, pid)},
	{NULL, "only_json", COL_U32, .offset = offsetof(struct row, pid)},
	{"PATH", "path", COL_STR, .offset = offsetof(struct row, path)},
	COLUMN_END,
};

static const struct hist hist = {
	.sum = 3000000000, .max = 1000000000, .zero = 1, .bucket = {[-HIST_BASE] = 3}};
static const struct item items[] = {{"a\"b", 5}, {NULL, TABLE_UNKNOWN}};
static const char *const frames[] = {"main", "start\n", NULL};

static const struct row rows[] = {
	{
		.comm = "short",
		.path = "/var/lib/data",
		.pid = 1,
		.id = 18446744073709551615ULL,
		.count = 41203,
		.total = 1240000,
		.bytes = 1536 * 1024,
		.addr = 0x7ffe00ff,
		.hist = &hist,
		.states = {[STATE_NONE] = 99, [STATE_CPU] = 7, [STATE_OTHER] = 8},
		.items = {items, 2},
		.frames = frames,
	},
	{.comm = "much too\tlong"},
};

static char *printed(const struct column *cols, const void *data, size_t n, size_t size,
		     unsigned int width)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	table__print(out, cols, data, n, size, width);
	assert_int_equal(fclose(out), 0);
	return text;
}

static char *json_text(const struct column *cols, const void *data, size_t n, size_t size)
{
	struct json j;
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	json__init(&j, out);
	table__json(&j, cols, data, n, size);
	json__end(&j);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void prints_all_types(void **state)
{
	char *text = printed(columns, rows, 2, sizeof(rows[0]), 0);

	(void)state;
	assert_string_equal(
		text, "PID  COMM                          ID   COUNT   TOTAL    BYTES        ADDR"
		      "    P50    P95    P99    MAX  ONLY TEXT  PATH\n"
		      "  1  short       18446744073709551615  41,203  1.24ms  1.50MiB  0x7ffe00ff"
		      "  1.00s  1.00s  1.00s  1.00s          1  /var/lib/data\n"
		      "  0  muc…o?long                     0       0     0ns       0B         0x0"
		      "      -      -      -      -          0  -\n");
	free(text);
}

static void tells_what_is_unknown(void **state)
{
	static const struct {
		uint64_t a, b;
	} pairs[] = {{7, 8}, {TABLE_UNKNOWN, TABLE_UNKNOWN}};
	static const struct column cols[] = {
		{"A", "a", COL_MAYBE, .offset = 0}, {"B", "b", COL_HEX, .offset = 8}, COLUMN_END};
	char *text = printed(cols, pairs, 2, sizeof(pairs[0]), 0);

	(void)state;
	assert_string_equal(text, "A    B\n7  0x8\n-    -\n");
	free(text);
	text = json_text(cols, pairs, 2, sizeof(pairs[0]));
	assert_string_equal(text, "[{\"a\":7,\"b\":\"0x8\"},{\"a\":null,\"b\":null}]\n");
	free(text);
}

static void prints_headings_without_rows(void **state)
{
	static const struct column none[] = {{NULL, "x", COL_U32, .offset = 0}, COLUMN_END};
	char *text = printed(item_columns, NULL, 0, sizeof(struct item), 80);

	(void)state;
	assert_string_equal(text, "NAME\n");
	free(text);
	/* nothing to show in text: no empty lines */
	text = printed(none, rows, 2, sizeof(rows[0]), 80);
	assert_string_equal(text, "");
	free(text);
}

struct pair {
	const char *a, *b;
	uint32_t n;
};

static void fits_the_width(void **state)
{
	static const struct column last[] = {
		{"A", "a", COL_STR, .offset = offsetof(struct pair, a)},
		{"N", "n", COL_U32, .offset = offsetof(struct pair, n)},
		{"PATH", "b", COL_STR, .offset = offsetof(struct pair, b)},
		COLUMN_END,
	};
	static const struct column middle[] = {
		{"PATH", "b", COL_STR, .offset = offsetof(struct pair, b)},
		{"N", "n", COL_U32, .offset = offsetof(struct pair, n)},
		COLUMN_END,
	};
	static const struct column limited[] = {
		{"PATH", "b", COL_STR, .offset = offsetof(struct pair, b), .max_columns = 5},
		{"N", "n", COL_U32, .offset = offsetof(struct pair, n)},
		COLUMN_END,
	};
	static const struct column long_name[] = {
		{"A LONG HEADING", "b", COL_STR, .offset = offsetof(struct pair, b)},
		COLUMN_END,
	};
	static const struct pair pairs[] = {{"x", "0123456789abcdef", 12}, {"yy", "日本語", 3}};
	static const struct {
		const struct column *cols;
		unsigned int width;
		const char *text;
	} cases[] = {
		{last, 24, "A    N  PATH\nx   12  0123456789abcdef\nyy   3  日本語\n"},
		{last, 23, "A    N  PATH\nx   12  0123…6789abcdef\nyy   3  日本語\n"},
		{last, 16, "A    N  PATH\nx   12  01…bcdef\nyy   3  日本語\n"},
		/* never below TABLE_STR_MIN */
		{last, 1, "A    N  PATH\nx   12  01…bcdef\nyy   3  日本語\n"},
		/* what other columns follow stays aligned */
		{middle, 14, "PATH         N\n012…abcdef  12\n日本語       3\n"},
		{middle, 12, "PATH       N\n01…bcdef  12\n日本語     3\n"},
		{limited, 80, "PATH    N\n0…def  12\n…本語   3\n"},
		{long_name, 1, "A LONG HEADING\n0123…789abcdef\n日本語\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = printed(cases[i].cols, pairs, 2, sizeof(pairs[0]), cases[i].width);

		assert_string_equal(text, cases[i].text);
		free(text);
	}
}

/* A path of any length and content neither overflows nor breaks the line. */
static void hostile_strings(void **state)
{
	const size_t len = 100000;
	char *path = malloc(len + 1), *text;
	struct pair pair = {.a = "x", .b = path};
	static const struct column cols[] = {
		{"B", "b", COL_STR, .offset = offsetof(struct pair, b)},
		{"N", "n", COL_U32, .offset = offsetof(struct pair, n)},
		COLUMN_END,
	};

	(void)state;
	assert_non_null(path);
	for (int fill = 1; fill < 256; fill++) {
		memset(path, fill, len);
		path[len] = '\0';
		text = printed(cols, &pair, 1, sizeof(pair), 60);
		assert_string_equal(strchr(text, '\0') - 4, "  0\n");
		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			assert_int_equal(str__columns(line), 60);
		free(text);
		text = printed(cols, &pair, 1, sizeof(pair), 0);
		assert_true(strlen(text) < 20000);
		free(text);
	}
	free(path);
}

static void json_of_all_types(void **state)
{
	char *text = json_text(columns, rows, 2, sizeof(rows[0]));
	json_t *root;

	(void)state;
	assert_string_equal(
		text,
		"[{\"pid\":1,\"comm\":\"short\",\"id\":18446744073709551615,\"count\":41203,"
		"\"total_ns\":1240000,\"bytes\":1572864,\"addr\":\"0x7ffe00ff\","
		"\"p50_ns\":1000000000,\"p95_ns\":1000000000,\"p99_ns\":1000000000,"
		"\"max_ns\":1000000000,\"hist\":{\"scale\":4,\"zero\":1,\"buckets\":[[0,3]]},"
		"\"states\":{\"cpu\":7,\"other\":8},"
		"\"items\":[{\"name\":\"a\\\"b\",\"total_ns\":5},"
		"{\"name\":null,\"total_ns\":null}],"
		"\"stack\":[\"main\",\"start\\n\"],\"only_json\":1,\"path\":\"/var/lib/data\"},"
		"{\"pid\":0,\"comm\":\"much too\\tlong\",\"id\":0,\"count\":0,\"total_ns\":0,"
		"\"bytes\":0,\"addr\":\"0x0\",\"p50_ns\":null,\"p95_ns\":null,\"p99_ns\":null,"
		"\"max_ns\":null,\"hist\":null,\"states\":{},\"items\":[],\"stack\":[],"
		"\"only_json\":0,\"path\":null}]\n");
	free(text);

	/* without the integer that is beyond jansson's range */
	text = json_text(columns, &rows[1], 1, sizeof(rows[0]));
	root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	json_decref(root);
	free(text);

	text = json_text(columns, NULL, 0, sizeof(rows[0]));
	assert_string_equal(text, "[]\n");
	free(text);
}

static void states_by_name(void **state)
{
	static const char *const keys[] = {"cpu",  "runq",  "preempt", "disk", "fs",
					   "lock", "sync",  "klock",   "net",  "pipe",
					   "poll", "sleep", "fault",   "stop", "other"};
	uint64_t states[NR_STATES];
	struct json j;
	char *text, want[512];
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	for (size_t i = 0; i < NR_STATES; i++)
		states[i] = i + 100;
	json__init(&j, out);
	table__states_json(&j, states);
	json__end(&j);
	fclose(out);
	len = 0;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		str__append(want, sizeof(want), &len, "%s\"%s\":%zu", i ? "," : "{", keys[i],
			    i + 101);
	str__append(want, sizeof(want), &len, "}\n");
	assert_string_equal(text, want);
	free(text);
}

static void finds(void **state)
{
	static const struct {
		const char *key, *found;
	} cases[] = {
		{"pid", "pid"},      {"total_ns", "total_ns"},   {"total", "total_ns"},
		{"hist", "hist"},    {"only_json", "only_json"}, {"path", "path"},
		{"tota", NULL},      {"total_", NULL},           {"total_n", NULL},
		{"total_nss", NULL}, {"pid_ns", NULL},           {"", NULL},
		{"PID", NULL},       {"states", NULL},           {"items", NULL},
		{"stack", NULL},     {"nonsense", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct column *col = table__find(columns, cases[i].key);

		assert_int_equal(col != NULL, cases[i].found != NULL);
		if (col)
			assert_string_equal(col->key, cases[i].found);
	}
}

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static void compares(void **state)
{
	static const struct hist small = {.sum = 1}, large = {.sum = UINT64_MAX};
	static const struct row low = {.comm = "a",
				       .path = "a",
				       .pid = 1,
				       .id = 1,
				       .count = 1,
				       .total = 1,
				       .bytes = 1,
				       .addr = 1,
				       .hist = &small};
	static const struct row high = {.comm = "b",
					.path = "b",
					.pid = UINT32_MAX,
					.id = UINT64_MAX,
					.count = TABLE_UNKNOWN - 1,
					.total = TABLE_UNKNOWN - 1,
					.bytes = TABLE_UNKNOWN - 1,
					.addr = TABLE_UNKNOWN - 1,
					.hist = &large};
	static const struct row none = {0};
	/* the sign of (low, high): numbers descend, strings ascend */
	static const struct {
		const char *key;
		int order;
	} cases[] = {
		{"pid", 1},  {"id", 1},   {"count", 1}, {"total", 1}, {"bytes", 1},
		{"addr", 1}, {"hist", 1}, {"comm", -1}, {"path", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct column *col = table__find(columns, cases[i].key);

		assert_non_null(col);
		assert_int_equal(sign(table__compare(&low, &high, col)), cases[i].order);
		assert_int_equal(sign(table__compare(&high, &low, col)), -cases[i].order);
		assert_int_equal(table__compare(&low, &low, col), 0);
	}
	/* what is not known goes last, too */
	for (int i = 0; i < 3; i++) {
		const struct column *col = table__find(columns, cases[2 + i].key);
		static const struct row unknown = {
			.count = TABLE_UNKNOWN, .total = TABLE_UNKNOWN, .bytes = TABLE_UNKNOWN};

		assert_int_equal(sign(table__compare(&unknown, &low, col)), 1);
		assert_int_equal(sign(table__compare(&high, &unknown, col)), -1);
		assert_int_equal(table__compare(&unknown, &unknown, col), 0);
	}
	/* what is not there goes last */
	for (int i = 0; i < 2; i++) {
		const struct column *col = table__find(columns, i ? "hist" : "path");

		assert_int_equal(sign(table__compare(&none, &low, col)), 1);
		assert_int_equal(sign(table__compare(&low, &none, col)), -1);
		assert_int_equal(table__compare(&none, &none, col), 0);
	}
}

static void sorts_with_topn(void **state)
{
	struct pair pairs[] = {{"c", NULL, 2}, {"a", NULL, 7}, {"b", NULL, 2}, {"d", NULL, 9}};
	static const struct column cols[] = {
		{"A", "a", COL_STR, .offset = offsetof(struct pair, a)},
		{"N", "n", COL_U32, .offset = offsetof(struct pair, n)},
		COLUMN_END,
	};
	char *text;

	(void)state;
	assert_int_equal(topn__sort(pairs, 4, sizeof(pairs[0]), 4, table__compare,
				    table__find(cols, "n")),
			 0);
	text = printed(cols, pairs, 4, sizeof(pairs[0]), 80);
	assert_string_equal(text, "A  N\nd  9\na  7\nc  2\nb  2\n");
	free(text);
}

static void counts_are_an_object(void **state)
{
	static const struct table_count counts[] = {{"EAGAIN", 3}, {"ENOENT", 1}};
	static const struct column cols[] = {{"E", "errors", COL_COUNTS, .offset = 0}, COLUMN_END};
	const struct table_list lists[] = {{counts, 2}, {NULL, 0}, {counts, TABLE_UNKNOWN}};
	size_t len;
	char *text;
	FILE *out = open_memstream(&text, &len);
	struct json j;

	(void)state;
	json__init(&j, out);
	table__json(&j, cols, lists, 3, sizeof(lists[0]));
	json__end(&j);
	fclose(out);
	assert_string_equal(text, "[{\"errors\":{\"EAGAIN\":3,\"ENOENT\":1}},{\"errors\":{}},"
				  "{\"errors\":null}]\n");
	free(text);
	assert_null(table__find(cols, "errors"));
}

static void objects_are_nested(void **state)
{
	static const struct column sub[] = {{NULL, "n", COL_U64, .offset = 0}, COLUMN_END};
	static const struct column cols[] = {
		{"Q", "queue", COL_OBJECT, .offset = 8, .sub = sub},
		COLUMN_END,
	};
	const uint64_t row[] = {1, 2};
	size_t len;
	char *text;
	FILE *out = open_memstream(&text, &len);
	struct json j;

	(void)state;
	json__init(&j, out);
	table__json(&j, cols, row, 1, sizeof(row));
	json__end(&j);
	fclose(out);
	assert_string_equal(text, "[{\"queue\":{\"n\":2}}]\n");
	free(text);
	assert_null(table__find(cols, "queue"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_all_types),
		cmocka_unit_test(tells_what_is_unknown),
		cmocka_unit_test(prints_headings_without_rows),
		cmocka_unit_test(fits_the_width),
		cmocka_unit_test(hostile_strings),
		cmocka_unit_test(json_of_all_types),
		cmocka_unit_test(states_by_name),
		cmocka_unit_test(counts_are_an_object),
		cmocka_unit_test(objects_are_nested),
		cmocka_unit_test(finds),
		cmocka_unit_test(compares),
		cmocka_unit_test(sorts_with_topn),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
