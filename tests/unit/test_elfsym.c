// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/elfsym.h"

/* Bytes that are found again in the file; global, so that it has a symbol. */
extern const char elfsym_mark[];
const char elfsym_mark[] = "the mark of this test";

static void test_own_file(void **state)
{
	struct elfsym syms[] = {
		{.name = "elfsym_mark"}, {.name = "no_such_symbol"}, {.name = "main"}};
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char text[sizeof(elfsym_mark)];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(elfsym__find(fd, syms, 3), 2);
	assert_int_equal(syms[0].size, sizeof(elfsym_mark));
	assert_int_equal(pread(fd, text, sizeof(text), (off_t)syms[0].offset), sizeof(text));
	assert_string_equal(text, elfsym_mark);
	assert_int_equal(syms[1].vaddr, 0);
	assert_int_equal(syms[1].offset, 0);
	assert_true(syms[2].offset > 0);
	close(fd);
}

static void test_no_elf(void **state)
{
	struct elfsym sym = {.name = "main"};
	int fd = memfd_create("none", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(elfsym__find(fd, &sym, 1), -ENOEXEC);
	assert_int_equal(write(fd, "#!/bin/sh\n", 10), 10);
	assert_int_equal(elfsym__find(fd, &sym, 1), -ENOEXEC);
	close(fd);
}

/* Cut anywhere, or with any byte of its headers changed: no crash, and nothing outside the file. */
static void test_damaged(void **state)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int fd = memfd_create("damaged", MFD_CLOEXEC);
	static char head[4096];
	struct stat st;

	(void)state;
	assert_int_equal(fstat(from, &st), 0);
	assert_int_equal(pread(from, head, sizeof(head), 0), sizeof(head));
	for (off_t at = 0; at < st.st_size; at += sizeof(head)) {
		char part[sizeof(head)];
		ssize_t n = pread(from, part, sizeof(part), at);

		assert_true(n > 0);
		assert_int_equal(pwrite(fd, part, (size_t)n, at), n);
	}
	for (unsigned int i = 4; i < 64; i++) {
		struct elfsym sym = {.name = "elfsym_mark"};

		head[i] ^= 0x7f;
		assert_int_equal(pwrite(fd, head, sizeof(head), 0), sizeof(head));
		elfsym__find(fd, &sym, 1);
		head[i] ^= 0x7f;
	}
	assert_int_equal(pwrite(fd, head, sizeof(head), 0), sizeof(head));
	for (off_t size = st.st_size; size > 64; size /= 2) {
		struct elfsym sym = {.name = "elfsym_mark"};

		assert_int_equal(ftruncate(fd, size), 0);
		elfsym__find(fd, &sym, 1);
	}
	close(fd);
	close(from);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_file),
		cmocka_unit_test(test_no_elf),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
