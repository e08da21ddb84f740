/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A streaming JSON writer: no tree in memory. Misuse (a key outside an object, an unbalanced end,
 * depth beyond JSON_DEPTH) is a bug and asserts. Output errors stay in the FILE (ferror()).
 */
#ifndef DWELL_JSON_H
#define DWELL_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH 16

struct json {
	FILE *out;
	unsigned int depth;
	struct {
		bool object;     /* else an array */
		bool nonempty;   /* a comma goes before the next member */
		bool keyed;      /* a key was written, its value not yet */
	} level[JSON_DEPTH + 1]; /* level[0] is the document itself */
};

void json__init(struct json *j, FILE *out);
/* Asserts that everything was closed, and ends the line. */
void json__end(struct json *j);

void json__object_begin(struct json *j);
void json__object_end(struct json *j);
void json__array_begin(struct json *j);
void json__array_end(struct json *j);
void json__key(struct json *j, const char *key);

/* Invalid UTF-8 is replaced by U+FFFD a byte; control characters are escaped. NULL gives null. */
void json__str(struct json *j, const char *s);
void json__u64(struct json *j, uint64_t v);
void json__i64(struct json *j, int64_t v);
/* NaN and infinities give null. @digits after the point. */
void json__double(struct json *j, double v, int digits);
void json__bool(struct json *j, bool v);
void json__null(struct json *j);

/* Key and value in one call. */
void json__kv_str(struct json *j, const char *key, const char *s);
void json__kv_u64(struct json *j, const char *key, uint64_t v);
void json__kv_double(struct json *j, const char *key, double v, int digits);

#endif
