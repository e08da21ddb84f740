/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Typed columns: a command describes its rows once, and every output format is rendered from that.
 * A row is a plain struct; a column says at which offset what lies.
 */
#ifndef DWELL_TABLE_H
#define DWELL_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../../include/hist.h"
#include "base/json.h"

enum column_type {
	COL_STR,   /* const char *; NULL is "-" in text and null in JSON */
	COL_CHARS, /* char[], terminated, in the row itself */
	COL_U32,   /* uint32_t */
	COL_U64,   /* uint64_t, a plain number (an id) */
	COL_MAYBE, /* uint64_t; TABLE_UNKNOWN is "-" in text and null in JSON */
	COL_COUNT, /* uint64_t, "41,203" in text */
	COL_NS,    /* uint64_t, scaled in text, ns in JSON */
	COL_BYTES, /* uint64_t, scaled in text */
	COL_HEX,   /* uint64_t, 0x… in text and a string in JSON; TABLE_UNKNOWN as COL_MAYBE */
	COL_SHARE, /* double, a part of 1: "94 %" in text, 0.94 in JSON */
	COL_HIST, /* struct hist *: p50, p95, p99, max in text; p50_ns … max_ns and "hist" in JSON
		   */
	COL_STATES, /* uint64_t[NR_STATES] in the row, ns: an object of the non-zero ones, JSON only
		     */
	COL_LIST,   /* struct table_list: an array of objects by @sub, JSON only */
	COL_OBJECT, /* a row of @sub in the row itself: an object, JSON only */
	COL_COUNTS, /* struct table_list of struct table_count: an object of numbers, JSON only;
		     * null if its n is TABLE_UNKNOWN
		     */
	COL_STRV,   /* const char **, NULL-terminated (or NULL): an array of strings, JSON only */
};

/* What is not known, in COL_MAYBE, _COUNT, _BYTES, _NS and _HEX: "-" in text, null in JSON. */
#define TABLE_UNKNOWN UINT64_MAX

struct column {
	const char *name; /* heading in text; NULL: JSON only */
	const char *key;  /* in JSON, and the name for --sort; NULL: text only */
	enum column_type type;
	size_t offset;
	unsigned int max_columns; /* text of COL_STR, COL_CHARS is cut to it; 0: what is left */
	const struct column *sub; /* COL_LIST, COL_OBJECT */
	size_t sub_size;          /* COL_LIST: sizeof one item */
	unsigned int only;        /* table__select(): bits of the caller's; 0: always */
};

#define TABLE_COLUMNS_MAX 48 /* text columns, COL_HIST counts four; more is a bug and asserts */
#define TABLE_STR_MIN     8  /* display columns */

struct table_list {
	const void *items;
	size_t n;
};

struct table_count {
	const char *key;
	uint64_t n;
};

/* Columns end with an all-zero element. */
#define COLUMN_END                                                                                 \
	{                                                                                          \
		0                                                                                  \
	}

/*
 * Text: a heading and a line per row, numbers flush right, strings flush left, two blanks between.
 * The last string column takes what is left of @width display columns (0: no limit), but at least
 * TABLE_STR_MIN. COL_HIST gives the four columns P50, P95, P99 and MAX. What rows hold is made safe
 * for a terminal as in str__printable().
 */
void table__print(FILE *out, const struct column *cols, const void *rows, size_t n, size_t row_size,
		  unsigned int width);

/*
 * Copies those columns that are for @bit (a power of two), and the end: at most @max of both; more
 * is a bug and asserts.
 */
void table__select(struct column *dst, size_t max, const struct column *cols, unsigned int bit);

/* A JSON array with an object per row. */
void table__json(struct json *j, const struct column *cols, const void *rows, size_t n,
		 size_t row_size);

/* The object of one row by itself. */
void table__json_row(struct json *j, const struct column *cols, const void *row);

/* The states object by itself, as COL_STATES does it. */
void table__states_json(struct json *j, const uint64_t *states);

/*
 * The column that --sort names (its key, with or without "_ns"), or NULL. Types that have no order
 * (COL_STATES, COL_LIST, COL_STRV, COL_SHARE) are not found.
 */
const struct column *table__find(const struct column *cols, const char *key);

/* For topn__sort(): @arg is the column; descending for numbers and histograms (by sum), ascending
 * for strings; NULL goes last.
 */
int table__compare(const void *a, const void *b, const void *arg);

#endif
