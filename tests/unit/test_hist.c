// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* LDFLAGS: -lm */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/hist.h"
#include "base/str.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define SAMPLES       20000

static uint64_t xorshift(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* In (0, 1]. */
static double unit(uint64_t *seed)
{
	return ((xorshift(seed) >> 11) + 1) * 0x1p-53;
}

static void record(struct hist *h, uint64_t ns)
{
	int i = hist__index(ns);

	if (i == HIST_ZERO)
		h->zero++;
	else
		h->bucket[i]++;
	h->sum += ns;
	if (h->max < ns)
		h->max = ns;
}

/*
 * hist__index() against its definition. Within 4e-10 of a boundary it may be the neighbour's, but
 * for boundaries that are whole nanoseconds.
 */
static void check_index(uint64_t ns)
{
	long double exact, nearest;
	int got = hist__index(ns), want;

	if (ns < HIST_MIN_NS) {
		assert_int_equal(got, HIST_ZERO);
		return;
	}
	exact = 16 * (log2l(ns) - log2l(1e9L));
	nearest = roundl(exact);
	if (fabsl(exact - nearest) < 16 * 4e-10L / logl(2)) {
		want = (int)nearest - HIST_BASE;
		assert_true(got == want || got == want - 1);
		return;
	}
	want = (int)floorl(exact) - HIST_BASE;
	assert_int_equal(got, want < HIST_BUCKETS ? want : HIST_BUCKETS - 1);
}

static void index_at_boundaries(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		uint64_t ns = hist__lower(i);

		for (uint64_t v = ns - 1; v <= ns + 2; v++)
			check_index(v);
	}
	/* the boundaries that are whole ns belong to the upper bucket: 2^-9 s and its doubles */
	for (int octave = -9; octave < HIST_MAX_LOG2; octave++) {
		uint64_t ns = ldexp(1e9, octave);
		int i = (octave - HIST_MIN_LOG2) * HIST_PER_OCTAVE;

		assert_int_equal(hist__index(ns), i);
		assert_true(hist__lower(i) == ns);
		if (ns * 4e-10 < 1) /* else the mantissa of 32 bits can't tell them apart */
			assert_int_equal(hist__index(ns - 1), i - 1);
	}
}

static void index_of_extremes(void **state)
{
	static const struct {
		uint64_t ns;
		int index;
	} cases[] = {
		{0, HIST_ZERO},
		{1, HIST_ZERO},
		{HIST_MIN_NS - 1, HIST_ZERO},
		{HIST_MIN_NS, 1},
		{1000000000, -HIST_BASE},
		{999999999, -HIST_BASE - 1},
		{32768ULL * 1000000000 - 1, HIST_BUCKETS - 1},
		{32768ULL * 1000000000, HIST_BUCKETS - 1},
		{UINT64_MAX, HIST_BUCKETS - 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(hist__index(cases[i].ns), cases[i].index);
}

static void index_of_many(void **state)
{
	uint64_t seed = 42;

	(void)state;
	for (uint64_t ns = 0; ns < 100000; ns++)
		check_index(ns);
	for (int i = 0; i < 3000000; i++) {
		uint64_t v = xorshift(&seed);

		check_index(v >> (v & 63)); /* all magnitudes alike */
	}
}

static void index_is_monotonic(void **state)
{
	int last = HIST_ZERO;

	(void)state;
	for (double v = 1; v < 1e19; v *= 1.0007) {
		int i = hist__index(v);

		assert_true(i == last || i > last);
		last = i;
	}
}

static void bounds(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		double lower = hist__lower(i), upper = hist__upper(i);

		assert_true(lower < upper);
		assert_true(fabs(upper / lower - exp2(1.0 / 16)) < 1e-12);
		if (i + 1 < HIST_BUCKETS)
			assert_true(upper == hist__lower(i + 1));
	}
	assert_true(hist__lower(-HIST_BASE) == 1e9);
	assert_true(hist__lower(0) > HIST_MIN_NS - 1 && hist__lower(0) < HIST_MIN_NS);
	assert_true(hist__upper(HIST_BUCKETS - 1) == 32768e9);
}

static void merges_exactly(void **state)
{
	static struct hist whole, part[3], merged;
	uint64_t seed = 7;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint64_t v = xorshift(&seed);

		v >>= 20 + v % 44;
		record(&whole, v);
		record(&part[i % 3], v);
	}
	for (int i = 0; i < 3; i++)
		hist__merge(&merged, &part[i]);
	assert_memory_equal(&merged, &whole, sizeof(whole));
	assert_int_equal(hist__count(&merged), 100000);
	assert_int_equal(hist__count(&part[0]) + hist__count(&part[1]) + hist__count(&part[2]),
			 100000);
}

static void merge_saturates(void **state)
{
	static struct hist a, b;

	(void)state;
	a.zero = UINT32_MAX - 1;
	b.zero = 1;
	a.bucket[5] = UINT32_MAX - 1;
	b.bucket[5] = 2;
	a.sum = UINT64_MAX;
	b.sum = 1;
	hist__merge(&a, &b);
	assert_int_equal(a.zero, UINT32_MAX);
	assert_int_equal(a.bucket[5], UINT32_MAX);
	assert_true(a.sum == UINT64_MAX);
	assert_int_equal(hist__count(&a), 2ULL * UINT32_MAX);
}

static uint64_t uniform(uint64_t *seed)
{
	return 1000 + unit(seed) * 5e6;
}

static uint64_t exponential(uint64_t *seed)
{
	return HIST_MIN_NS + -log(unit(seed)) * 1e6;
}

static uint64_t bimodal(uint64_t *seed)
{
	return unit(seed) < 0.7 ? 2000 + unit(seed) * 500 : 8000000 + unit(seed) * 4e6;
}

static uint64_t small(uint64_t *seed)
{
	return HIST_MIN_NS + unit(seed) * 100;
}

static uint64_t log_uniform(uint64_t *seed)
{
	return exp2(3 + unit(seed) * 41);
}

static uint64_t constant_low(uint64_t *seed)
{
	(void)seed;
	return 1953125; /* a lower bound */
}

static uint64_t constant_high(uint64_t *seed)
{
	(void)seed;
	return 1953124; /* just below an upper bound */
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void check_quantiles(const struct hist *h, const uint64_t *sorted, size_t n)
{
	/* per 100,000, so that the rank is exact */
	static const unsigned int qs[] = {1,     1000,  5000,  7000,  25000, 50000,
					  75000, 90000, 95000, 99000, 99900, 100000};

	for (size_t i = 0; i < ARRAY_SIZE(qs); i++) {
		size_t rank = (qs[i] * n + 99999) / 100000;
		uint64_t exact = sorted[rank - 1];
		uint64_t got = hist__quantile(h, qs[i] / 1e5);

		assert_true(fabs((double)got - (double)exact) <= HIST_ERROR * exact + 0.5);
		assert_true(got <= h->max);
	}
}

static void quantiles_of_distributions(void **state)
{
	static uint64_t (*const draw[])(uint64_t *) = {
		uniform, exponential, bimodal, small, log_uniform, constant_low, constant_high,
	};
	/* samples: also few of them, where ranks are coarse */
	static const size_t counts[] = {1, 2, 3, 10, 100, 999, SAMPLES};
	static uint64_t values[SAMPLES];

	(void)state;
	for (size_t d = 0; d < ARRAY_SIZE(draw); d++) {
		for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
			struct hist h = {0};
			uint64_t seed = 1000 + d;

			for (size_t i = 0; i < counts[c]; i++) {
				values[i] = draw[d](&seed);
				record(&h, values[i]);
			}
			qsort(values, counts[c], sizeof(values[0]), by_value);
			check_quantiles(&h, values, counts[c]);
		}
	}
}

static void quantile_ranks(void **state)
{
	struct hist h = {0};

	(void)state;
	assert_int_equal(hist__quantile(&h, 0.5), 0);
	assert_int_equal(hist__quantile(&h, 1), 0);

	/* 100 values, of which 7 are in the zero bucket and 93 are 9 ns */
	for (int i = 0; i < 100; i++)
		record(&h, i < 7 ? i : 9);
	assert_int_equal(hist__quantile(&h, 0.07), 0);
	assert_int_equal(hist__quantile(&h, 0.0700001), 9);
	assert_int_equal(hist__quantile(&h, 0.08), 9);
	assert_int_equal(hist__quantile(&h, 1e-9), 0);
	assert_int_equal(hist__quantile(&h, 1), 9);
}

static void quantile_never_above_max(void **state)
{
	struct hist h = {0};

	(void)state;
	record(&h, 1953125); /* the middle of its bucket is 2.2 % above */
	for (double q = 0.01; q < 1; q += 0.01)
		assert_int_equal(hist__quantile(&h, q), 1953125);
	/* beyond the highest boundary */
	h = (struct hist){0};
	record(&h, 1ULL << 60);
	assert_in_range(hist__quantile(&h, 1), 31000e9, 32768e9);
}

/* Row widths are 1/2, 1 or 2 octaves; rows adjoin; nothing is lost. */
static unsigned int check_fold(const struct hist *h)
{
	struct hist_row rows[HIST_ROWS + 1];
	uint64_t total = 0;
	unsigned int n;

	memset(rows, 0x5a, sizeof(rows));
	n = hist__fold(h, rows);
	assert_true(n <= HIST_ROWS);
	for (unsigned int i = 0; i < n; i++) {
		total += rows[i].count;
		if (i > 0)
			assert_true(rows[i].lower == rows[i - 1].upper);
		if (i > 1)
			assert_true(fabs(rows[i].upper / rows[i].lower /
						 (rows[i - 1].upper / rows[i - 1].lower) -
					 1) < 1e-9);
	}
	assert_int_equal(total, hist__count(h));
	for (unsigned int i = 0; n > 0 && i<n; i += n> 1 ? n - 1 : 1)
		assert_true(rows[i].count > 0 || h->zero > 0);
	return n;
}

static void folds_all_ranges(void **state)
{
	(void)state;
	for (unsigned int first = 0; first < HIST_BUCKETS; first += 3) {
		for (unsigned int last = first; last < HIST_BUCKETS; last += 3) {
			struct hist h = {0};

			h.bucket[first] = 3;
			h.bucket[last] += 4;
			check_fold(&h);
			h.zero = 5;
			check_fold(&h);
		}
	}
}

static void folds_exactly(void **state)
{
	struct hist h = {0};
	struct hist_row rows[HIST_ROWS];
	int second = -HIST_BASE;

	(void)state;
	assert_int_equal(hist__fold(&h, rows), 0);

	h.bucket[second] = 1;
	h.bucket[second + 7] = 2;
	h.bucket[second + 16] = 4;
	assert_int_equal(hist__fold(&h, rows), 3);
	assert_true(rows[0].lower == 1e9 && rows[0].count == 3);
	assert_int_equal(rows[1].count, 0);
	assert_true(rows[2].lower == 2e9 && rows[2].count == 4);

	/* 24 half octaves fit, 25 don't */
	h = (struct hist){0};
	h.bucket[0] = h.bucket[24 * 8 - 1] = 1;
	assert_int_equal(hist__fold(&h, rows), 24);
	h.bucket[24 * 8] = 1;
	assert_int_equal(hist__fold(&h, rows), 13);

	/* the whole range, and zeros */
	h.bucket[HIST_BUCKETS - 1] = 1;
	h.zero = 9;
	assert_int_equal(hist__fold(&h, rows), 22);
	assert_true(rows[0].lower == 0 && rows[0].count == 9);
	assert_true(rows[21].upper == 32768e9);

	h = (struct hist){.zero = 3};
	assert_int_equal(hist__fold(&h, rows), 1);
	assert_int_equal(rows[0].count, 3);
}

static char *printed(const struct hist *h, const char *title, unsigned int columns)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	hist__print(out, h, title, columns);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void prints(void **state)
{
	struct hist h = {0};
	char *text;

	(void)state;
	for (int i = 0; i < 1600; i++)
		record(&h, 1000000000);
	for (int i = 0; i < 850; i++)
		record(&h, 1500000000);
	record(&h, 2900000000);
	text = printed(&h, "wait\x1b", 48);
	assert_string_equal(text, "wait?\n"
				  "   1.00s - 1.41s    1,600 ██████████████████████\n"
				  "   1.41s - 2.00s      850 ███████████▊\n"
				  "   2.00s - 2.83s        0\n"
				  "   2.83s - 4.00s        1 ▏\n"
				  "count 2,451  p50 1.02s  p95 1.51s  p99 1.51s\n"
				  "p99.9 1.51s  max 2.90s\n");
	free(text);

	h = (struct hist){0};
	text = printed(&h, NULL, 80);
	assert_string_equal(text, "count 0  p50 0ns  p95 0ns  p99 0ns  p99.9 0ns  max 0ns\n");
	free(text);

	h = (struct hist){.zero = 2, .max = 7};
	text = printed(&h, NULL, 30);
	assert_string_equal(text, "     0ns - 8ns      2 ████████\n"
				  "count 2  p50 0ns  p95 0ns\n"
				  "p99 0ns  p99.9 0ns  max 7ns\n");
	free(text);
}

static void check_width(char *text, size_t columns)
{
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		assert_true(str__columns(line) <= columns);
		assert_null(strchr(line, '?'));
	}
}

static void prints_within_width(void **state)
{
	struct hist h = {.zero = UINT32_MAX, .max = UINT64_MAX};
	char *text;

	(void)state;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		h.bucket[i] = i * i;
	for (unsigned int columns = 1; columns < 400; columns++) {
		text = printed(&h, "a title that is longer than a narrow terminal", columns);
		check_width(text, columns);
		free(text);
	}
	text = printed(&h, NULL, 0);
	check_width(text, 200);
	free(text);
	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		h.bucket[i] = UINT32_MAX;
	text = printed(&h, NULL, 80);
	check_width(text, 80);
	free(text);
}

static void json(void **state)
{
	struct hist h = {.zero = 3};
	struct json j;
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	json_t *root;

	(void)state;
	h.bucket[0] = 1;
	h.bucket[-HIST_BASE] = UINT32_MAX;
	h.bucket[HIST_BUCKETS - 1] = 2;
	json__init(&j, out);
	hist__json(&j, &h);
	json__end(&j);
	fclose(out);
	assert_string_equal(text, "{\"scale\":4,\"zero\":3,"
				  "\"buckets\":[[-432,1],[0,4294967295],[239,2]]}\n");
	root = json_loads(text, 0, NULL);
	assert_non_null(root);
	json_decref(root);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(index_at_boundaries),
		cmocka_unit_test(index_of_extremes),
		cmocka_unit_test(index_of_many),
		cmocka_unit_test(index_is_monotonic),
		cmocka_unit_test(bounds),
		cmocka_unit_test(merges_exactly),
		cmocka_unit_test(merge_saturates),
		cmocka_unit_test(quantiles_of_distributions),
		cmocka_unit_test(quantile_ranks),
		cmocka_unit_test(quantile_never_above_max),
		cmocka_unit_test(folds_all_ranges),
		cmocka_unit_test(folds_exactly),
		cmocka_unit_test(prints),
		cmocka_unit_test(prints_within_width),
		cmocka_unit_test(json),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
