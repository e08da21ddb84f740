/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/perfmap.h"

static struct perfmap *read_text(const char *text)
{
	int fd = memfd_create("map", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	lseek(fd, 0, SEEK_SET);
	return perfmap__read(fd);
}

static void test_names(void **state)
{
	struct perfmap *map = read_text("7f0000001000 20 LazyCompile:~f /srv/app.js:1\n"
					"0x7f0000002000 0x10 g\n"
					"7f0000001000 30 f, made anew\n");
	uint64_t start;

	(void)state;
	assert_non_null(map);
	assert_string_equal(perfmap__find(map, 0x7f000000100f, &start), "f, made anew");
	assert_int_equal(start, 0x7f0000001000);
	assert_string_equal(perfmap__find(map, 0x7f000000102f, &start), "f, made anew");
	assert_string_equal(perfmap__find(map, 0x7f0000002000, &start), "g");
	assert_null(perfmap__find(map, 0x7f0000001030, &start));
	assert_null(perfmap__find(map, 0x7f0000000fff, &start));
	assert_null(perfmap__find(map, 0x7f0000002010, &start));
	perfmap__free(map);
}

static void test_malformed(void **state)
{
	struct perfmap *map = read_text("\n1000\n1000 20\n1000 20 \nzz 20 f\n1000 0 empty\n"
					"2000 8 a\tb\x1b[31m\n");
	uint64_t start;

	(void)state;
	assert_non_null(map);
	assert_null(perfmap__find(map, 0x1000, &start));
	assert_null(strchr(perfmap__find(map, 0x2000, &start), '\x1b'));
	perfmap__free(map);
	assert_null(read_text(""));
	assert_null(read_text("no map at all\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
