// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define ELLIPSIS "…"

/* Digits from @s on; *@end is behind the last. *@value is saturated, -ERANGE says so. */
static int parse_digits(const char *s, const char **end, uint64_t *value)
{
	int err = 0;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (*value = 0; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(*s - '0'), value)) {
			*value = UINT64_MAX;
			err = -ERANGE;
			break;
		}
	}
	*end = s + strspn(s, "0123456789");
	return err;
}

int str__to_u64(const char *s, uint64_t min, uint64_t max, uint64_t *value)
{
	const char *end;
	uint64_t v;
	int err;

	err = parse_digits(s, &end, &v);
	if (err == -EINVAL || *end != '\0')
		return -EINVAL;
	if (err || v < min || v > max)
		return -ERANGE;
	*value = v;
	return 0;
}

static bool contains(const uint32_t *values, size_t n, uint32_t v)
{
	for (size_t i = 0; i < n; i++) {
		if (values[i] == v)
			return true;
	}
	return false;
}

int str__to_u32_list(const char *s, uint32_t *values, size_t max)
{
	size_t n = 0;

	for (;; s++) {
		const char *end;
		uint64_t v;
		int err;

		err = parse_digits(s, &end, &v);
		if (err == -EINVAL || (*end != '\0' && *end != ','))
			return -EINVAL;
		if (err || v < 1 || v > UINT32_MAX)
			return -ERANGE;
		if (!contains(values, n, v)) {
			if (n == max)
				return -E2BIG;
			values[n++] = v;
		}
		s = end;
		if (*s == '\0')
			return n;
	}
}

bool str__copy(char *dst, size_t size, const char *src)
{
	size_t len = strlen(src);
	size_t n;

	if (size == 0)
		return false;
	n = len < size ? len : size - 1;
	memcpy(dst, src, n);
	dst[n] = '\0';
	return n == len;
}

bool str__append(char *dst, size_t size, size_t *len, const char *fmt, ...)
{
	va_list args;
	int n;

	if (*len >= size)
		return false;
	va_start(args, fmt);
	n = vsnprintf(dst + *len, size - *len, fmt, args);
	va_end(args);
	if (n < 0) {
		dst[*len] = '\0';
		return false;
	}
	if ((size_t)n >= size - *len) {
		*len = size - 1;
		return false;
	}
	*len += n;
	return true;
}

size_t str__decode(const char *s, uint32_t *code)
{
	static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *u = (const unsigned char *)s;
	size_t len;
	uint32_t c;

	if (u[0] < 0x80) {
		*code = u[0];
		return u[0] ? 1 : 0;
	}
	if (u[0] < 0xc2 || u[0] > 0xf4)
		return 0;
	len = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	c = u[0] & (0x7f >> len);
	/* the terminator is no continuation byte, so this never reads past it */
	for (size_t i = 1; i < len; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (u[i] & 0x3f);
	}
	if (c < lowest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*code = c;
	return len;
}

/* Controls, and the separators and direction overrides that reorder what a terminal shows. */
static bool is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* What is shown for the next character of a string. */
struct glyph {
	const char *text;
	size_t bytes;    /* of @text */
	size_t consumed; /* of the source */
	size_t columns;
};

static bool next_glyph(const char *s, struct glyph *g)
{
	size_t len;
	uint32_t c;
	int width;

	if (*s == '\0')
		return false;
	len = str__decode(s, &c);
	if (len == 0 || is_unsafe(c)) {
		*g = (struct glyph){"?", 1, len ? len : 1, 1};
		return true;
	}
	/* in the "C" locale wcwidth() knows nothing beyond ASCII */
	width = MB_CUR_MAX > 1 ? wcwidth(c) : 1;
	*g = (struct glyph){s, len, len, width < 0 ? 1 : width};
	return true;
}

/* Bytes and columns of @src as str__printable() shows it. */
static void measure(const char *src, size_t *bytes, size_t *columns)
{
	struct glyph g;

	*bytes = 0;
	*columns = 0;
	for (; next_glyph(src, &g); src += g.consumed) {
		*bytes += g.bytes;
		*columns += g.columns;
	}
}

/*
 * Copies from *@src what fits in @bytes and @columns and takes both off; all that it copied is
 * behind *@src then. The end of the copy.
 */
static char *copy_glyphs(char *dst, const char **src, size_t *bytes, size_t *columns)
{
	struct glyph g;

	for (; next_glyph(*src, &g); *src += g.consumed) {
		if (g.bytes > *bytes || g.columns > *columns)
			break;
		memcpy(dst, g.text, g.bytes);
		dst += g.bytes;
		*bytes -= g.bytes;
		*columns -= g.columns;
	}
	*dst = '\0';
	return dst;
}

/* The longest end of @src that fits in @bytes and @columns. */
static const char *fitting_end(const char *src, size_t bytes, size_t columns)
{
	size_t left_bytes, left_columns;
	struct glyph g;

	measure(src, &left_bytes, &left_columns);
	while (next_glyph(src, &g)) {
		/* a combining character without its base would join the ellipsis */
		if (left_bytes <= bytes && left_columns <= columns && g.columns > 0)
			break;
		left_bytes -= g.bytes;
		left_columns -= g.columns;
		src += g.consumed;
	}
	return src;
}

void str__printable(char *dst, size_t size, const char *src, size_t columns)
{
	const size_t mark = strlen(ELLIPSIS);
	size_t bytes, all_bytes, all_columns, head_bytes, head_columns;
	char *end;

	if (size == 0)
		return;
	bytes = size - 1;
	measure(src, &all_bytes, &all_columns);
	if (columns == 0 || columns > all_columns)
		columns = all_columns;
	if ((all_bytes <= bytes && all_columns <= columns) || bytes < mark) {
		copy_glyphs(dst, &src, &bytes, &columns);
		return;
	}
	/* all_columns may be 0: characters of no width that are too many for the buffer */
	bytes -= mark;
	columns -= columns > 0;
	head_bytes = bytes / 3;
	head_columns = columns / 3;
	bytes -= head_bytes;
	columns -= head_columns;
	end = copy_glyphs(dst, &src, &head_bytes, &head_columns);
	memcpy(end, ELLIPSIS, mark);
	end += mark;
	bytes += head_bytes;
	columns += head_columns;
	src = fitting_end(src, bytes, columns);
	copy_glyphs(end, &src, &bytes, &columns);
}

size_t str__columns(const char *s)
{
	size_t bytes, columns;

	measure(s, &bytes, &columns);
	return columns;
}

bool str__scaled(char *dst, size_t size, uint64_t v, uint64_t unit, const char *suffix)
{
	/* v * 100 may need more than 64 bits */
	const unsigned __int128 wide = v;
	unsigned int n;

	if (wide / unit >= 1000)
		return false;
	n = (wide * 100 + unit / 2) / unit;
	if (n < 1000) {
		snprintf(dst, size, "%u.%02u%s", n / 100, n % 100, suffix);
		return true;
	}
	n = (wide * 10 + unit / 2) / unit;
	if (n < 1000) {
		snprintf(dst, size, "%u.%u%s", n / 10, n % 10, suffix);
		return true;
	}
	n = (wide + unit / 2) / unit;
	if (n < 1000) {
		snprintf(dst, size, "%u%s", n, suffix);
		return true;
	}
	return false;
}

void str__bytes(char *dst, size_t size, uint64_t bytes)
{
	static const char *const suffix[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	uint64_t unit = 1024;

	if (bytes < unit) {
		snprintf(dst, size, "%uB", (unsigned int)bytes);
		return;
	}
	/* 2^64 are 16 EiB: the last unit always fits */
	for (size_t i = 0; !str__scaled(dst, size, bytes, unit, suffix[i]); i++)
		unit *= 1024;
}

void str__count(char *dst, size_t size, uint64_t n)
{
	char digits[32], text[48];
	size_t len = 0;
	int count;

	count = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	for (int i = 0; i < count; i++) {
		if (i > 0 && (count - i) % 3 == 0)
			text[len++] = ',';
		text[len++] = digits[i];
	}
	text[len] = '\0';
	str__copy(dst, size, text);
}
