/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/procmaps.h"

#define FIXTURE "tests/unit/fixtures/proc/4711/maps"

static int parse(const char *text, struct procmaps *maps)
{
	FILE *in = fmemopen((void *)text, strlen(text), "r");
	int err;

	assert_non_null(in);
	err = procmaps__parse(in, maps);
	fclose(in);
	return err;
}

static void test_recorded(void **state)
{
	static const struct procmap expected[] = {
		{0x401000, 0x4b0000, 0x1000, 0xfe, 1, 131074, "/srv/app/server v2", false},
		{0x7f2c40000000, 0x7f2c40021000, 0, 0, 0, 0, "[anon]", false},
		{0x7f2c48000000, 0x7f2c48040000, 0, 0, 0, 0, "[anon:v8 code]", false},
		{0x7f2c50000000, 0x7f2c50010000, 0x2000, 0, 1, 2057, "/memfd:doublemapper", true},
		{0x7f2c60000000, 0x7f2c60001000, 0, 0, 1, 32770, "/SYSV00000000", true},
		{0x7f2c61000000, 0x7f2c61010000, 0x3000, 0xfe, 1, 262147,
		 "/opt/new\nline/lib\nx.so", false},
		{0x7f2c62000000, 0x7f2c62010000, 0, 0x103, 5, 4294967297, "/usr/lib/libold.so.1",
		 true},
		{0x7f2c63028000, 0x7f2c6317d000, 0x28000, 0xfe, 1, 1,
		 "/usr/lib/x86_64-linux-gnu/libc.so.6", false},
		{0x7ffc4d9c5000, 0x7ffc4d9c7000, 0, 0, 0, 0, "[vdso]", false},
		{0xffffffffff600000, 0xffffffffff601000, 0, 0, 0, 0, "[vsyscall]", false},
	};
	struct procmaps maps;

	(void)state;
	assert_int_equal(procmaps__load(FIXTURE, &maps), 0);
	assert_int_equal(maps.n, sizeof(expected) / sizeof(expected[0]));
	for (size_t i = 0; i < maps.n; i++) {
		const struct procmap *m = &maps.map[i], *e = &expected[i];

		assert_int_equal(m->start, e->start);
		assert_int_equal(m->end, e->end);
		assert_int_equal(m->offset, e->offset);
		assert_int_equal(m->major, e->major);
		assert_int_equal(m->minor, e->minor);
		assert_int_equal(m->inode, e->inode);
		assert_string_equal(m->path, e->path);
		assert_int_equal(m->deleted, e->deleted);
	}
	procmaps__free(&maps);
}

static void test_find_at_bounds(void **state)
{
	struct procmaps maps;

	(void)state;
	assert_int_equal(procmaps__load(FIXTURE, &maps), 0);
	assert_null(procmaps__find(&maps, 0));
	assert_null(procmaps__find(&maps, 0x400fff));
	assert_ptr_equal(procmaps__find(&maps, 0x401000), &maps.map[0]);
	assert_ptr_equal(procmaps__find(&maps, 0x4affff), &maps.map[0]);
	assert_null(procmaps__find(&maps, 0x4b0000));
	assert_ptr_equal(procmaps__next(&maps, 0x4b0000), &maps.map[1]);
	assert_ptr_equal(procmaps__find(&maps, 0xffffffffff600fff), &maps.map[9]);
	assert_null(procmaps__find(&maps, UINT64_MAX));
	assert_null(procmaps__next(&maps, UINT64_MAX));
	procmaps__free(&maps);
}

static void test_own_code(void **state)
{
	const struct procmap *map;
	struct procmaps maps;

	(void)state;
	assert_int_equal(procmaps__load("/proc/self/maps", &maps), 0);
	map = procmaps__find(&maps, (uintptr_t)test_own_code);
	assert_non_null(map);
	assert_non_null(strstr(map->path, "test_procmaps"));
	assert_true(map->inode != 0);
	procmaps__free(&maps);
}

static void test_no_mappings(void **state)
{
	struct procmaps maps;

	(void)state;
	/* what a kernel thread has; fmemopen() takes no empty text */
	assert_int_equal(procmaps__load("/dev/null", &maps), 0);
	assert_int_equal(maps.n, 0);
	assert_null(procmaps__find(&maps, 0x401000));
	procmaps__free(&maps);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"rubbish\n",
		"\n",
		"00400000-00401000 r-xp\n",
		"00400000-00401000 r-x 00000000 fe:01 1 /a\n",
		"00401000-00400000 r-xp 00000000 fe:01 1 /a\n",
		"00400000-00402000 r-xp 00000000 fe:01 1 /a\n"
		"00401000-00403000 r-xp 00000000 fe:01 1 /a\n",
	};
	struct procmaps maps;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(bad[i], &maps), -EINVAL);
		assert_int_equal(maps.n, 0);
		assert_null(maps.map);
	}
	assert_int_equal(procmaps__load("/proc/4194305/maps", &maps), -ENOENT);
	assert_int_equal(procmaps__load("/proc", &maps), -EISDIR);
	procmaps__free(&maps);
}

static void test_odd_paths(void **state)
{
	struct procmaps maps;

	(void)state;
	assert_int_equal(parse("1000-2000 r-xp 00000000 fe:01 1    / (deleted) (deleted)\n"
			       "2000-3000 r-xp 00000000 fe:01 1    (unreachable)/x\n"
			       "3000-4000 r-xp 00000000 fe:01 1    /a\\134\\012",
			       &maps),
			 0);
	assert_int_equal(maps.n, 3);
	assert_string_equal(maps.map[0].path, "/ (deleted)");
	assert_true(maps.map[0].deleted);
	assert_string_equal(maps.map[1].path, "(unreachable)/x");
	assert_string_equal(maps.map[2].path, "/a\\134\n");
	procmaps__free(&maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded), cmocka_unit_test(test_find_at_bounds),
		cmocka_unit_test(test_own_code), cmocka_unit_test(test_no_mappings),
		cmocka_unit_test(test_refused),  cmocka_unit_test(test_odd_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
