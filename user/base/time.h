/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Times and durations; everything is in nanoseconds. (Included as "base/time.h", never <time.h>.)
 */
#ifndef DWELL_BASE_TIME_H
#define DWELL_BASE_TIME_H

#include <stddef.h>
#include <stdint.h>

#define NSEC_PER_USEC 1000ULL
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_SEC  1000000000ULL

/* CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns(). */
uint64_t time__now(void);

/*
 * "5", "2.5s", "100ms", "20us", "500ns", "3m", "1h": a bare number is seconds. Non-negative.
 * 0; -EINVAL if it is not a duration; -ERANGE beyond 2^62 ns.
 */
int time__parse_duration(const char *s, uint64_t *ns);

/* "0ns", "873ns", "1.24ms", "12.4s", "4m32s", "3h05m": three significant digits up to 100 s. */
void time__format(char *dst, size_t size, uint64_t ns);

/* What is added to time__now() for nanoseconds since 1970, as CLOCK_REALTIME stands now. */
uint64_t time__since_1970(void);

/* @ns since 1970 as RFC 3339 with milliseconds and zone, as below. */
void time__rfc3339_at(char *dst, size_t size, uint64_t ns);

/* CLOCK_REALTIME as RFC 3339 with milliseconds and zone: "2025-03-01T12:00:00.123+01:00". */
void time__rfc3339(char *dst, size_t size);

#endif
