// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hist.h"
#include "core/early.h"

static struct thread_rec record(uint64_t row)
{
	struct thread_rec rec = {.row = row, .spill_slot = TALLY_NONE, .open_slot = TALLY_NONE};

	return rec;
}

static const struct tally *find(const struct tallies *t, uint64_t row, uint32_t state)
{
	const struct tally *found = NULL;

	for (size_t i = 0; i < t->n; i++) {
		if (t->items[i].key.row != row || t->items[i].key.state != state)
			continue;
		assert_null(found);
		found = &t->items[i];
	}
	assert_non_null(found);
	return found;
}

static void expect(const struct tally *t, uint64_t count, uint64_t sum, uint64_t max)
{
	assert_int_equal(t->count, count);
	assert_int_equal(hist__count(t->hist), count);
	assert_int_equal(t->hist->sum, sum);
	assert_int_equal(t->hist->max, max);
	assert_int_equal(t->key.syscall, SYSCALL_NONE);
}

static void test_nothing(void **state)
{
	struct thread_rec rec = record(1);
	struct tallies tallies = {0};
	struct early e = {.max = 4};
	struct arena arena = {0};

	(void)state;
	assert_int_equal(early__add(&e, &rec, 0, true), 0);
	assert_int_equal(early__merge(&e, &arena, &tallies), 0);
	assert_int_equal(tallies.n, 0);
	early__reset(&e);
	arena__reset(&arena);
}

/* Threads of two rows, in two states; each wait is of its own length. */
static void test_waits(void **state)
{
	struct thread_rec a = record(1), b = record(1), c = record(2);
	struct tallies tallies = {0};
	struct early e = {.max = 4};
	struct arena arena = {0};

	(void)state;
	a.early[0] = EARLY_WAIT(1000, STATE_RUNQ);
	a.early[1] = EARLY_WAIT(5000, STATE_PREEMPT);
	b.early[0] = EARLY_WAIT(3000, STATE_RUNQ);
	b.early[1] = EARLY_WAIT(0, STATE_RUNQ);
	c.early[0] = EARLY_WAIT(1ULL << 40, STATE_RUNQ);
	assert_int_equal(early__add(&e, &a, 0, false), 0);
	assert_int_equal(early__add(&e, &b, 0, false), 0);
	assert_int_equal(early__add(&e, &c, 0, true), 0);
	assert_int_equal(early__merge(&e, &arena, &tallies), 0);
	assert_int_equal(tallies.n, 3);
	expect(find(&tallies, 1, STATE_RUNQ), 3, 4000, 3000);
	expect(find(&tallies, 1, STATE_PREEMPT), 1, 5000, 5000);
	expect(find(&tallies, 2, STATE_RUNQ), 1, 1ULL << 40, 1ULL << 40);
	early__reset(&e);
	assert_int_equal(e.n, 0);
	arena__reset(&arena);
}

/* A wait that crossed the run's end has its time before; one that is open there is a wait, too. */
static void test_ends(void **state)
{
	struct thread_rec spilt = record(1), open = record(2), brief = record(3);
	struct tallies tallies = {0};
	struct early e = {.max = 4};
	struct arena arena = {0};

	(void)state;
	spilt.spill_slot = TALLY_EARLY(STATE_RUNQ);
	spilt.spill_ns = 700;
	open.open_slot = brief.open_slot = TALLY_EARLY(STATE_PREEMPT);
	open.open_ns = open.open_total_ns = 9000;
	brief.open_ns = brief.open_total_ns = 100;
	assert_int_equal(early__add(&e, &spilt, 500, true), 0);
	assert_int_equal(early__add(&e, &open, 500, true), 0);
	assert_int_equal(early__add(&e, &brief, 500, true), 0); /* shorter than was asked for */
	assert_int_equal(early__merge(&e, &arena, &tallies), 0);
	assert_int_equal(tallies.n, 2);
	expect(find(&tallies, 1, STATE_RUNQ), 0, 700, 0);
	expect(find(&tallies, 2, STATE_PREEMPT), 1, 9000, 9000);
	early__reset(&e);
	arena__reset(&arena);
}

/* Other threads of the process waited more often: their tally gets these, and no other does. */
static void test_merged(void **state)
{
	struct hist waits = {.sum = 10, .max = 10, .zero = 1}, cause = {.sum = 20, .zero = 2};
	struct tally items[] = {
		{.key = {.row = 1, .state = STATE_RUNQ, .syscall = SYSCALL_NONE},
		 .count = 1,
		 .hist = &waits},
		{.key = {.row = 1,
			 .state = STATE_RUNQ,
			 .kind = CAUSE_TASK,
			 .syscall = SYSCALL_NONE},
		 .slot = 1,
		 .count = 2,
		 .hist = &cause},
	};
	struct tallies tallies = {items, 2};
	struct thread_rec rec = record(1);
	struct early e = {.max = 4};
	struct arena arena = {0};

	(void)state;
	rec.early[0] = EARLY_WAIT(1000, STATE_RUNQ);
	rec.early[1] = EARLY_WAIT(2000, STATE_PREEMPT);
	assert_int_equal(early__add(&e, &rec, 0, false), 0);
	assert_int_equal(early__merge(&e, &arena, &tallies), 0);
	assert_int_equal(tallies.n, 3);
	expect(&tallies.items[0], 2, 1010, 1000);
	expect(&tallies.items[1], 2, 20, 0);
	expect(find(&tallies, 1, STATE_PREEMPT), 1, 2000, 2000);
	early__reset(&e);
	arena__reset(&arena);
}

static void test_full(void **state)
{
	struct tallies tallies = {0};
	struct early e = {.max = 2};
	struct arena arena = {0};

	(void)state;
	for (uint64_t row = 1; row <= 5; row++) {
		struct thread_rec rec = record(row);

		rec.early[0] = rec.early[1] = EARLY_WAIT(1000, STATE_RUNQ);
		assert_int_equal(early__add(&e, &rec, 0, false), 0);
	}
	assert_int_equal(e.lost, 6);
	assert_int_equal(early__merge(&e, &arena, &tallies), 0);
	assert_int_equal(tallies.n, 2);
	early__reset(&e);
	assert_int_equal(e.lost, 0);
	arena__reset(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing), cmocka_unit_test(test_waits),
		cmocka_unit_test(test_ends),    cmocka_unit_test(test_merged),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
