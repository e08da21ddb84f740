// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* LDFLAGS: -Wl,--wrap=calloc */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/arena.h"

static bool fail;
static int blocks;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	blocks++;
	return fail ? NULL : __real_calloc(n, size);
}

static void test_zeroed_and_aligned(void **state)
{
	static const char zero[4096];
	struct arena a = {0};

	(void)state;
	for (size_t size = 0; size < sizeof(zero); size += 1 + size / 3) {
		char *p = arena__alloc(&a, size);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		assert_memory_equal(p, zero, size);
		/* the next one must not see it */
		memset(p, 0x55, size);
	}
	arena__reset(&a);
}

static void test_apart(void **state)
{
	struct arena a = {0};
	unsigned char *p[500];

	(void)state;
	for (int i = 0; i < 500; i++) {
		p[i] = arena__alloc(&a, 1000);
		assert_non_null(p[i]);
		memset(p[i], i & 0xff, 1000);
	}
	for (int i = 0; i < 500; i++) {
		assert_int_equal(p[i][0], i & 0xff);
		assert_int_equal(p[i][999], i & 0xff);
	}
	arena__reset(&a);
}

static void test_in_blocks(void **state)
{
	struct arena a = {0};
	char *big;

	(void)state;
	blocks = 0;
	for (int i = 0; i < 1000; i++)
		assert_non_null(arena__alloc(&a, 16));
	assert_int_equal(blocks, 1);
	/* larger than a block */
	big = arena__alloc(&a, 1 << 20);
	assert_non_null(big);
	big[(1 << 20) - 1] = 1;
	assert_int_equal(blocks, 2);
	arena__reset(&a);
	assert_null(a.blocks);
	/* can be used again */
	assert_non_null(arena__alloc(&a, 16));
	arena__reset(&a);
	arena__reset(&a);
}

static void test_array(void **state)
{
	struct arena a = {0};
	uint64_t *p = arena__array(&a, 100, sizeof(*p));

	(void)state;
	assert_non_null(p);
	p[99] = 1;
	assert_null(arena__array(&a, SIZE_MAX / 4, 8));
	assert_null(arena__array(&a, SIZE_MAX / 8 + 2, 8));
	assert_null(arena__alloc(&a, SIZE_MAX));
	assert_null(arena__alloc(&a, SIZE_MAX / 2 + 1));
	assert_non_null(arena__array(&a, 0, 8));
	arena__reset(&a);
}

static void test_printf(void **state)
{
	struct arena a = {0};
	char *first = arena__printf(&a, "%s (%d)", "postgres", 812);
	char *large = arena__printf(&a, "%0*d", 100000, 7);

	(void)state;
	assert_string_equal(first, "postgres (812)");
	assert_int_equal(strlen(large), 100000);
	assert_int_equal(large[99999], '7');
	assert_string_equal(arena__printf(&a, "%s", ""), "");
	assert_string_equal(first, "postgres (812)");
	arena__reset(&a);
}

static void test_without_memory(void **state)
{
	struct arena a = {0};
	char *p;

	(void)state;
	fail = true;
	assert_null(arena__alloc(&a, 16));
	assert_null(arena__array(&a, 2, 16));
	assert_null(arena__printf(&a, "%d", 1));
	fail = false;
	p = arena__printf(&a, "kept");
	fail = true;
	/* what fits in the block is still had, what does not is refused, what was there stays */
	assert_non_null(arena__alloc(&a, 16));
	assert_null(arena__alloc(&a, 1 << 20));
	assert_string_equal(p, "kept");
	fail = false;
	assert_non_null(arena__alloc(&a, 1 << 20));
	arena__reset(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zeroed_and_aligned),
		cmocka_unit_test(test_apart),
		cmocka_unit_test(test_in_blocks),
		cmocka_unit_test(test_array),
		cmocka_unit_test(test_printf),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
