/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Parsing and formatting of short strings. Nothing here prints; errors are -errno. */
#ifndef DWELL_STR_H
#define DWELL_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The whole of @s as a decimal number in [min, max].
 * 0; -EINVAL if @s is not a number (empty, sign, blanks, trailing text); -ERANGE if out of range.
 */
int str__to_u64(const char *s, uint64_t min, uint64_t max, uint64_t *value);

/*
 * "12,34,56" into @values (at most @max of them; each in [1, UINT32_MAX]), duplicates dropped.
 * The number of values (>= 1), -EINVAL, -ERANGE, or -E2BIG if there are more than @max.
 */
int str__to_u32_list(const char *s, uint32_t *values, size_t max);

/* Copies with truncation; always terminated. True if all of @src fitted. */
bool str__copy(char *dst, size_t size, const char *src);

/*
 * snprintf() that appends at *@len within @size, never past it; *@len stops at @size - 1.
 * True if it fitted.
 */
bool str__append(char *dst, size_t size, size_t *len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Copies @src (not necessarily valid UTF-8, may hold control characters: a command name or a path
 * is under the control of the watched process) so that it is safe on a terminal: control
 * characters, direction overrides and invalid bytes become "?". Cuts in the middle with "…" beyond
 * @columns display columns (0: no limit) or @size bytes; keeps more of the end, which is what tells
 * paths apart.
 */
void str__printable(char *dst, size_t size, const char *src, size_t columns);

/*
 * Display columns of a UTF-8 string as str__printable() shows it (by wcwidth in a multi-byte
 * locale, else one a character; what is invalid counts one a byte).
 */
size_t str__columns(const char *s);

/*
 * The length in bytes (1 to 4) of the UTF-8 sequence that @s begins with, and its code point; 0 at
 * the end of the string and for what is not valid UTF-8 (overlong forms and surrogates included).
 * Reads no further than the terminator.
 */
size_t str__decode(const char *s, uint32_t *code);

/*
 * "1.24" + @suffix: @v / @unit (> 0) with three significant digits, rounded half up. False, and
 * @dst untouched, if that would be 1000 or more: then a larger unit is due.
 */
bool str__scaled(char *dst, size_t size, uint64_t v, uint64_t unit, const char *suffix);

/* "1.50MiB": 1024-based, three significant digits from 1 KiB up. */
void str__bytes(char *dst, size_t size, uint64_t bytes);

/* "41,203" */
void str__count(char *dst, size_t size, uint64_t n);

#endif
