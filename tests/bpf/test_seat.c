// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* bpf/lib/seat.bpf.h: each thread's number is its own, wherever it sits. */
#include "harness.h"

#include "seat.h"

#include "seat.btf.skel.h"

static const struct harness_variant btf = {.elf = seat_btf__elf_bytes};

#define FIRST 0xffff000000000000ULL /* no task is there */

/* Task number @i of those with a home each… */
static uint64_t apart(unsigned int i)
{
	return FIRST + i * 8192ULL;
}

/* …and of those with one home. */
static uint64_t neighbour(unsigned int i)
{
	return FIRST + ((uint64_t)i << 32);
}

/* As many clocks as the test says. */
static struct harness *begin(void **state, uint32_t places)
{
	struct harness *h = *state;

	harness__open(h, NULL);
	harness__size(h, "places", places);
	harness__load(h);
	return h;
}

static void test_key(void **state)
{
	assert_int_equal(harness__run(begin(state, 1), "key", 0), 1);
}

/* The driver, at home, and where somebody else sits there. */
static void test_self(void **state)
{
	struct harness *h = begin(state, 4);
	uint64_t other = FIRST | (uint32_t)harness__run(h, "low", 0);
	int number = harness__run(h, "take_self", 0);

	assert_int_not_equal(number, 0);
	assert_int_equal(harness__run(h, "find_self", 0), number);
	assert_int_equal(harness__run(h, "find", other), 0);
	harness__run(h, "leave_self", 0);
	assert_int_equal(harness__run(h, "find_self", 0), 0);

	assert_int_not_equal(harness__run(h, "take", other), 0);
	number = harness__run(h, "take_self", 0);
	assert_int_not_equal(number, 0);
	assert_int_not_equal(number, harness__run(h, "find", other));
	assert_int_equal(harness__run(h, "find_self", 0), number);
	harness__run(h, "leave", other);
	assert_int_equal(harness__run(h, "find_self", 0), number);
	harness__run(h, "leave_self", 0);
	assert_int_equal(harness__run(h, "find_self", 0), 0);
}

static void test_apart(void **state)
{
	struct harness *h = begin(state, 1000);
	bool given[1000 + 1] = {0};

	for (unsigned int i = 0; i < 1000; i++) {
		int number = harness__run(h, "take", apart(i));

		assert_in_range(number, 1, 1000);
		assert_false(given[number]);
		given[number] = true;
		assert_int_equal(harness__run(h, "find", apart(i)), number);
	}
	assert_int_equal(harness__run(h, "find", apart(1000)), 0);
	for (unsigned int i = 0; i < 1000; i += 2)
		harness__run(h, "leave", apart(i));
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(!harness__run(h, "find", apart(i)), i % 2 == 0);
}

/* The seats of all are taken one after the other; who finds none takes no number. */
static void test_neighbours(void **state)
{
	struct harness *h = begin(state, 1000);
	int numbers[SEAT_TRIES], number;

	for (unsigned int i = 0; i < SEAT_TRIES; i++) {
		numbers[i] = harness__run(h, "take", neighbour(i));
		assert_int_not_equal(numbers[i], 0);
	}
	for (unsigned int i = 0; i < 2000; i++)
		assert_int_equal(harness__run(h, "take", neighbour(SEAT_TRIES)), 0);
	assert_int_equal(harness__run(h, "find", neighbour(SEAT_TRIES)), 0);

	/* The one at home leaves: the others are found all the same, and his seat is free. */
	harness__run(h, "leave", neighbour(0));
	assert_int_equal(harness__run(h, "find", neighbour(0)), 0);
	for (unsigned int i = 1; i < SEAT_TRIES; i++)
		assert_int_equal(harness__run(h, "find", neighbour(i)), numbers[i]);
	number = harness__run(h, "take", neighbour(SEAT_TRIES));
	assert_int_not_equal(number, 0);
	assert_int_equal(harness__run(h, "find", neighbour(SEAT_TRIES)), number);
	for (unsigned int i = 1; i < SEAT_TRIES; i++)
		assert_int_not_equal(numbers[i], number);
}

/* The number that was left last is the next one's; there are no more than clocks. */
static void test_numbers(void **state)
{
	struct harness *h = begin(state, 4);
	int numbers[4];

	for (unsigned int i = 0; i < 4; i++) {
		numbers[i] = harness__run(h, "take", apart(i));
		assert_int_not_equal(numbers[i], 0);
	}
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(harness__run(h, "take", apart(4)), 0);
	harness__run(h, "leave", apart(1));
	harness__run(h, "leave", apart(3));
	harness__run(h, "leave", apart(3)); /* who has none leaves none */
	assert_int_equal(harness__run(h, "take", apart(4)), numbers[3]);
	assert_int_equal(harness__run(h, "take", apart(5)), numbers[1]);
	assert_int_equal(harness__run(h, "take", apart(6)), 0);
}

#define SEAT_TEST(f)                                                                               \
	{                                                                                          \
#f "_btf", f, harness__setup, harness__teardown, (void *)&btf                      \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEAT_TEST(test_key),        SEAT_TEST(test_self),    SEAT_TEST(test_apart),
		SEAT_TEST(test_neighbours), SEAT_TEST(test_numbers),
	};

	return harness__main(tests);
}
