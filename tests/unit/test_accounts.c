// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* LDFLAGS: -Wl,--wrap=calloc,--wrap=malloc */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/accounts.h"

/* The allocation to fail, counted down to 0; how many were seen. */
static int fail_at = -1;
static int allocations;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static int fails(void)
{
	allocations++;
	return fail_at > 0 && --fail_at == 0;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

/* uthash's own tables */
void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

static struct thread_rec record(uint64_t row, uint32_t tgid, uint32_t tid, const char *comm,
				uint64_t cpu, uint64_t disk)
{
	struct thread_rec rec = {.row = row, .tgid = tgid, .tid = tid, .cgroup = 7};

	memcpy(rec.comm, comm, strlen(comm));
	rec.ns[STATE_CPU] = cpu;
	rec.ns[STATE_DISK] = disk;
	return rec;
}

static void add(struct accounts *a, struct thread_rec rec)
{
	assert_int_equal(accounts__add(a, &rec), 0);
}

static void test_adds_up(void **state)
{
	struct accounts a = {.max = 10};
	const struct account *account;

	(void)state;
	add(&a, record(1, 100, 100, "server", 10, 20));
	add(&a, record(1, 100, 101, "worker", 30, 40));
	add(&a, record(2, 200, 200, "client", 1, 0));
	assert_int_equal(a.n, 2);
	account = accounts__find(&a, 1);
	assert_int_equal(account->threads, 2);
	assert_int_equal(account->exited, 0);
	assert_int_equal(account->ns[STATE_CPU], 40);
	assert_int_equal(account->ns[STATE_DISK], 60);
	assert_int_equal(account->wall_ns, 100);
	assert_int_equal(account->cgroup, 7);
	assert_int_equal(accounts__find(&a, 2)->wall_ns, 1);
	assert_null(accounts__find(&a, 3));
	accounts__reset(&a);
}

/* Time in no state at all (not watched) is nobody's. */
static void test_unwatched_time(void **state)
{
	struct thread_rec rec = record(1, 100, 100, "server", 10, 0);
	struct accounts a = {.max = 10};

	(void)state;
	rec.ns[STATE_NONE] = 1000;
	add(&a, rec);
	assert_int_equal(accounts__find(&a, 1)->wall_ns, 10);
	assert_int_equal(accounts__find(&a, 1)->ns[STATE_NONE], 0);
	/* and makes no row */
	rec = record(2, 200, 200, "late", 0, 0);
	rec.ns[STATE_NONE] = 1000;
	add(&a, rec);
	assert_null(accounts__find(&a, 2));
	assert_int_equal(a.lost, 0);
	accounts__reset(&a);
}

static void test_named_after_the_leader(void **state)
{
	struct accounts a = {.max = 10};
	const struct account *account;

	(void)state;
	add(&a, record(1, 100, 103, "worker", 1, 0));
	account = accounts__find(&a, 1);
	/* the leader may have ended, or come later */
	assert_string_equal(account->comm, "worker");
	assert_int_equal(account->tgid, 100);
	assert_int_equal(account->tid, 103);
	add(&a, record(1, 100, 102, "other", 1, 0));
	assert_string_equal(account->comm, "worker");
	add(&a, record(1, 100, 100, "server", 1, 0));
	assert_string_equal(account->comm, "server");
	assert_int_equal(account->tid, 100);
	add(&a, record(1, 100, 104, "worker", 1, 0));
	assert_string_equal(account->comm, "server");
	accounts__reset(&a);
}

static void test_longest_name(void **state)
{
	struct accounts a = {.max = 10};

	(void)state;
	/* 16 bytes without an end, as a hostile or future kernel may hand them over */
	add(&a, record(1, 100, 100, "0123456789abcdef", 1, 0));
	assert_string_equal(accounts__find(&a, 1)->comm, "0123456789abcdef");
	assert_string_equal(accounts__comm(&a, 100), "0123456789abcdef");
	accounts__reset(&a);
}

/* A thread that goes on under another row is one thread there, and none here. */
static void test_partial_and_exited(void **state)
{
	struct thread_rec rec = record(1, 100, 100, "bash", 10, 0);
	struct accounts a = {.max = 10};

	(void)state;
	rec.flags = THREAD_PARTIAL;
	add(&a, rec);
	rec = record(2, 100, 100, "sleep", 20, 0);
	rec.flags = THREAD_EXITED;
	add(&a, rec);
	assert_int_equal(accounts__find(&a, 1)->threads, 0);
	assert_int_equal(accounts__find(&a, 1)->wall_ns, 10);
	assert_int_equal(accounts__find(&a, 2)->threads, 1);
	assert_int_equal(accounts__find(&a, 2)->exited, 1);
	/* the name is the last one */
	assert_string_equal(accounts__comm(&a, 100), "sleep");
	accounts__reset(&a);
}

static void test_limit(void **state)
{
	struct accounts a = {.max = 3};

	(void)state;
	for (uint32_t i = 1; i <= 5; i++)
		add(&a, record(i, i, i, "x", 1, 0));
	assert_int_equal(a.n, 3);
	assert_int_equal(a.lost, 2);
	/* what was there goes on */
	add(&a, record(2, 2, 22, "x", 1, 0));
	assert_int_equal(a.lost, 2);
	assert_int_equal(accounts__find(&a, 2)->wall_ns, 2);
	assert_null(accounts__find(&a, 4));
	/* and the names of those without a row are known all the same */
	assert_string_equal(accounts__comm(&a, 5), "x");
	accounts__reset(&a);
	assert_int_equal(a.n, 0);
	assert_int_equal(a.lost, 0);
	assert_int_equal(a.max, 3);
	assert_null(accounts__find(&a, 2));
	assert_null(accounts__comm(&a, 5));
	add(&a, record(9, 9, 9, "y", 1, 0));
	assert_int_equal(a.n, 1);
	accounts__reset(&a);
}

static void test_names_are_bounded(void **state)
{
	struct accounts a = {.max = 1};

	(void)state;
	for (uint32_t tid = 1; tid <= ACCOUNTS_NAMES + 10; tid++)
		add(&a, record(1, 1, tid, "x", 1, 0));
	assert_int_equal(a.names, ACCOUNTS_NAMES);
	assert_string_equal(accounts__comm(&a, ACCOUNTS_NAMES), "x");
	assert_null(accounts__comm(&a, ACCOUNTS_NAMES + 1));
	/* names that are known follow all the same */
	add(&a, record(1, 1, 5, "y", 1, 0));
	assert_string_equal(accounts__comm(&a, 5), "y");
	assert_int_equal(accounts__find(&a, 1)->threads, ACCOUNTS_NAMES + 11);
	accounts__reset(&a);
}

/* Each allocation fails in turn: the error comes out, or only a name is missing. */
static void test_without_memory(void **state)
{
	int failed = 0, total;

	(void)state;
	for (int n = 0;; n++) {
		struct accounts a = {.max = 100};
		uint64_t added = 0;

		allocations = 0;
		fail_at = n;
		for (uint32_t i = 1; i <= 30; i++) {
			struct thread_rec rec = record(i, i, i, "x", 1, 0);
			int err = accounts__add(&a, &rec);

			assert_true(!err || err == -ENOMEM);
			added += !err;
			failed += err != 0;
			if (err)
				assert_null(accounts__find(&a, i));
			else
				assert_int_equal(accounts__find(&a, i)->wall_ns, 1);
		}
		assert_int_equal(a.n, added);
		assert_int_equal(a.lost, 0);
		assert_true(added >= 29 && a.names >= 29);
		total = allocations;
		fail_at = -1;
		accounts__reset(&a);
		if (n > total)
			break;
	}
	/* every row's own memory, and the first one's table */
	assert_true(failed >= 31);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adds_up),
		cmocka_unit_test(test_unwatched_time),
		cmocka_unit_test(test_named_after_the_leader),
		cmocka_unit_test(test_longest_name),
		cmocka_unit_test(test_partial_and_exited),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_names_are_bounded),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
