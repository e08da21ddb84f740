// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* What the command lock is made of: names of variables, callers in stacks, sums of parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/datasyms.h"
#include "core/frames.h"
#include "core/lockparts.h"

/* The first byte of the program: the linker's. */
extern char __executable_start;

/* One with a value and one without: they lie in different mappings. */
uint64_t lock_test_initialised[4] = {1, 2, 3, 4};
uint64_t lock_test_zero[4];
/* A second name of the same variable, which is weak: not the one to show. */
extern uint64_t lock_test_alias[4] __attribute__((alias("lock_test_initialised"), weak));

static void test_variables(void **state)
{
	struct datasyms *d = datasyms__new();
	uint32_t self = (uint32_t)getpid();
	char name[64], module[64];

	(void)state;
	assert_non_null(d);
	assert_int_equal(datasyms__remember(d, self), 0);
	assert_int_equal(datasyms__user(d, self, (uintptr_t)lock_test_initialised, name,
					sizeof(name), module, sizeof(module)),
			 0);
	assert_string_equal(name, "lock_test_initialised");
	assert_string_equal(module, "test_lock");
	assert_int_equal(datasyms__user(d, self, (uintptr_t)&lock_test_zero[2], name, sizeof(name),
					module, sizeof(module)),
			 0);
	assert_string_equal(name, "lock_test_zero+0x10");
	/* The stack and the heap hold no variables with names. */
	assert_int_not_equal(datasyms__user(d, self, (uintptr_t)name, name, sizeof(name), module,
					    sizeof(module)),
			     0);
	assert_int_not_equal(datasyms__user(d, self, (uintptr_t)d, name, sizeof(name), module,
					    sizeof(module)),
			     0);
	assert_int_not_equal(datasyms__user(d, self, 8, name, sizeof(name), module, sizeof(module)),
			     0);
	/* No process has this number. */
	assert_int_not_equal(datasyms__remember(d, UINT32_MAX / 2), 0);
	assert_int_not_equal(datasyms__user(d, UINT32_MAX / 2, 4096, name, sizeof(name), module,
					    sizeof(module)),
			     0);
	datasyms__free(d);
	datasyms__free(NULL);
}

/* A process's files are read once, and kept: they may be gone when the next name is asked for. */
static void test_variables_of_a_removed_file(void **state)
{
	char path[] = "/tmp/dwell-test-XXXXXX", name[64], module[64];
	struct datasyms *d = datasyms__new();
	uint32_t self = (uint32_t)getpid();
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = mkstemp(path);
	struct stat st;
	char *at;

	(void)state;
	assert_non_null(d);
	assert_true(from >= 0 && to >= 0);
	assert_int_equal(fstat(from, &st), 0);
	assert_int_equal(sendfile(to, from, NULL, (size_t)st.st_size), st.st_size);
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, to, 0);
	assert_true(at != MAP_FAILED);
	assert_int_equal(datasyms__remember(d, self), 0);
	/* Where the variables lie in the copy is where they lie behind the program's first byte. */
	at += (char *)lock_test_initialised - &__executable_start;
	assert_int_equal(datasyms__user(d, self, (uintptr_t)at, name, sizeof(name), module,
					sizeof(module)),
			 0);
	assert_string_equal(name, "lock_test_initialised");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(datasyms__user(d, self, (uintptr_t)at + 8, name, sizeof(name), module,
					sizeof(module)),
			 0);
	assert_string_equal(name, "lock_test_initialised+0x8");
	datasyms__free(d);
	munmap(at - ((char *)lock_test_initialised - &__executable_start), (size_t)st.st_size);
	close(from);
	close(to);
}

static void test_find(void **state)
{
	struct datasyms *d = datasyms__new();
	uint32_t self = (uint32_t)getpid();
	uint64_t start = 0, end = 0;

	(void)state;
	assert_non_null(d);
	assert_int_equal(datasyms__find(d, self, "test_", "lock_test_zero", &start, &end), -ENOENT);
	assert_int_equal(datasyms__remember(d, self), 0);
	assert_int_equal(datasyms__find(d, self, "test_", "lock_test_zero", &start, &end), 0);
	assert_int_equal(start, (uintptr_t)lock_test_zero);
	assert_int_equal(end, (uintptr_t)lock_test_zero + sizeof(lock_test_zero));
	assert_int_not_equal(datasyms__find(d, self, "test_", "lock_test_", &start, &end), 0);
	/* A library's name begins with "lib". */
	assert_int_equal(datasyms__find(d, self, "c.so", "stdout", &start, &end), 0);
	assert_int_equal(end - start, sizeof(stdout));
	assert_int_not_equal(datasyms__find(d, self, "python", "stdout", &start, &end), 0);
	datasyms__free(d);
}

static void test_callers(void **state)
{
	static const struct {
		const char *frames[6];
		const char *caller;
	} table[] = {
		{{"[libc.so.6+0x8612b]", "place_order", "main"}, "place_order"},
		{{"__lll_lock_wait", "pthread_mutex_lock", "std::mutex::lock",
		  "std::lock_guard<std::mutex>::lock_guard", "Shop::order"},
		 "Shop::order"},
		{{"syscall", "std::sync::poison::mutex::Mutex<T>::lock", "shop::order"},
		 "shop::order"},
		{{"__schedule", "schedule", "rwsem_down_write_slowpath", "down_write",
		  "ext4_buffered_write_iter"},
		 "ext4_buffered_write_iter"},
		{{"__lll_lock_wait", "[libc.so.6+0x891f5]"}, NULL},
		{{NULL}, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const char *caller = frames__caller(table[i].frames);

		if (!table[i].caller)
			assert_null(caller);
		else
			assert_string_equal(caller, table[i].caller);
	}
	assert_null(frames__caller(NULL));
}

static void test_merge(void **state)
{
	struct lockpart items[] = {
		{.tid = 7, .slot = 3, .part = LOCKPART_HOLDER, .val = {.count = 1, .ns = 10}},
		{.tid = 7, .slot = 1, .part = LOCKPART_WAITER, .val = {.count = 4, .ns = 40}},
		{.tid = 7, .slot = 2, .part = LOCKPART_HOLDER, .val = {.count = 2, .ns = 20}},
		{.tid = 8, .slot = 2, .part = LOCKPART_HOLDER, .val = {.count = 3, .ns = 30}},
	};

	(void)state;
	items[0].val.states[STATE_DISK] = 5;
	items[2].val.states[STATE_DISK] = 6;
	items[2].val.comm[0] = 0x41;
	assert_int_equal(lockparts__merge(items, 4), 3);
	assert_int_equal(items[0].part, LOCKPART_WAITER);
	assert_int_equal(items[0].val.ns, 40);
	assert_int_equal(items[1].tid, 7);
	assert_int_equal(items[1].val.count, 3);
	assert_int_equal(items[1].val.ns, 30);
	assert_int_equal(items[1].val.states[STATE_DISK], 11);
	assert_int_equal(items[1].val.comm[0], 0x41);
	assert_int_equal(items[2].tid, 8);
	assert_int_equal(lockparts__merge(items, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_variables),
		cmocka_unit_test(test_variables_of_a_removed_file),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_callers),
		cmocka_unit_test(test_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
