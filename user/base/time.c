// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "base/time.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

#define DURATION_MAX_NS (1ULL << 62)

uint64_t time__now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts); /* can't fail with this clock */
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* The ns of a unit, 0 if there is no such unit. */
static uint64_t unit_ns(const char *name)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"", NSEC_PER_SEC},         {"ns", 1},           {"us", NSEC_PER_USEC},
		{"ms", NSEC_PER_MSEC},      {"s", NSEC_PER_SEC}, {"m", 60 * NSEC_PER_SEC},
		{"h", 3600 * NSEC_PER_SEC},
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strcmp(name, units[i].name))
			return units[i].ns;
	}
	return 0;
}

/* Saturates instead of overflowing: what is that long is out of range anyhow. */
static const char *parse_whole(const char *s, uint64_t *whole)
{
	for (*whole = 0; *s >= '0' && *s <= '9'; s++) {
		if (*whole > DURATION_MAX_NS / 10)
			*whole = DURATION_MAX_NS + 1;
		else
			*whole = *whole * 10 + (*s - '0');
	}
	return s;
}

/* *@num / *@den; digits beyond 10^-18 are below any unit's nanosecond. */
static const char *parse_fraction(const char *s, uint64_t *num, uint64_t *den)
{
	for (; *s >= '0' && *s <= '9'; s++) {
		if (*den < 1000000000000000000ULL) {
			*num = *num * 10 + (*s - '0');
			*den *= 10;
		}
	}
	return s;
}

int time__parse_duration(const char *s, uint64_t *ns)
{
	const char *digits;
	uint64_t whole, num = 0, den = 1, unit;
	unsigned __int128 total;

	digits = s;
	s = parse_whole(s, &whole);
	if (*s == '.') {
		digits = ++s;
		s = parse_fraction(s, &num, &den);
	}
	if (s == digits)
		return -EINVAL;
	unit = unit_ns(s);
	if (unit == 0)
		return -EINVAL;
	total = (unsigned __int128)whole * unit + (unsigned __int128)num * unit / den;
	if (total > DURATION_MAX_NS)
		return -ERANGE;
	*ns = total;
	return 0;
}

void time__format(char *dst, size_t size, uint64_t ns)
{
	uint64_t s, min;

	if (ns < NSEC_PER_USEC) {
		snprintf(dst, size, "%uns", (unsigned int)ns);
		return;
	}
	if (str__scaled(dst, size, ns, NSEC_PER_USEC, "us") ||
	    str__scaled(dst, size, ns, NSEC_PER_MSEC, "ms"))
		return;
	/* 99.95 s and more would round to four digits */
	if (ns < 99950 * NSEC_PER_MSEC) {
		str__scaled(dst, size, ns, NSEC_PER_SEC, "s");
		return;
	}
	s = ns / NSEC_PER_SEC + (ns % NSEC_PER_SEC >= NSEC_PER_SEC / 2);
	if (s < 3600) {
		snprintf(dst, size, "%um%02us", (unsigned int)(s / 60), (unsigned int)(s % 60));
		return;
	}
	s = ns / NSEC_PER_SEC;
	min = s / 60 + (s % 60 >= 30);
	snprintf(dst, size, "%lluh%02um", (unsigned long long)(min / 60), (unsigned int)(min % 60));
}

static uint64_t time__wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts); /* can't fail with this clock */
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t time__since_1970(void)
{
	return time__wall() - time__now();
}

void time__rfc3339_at(char *dst, size_t size, uint64_t ns)
{
	time_t seconds = (time_t)(ns / NSEC_PER_SEC);
	char date[32];
	struct tm tm;
	long east;

	localtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	east = labs(tm.tm_gmtoff) / 60;
	snprintf(dst, size, "%s.%03u%c%02ld:%02ld", date,
		 (unsigned int)(ns % NSEC_PER_SEC / NSEC_PER_MSEC), tm.tm_gmtoff < 0 ? '-' : '+',
		 east / 60, east % 60);
}

void time__rfc3339(char *dst, size_t size)
{
	time__rfc3339_at(dst, size, time__wall());
}
