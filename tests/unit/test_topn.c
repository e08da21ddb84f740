// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* LDFLAGS: -Wl,--wrap=calloc */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/topn.h"

/* The allocation to fail, counted down to 0. */
static int fail_at = -1;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	if (fail_at > 0 && --fail_at == 0)
		return NULL;
	return __real_calloc(n, size);
}

/* An odd size, so that nothing relies on alignment. */
struct item {
	uint32_t key, position;
	char pad[3];
} __attribute__((packed));

static size_t comparisons;

/* @arg: 1 ascending, -1 descending. */
static int by_key(const void *a, const void *b, const void *arg)
{
	const struct item *x = a, *y = b;

	comparisons++;
	return *(const int *)arg * ((x->key > y->key) - (x->key < y->key));
}

static void fill(struct item *items, size_t n, uint32_t keys, uint32_t seed)
{
	for (uint32_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		items[i] = (struct item){(seed >> 8) % keys, i, "ab"};
	}
}

/* The plainest stable sort. */
static void sort_slowly(struct item *items, size_t n, int direction)
{
	for (size_t i = 1; i < n; i++) {
		for (size_t j = i; j > 0 && by_key(&items[j - 1], &items[j], &direction) > 0; j--) {
			struct item swap = items[j];

			items[j] = items[j - 1];
			items[j - 1] = swap;
		}
	}
}

/* Every element is still there, whole, once. */
static void check_permutation(const struct item *items, const struct item *before, size_t n)
{
	bool *seen = calloc(n + 1, sizeof(*seen));

	assert_non_null(seen);
	for (size_t i = 0; i < n; i++) {
		uint32_t position = items[i].position;

		assert_true(position < n && !seen[position]);
		seen[position] = true;
		assert_memory_equal(&items[i], &before[position], sizeof(items[i]));
	}
	free(seen);
}

/* All n up to 40, all k up to n + 1, with many, with few and with no ties, both directions. */
static void against_stable_sort(void **state)
{
	static const uint32_t keys[] = {1, 2, 5, 1000};
	struct item before[40], sorted[40], items[40];

	(void)state;
	for (size_t round = 0; round < 8; round++) {
		int direction = round % 2 ? 1 : -1;

		for (size_t n = 0; n <= 40; n++) {
			fill(before, n, keys[round / 2], n * 17 + round);
			memcpy(sorted, before, sizeof(sorted[0]) * n);
			sort_slowly(sorted, n, direction);
			for (size_t k = 0; k <= n + 1; k++) {
				size_t top = k < n ? k : n;

				memcpy(items, before, sizeof(items[0]) * n);
				assert_int_equal(topn__sort(items, n, sizeof(items[0]), k, by_key,
							    &direction),
						 0);
				assert_memory_equal(items, sorted, top * sizeof(items[0]));
				check_permutation(items, before, n);
			}
		}
	}
}

static void large(void **state)
{
	const size_t n = 200000, k = 100;
	struct item *items = malloc(n * sizeof(*items)), *before = malloc(n * sizeof(*before));
	int direction = -1;

	(void)state;
	assert_true(items && before);
	fill(before, n, 1 << 24, 1);
	memcpy(items, before, n * sizeof(*items));
	comparisons = 0;
	assert_int_equal(topn__sort(items, n, sizeof(*items), k, by_key, &direction), 0);
	/* random order rarely changes the best k: hardly more than one comparison each */
	assert_true(comparisons < n + n / 10);
	check_permutation(items, before, n);
	for (size_t i = 1; i < k; i++)
		assert_true(items[i - 1].key >= items[i].key);
	for (size_t i = k; i < n; i++)
		assert_true(items[k - 1].key >= items[i].key);

	/* the worst case: each is better than all before it; 2 log2(k) + 1 comparisons at most */
	for (uint32_t i = 0; i < n; i++)
		items[i] = (struct item){i, i, "ab"};
	comparisons = 0;
	assert_int_equal(topn__sort(items, n, sizeof(*items), k, by_key, &direction), 0);
	assert_true(comparisons < 15 * n);
	for (size_t i = 0; i < k; i++)
		assert_int_equal(items[i].key, n - 1 - i);
	free(items);
	free(before);
}

static void nothing_to_do(void **state)
{
	struct item item = {1, 0, "ab"};
	int direction = 1;

	(void)state;
	assert_int_equal(topn__sort(NULL, 0, sizeof(item), 5, by_key, &direction), 0);
	assert_int_equal(topn__sort(&item, 1, sizeof(item), 0, by_key, &direction), 0);
	assert_int_equal(topn__sort(&item, 1, sizeof(item), SIZE_MAX, by_key, &direction), 0);
	assert_int_equal(item.key, 1);
}

/* Fails the 1st, 2nd, … allocation until none fails; a failure leaves the rows as they were. */
static void out_of_memory(void **state)
{
	struct item before[10], items[10];
	int direction = 1, err = -1, failed = 0;

	(void)state;
	fill(before, 10, 100, 3);
	for (int nth = 1; err; nth++) {
		memcpy(items, before, sizeof(items));
		fail_at = nth;
		err = topn__sort(items, 10, sizeof(items[0]), 4, by_key, &direction);
		if (fail_at == 0) {
			assert_int_equal(err, -ENOMEM);
			assert_memory_equal(items, before, sizeof(items));
			failed++;
		} else {
			assert_int_equal(err, 0);
		}
		fail_at = -1;
	}
	assert_true(failed > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(against_stable_sort),
		cmocka_unit_test(large),
		cmocka_unit_test(nothing_to_do),
		cmocka_unit_test(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
