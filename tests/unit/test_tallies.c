// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hist.h"
#include "core/tallies.h"

#define SLOTS 4

static const struct config plain = {.slots = SLOTS};

static struct thread_rec record(void)
{
	struct thread_rec rec = {.spill_slot = TALLY_NONE, .open_slot = TALLY_NONE};

	return rec;
}

static void test_nothing(void **state)
{
	struct hist bank[SLOTS] = {0}, empty[SLOTS] = {0};
	struct thread_rec rec = record();

	(void)state;
	/* a segment without a tally */
	rec.spill_ns = rec.open_ns = rec.open_total_ns = 100;
	tallies__settle(bank, &plain, &rec, true);
	/* slots that are none of ours */
	rec.spill_slot = rec.open_slot = SLOTS;
	tallies__settle(bank, &plain, &rec, true);
	assert_memory_equal(bank, empty, sizeof(bank));
}

/* Waits of less than --min are left out, also those that the run's end cuts short. */
static void test_shorter_than_min(void **state)
{
	const struct config longer = {.slots = SLOTS, .min_ns = 101};
	struct hist bank[SLOTS] = {0}, empty[SLOTS] = {0};
	struct thread_rec rec = record();

	(void)state;
	rec.open_slot = 1;
	rec.open_ns = rec.open_total_ns = 100;
	tallies__settle(bank, &longer, &rec, true);
	assert_memory_equal(bank, empty, sizeof(bank));
	rec.open_total_ns = 101;
	tallies__settle(bank, &longer, &rec, true);
	assert_int_equal(hist__count(&bank[1]), 1);
}

/* The wait is counted in the epoch in which it ends: here only its time. */
static void test_spill(void **state)
{
	struct hist bank[SLOTS] = {0};
	struct thread_rec rec = record();

	(void)state;
	rec.spill_slot = 1;
	rec.spill_ns = 300;
	tallies__settle(bank, &plain, &rec, false);
	rec.spill_ns = 50;
	tallies__settle(bank, &plain, &rec, true);
	assert_int_equal(bank[1].sum, 350);
	assert_int_equal(bank[1].max, 0);
	assert_int_equal(hist__count(&bank[1]), 0);
	assert_int_equal(bank[0].sum + bank[2].sum + bank[3].sum, 0);
}

static void test_open(void **state)
{
	struct hist bank[SLOTS] = {0};
	struct thread_rec rec = record();

	(void)state;
	rec.open_slot = SLOTS - 1;
	rec.open_ns = 1000;
	rec.open_total_ns = 5000;
	tallies__settle(bank, &plain, &rec, false);
	assert_int_equal(bank[SLOTS - 1].sum, 1000);
	assert_int_equal(bank[SLOTS - 1].max, 0);
	assert_int_equal(hist__count(&bank[SLOTS - 1]), 0);
}

/* The run ends, and with it the wait: as long as it was since the run's start. */
static void test_final(void **state)
{
	struct hist bank[SLOTS] = {0};
	struct thread_rec rec = record();

	(void)state;
	rec.open_slot = 2;
	rec.open_ns = 1000;
	rec.open_total_ns = 5000;
	tallies__settle(bank, &plain, &rec, true);
	assert_int_equal(bank[2].sum, 1000);
	assert_int_equal(bank[2].max, 5000);
	assert_int_equal(bank[2].bucket[hist__index(5000)], 1);
	assert_int_equal(hist__count(&bank[2]), 1);
	rec.open_ns = rec.open_total_ns = 3;
	tallies__settle(bank, &plain, &rec, true);
	assert_int_equal(bank[2].sum, 1003);
	assert_int_equal(bank[2].max, 5000);
	assert_int_equal(bank[2].zero, 1);
	assert_int_equal(hist__count(&bank[2]), 2);
}

static void test_banks(void **state)
{
	struct hist bank[2 * SLOTS];
	struct object o = {.tallies = bank};
	struct config config = {.banks = 1, .slots = SLOTS};

	(void)state;
	assert_ptr_equal(tallies__bank(&o, &config, 1), bank);
	assert_ptr_equal(tallies__bank(&o, &config, 2), bank);
	config.banks = 2;
	assert_ptr_equal(tallies__bank(&o, &config, 1), bank + SLOTS);
	assert_ptr_equal(tallies__bank(&o, &config, 2), bank);
	assert_ptr_equal(tallies__bank(&o, &config, 7), bank + SLOTS);
}

static void test_clear(void **state)
{
	struct hist bank[3] = {{.sum = 1}, {.sum = 2}, {.sum = 3, .zero = 1}}, empty = {0};
	struct tally items[] = {{.hist = &bank[0]}, {.hist = &bank[2]}};

	(void)state;
	tallies__clear(&(struct tallies){items, 2});
	assert_memory_equal(&bank[0], &empty, sizeof(empty));
	assert_int_equal(bank[1].sum, 2);
	assert_memory_equal(&bank[2], &empty, sizeof(empty));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_spill),
		cmocka_unit_test(test_shorter_than_min),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_final),
		cmocka_unit_test(test_banks),
		cmocka_unit_test(test_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
