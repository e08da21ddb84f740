// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/engines.h"

static const struct probe_target *engine(const char *title)
{
	for (size_t i = 0; i < engines_n; i++) {
		if (!strcmp(engines[i].title, title))
			return &engines[i];
	}
	return NULL;
}

/* Every part has a database, and every database what the probes need. */
static void test_table(void **state)
{
	bool has[NR_PARTS] = {0};

	(void)state;
	for (size_t i = 0; i < engines_n; i++) {
		const struct probe_target *e = &engines[i];
		bool required = false;

		assert_true(e->part < NR_PARTS);
		has[e->part] = true;
		assert_true(e->names || e->library || e->linked_in);
		assert_true(e->n > 0 && e->n <= PROBE_POINTS);
		assert_true(!e->layout == !e->layout_of);
		/* the variables' places are told from the first one's probe on */
		assert_non_null(e->points[0].program);
		for (size_t k = 0; k < e->n; k++)
			required |= !(e->points[k].flags & POINT_OPTIONAL);
		/* or any program would be one */
		assert_true(required);
	}
	for (int i = 0; i < NR_PARTS; i++)
		assert_true(has[i]);
}

#ifdef __x86_64__
static bool layout(const char *title, uint64_t *cookie, const uint8_t *code, size_t size)
{
	return engine(title)->layout(code, size, cookie);
}

#define LAYOUT(title, cookie, ...)                                                                 \
	layout(title, cookie, (const uint8_t[]){__VA_ARGS__},                                      \
	       sizeof((const uint8_t[]){__VA_ARGS__}))

static void test_sqlite(void **state)
{
	uint64_t at = 1;

	(void)state;
	/* Debian's 3.40: test rdi,rdi; je; mov rax,[rdi+0xf8]; ret */
	assert_true(LAYOUT("SQLite", &at, 0x48, 0x85, 0xff, 0x74, 0x0b, 0x48, 0x8b, 0x87, 0xf8, 0,
			   0, 0, 0xc3));
	assert_int_equal(at, 0xf8);
	/* endbr64; xor eax,eax; test rdi,rdi; je; mov rax,[rdi+0x78] */
	assert_true(LAYOUT("SQLite", &at, 0xf3, 0x0f, 0x1e, 0xfa, 0x31, 0xc0, 0x48, 0x85, 0xff,
			   0x74, 4, 0x48, 0x8b, 0x47, 0x78));
	assert_int_equal(at, 0x78);
	/* without optimisation: mov [rbp-0x18],rdi; mov rax,[rbp-0x18]; mov rax,[rax+0x108] */
	assert_true(LAYOUT("SQLite", &at, 0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0x7d, 0xe8, 0x48,
			   0x8b, 0x45, 0xe8, 0x48, 0x8b, 0x80, 8, 1, 0, 0, 0x5d, 0xc3));
	assert_int_equal(at, 0x108);
	/* no load, one that is no field, one that is cut off */
	assert_false(LAYOUT("SQLite", &at, 0x31, 0xc0, 0xc3));
	assert_false(LAYOUT("SQLite", &at, 0x48, 0x8b, 0x87, 0xf8, 0xff, 0xff, 0xff, 0xc3));
	assert_false(LAYOUT("SQLite", &at, 0x48, 0x8b, 0x87, 0xf8, 0, 0));
	assert_false(LAYOUT("SQLite", &at, 0x48, 0x8b, 0x47, 0x13, 0xc3));
}

static void test_mysql(void **state)
{
	uint64_t at = 1;

	(void)state;
	/* Debian's MariaDB 10.11: add rsi,[rdi+0x3b98]; mov [rdi+0x3b98],rsi */
	assert_true(LAYOUT("MariaDB", &at, 0x48, 0x03, 0xb7, 0x98, 0x3b, 0, 0, 0x48, 0x89, 0xb7,
			   0x98, 0x3b, 0, 0, 0xc3));
	assert_int_equal(at, 0x3b98);
	/* push rbp; mov rbp,rsp; add [rdi+0x1230],rsi */
	assert_true(
		LAYOUT("MySQL", &at, 0x55, 0x48, 0x89, 0xe5, 0x48, 0x01, 0xb7, 0x30, 0x12, 0, 0));
	assert_int_equal(at, 0x1230);
	assert_false(LAYOUT("MySQL", &at, 0xc3));
}

static void test_valkey(void **state)
{
	uint64_t at = 1;

	(void)state;
	/* push rbp; mov rax,[rdi+0x20]; mov rbp,rsp; mov rsi,[rax+8] */
	assert_true(LAYOUT("Valkey", &at, 0x55, 0x48, 0x8b, 0x47, 0x20, 0x48, 0x89, 0xe5, 0x48,
			   0x8b, 0x70, 8));
	assert_int_equal(at, 0x20);
	/* not of the client: mov rsi,[rax+8] */
	assert_false(LAYOUT("Valkey", &at, 0x48, 0x8b, 0x70, 8, 0xc3));
}

/* Whatever the bytes: nothing is read outside. */
static void test_bounds(void **state)
{
	uint8_t code[12];
	uint64_t at;

	(void)state;
	for (uint32_t i = 0; i < 1U << 12; i++) {
		for (size_t size = 0; size <= sizeof(code); size++) {
			uint8_t *copy = test_malloc(size + 1);

			memset(code, 0x48, sizeof(code));
			memcpy(code + i % 9, &i, 3);
			memcpy(copy, code, size);
			for (size_t e = 0; e < engines_n; e++) {
				if (engines[e].layout)
					engines[e].layout(copy, size, &at);
			}
			test_free(copy);
		}
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
#ifdef __x86_64__
		cmocka_unit_test(test_sqlite), cmocka_unit_test(test_mysql),
		cmocka_unit_test(test_valkey), cmocka_unit_test(test_bounds),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
