// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "base/hist.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"

#define BAR_MAX 100 /* columns: longer bars say no more */

uint64_t hist__count(const struct hist *h)
{
	uint64_t count = h->zero;

	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		count += h->bucket[i];
	return count;
}

static void add_saturated(__u32 *a, __u32 b)
{
	if (__builtin_add_overflow(*a, b, a))
		*a = UINT32_MAX;
}

void hist__merge(struct hist *dst, const struct hist *src)
{
	if (__builtin_add_overflow(dst->sum, src->sum, &dst->sum))
		dst->sum = UINT64_MAX;
	if (dst->max < src->max)
		dst->max = src->max;
	add_saturated(&dst->zero, src->zero);
	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		add_saturated(&dst->bucket[i], src->bucket[i]);
}

/* 2^(@sixteenths / 16) seconds in ns. */
static double boundary(double sixteenths)
{
	return exp2(sixteenths / HIST_PER_OCTAVE) * NSEC_PER_SEC;
}

double hist__lower(unsigned int i)
{
	return boundary((int)i + HIST_BASE);
}

double hist__upper(unsigned int i)
{
	return boundary((int)i + 1 + HIST_BASE);
}

/* The rank (from 1) of the @q-quantile of @count values. */
static uint64_t nearest_rank(double q, uint64_t count)
{
	/* 0.07 * 100 is 7.000000000000001: what a double can't hold must not cost a rank */
	double rank = ceil(q * count * (1 - 4e-16));

	return rank < count ? (uint64_t)rank : count;
}

uint64_t hist__quantile(const struct hist *h, double q)
{
	uint64_t count = hist__count(h);
	uint64_t rank, below = h->zero;
	uint64_t ns;
	unsigned int i;

	if (count == 0)
		return 0;
	rank = nearest_rank(q, count);
	if (rank <= below)
		return 0;
	for (i = 0; i < HIST_BUCKETS - 1; i++) {
		below += h->bucket[i];
		if (rank <= below)
			break;
	}
	ns = llrint(boundary((int)i + 0.5 + HIST_BASE));
	return ns < h->max ? ns : h->max;
}

/* The first and the last bucket in use; false if there is none. */
static bool used_range(const struct hist *h, unsigned int *first, unsigned int *last)
{
	unsigned int i;

	for (i = 0; i < HIST_BUCKETS && !h->bucket[i]; i++)
		;
	if (i == HIST_BUCKETS)
		return false;
	*first = i;
	for (i = HIST_BUCKETS - 1; !h->bucket[i]; i--)
		;
	*last = i;
	return true;
}

_Static_assert(HIST_BUCKETS % (2 * HIST_PER_OCTAVE) == 0,
	       "the widest row ends with the last bucket");

unsigned int hist__fold(const struct hist *h, struct hist_row rows[HIST_ROWS])
{
	unsigned int first, last, width, n = 0;

	if (h->zero)
		rows[n++] = (struct hist_row){0, hist__lower(0), h->zero};
	if (!used_range(h, &first, &last))
		return n;
	if (h->zero)
		first = 0; /* no gap behind the zero row */
	/* rows begin at multiples of their width, so that reports can be compared line by line */
	width = HIST_PER_OCTAVE / 2;
	while (last / width - first / width + 1 > HIST_ROWS - n)
		width *= 2;
	for (unsigned int begin = first / width * width; begin <= last; begin += width, n++) {
		rows[n].lower = hist__lower(begin);
		rows[n].upper = hist__lower(begin + width);
		rows[n].count = 0;
		for (unsigned int i = begin; i < begin + width; i++)
			rows[n].count += h->bucket[i];
	}
	return n;
}

/* Prints @text, cut to @columns, and ends the line. */
static void put_line(FILE *out, const char *text, unsigned int columns)
{
	char line[1024];

	str__printable(line, sizeof(line), text, columns);
	fprintf(out, "%s\n", line);
}

/* @count of @most as a bar of at most @width (> 0) columns; what is not nothing is visible. */
static void append_bar(char *line, size_t size, size_t *len, uint64_t count, uint64_t most,
		       unsigned int width)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	uint64_t units = ((unsigned __int128)count * width * 8 + most / 2) / most;

	if (units == 0 && count > 0)
		units = 1;
	for (; units >= 8; units -= 8)
		str__append(line, size, len, "█");
	str__append(line, size, len, "%s", eighths[units]);
}

static void print_row(FILE *out, const struct hist_row *row, int digits, uint64_t most,
		      unsigned int columns)
{
	char lower[16], upper[16], count[32], line[1024];
	unsigned int used;
	size_t len = 0;

	/* bounds in whole ns: a value of 8 is not below 7.45 */
	time__format(lower, sizeof(lower), ceil(row->lower));
	time__format(upper, sizeof(upper), ceil(row->upper));
	str__count(count, sizeof(count), row->count);
	str__append(line, sizeof(line), &len, "%8s - %-8s %*s", lower, upper, digits, count);
	used = len + 1;
	if (row->count > 0 && columns > used) {
		str__append(line, sizeof(line), &len, " ");
		append_bar(line, sizeof(line), &len, row->count, most,
			   columns - used < BAR_MAX ? columns - used : BAR_MAX);
	}
	put_line(out, line, columns);
}

static void print_summary(FILE *out, const struct hist *h, unsigned int columns)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = {{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}, {"p99.9", 0.999}};
	char line[256], cell[48], value[32];
	size_t len = 0;

	str__count(value, sizeof(value), hist__count(h));
	str__append(line, sizeof(line), &len, "count %s", value);
	for (size_t i = 0; i <= sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		bool is_max = i == sizeof(quantiles) / sizeof(quantiles[0]);

		time__format(value, sizeof(value),
			     is_max ? h->max : hist__quantile(h, quantiles[i].q));
		snprintf(cell, sizeof(cell), "%s %s", is_max ? "max" : quantiles[i].name, value);
		if (len + 2 + strlen(cell) > columns) {
			put_line(out, line, columns);
			len = 0;
		}
		str__append(line, sizeof(line), &len, "%s%s", len ? "  " : "", cell);
	}
	put_line(out, line, columns);
}

void hist__print(FILE *out, const struct hist *h, const char *title, unsigned int columns)
{
	struct hist_row rows[HIST_ROWS];
	unsigned int n = hist__fold(h, rows);
	uint64_t most = 0;
	char count[32];

	for (unsigned int i = 0; i < n; i++)
		most = rows[i].count > most ? rows[i].count : most;
	str__count(count, sizeof(count), most);
	if (columns == 0)
		columns = UINT_MAX;
	if (title)
		put_line(out, title, columns);
	for (unsigned int i = 0; i < n; i++)
		print_row(out, &rows[i], strlen(count), most, columns);
	print_summary(out, h, columns);
}

void hist__json(struct json *j, const struct hist *h)
{
	json__object_begin(j);
	json__key(j, "scale");
	json__i64(j, HIST_SCALE);
	json__kv_u64(j, "zero", h->zero);
	json__key(j, "buckets");
	json__array_begin(j);
	for (int i = 0; i < HIST_BUCKETS; i++) {
		if (!h->bucket[i])
			continue;
		json__array_begin(j);
		json__i64(j, i + HIST_BASE);
		json__u64(j, h->bucket[i]);
		json__array_end(j);
	}
	json__array_end(j);
	json__object_end(j);
}
