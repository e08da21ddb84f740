// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The slowest statements, and what counts as N+1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/bursts.h"
#include "core/exemplars.h"

static uint64_t add(struct exemplars *e, uint32_t epoch, uint64_t latency)
{
	struct query_exemplar item = {.epoch = epoch, .latency = latency};

	return exemplars__add(e, &item);
}

static void keeps_the_slowest(void **state)
{
	struct exemplars e = {0};
	uint64_t floor;

	(void)state;
	/* no floor until there are enough */
	for (uint64_t i = 1; i < EXEMPLARS; i++)
		assert_int_equal(add(&e, 1, i * 7 % EXEMPLARS + 1), 0);
	floor = add(&e, 1, 100);
	assert_int_equal(floor, e.epoch[1].items[EXEMPLARS - 1].latency);
	/* a faster one changes nothing; a slower one pushes the fastest out */
	assert_int_equal(add(&e, 1, 1), floor);
	for (uint64_t i = 0; i < 1000; i++)
		add(&e, 1, 1000 + i * 331 % 1000);
	assert_int_equal(e.epoch[1].n, EXEMPLARS);
	for (uint64_t i = 0; i < EXEMPLARS; i++)
		assert_int_equal(e.epoch[1].items[i].latency, 1999 - i);
}

static void epochs_are_apart(void **state)
{
	struct exemplars e = {0};

	(void)state;
	add(&e, 1, 5);
	add(&e, 2, 6);
	assert_int_equal(e.epoch[1].n, 1);
	assert_int_equal(e.epoch[0].n, 1);
	exemplars__reset(&e, 1);
	assert_int_equal(e.epoch[1].n, 0);
	assert_int_equal(e.epoch[0].items[0].latency, 6);
}

static void n_plus_one_or_not(void **state)
{
	static const struct {
		struct query_burst sum;
		bool is;
	} cases[] = {
		{{.bursts = 30, .repeats = 600, .source_rows = 600, .rows = 600}, true},
		{{.bursts = 1, .repeats = 12, .source_rows = 20, .rows = 9}, true},
		/* sysbench: ten point selects behind a range of a hundred */
		{{.bursts = 9, .repeats = 90, .source_rows = 900, .rows = 90}, false},
		{{.bursts = 1, .repeats = 100, .source_rows = 5, .rows = 100}, false},
		/* a list for each row is no look-up */
		{{.bursts = 1, .repeats = 20, .source_rows = 20, .rows = 200}, false},
		{{0}, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(bursts__agree(&cases[i].sum), cases[i].is);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_slowest),
		cmocka_unit_test(epochs_are_apart),
		cmocka_unit_test(n_plus_one_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
