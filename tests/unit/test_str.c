// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void to_u64(void **state)
{
	static const struct {
		const char *s;
		uint64_t min, max;
		int err;
		uint64_t value;
	} cases[] = {
		{"0", 0, UINT64_MAX, 0, 0},
		{"7", 7, 7, 0, 7},
		{"007", 0, 10, 0, 7},
		{"18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", 0, UINT64_MAX, -ERANGE, 0},
		{"18446744073709551620", 0, UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999", 0, UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999x", 0, UINT64_MAX, -EINVAL, 0},
		{"6", 7, 9, -ERANGE, 0},
		{"10", 7, 9, -ERANGE, 0},
		{"", 0, 9, -EINVAL, 0},
		{" 1", 0, 9, -EINVAL, 0},
		{"1 ", 0, 9, -EINVAL, 0},
		{"+1", 0, 9, -EINVAL, 0},
		{"-1", 0, UINT64_MAX, -EINVAL, 0},
		{"0x1", 0, 9, -EINVAL, 0},
		{"1.0", 0, 9, -EINVAL, 0},
		{"1e3", 0, 9999, -EINVAL, 0},
		{"x", 0, 9, -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t v = 4711;

		assert_int_equal(str__to_u64(cases[i].s, cases[i].min, cases[i].max, &v),
				 cases[i].err);
		assert_int_equal(v, cases[i].err ? 4711 : cases[i].value);
	}
}

static void to_u32_list(void **state)
{
	static const struct {
		const char *s;
		int n;
		uint32_t values[3];
	} cases[] = {
		{"1", 1, {1}},
		{"3,2,1", 3, {3, 2, 1}},
		{"5,5,6,5", 2, {5, 6}},
		{"1,2,3,1,2,3", 3, {1, 2, 3}},
		{"4294967295", 1, {UINT32_MAX}},
		{"1,2,3,4", -E2BIG, {0}},
		{"0", -ERANGE, {0}},
		{"4294967296", -ERANGE, {0}},
		{"18446744073709551617", -ERANGE, {0}},
		{"", -EINVAL, {0}},
		{",", -EINVAL, {0}},
		{"1,", -EINVAL, {0}},
		{",1", -EINVAL, {0}},
		{"1,,2", -EINVAL, {0}},
		{"1 ,2", -EINVAL, {0}},
		{"1, 2", -EINVAL, {0}},
		{"1;2", -EINVAL, {0}},
		{"-1", -EINVAL, {0}},
		{"all", -EINVAL, {0}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t values[3] = {0};

		assert_int_equal(str__to_u32_list(cases[i].s, values, 3), cases[i].n);
		if (cases[i].n > 0)
			assert_memory_equal(values, cases[i].values, sizeof(values));
	}
}

static void copy(void **state)
{
	char buf[5];

	(void)state;
	memset(buf, '#', sizeof(buf));
	assert_true(str__copy(buf, 4, "abc"));
	assert_string_equal(buf, "abc");
	assert_int_equal(buf[4], '#');
	assert_false(str__copy(buf, 4, "abcd"));
	assert_string_equal(buf, "abc");
	assert_int_equal(buf[4], '#');
	assert_true(str__copy(buf, 1, ""));
	assert_string_equal(buf, "");
	assert_false(str__copy(buf, 1, "a"));
	assert_string_equal(buf, "");
	buf[0] = '#';
	assert_false(str__copy(buf, 0, ""));
	assert_int_equal(buf[0], '#');
}

static void append(void **state)
{
	char buf[9];
	size_t len = 0;

	(void)state;
	memset(buf, '#', sizeof(buf));
	assert_true(str__append(buf, 8, &len, "%s", "abc"));
	assert_int_equal(len, 3);
	assert_true(str__append(buf, 8, &len, "%d", 1234));
	assert_int_equal(len, 7);
	assert_string_equal(buf, "abc1234");
	assert_true(str__append(buf, 8, &len, "%s", ""));
	assert_false(str__append(buf, 8, &len, "x"));
	assert_int_equal(len, 7);
	assert_string_equal(buf, "abc1234");
	assert_int_equal(buf[8], '#');

	len = 5;
	assert_false(str__append(buf, 8, &len, "%s", "xyz"));
	assert_int_equal(len, 7);
	assert_string_equal(buf, "abc12xy");

	len = 8; /* beyond the end already */
	assert_false(str__append(buf, 8, &len, "x"));
	assert_int_equal(len, 8);
	assert_int_equal(buf[8], '#');
	len = 0;
	assert_false(str__append(buf, 0, &len, "x"));
}

static void decode(void **state)
{
	static const struct {
		const char *s;
		size_t len;
		uint32_t code;
	} cases[] = {
		{"", 0, 0},
		{"a", 1, 'a'},
		{"\x7f", 1, 0x7f},
		{"\xc2\x80", 2, 0x80},
		{"\xdf\xbf", 2, 0x7ff},
		{"\xe0\xa0\x80", 3, 0x800},
		{"\xed\x9f\xbf", 3, 0xd7ff},
		{"\xee\x80\x80", 3, 0xe000},
		{"\xef\xbf\xbf", 3, 0xffff},
		{"\xf0\x90\x80\x80", 4, 0x10000},
		{"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
		/* not UTF-8 */
		{"\x80", 0, 0},
		{"\xbf", 0, 0},
		{"\xc0\x80", 0, 0},         /* overlong */
		{"\xc1\xbf", 0, 0},         /* overlong */
		{"\xe0\x9f\xbf", 0, 0},     /* overlong */
		{"\xf0\x8f\xbf\xbf", 0, 0}, /* overlong */
		{"\xed\xa0\x80", 0, 0},     /* surrogate */
		{"\xed\xbf\xbf", 0, 0},     /* surrogate */
		{"\xf4\x90\x80\x80", 0, 0}, /* beyond U+10FFFF */
		{"\xf5\x80\x80\x80", 0, 0},
		{"\xff", 0, 0},
		/* cut off */
		{"\xc3", 0, 0},
		{"\xe2\x82", 0, 0},
		{"\xf0\x9f\x98", 0, 0},
		{"\xe2"
		 "a",
		 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* in its own allocation, so that a read past the terminator is caught */
		char *s = strdup(cases[i].s);
		uint32_t code = 0;

		assert_int_equal(str__decode(s, &code), cases[i].len);
		if (cases[i].len)
			assert_int_equal(code, cases[i].code);
		free(s);
	}
}

static void printable(void **state)
{
	static const struct {
		const char *src;
		size_t size, columns;
		const char *shown;
	} cases[] = {
		{"plain", 64, 0, "plain"},
		{"", 64, 0, ""},
		{"", 64, 5, ""},
		{"a\tb\nc\x1b[2Jd\x7f", 64, 0, "a?b?c?[2Jd?"},
		{"\xc2\x9b"
		 "31m",
		 64, 0, "?31m"},                  /* C1: CSI */
		{"x\xe2\x80\xaey", 64, 0, "x?y"}, /* right-to-left override */
		{"x\xe2\x81\xa6y", 64, 0, "x?y"}, /* isolate */
		{"\xff\xfe", 64, 0, "??"},
		{"\xe2\x82", 64, 0, "??"},
		{"\xed\xa0\x80", 64, 0, "???"},
		{"ä€😀", 64, 0, "ä€😀"},
		/* columns */
		{"0123456789", 64, 11, "0123456789"},
		{"0123456789", 64, 10, "0123456789"},
		{"0123456789", 64, 9, "01…456789"},
		{"0123456789", 64, 4, "0…89"},
		{"0123456789", 64, 3, "…89"},
		{"0123456789", 64, 2, "…9"},
		{"0123456789", 64, 1, "…"},
		{"/very/long/path/to/some/file", 64, 16, "/very…/some/file"},
		{"日本語日本語", 64, 12, "日本語日本語"},
		{"日本語日本語", 64, 11, "日…語日本語"},
		{"日本語", 64, 4, "…語"},
		{"日本語", 64, 3, "…語"},
		{"日本語", 64, 2, "…"},
		{"ab\xcc\x81"
		 "cd",
		 64, 4,
		 "ab\xcc\x81"
		 "cd"}, /* a combining accent has no width */
		{"ab\xcc\x81"
		 "cd",
		 64, 3, "…cd"},
		{"ab\xcc\x81"
		 "c",
		 64, 2, "…c"},
		/* bytes */
		{"0123456789", 11, 0, "0123456789"},
		{"0123456789", 10, 0, "01…6789"},
		{"0123456789", 5, 0, "…9"},
		{"0123456789", 4, 0, "…"},
		{"0123456789", 3, 0, "01"},
		{"0123456789", 1, 0, ""},
		{"äöü", 7, 0, "äöü"},
		{"äöü", 6, 0, "…ü"},
		{"äöü", 3, 0, "ä"},
		{"äöü", 2, 0, ""},
		{"\xcc\x81\xcc\x81\xcc\x81", 6, 0, "…"}, /* no columns, too many bytes */
		{"0123456789", 8, 5, "0…789"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[65];

		memset(buf, '#', sizeof(buf));
		str__printable(buf, cases[i].size, cases[i].src, cases[i].columns);
		assert_string_equal(buf, cases[i].shown);
		assert_int_equal(buf[cases[i].size], '#');
	}
}

static void printable_size_zero(void **state)
{
	char c = '#';

	(void)state;
	str__printable(&c, 0, "abc", 0);
	assert_int_equal(c, '#');
}

/* Any bytes, any limits: within both, terminated, valid UTF-8 without controls. */
static void printable_fuzz(void **state)
{
	static const char *const pieces[] = {
		"a", "\x1b", "\xff", "ä", "\xe2\x82", "日", "\xcc\x81", "😀", "\xe2\x80\xae", "/"};
	uint32_t seed = 12345;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		char src[64] = "", *dst;
		size_t len = 0, size, columns;

		for (int n = (seed >> 8) % 12; n > 0; n--) {
			seed = seed * 1664525 + 1013904223;
			str__append(src, sizeof(src), &len, "%s",
				    pieces[(seed >> 16) % ARRAY_SIZE(pieces)]);
		}
		seed = seed * 1664525 + 1013904223;
		size = 1 + (seed >> 16) % 40;
		seed = seed * 1664525 + 1013904223;
		columns = (seed >> 16) % 14;
		dst = malloc(size);
		str__printable(dst, size, src, columns);
		assert_true(strlen(dst) < size);
		if (columns)
			assert_true(str__columns(dst) <= columns ||
				    (str__columns(src) == 0 && columns == 1));
		for (const char *s = dst; *s;) {
			uint32_t code;
			size_t n = str__decode(s, &code);

			assert_true(n > 0 && code >= 0x20 && code != 0x202e);
			s += n;
		}
		free(dst);
	}
}

static void columns(void **state)
{
	static const struct {
		const char *s;
		size_t columns, in_c_locale;
	} cases[] = {
		{"", 0, 0},         {"abc", 3, 3},      {"äöü", 3, 3},
		{"日本", 4, 2},     {"😀", 2, 1},        {"e\xcc\x81", 1, 2},
		{"\xff\xfe", 2, 2}, {"a\nb", 3, 3},     {"a\xe2\x80\xae", 2, 2},
		{"█▏", 2, 2},       {"\xcd\xb8", 1, 1}, /* U+0378 is not assigned */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(str__columns(cases[i].s), cases[i].columns);
	assert_non_null(setlocale(LC_CTYPE, "C"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(str__columns(cases[i].s), cases[i].in_c_locale);
	assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
}

static void scaled(void **state)
{
	static const struct {
		uint64_t v, unit;
		const char *text; /* NULL: a larger unit is due */
	} cases[] = {
		{0, 1, "0.00x"},
		{1, 1, "1.00x"},
		{1004999, 1000000, "1.00x"},
		{1005000, 1000000, "1.01x"}, /* half goes up */
		{9994999, 1000000, "9.99x"},
		{9995000, 1000000, "10.0x"},
		{99949999, 1000000, "99.9x"},
		{99950000, 1000000, "100x"},
		{999499999, 1000000, "999x"},
		{999500000, 1000000, NULL},
		{UINT64_MAX, 1, NULL},
		{UINT64_MAX, 1ULL << 60, "16.0x"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[16] = "same";

		assert_int_equal(str__scaled(buf, sizeof(buf), cases[i].v, cases[i].unit, "x"),
				 cases[i].text != NULL);
		assert_string_equal(buf, cases[i].text ? cases[i].text : "same");
	}
}

static void bytes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{0, "0B"},
		{1, "1B"},
		{1023, "1023B"},
		{1024, "1.00KiB"},
		{1536 * 1024, "1.50MiB"},
		{10 * 1024, "10.0KiB"},
		{999 * 1024, "999KiB"},
		{1000 * 1024, "0.98MiB"},
		{1023 * 1024, "1.00MiB"},
		{1024 * 1024 - 1, "1.00MiB"},
		{1ULL << 30, "1.00GiB"},
		{1ULL << 40, "1.00TiB"},
		{1ULL << 50, "1.00PiB"},
		{1ULL << 60, "1.00EiB"},
		{UINT64_MAX, "16.0EiB"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[16];

		str__bytes(buf, sizeof(buf), cases[i].bytes);
		assert_string_equal(buf, cases[i].text);
	}
}

static void count(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} cases[] = {
		{0, "0"},
		{7, "7"},
		{999, "999"},
		{1000, "1,000"},
		{41203, "41,203"},
		{123456, "123,456"},
		{1000000, "1,000,000"},
		{UINT64_MAX, "18,446,744,073,709,551,615"},
	};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		str__count(buf, sizeof(buf), cases[i].n);
		assert_string_equal(buf, cases[i].text);
	}
	str__count(buf, 4, 41203);
	assert_string_equal(buf, "41,");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_u64),         cmocka_unit_test(to_u32_list),
		cmocka_unit_test(copy),           cmocka_unit_test(append),
		cmocka_unit_test(decode),         cmocka_unit_test(printable),
		cmocka_unit_test(printable_fuzz), cmocka_unit_test(printable_size_zero),
		cmocka_unit_test(columns),        cmocka_unit_test(scaled),
		cmocka_unit_test(bytes),          cmocka_unit_test(count),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
