// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/time.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void parse_duration(void **state)
{
	static const struct {
		const char *s;
		int err;
		uint64_t ns;
	} cases[] = {
		{"5", 0, 5000000000},
		{"0", 0, 0},
		{"2.5s", 0, 2500000000},
		{"2.5", 0, 2500000000},
		{".5", 0, 500000000},
		{"100ms", 0, 100000000},
		{"20us", 0, 20000},
		{"500ns", 0, 500},
		{"3m", 0, 180000000000},
		{"1h", 0, 3600000000000},
		{"1.5h", 0, 5400000000000},
		{"0.000000001", 0, 1},
		{"0.9999999999", 0, 999999999}, /* below a ns is cut off */
		{"1.9ns", 0, 1},
		{"0.1us", 0, 100},
		{"0.333333333333333333333333333333s", 0, 333333333},
		{"4611686018427387904ns", 0, 1ULL << 62},
		{"4611686018427387905ns", -ERANGE, 0},
		{"4611686018", 0, 4611686018000000000},
		{"4611686019", -ERANGE, 0},
		{"1281023h", 0, 1281023 * 3600000000000ULL},
		{"1281024h", -ERANGE, 0},
		{"18446744073709551616ns", -ERANGE, 0}, /* 2^64 must not wrap to 0 */
		{"18446744073709551617ns", -ERANGE, 0},
		{"99999999999999999999999999999999999999999999999ns", -ERANGE, 0},
		{"99999999999999999999999999999999999999999999999x", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{".", -EINVAL, 0},
		{".s", -EINVAL, 0},
		{"5.", -EINVAL, 0},
		{"5.s", -EINVAL, 0},
		{"1.2.3", -EINVAL, 0},
		{"-5", -EINVAL, 0},
		{"+5", -EINVAL, 0},
		{" 5", -EINVAL, 0},
		{"5 ", -EINVAL, 0},
		{"5 s", -EINVAL, 0},
		{"5S", -EINVAL, 0},
		{"5sec", -EINVAL, 0},
		{"1m30s", -EINVAL, 0},
		{"1e3", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"inf", -EINVAL, 0},
		{"nan", -EINVAL, 0},
		{"abc", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ns = 4711;

		assert_int_equal(time__parse_duration(cases[i].s, &ns), cases[i].err);
		assert_int_equal(ns, cases[i].err ? 4711 : cases[i].ns);
	}
}

static void format(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{0, "0ns"},
		{1, "1ns"},
		{873, "873ns"},
		{999, "999ns"},
		{1000, "1.00us"},
		{1004, "1.00us"},
		{1005, "1.01us"},
		{9994, "9.99us"},
		{9995, "10.0us"},
		{99949, "99.9us"},
		{99950, "100us"},
		{999499, "999us"},
		{999500, "1.00ms"},
		{1240000, "1.24ms"},
		{999499999, "999ms"},
		{999500000, "1.00s"},
		{12400000000, "12.4s"},
		{99949999999, "99.9s"},
		{99950000000, "1m40s"},
		{100000000000, "1m40s"},
		{119499999999, "1m59s"},
		{119500000000, "2m00s"},
		{272000000000, "4m32s"},
		{3599499999999, "59m59s"},
		{3599500000000, "1h00m"},
		{3600000000000, "1h00m"},
		{3629999999999, "1h00m"},
		{3630000000000, "1h01m"},
		{11100000000000, "3h05m"},
		{7199000000000, "2h00m"},
		{1ULL << 62, "1281023h54m"},
		{UINT64_MAX, "5124095h35m"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[16];

		time__format(buf, sizeof(buf), cases[i].ns);
		assert_string_equal(buf, cases[i].text);
	}
}

static void now(void **state)
{
	struct timespec ts;
	uint64_t before = time__now(), after;

	(void)state;
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	after = time__now();
	assert_true(before <= ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec);
	assert_true(ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec <= after);
}

static void rfc3339(void **state)
{
	static const struct {
		const char *tz, *zone;
		long east; /* seconds */
	} cases[] = {
		{"UTC0", "+00:00", 0},         {"XYZ-1", "+01:00", 3600},
		{"XYZ-5:45", "+05:45", 20700}, {"XYZ3:30", "-03:30", -12600},
		{"XYZ0:30", "-00:30", -1800},  {"XYZ-14", "+14:00", 50400},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct timespec before, after;
		struct tm tm = {0};
		char buf[40];
		long long ms, got;
		const char *rest;

		setenv("TZ", cases[i].tz, 1);
		tzset();
		clock_gettime(CLOCK_REALTIME, &before);
		time__rfc3339(buf, sizeof(buf));
		clock_gettime(CLOCK_REALTIME, &after);

		assert_int_equal(strlen(buf), strlen("2025-03-01T12:00:00.123+01:00"));
		rest = strptime(buf, "%Y-%m-%dT%H:%M:%S", &tm);
		assert_non_null(rest);
		assert_int_equal(sscanf(rest, ".%3lld", &ms), 1);
		assert_string_equal(rest + 4, cases[i].zone);
		got = (timegm(&tm) - cases[i].east) * 1000LL + ms;
		assert_in_range(got, before.tv_sec * 1000LL + before.tv_nsec / 1000000,
				after.tv_sec * 1000LL + after.tv_nsec / 1000000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_duration),
		cmocka_unit_test(format),
		cmocka_unit_test(now),
		cmocka_unit_test(rfc3339),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
