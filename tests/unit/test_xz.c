// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <lzma.h>

#include "base/xz.h"

#define SIZE (3U << 20) /* more than is set aside at first */

struct packed {
	uint8_t *plain;
	uint8_t bytes[1 << 16];
	size_t n;
};

static int pack(void **state)
{
	struct packed *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->plain = calloc(1, SIZE);
	assert_non_null(p->plain);
	for (size_t i = 0; i < SIZE; i += 4096)
		p->plain[i] = (uint8_t)(i >> 12);
	assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, p->plain, SIZE,
						 p->bytes, &p->n, sizeof(p->bytes)),
			 LZMA_OK);
	*state = p;
	return 0;
}

static int drop(void **state)
{
	struct packed *p = *state;

	free(p->plain);
	free(p);
	return 0;
}

static void test_whole(void **state)
{
	const struct packed *p = *state;
	size_t n = 0;
	void *data;

	assert_int_equal(xz__unpack(p->bytes, p->n, SIZE, &data, &n), 0);
	assert_int_equal(n, SIZE);
	assert_memory_equal(data, p->plain, SIZE);
	free(data);
}

static void test_too_large(void **state)
{
	const struct packed *p = *state;
	void *data;
	size_t n;

	assert_int_equal(xz__unpack(p->bytes, p->n, SIZE - 1, &data, &n), -EINVAL);
}

static void test_damaged(void **state)
{
	struct packed *p = *state;
	void *data;
	size_t n;

	assert_int_equal(xz__unpack(p->bytes, p->n - 1, SIZE, &data, &n), -EINVAL);
	assert_int_equal(xz__unpack("no xz", 5, SIZE, &data, &n), -EINVAL);
	p->bytes[p->n / 2] ^= 1;
	assert_int_equal(xz__unpack(p->bytes, p->n, SIZE, &data, &n), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, pack, drop),
		cmocka_unit_test_setup_teardown(test_too_large, pack, drop),
		cmocka_unit_test_setup_teardown(test_damaged, pack, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
