/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/kallsyms.h"

#define FIXTURES "tests/unit/fixtures/"

static struct kallsyms *load(const char *path)
{
	int err = 1;
	struct kallsyms *k = kallsyms__load(path, false, &err);

	assert_non_null(k);
	assert_int_equal(err, 0);
	return k;
}

static void expect(const struct kallsyms *k, uint64_t addr, const char *name, uint64_t offset,
		   const char *module)
{
	const char *got_module = "unset", *got;
	uint64_t got_offset = UINT64_MAX;

	got = kallsyms__find(k, addr, &got_offset, &got_module);
	assert_non_null(got);
	assert_string_equal(got, name);
	assert_int_equal(got_offset, offset);
	if (module)
		assert_string_equal(got_module, module);
	else
		assert_null(got_module);
}

static void expect_none(const struct kallsyms *k, uint64_t addr)
{
	const char *module;
	uint64_t offset;

	assert_null(kallsyms__find(k, addr, &offset, &module));
}

static void test_functions(void **state)
{
	struct kallsyms *k = load(FIXTURES "proc/kallsyms");

	(void)state;
	expect(k, 0xffffffff81000000, "startup_64", 0, NULL);
	/* no padding, which belongs to what comes before */
	expect(k, 0xffffffff810000f8, "startup_64", 0xf8, NULL);
	expect(k, 0xffffffff81000100, "do_one_thing", 0, NULL);
	expect(k, 0xffffffff8100017f, "do_one_thing", 0x7f, NULL);
	/* fewer underscores, then global before weak */
	expect(k, 0xffffffff81000181, "ksys_read_alias", 1, NULL);
	expect(k, 0xffffffff810002ff, "do_another.cold", 0xff, NULL);
	expect(k, 0xffffffff81500020, "start_kernel", 0x10, NULL);
	kallsyms__free(k);
}

static void test_variables(void **state)
{
	int err;
	struct kallsyms *k = kallsyms__load(FIXTURES "proc/kallsyms", true, &err);
	struct kallsyms *functions = load(FIXTURES "proc/kallsyms");
	uint64_t offset;

	(void)state;
	assert_non_null(k);
	assert_string_equal(kallsyms__variable(k, 0xffffffff81400000, &offset), "some_rodata");
	assert_int_equal(offset, 0);
	assert_string_equal(kallsyms__variable(k, 0xffffffff81400fff, &offset), "some_rodata");
	assert_int_equal(offset, 0xfff);
	assert_string_equal(kallsyms__variable(k, 0xffffffffc0100090, &offset), "nf_data");
	assert_int_equal(offset, 0x10);
	/* too far above it; a function; below all of them */
	assert_null(kallsyms__variable(k, 0xffffffff81401000, &offset));
	assert_null(kallsyms__variable(k, 0xffffffff81000100, &offset));
	assert_null(kallsyms__variable(k, 8, &offset));
	/* Functions are what they are without variables, which nobody has who did not ask. */
	expect(k, 0xffffffff81500020, "start_kernel", 0x10, NULL);
	assert_int_equal(kallsyms__count(k), kallsyms__count(functions));
	assert_null(kallsyms__variable(functions, 0xffffffff81400000, &offset));
	kallsyms__free(functions);
	kallsyms__free(k);
}

static void test_modules(void **state)
{
	struct kallsyms *k = load(FIXTURES "proc/kallsyms");

	(void)state;
	/* in the file they are not in order */
	expect(k, 0xffffffffc0100010, "nf_hook", 0x10, "[nf_tables]");
	expect(k, 0xffffffffc0300001, "ext4_readpage", 1, "[ext4]");
	expect(k, 0xffffffffc0300100, "ext4_writepage", 0, "[ext4]");
	expect(k, 0xffffffffc0500004, "bpf_prog_6deef7357e7b4530_dump", 4, "[bpf]");
	kallsyms__free(k);
}

static void test_outside(void **state)
{
	struct kallsyms *k = load(FIXTURES "proc/kallsyms");

	(void)state;
	expect_none(k, 0);
	expect_none(k, 0x1000);
	expect_none(k, 0xffffffff80ffffff);
	expect_none(k, 0xffffffff81000300);
	expect_none(k, 0xffffffff81400000);
	expect_none(k, 0xffffffff81500100);
	expect_none(k, 0xffffffffc0700000);
	expect_none(k, UINT64_MAX);
	kallsyms__free(k);
}

static void test_restricted(void **state)
{
	int err = 0;

	(void)state;
	assert_null(kallsyms__load(FIXTURES "proc-restricted/kallsyms", true, &err));
	assert_int_equal(err, -EPERM);
}

static void expect_refused(const char *text, int expected)
{
	char path[] = "/tmp/kallsyms-XXXXXX";
	int fd = mkstemp(path), err = 0;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_null(kallsyms__load(path, false, &err));
	assert_int_equal(err, expected);
	unlink(path);
}

static void test_refused(void **state)
{
	int err = 0;

	(void)state;
	assert_null(kallsyms__load(FIXTURES "missing", false, &err));
	assert_int_equal(err, -ENOENT);
	assert_null(kallsyms__load("/", false, &err));
	assert_int_equal(err, -EISDIR);
	expect_refused("", -ENODATA);
	expect_refused("ffffffff81000000 D data\n", -ENODATA);
	expect_refused("hello\n", -EINVAL);
	expect_refused("\n", -EINVAL);
	expect_refused("ffffffff81000000 T\n", -EINVAL);
	expect_refused("1ffffffff81000000 T too_wide\n", -EINVAL);
	expect_refused("ffffffff81000000 T without_end", -EINVAL);
}

/* Longer than what is read at a time. */
static void test_endless_line(void **state)
{
	char *text = malloc(200001);

	(void)state;
	assert_non_null(text);
	memset(text, 'f', 200000);
	text[200000] = '\0';
	expect_refused(text, -EINVAL);
	free(text);
}

static void test_this_kernel(void **state)
{
	char line[512], type, name[256];
	struct kallsyms *k;
	unsigned long addr;
	int err, found = 0;
	FILE *in;

	(void)state;
	k = kallsyms__load("/proc/kallsyms", false, &err);
	if (!k && (err == -EPERM || err == -ENOENT)) {
		print_message("# the kernel hides its addresses\n");
		skip();
	}
	assert_non_null(k);
	assert_true(kallsyms__count(k) > 1000);
	in = fopen("/proc/kallsyms", "r");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "%lx %c %255s", &addr, &type, name) != 3)
			continue;
		if (strcmp(name, "schedule") != 0 && strcmp(name, "vfs_read") != 0)
			continue;
		expect(k, addr, name, 0, NULL);
		expect(k, addr + 1, name, 1, NULL);
		found++;
	}
	fclose(in);
	assert_int_equal(found, 2);
	kallsyms__free(k);
}

/* A new file with @text; @path is a template for mkstemp(). */
static void write_file(char *path, const char *text)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

/* The group with most functions; what was split off far away is none of it. */
static void test_range(void **state)
{
	const char text[] = "ffffffff81000000 t jbd2_cold_one\n"
			    "ffffffff81000010 t another\n"
			    "ffffffff81100000 T jbd2_first\n"
			    "ffffffff81100100 t start_this_handle\n"
			    "ffffffff81100200 T jbd2_last\n"
			    "ffffffff81100300 T ext4_next\n"
			    "ffffffff83000000 t jbd2_init_one\n"
			    "ffffffff83000100 t after\n";
	char path[] = "/tmp/dwell-kallsyms.XXXXXX";
	uint64_t from, to;

	(void)state;
	write_file(path, text);
	assert_true(kallsyms__range(path, "jbd2_", 64 << 10, &from, &to));
	assert_true(from == 0xffffffff81100000 && to == 0xffffffff81100300);
	assert_true(kallsyms__range(path, "jbd2_first", 64 << 10, &from, &to));
	assert_true(from == 0xffffffff81100000 && to == 0xffffffff81100100);
	assert_false(kallsyms__range(path, "xlog_", 64 << 10, &from, &to));
	/* what is last, without anything behind it */
	assert_true(kallsyms__range(path, "after", 64 << 10, &from, &to));
	assert_true(from == 0xffffffff83000100 && to > from);
	unlink(path);
	assert_false(kallsyms__range(path, "jbd2_", 64 << 10, &from, &to));
}

/* A module's functions are in no order; all of them are it, whatever their names. */
static void test_range_module(void **state)
{
	const char text[] = "ffffffff81000000 t jbd2_inline_one\n"
			    "ffffffff81000010 t another\n"
			    "ffffffffc0203000 t ext4_one\t[ext4]\n"
			    "ffffffffc0201000 t jbd2_inlined\t[ext4]\n"
			    "ffffffffc0102000 t jbd2_second\t[jbd2]\n"
			    "ffffffffc0100000 t start_this_handle\t[jbd2]\n"
			    "ffffffffc0108010 t wait_transaction_locked\t[jbd2]\n"
			    "ffffffffc0101000 t jbd2_first\t[jbd2]\n"
			    "ffffffffc0001000 t xfs_one\t[xfs]\n";
	char path[] = "/tmp/dwell-kallsyms.XXXXXX";
	uint64_t from, to;

	(void)state;
	write_file(path, text);
	assert_true(kallsyms__range(path, "jbd2_", 64 << 10, &from, &to));
	assert_true(from == 0xffffffffc0100000 && to == 0xffffffffc0109010);
	assert_true(kallsyms__range(path, "xfs_", 64 << 10, &from, &to));
	assert_true(from == 0xffffffffc0001000 && to == 0xffffffffc0002000);
	unlink(path);
}

/* Many together are it: what follows is not read, or it would be seen that it is of no form. */
static void test_range_stops(void **state)
{
	char path[] = "/tmp/dwell-kallsyms.XXXXXX";
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");
	uint64_t from, to;

	(void)state;
	assert_non_null(f);
	for (unsigned int i = 0; i < 60; i++)
		fprintf(f, "%x t jbd2_%u\n", 0x81100000 + i * 16, i);
	fprintf(f, "%x t near\n%x t far\nnothing of the kind\n", 0x81101000, 0x81200000);
	fclose(f);
	assert_true(kallsyms__range(path, "jbd2_", 64 << 10, &from, &to));
	assert_true(from == 0x81100000 && to == 0x81101000);
	assert_false(kallsyms__range(path, "near", 64 << 10, &from, &to));
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_range),        cmocka_unit_test(test_functions),
		cmocka_unit_test(test_variables),    cmocka_unit_test(test_range_stops),
		cmocka_unit_test(test_range_module), cmocka_unit_test(test_modules),
		cmocka_unit_test(test_outside),      cmocka_unit_test(test_restricted),
		cmocka_unit_test(test_refused),      cmocka_unit_test(test_endless_line),
		cmocka_unit_test(test_this_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
