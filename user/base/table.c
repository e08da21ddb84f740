// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "base/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/hist.h"
#include "base/str.h"
#include "base/time.h"
#include "state.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CELL_MAX      8192 /* bytes; longer text is cut */
#define GAP           2    /* blanks between columns */

/* What COL_HIST shows: quantiles, the last one is the maximum. */
static const struct hist_part {
	const char *name, *key;
	double q;
} hist_parts[] = {
	{"P50", "p50_ns", 0.5},
	{"P95", "p95_ns", 0.95},
	{"P99", "p99_ns", 0.99},
	{"MAX", "max_ns", 1},
};

/* A column of the text form; a struct column gives none, one, or four of them. */
struct text_column {
	const struct column *col;
	const struct hist_part *part; /* of COL_HIST */
	const char *name;
	bool is_str;
	size_t limit; /* display columns, 0: none */
	size_t width;
};

struct text_table {
	struct text_column cols[TABLE_COLUMNS_MAX];
	unsigned int n;
};

static const char *field(const void *row, const struct column *col)
{
	return (const char *)row + col->offset;
}

static uint64_t u64_of(const void *row, const struct column *col)
{
	return *(const uint64_t *)field(row, col);
}

/* The number in a column that holds one. */
static uint64_t number_of(const void *row, const struct column *col)
{
	if (col->type == COL_U32)
		return *(const uint32_t *)field(row, col);
	return u64_of(row, col);
}

static bool is_unknown(const void *row, const struct column *col)
{
	return (col->type == COL_COUNT || col->type == COL_BYTES || col->type == COL_NS ||
		col->type == COL_MAYBE || col->type == COL_HEX) &&
	       u64_of(row, col) == TABLE_UNKNOWN;
}

static const char *string_of(const void *row, const struct column *col)
{
	if (col->type == COL_CHARS)
		return field(row, col);
	return *(const char *const *)field(row, col);
}

static double share_of(const void *row, const struct column *col)
{
	return *(const double *)field(row, col);
}

static const struct hist *hist_of(const void *row, const struct column *col)
{
	return *(const struct hist *const *)field(row, col);
}

static bool is_str(const struct column *col)
{
	return col->type == COL_STR || col->type == COL_CHARS;
}

/* Has one value, which can be shown. */
static bool is_single(const struct column *col)
{
	return col->type != COL_STATES && col->type != COL_LIST && col->type != COL_OBJECT &&
	       col->type != COL_COUNTS && col->type != COL_STRV;
}

static bool is_ordered(const struct column *col)
{
	return is_single(col) && col->type != COL_SHARE;
}

static bool is_json_only(const struct column *col)
{
	return !col->name || !is_single(col);
}

static bool is_last(const struct column *col)
{
	return !col->name && !col->key;
}

static uint64_t hist_part_ns(const struct hist *h, const struct hist_part *part)
{
	return part->q < 1 ? hist__quantile(h, part->q) : h->max;
}

static void format_hist(char *dst, size_t size, const struct hist *h, const struct hist_part *part)
{
	if (h)
		time__format(dst, size, hist_part_ns(h, part));
	else
		str__copy(dst, size, "-");
}

static void format_cell(char dst[CELL_MAX], const struct text_column *tc, const void *row)
{
	const struct column *col = tc->col;
	const char *s;

	if (is_unknown(row, col)) {
		str__copy(dst, CELL_MAX, "-");
		return;
	}
	switch (col->type) {
	case COL_STR:
	case COL_CHARS:
		s = string_of(row, col);
		str__printable(dst, CELL_MAX, s ? s : "-", tc->limit);
		break;
	case COL_COUNT:
		str__count(dst, CELL_MAX, u64_of(row, col));
		break;
	case COL_NS:
		time__format(dst, CELL_MAX, u64_of(row, col));
		break;
	case COL_BYTES:
		str__bytes(dst, CELL_MAX, u64_of(row, col));
		break;
	case COL_HEX:
		snprintf(dst, CELL_MAX, "0x%" PRIx64, u64_of(row, col));
		break;
	case COL_SHARE:
		snprintf(dst, CELL_MAX, "%.0f %%", 100 * share_of(row, col));
		break;
	case COL_HIST:
		format_hist(dst, CELL_MAX, hist_of(row, col), tc->part);
		break;
	default:
		snprintf(dst, CELL_MAX, "%" PRIu64, number_of(row, col));
	}
}

static void add_column(struct text_table *t, const struct column *col, const struct hist_part *part)
{
	const char *name = part ? part->name : col->name;

	assert(t->n < TABLE_COLUMNS_MAX);
	t->cols[t->n++] = (struct text_column){
		.col = col,
		.part = part,
		.name = name,
		.is_str = is_str(col),
		.limit = col->max_columns,
		.width = str__columns(name),
	};
}

static void collect_columns(struct text_table *t, const struct column *cols)
{
	t->n = 0;
	for (; !is_last(cols); cols++) {
		if (is_json_only(cols))
			continue;
		if (cols->type != COL_HIST) {
			add_column(t, cols, NULL);
			continue;
		}
		for (size_t i = 0; i < ARRAY_SIZE(hist_parts); i++)
			add_column(t, cols, &hist_parts[i]);
	}
}

static void widen_columns(struct text_table *t, const void *row)
{
	char cell[CELL_MAX];

	for (unsigned int i = 0; i < t->n; i++) {
		size_t width;

		format_cell(cell, &t->cols[i], row);
		width = str__columns(cell);
		if (t->cols[i].width < width)
			t->cols[i].width = width;
	}
}

/* Narrows the last string column where the line would be longer than @width. */
static void fit_columns(struct text_table *t, size_t width)
{
	struct text_column *last = NULL;
	size_t others = 0, left;

	for (unsigned int i = 0; i < t->n; i++) {
		others += t->cols[i].width + (i > 0 ? GAP : 0);
		if (t->cols[i].is_str)
			last = &t->cols[i];
	}
	if (!last || width == 0 || others <= width)
		return;
	others -= last->width;
	left = width > others + TABLE_STR_MIN ? width - others : TABLE_STR_MIN;
	if (left < str__columns(last->name))
		left = str__columns(last->name);
	if (left < last->width) {
		last->width = left;
		last->limit = left;
	}
}

/* The strings flush left, the rest flush right, no blanks at the end of the line. */
static void put_cell(FILE *out, const struct text_table *t, unsigned int i, const char *text)
{
	const struct text_column *tc = &t->cols[i];
	int pad = tc->width - str__columns(text);

	if (i > 0)
		fprintf(out, "%*s", GAP, "");
	if (!tc->is_str)
		fprintf(out, "%*s%s", pad, "", text);
	else if (i + 1 < t->n)
		fprintf(out, "%s%*s", text, pad, "");
	else
		fputs(text, out);
}

void table__print(FILE *out, const struct column *cols, const void *rows, size_t n, size_t row_size,
		  unsigned int width)
{
	const char *row = rows;
	struct text_table t;
	char cell[CELL_MAX];

	collect_columns(&t, cols);
	if (t.n == 0)
		return;
	for (size_t r = 0; r < n; r++)
		widen_columns(&t, row + r * row_size);
	fit_columns(&t, width);
	for (unsigned int i = 0; i < t.n; i++)
		put_cell(out, &t, i, t.cols[i].name);
	putc('\n', out);
	for (size_t r = 0; r < n; r++) {
		for (unsigned int i = 0; i < t.n; i++) {
			format_cell(cell, &t.cols[i], row + r * row_size);
			put_cell(out, &t, i, cell);
		}
		putc('\n', out);
	}
}

void table__states_json(struct json *j, const uint64_t *states)
{
	static const char *const keys[NR_STATES] = {
#define X(id, key, ...) [id] = key,
		DWELL_STATES(X)
#undef X
	};

	json__object_begin(j);
	for (int i = STATE_NONE + 1; i < NR_STATES; i++) {
		if (states[i])
			json__kv_u64(j, keys[i], states[i]);
	}
	json__object_end(j);
}

/* Members of the row itself, not an object: the keys are those of every row (schema dwell/1). */
static void hist_json(struct json *j, const struct hist *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(hist_parts); i++) {
		json__key(j, hist_parts[i].key);
		if (h)
			json__u64(j, hist_part_ns(h, &hist_parts[i]));
		else
			json__null(j);
	}
	json__key(j, "hist");
	if (h)
		hist__json(j, h);
	else
		json__null(j);
}

static void strings_json(struct json *j, const char *const *strings)
{
	json__array_begin(j);
	for (; strings && *strings; strings++)
		json__str(j, *strings);
	json__array_end(j);
}

static void counts_json(struct json *j, const struct table_list *list)
{
	const struct table_count *counts = list->items;

	if (list->n == TABLE_UNKNOWN) {
		json__null(j);
		return;
	}
	json__object_begin(j);
	for (size_t i = 0; i < list->n; i++)
		json__kv_u64(j, counts[i].key, counts[i].n);
	json__object_end(j);
}

static void row_json(struct json *j, const struct column *col, const void *row);

static void value_json(struct json *j, const struct column *col, const void *row)
{
	const struct table_list *list;
	char hex[24];

	if (is_unknown(row, col)) {
		json__null(j);
		return;
	}
	switch (col->type) {
	case COL_STR:
	case COL_CHARS:
		json__str(j, string_of(row, col));
		break;
	case COL_HEX:
		snprintf(hex, sizeof(hex), "0x%" PRIx64, u64_of(row, col));
		json__str(j, hex);
		break;
	case COL_SHARE:
		json__double(j, share_of(row, col), 4);
		break;
	case COL_STATES:
		table__states_json(j, (const uint64_t *)field(row, col));
		break;
	case COL_LIST:
		list = (const struct table_list *)field(row, col);
		table__json(j, col->sub, list->items, list->n, col->sub_size);
		break;
	case COL_OBJECT:
		row_json(j, col->sub, field(row, col));
		break;
	case COL_COUNTS:
		counts_json(j, (const struct table_list *)field(row, col));
		break;
	case COL_STRV:
		strings_json(j, *(const char *const *const *)field(row, col));
		break;
	default:
		json__u64(j, number_of(row, col));
	}
}

static void row_json(struct json *j, const struct column *col, const void *row)
{
	json__object_begin(j);
	for (; !is_last(col); col++) {
		if (!col->key)
			continue;
		if (col->type == COL_HIST) {
			hist_json(j, hist_of(row, col));
			continue;
		}
		json__key(j, col->key);
		value_json(j, col, row);
	}
	json__object_end(j);
}

void table__json_row(struct json *j, const struct column *cols, const void *row)
{
	row_json(j, cols, row);
}

void table__json(struct json *j, const struct column *cols, const void *rows, size_t n,
		 size_t row_size)
{
	const char *row = rows;

	json__array_begin(j);
	for (size_t i = 0; i < n; i++)
		row_json(j, cols, row + i * row_size);
	json__array_end(j);
}

/* True if @key is @name, or @name without its "_ns". */
static bool names_key(const char *name, const char *key)
{
	size_t len = strlen(key);

	return !strncmp(name, key, len) && (!name[len] || !strcmp(name + len, "_ns"));
}

void table__select(struct column *dst, size_t max, const struct column *cols, unsigned int bit)
{
	size_t n = 0;

	for (; cols->name || cols->key; cols++) {
		if (cols->only && !(cols->only & bit))
			continue;
		assert(n + 1 < max);
		dst[n++] = *cols;
	}
	assert(n < max);
	dst[n] = (struct column)COLUMN_END;
}

const struct column *table__find(const struct column *cols, const char *key)
{
	for (; !is_last(cols); cols++) {
		if (cols->key && is_ordered(cols) && names_key(cols->key, key))
			return cols;
	}
	return NULL;
}

static int compare_strings(const char *a, const char *b)
{
	if (!a || !b)
		return !a - !b;
	return strcmp(a, b);
}

static int compare_descending(uint64_t a, uint64_t b)
{
	return (a < b) - (a > b);
}

static int compare_hists(const struct hist *a, const struct hist *b)
{
	if (!a || !b)
		return !a - !b;
	return compare_descending(a->sum, b->sum);
}

int table__compare(const void *a, const void *b, const void *arg)
{
	const struct column *col = arg;

	assert(is_ordered(col));
	if (is_str(col))
		return compare_strings(string_of(a, col), string_of(b, col));
	if (col->type == COL_HIST)
		return compare_hists(hist_of(a, col), hist_of(b, col));
	if (is_unknown(a, col) || is_unknown(b, col))
		return is_unknown(a, col) - is_unknown(b, col);
	return compare_descending(number_of(a, col), number_of(b, col));
}
