// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/shared.h"

#define SIZE 2712UL /* of an element: no part of a page */

/* Bytes of [from, from + n) that are mapped for reading. */
static size_t readable(const char *from, size_t n)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long begin, end, low, high;
	size_t sum = 0;
	char mode[5], line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %4s", &begin, &end, mode) != 3 || mode[0] != 'r')
			continue;
		low = begin > (uintptr_t)from ? begin : (uintptr_t)from;
		high = end < (uintptr_t)from + n ? end : (uintptr_t)from + n;
		sum += high > low ? high - low : 0;
	}
	assert_int_equal(fclose(maps), 0);
	return sum;
}

static int open_file(struct shared *s, size_t n)
{
	int fd = memfd_create("array", 0);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(n * SIZE + 4096)), 0);
	assert_int_equal(shared__open(s, fd, n, SIZE), 0);
	return fd;
}

/* What is written to an element is in the file, where an array has it. */
static void round_trip(struct shared *s, int fd, size_t i)
{
	char wrote[SIZE], read[SIZE];
	void *at = shared__at(s, i);

	assert_ptr_equal(at, s->at + i * SIZE);
	memset(wrote, (int)(i % 250 + 1), sizeof(wrote));
	memcpy(at, wrote, sizeof(wrote));
	assert_int_equal(pread(fd, read, sizeof(read), (off_t)(i * SIZE)), (ssize_t)sizeof(read));
	assert_memory_equal(read, wrote, sizeof(read));
	assert_ptr_equal(shared__at(s, i), at);
	assert_memory_equal(at, wrote, sizeof(wrote));
}

/* Also elements that begin in one piece and end in the next. */
static void test_each(void **state)
{
	const size_t n = 300;
	struct shared s;
	int fd = open_file(&s, n);

	(void)state;
	assert_true(s.piece % SIZE);
	for (size_t i = 0; i < n; i++)
		round_trip(&s, fd, n - 1 - i);
	assert_int_equal(readable(s.at, s.bytes), s.bytes);
	shared__close(&s);
	close(fd);
}

static void test_only_what_is_looked_at(void **state)
{
	const size_t n = 65536;
	struct shared s;
	int fd = open_file(&s, n);

	(void)state;
	assert_int_equal(readable(s.at, s.bytes), 0);
	round_trip(&s, fd, 0);
	round_trip(&s, fd, n - 1);
	assert_true(readable(s.at, s.bytes) <= 3 * s.piece);
	shared__close(&s);
	assert_null(s.at);
	shared__close(&s);
	close(fd);
}

static void test_all(void **state)
{
	const size_t n = 4096;
	struct shared s;
	int fd = open_file(&s, n);

	(void)state;
	assert_int_equal(shared__map_all(&s), 0);
	assert_int_equal(readable(s.at, s.bytes), s.bytes);
	round_trip(&s, fd, n / 2);
	shared__close(&s);
	close(fd);
}

static void test_refused(void **state)
{
	struct shared s;

	(void)state;
	assert_int_equal(shared__open(&s, -1, 10, SIZE), 0);
	assert_null(shared__at(&s, 3));
	assert_int_equal(errno, EBADF);
	assert_int_equal(shared__map_all(&s), -EBADF);
	shared__close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_only_what_is_looked_at),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
