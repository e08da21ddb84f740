// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hist.h"
#include "core/tallies.h"

#define SLOTS 4

static const struct config plain = {.slots = SLOTS};

/* What a test works on: the tallies of two banks, in a file instead of a map. */
struct fixture {
	struct object object;
	struct hist *bank;
};

static int open_tallies(void **state)
{
	static struct fixture f;
	int fd = memfd_create("tallies", 0);

	if (fd < 0 || ftruncate(fd, 2 * SLOTS * sizeof(struct hist)) ||
	    shared__open(&f.object.tallies, fd, 2 * SLOTS, sizeof(struct hist)) ||
	    shared__map_all(&f.object.tallies))
		return -1;
	f.bank = (void *)f.object.tallies.at;
	*state = &f;
	return 0;
}

static int close_tallies(void **state)
{
	struct fixture *f = *state;

	shared__close(&f->object.tallies);
	return close(f->object.tallies.fd);
}

static struct thread_rec record(void)
{
	struct thread_rec rec = {.spill_slot = TALLY_NONE, .open_slot = TALLY_NONE};

	return rec;
}

static void test_nothing(void **state)
{
	struct fixture *f = *state;
	struct hist empty[SLOTS] = {0};
	struct thread_rec rec = record();

	/* a segment without a tally */
	rec.spill_ns = rec.open_ns = rec.open_total_ns = 100;
	assert_int_equal(tallies__settle(&f->object, &plain, &rec, true), 0);
	/* slots that are none of ours */
	rec.spill_slot = rec.open_slot = SLOTS;
	assert_int_equal(tallies__settle(&f->object, &plain, &rec, true), 0);
	assert_memory_equal(f->bank, empty, sizeof(empty));
}

/* Waits of less than --min are left out, also those that the run's end cuts short. */
static void test_shorter_than_min(void **state)
{
	const struct config longer = {.slots = SLOTS, .min_ns = 101};
	struct fixture *f = *state;
	struct hist empty[SLOTS] = {0};
	struct thread_rec rec = record();

	rec.open_slot = 1;
	rec.open_ns = rec.open_total_ns = 100;
	assert_int_equal(tallies__settle(&f->object, &longer, &rec, true), 0);
	assert_memory_equal(f->bank, empty, sizeof(empty));
	rec.open_total_ns = 101;
	assert_int_equal(tallies__settle(&f->object, &longer, &rec, true), 0);
	assert_int_equal(hist__count(&f->bank[1]), 1);
}

/* The wait is counted in the epoch in which it ends: here only its time. */
static void test_spill(void **state)
{
	struct fixture *f = *state;
	struct thread_rec rec = record();

	rec.spill_slot = 1;
	rec.spill_ns = 300;
	assert_int_equal(tallies__settle(&f->object, &plain, &rec, false), 0);
	rec.spill_ns = 50;
	assert_int_equal(tallies__settle(&f->object, &plain, &rec, true), 0);
	assert_int_equal(f->bank[1].sum, 350);
	assert_int_equal(f->bank[1].max, 0);
	assert_int_equal(hist__count(&f->bank[1]), 0);
	assert_int_equal(f->bank[0].sum + f->bank[2].sum + f->bank[3].sum, 0);
}

static void test_open(void **state)
{
	struct fixture *f = *state;
	struct thread_rec rec = record();

	rec.open_slot = SLOTS - 1;
	rec.open_ns = 1000;
	rec.open_total_ns = 5000;
	assert_int_equal(tallies__settle(&f->object, &plain, &rec, false), 0);
	assert_int_equal(f->bank[SLOTS - 1].sum, 1000);
	assert_int_equal(f->bank[SLOTS - 1].max, 0);
	assert_int_equal(hist__count(&f->bank[SLOTS - 1]), 0);
}

/* The run ends, and with it the wait: as long as it was since the run's start. */
static void test_final(void **state)
{
	struct fixture *f = *state;
	struct thread_rec rec = record();

	rec.open_slot = 2;
	rec.open_ns = 1000;
	rec.open_total_ns = 5000;
	assert_int_equal(tallies__settle(&f->object, &plain, &rec, true), 0);
	assert_int_equal(f->bank[2].sum, 1000);
	assert_int_equal(f->bank[2].max, 5000);
	assert_int_equal(f->bank[2].bucket[hist__index(5000)], 1);
	assert_int_equal(hist__count(&f->bank[2]), 1);
	rec.open_ns = rec.open_total_ns = 3;
	assert_int_equal(tallies__settle(&f->object, &plain, &rec, true), 0);
	assert_int_equal(f->bank[2].sum, 1003);
	assert_int_equal(f->bank[2].max, 5000);
	assert_int_equal(f->bank[2].zero, 1);
	assert_int_equal(hist__count(&f->bank[2]), 2);
}

static void test_banks(void **state)
{
	struct fixture *f = *state;
	struct config config = {.banks = 1, .slots = SLOTS};

	assert_ptr_equal(tallies__hist(&f->object, &config, 1, 3), f->bank + 3);
	assert_ptr_equal(tallies__hist(&f->object, &config, 2, 0), f->bank);
	config.banks = 2;
	assert_ptr_equal(tallies__hist(&f->object, &config, 1, 3), f->bank + SLOTS + 3);
	assert_ptr_equal(tallies__hist(&f->object, &config, 2, 3), f->bank + 3);
	assert_ptr_equal(tallies__hist(&f->object, &config, 7, 0), f->bank + SLOTS);
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

/* The sum of one is that one; only a second one makes a copy, and changes neither. */
static void test_sum(void **state)
{
	struct hist a = {.sum = 3, .max = 2, .zero = 1}, b = {.sum = 4, .max = 4}, a_was = a, b_was;
	struct arena arena = {0};
	struct tally_sum sum;

	(void)state;
	b.bucket[7] = 5;
	b_was = b;
	tallies__sum_none(&sum);
	assert_int_equal(hist__count(sum.hist), 0);
	assert_int_equal(tallies__sum_add(&sum, &a, &arena), 0);
	assert_ptr_equal(sum.hist, &a);
	assert_null(arena.blocks);
	for (int i = 0; i < 2; i++)
		assert_int_equal(tallies__sum_add(&sum, &b, &arena), 0);
	assert_int_equal(sum.hist->sum, 11);
	assert_int_equal(sum.hist->max, 4);
	assert_int_equal(sum.hist->zero, 1);
	assert_int_equal(sum.hist->bucket[7], 10);
	assert_memory_equal(&a, &a_was, sizeof(a));
	assert_memory_equal(&b, &b_was, sizeof(b));
	tallies__sum_none(&sum);
	assert_int_equal(hist__count(sum.hist), 0);
	arena__reset(&arena);
}

/* What is in no other state is cpu; of what is in others, nothing is left. */
static void test_states(void **state)
{
	struct tally_states none = {{0}},
			    waits = {{[STATE_CPU] = 1000, [STATE_DISK] = 60, [STATE_FS] = 30}};
	struct hist hist = {.sum = 100};
	struct tally calls[] = {{.hist = &hist, .states = &none},
				{.hist = &hist, .states = &waits}};
	uint64_t states[NR_STATES] = {[STATE_FS] = 5};

	(void)state;
	tallies__add_states(states, &calls[0]);
	assert_int_equal(states[STATE_CPU], 100);
	tallies__add_states(states, &calls[1]);
	assert_int_equal(states[STATE_CPU], 110);
	assert_int_equal(states[STATE_DISK], 60);
	assert_int_equal(states[STATE_FS], 35);
	/* read while the kernel side adds more, whose sum comes later */
	hist.sum = 70;
	tallies__add_states(states, &calls[1]);
	assert_int_equal(states[STATE_CPU], 110);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing, open_tallies, close_tallies),
		cmocka_unit_test_setup_teardown(test_spill, open_tallies, close_tallies),
		cmocka_unit_test_setup_teardown(test_shorter_than_min, open_tallies, close_tallies),
		cmocka_unit_test_setup_teardown(test_open, open_tallies, close_tallies),
		cmocka_unit_test_setup_teardown(test_final, open_tallies, close_tallies),
		cmocka_unit_test_setup_teardown(test_banks, open_tallies, close_tallies),
		cmocka_unit_test(test_clear),
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
