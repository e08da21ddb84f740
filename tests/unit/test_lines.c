// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* LDFLAGS: -rdynamic -ldl */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "core/lines.h"

__attribute__((noinline, noclone)) static uintptr_t return_address(void)
{
	return (uintptr_t)__builtin_return_address(0);
}

static unsigned int inner_line, outer_line;

__attribute__((always_inline)) static inline uintptr_t inner_function(void)
{
	inner_line = __LINE__ + 1;
	return return_address() + 0 * (uintptr_t)getpid();
}

__attribute__((noinline, noclone)) static uintptr_t outer_function(void)
{
	outer_line = __LINE__ + 1;
	return inner_function() + 0 * (uintptr_t)getppid();
}

static struct lines *own_lines(void)
{
	struct lines *l = lines__new(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "self");

	assert_non_null(l);
	return l;
}

/* The file's own address of a call in this program. */
static uint64_t vaddr_of(uintptr_t after_call)
{
	Dl_info info;

	assert_true(dladdr((void *)after_call, &info));
	return after_call - 1 - (uintptr_t)info.dli_fbase;
}

static void expect(const struct line *line, const char *function, unsigned int number)
{
	assert_string_equal(line->function, function);
	assert_string_equal(strrchr(line->file, '/') + 1, "test_lines.c");
	assert_int_equal(line->line, number);
}

static void finds_inlined_functions(void **state)
{
	struct lines *l = own_lines();
	uint64_t vaddr = vaddr_of(outer_function());
	const struct line *line, *again;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(lines__find(l, vaddr, i ? &again : &line), 2);
		expect(&line[0], "inner_function", inner_line);
		expect(&line[1], "outer_function", outer_line);
	}
	assert_ptr_equal(line, again);
	lines__free(l);
}

static void knows_nothing_of_other_addresses(void **state)
{
	static const uint64_t none[] = {0, 1, UINT64_MAX, UINT64_MAX / 2};
	struct lines *l = own_lines();
	const struct line *line;

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		assert_int_equal(lines__find(l, none[i], &line), 0);
	lines__free(l);
	lines__free(NULL);
}

static void needs_debug_information(void **state)
{
	struct lines *l = lines__new(open("/dev/null", O_RDONLY | O_CLOEXEC), "none");
	const struct line *line;

	(void)state;
	assert_non_null(l);
	assert_int_equal(lines__find(l, 4096, &line), 0);
	lines__free(l);
}

/* Whatever its reader does: here it is killed. */
static void survives_its_reader(void **state)
{
	struct lines *l = own_lines();
	uint64_t vaddr = vaddr_of(outer_function());
	const struct line *line;
	char text[64];
	FILE *children;
	int pid = 0;

	(void)state;
	log__set_level(LOG_QUIET);
	assert_int_equal(lines__find(l, vaddr, &line), 2);
	snprintf(text, sizeof(text), "/proc/self/task/%d/children", (int)getpid());
	children = fopen(text, "re");
	assert_non_null(children);
	assert_int_equal(fscanf(children, "%d", &pid), 1);
	fclose(children);
	kill(pid, SIGKILL);
	assert_int_equal(lines__find(l, vaddr + 1, &line), 0);
	assert_int_equal(lines__find(l, vaddr, &line), 2);
	lines__free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_inlined_functions),
		cmocka_unit_test(knows_nothing_of_other_addresses),
		cmocka_unit_test(needs_debug_information),
		cmocka_unit_test(survives_its_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
