// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The slowest statements, and what counts as N+1. */
#include <math.h>
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
		uint64_t calls;
		bool is;
	} cases[] = {
		{{.bursts = 30, .fit = 30, .repeats = 600, .source_rows = 600, .rows = 600},
		 30,
		 true},
		/* with --min, the calls are not known */
		{{.bursts = 30, .fit = 30, .repeats = 600, .source_rows = 600, .rows = 600},
		 TABLE_UNKNOWN,
		 true},
		/* what was looked up before is known */
		{{.bursts = 9, .fit = 8, .repeats = 108, .source_rows = 180, .rows = 81}, 9, true},
		/* sysbench: ten point selects behind a range of a hundred */
		{{.bursts = 9, .fit = 9, .repeats = 90, .source_rows = 900, .rows = 90}, 9, false},
		{{.bursts = 1, .fit = 1, .repeats = 100, .source_rows = 5, .rows = 100}, 1, false},
		/* a list for each row is no look-up */
		{{.bursts = 1, .fit = 1, .repeats = 20, .source_rows = 20, .rows = 200}, 1, false},
		/* statements drawn at random: of any length, and seldom many */
		{{.bursts = 50, .fit = 30, .repeats = 500, .source_rows = 500, .rows = 500},
		 80,
		 false},
		{{.bursts = 50, .fit = 48, .repeats = 300, .source_rows = 500, .rows = 300},
		 500,
		 false},
		/* one alone says little, unless it is one for each row */
		{{.bursts = 1, .fit = 1, .repeats = 12, .source_rows = 20, .rows = 9}, 1, false},
		{{.bursts = 1, .fit = 1, .repeats = 480, .source_rows = 500, .rows = 480}, 1, true},
		{{0}, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(bursts__agree(&cases[i].sum, cases[i].calls), cases[i].is);
}

/*
 * A client draws its statements at random: the repeated one comes next with odds @next until the
 * source comes again. The numbers of @calls of the source, of which each gave @rows.
 */
static struct query_burst drawn(double next, double rows, double calls)
{
	const double least = QUERY_BURST_MIN, half = fmax(least, floor((rows + 1) / 2));
	double bursts = calls * pow(next, least);

	return (struct query_burst){
		.bursts = (uint64_t)bursts,
		/* as burst__fits() counts: from half of the rows on, up to one more than these */
		.fit = (int64_t)(calls * (pow(next, half) - pow(next, rows + 2))),
		.repeats = (uint64_t)(bursts * (least + next / (1 - next))),
		.source_rows = (uint64_t)(bursts * rows),
		.rows = (uint64_t)(bursts * (least + next / (1 - next))),
	};
}

static void chance_is_no_n_plus_one(void **state)
{
	const double calls = 1e6;
	double most = 0;

	(void)state;
	for (int rows = QUERY_BURST_MIN; rows <= 1000; rows++) {
		for (int odds = 1; odds < 1000; odds++) {
			struct query_burst b = drawn(odds / 1000.0, rows, calls);

			assert_false(bursts__agree(&b, (uint64_t)calls));
			if ((double)b.bursts >= 0.4 * calls)
				most = fmax(most, (double)b.fit / (double)b.bursts);
		}
	}
	print_message("# where 0.4 of the calls have a burst, at most %.2f of these fit\n", most);
	assert_true(most > 0.7 && most < 0.73);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_slowest),
		cmocka_unit_test(epochs_are_apart),
		cmocka_unit_test(n_plus_one_or_not),
		cmocka_unit_test(chance_is_no_n_plus_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
