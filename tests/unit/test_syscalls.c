// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "core/syscalls.h"

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(syscalls__name(SYS_read), "read");
	assert_string_equal(syscalls__name(SYS_pread64), "pread64");
	assert_string_equal(syscalls__name(SYS_futex), "futex");
	assert_string_equal(syscalls__name(SYS_clock_nanosleep), "clock_nanosleep");
	assert_string_equal(syscalls__name(SYS_io_uring_enter), "io_uring_enter");
	assert_string_equal(syscalls__name(SYS_futex_waitv), "futex_waitv");
#ifdef __x86_64__
	assert_string_equal(syscalls__name(0), "read");
	assert_string_equal(syscalls__name(202), "futex");
	assert_string_equal(syscalls__name(257), "openat");
#elif defined(__aarch64__)
	assert_string_equal(syscalls__name(63), "read");
	assert_string_equal(syscalls__name(98), "futex");
#endif
}

static void test_no_name(void **state)
{
	(void)state;
	assert_null(syscalls__name(NR_SYSCALLS - 1));
	assert_null(syscalls__name(NR_SYSCALLS));
	assert_null(syscalls__name(SYSCALL_NONE));
	assert_null(syscalls__name(UINT_MAX));
#ifdef __x86_64__
	assert_null(
		syscalls__name(400)); /* in the gap between the old numbers and the common ones */
#endif
}

static void test_classes(void **state)
{
	static const struct {
		unsigned int nr;
		enum syscall_class class;
	} known[] = {
		{SYS_read, CLASS_FD},
		{SYS_pwrite64, CLASS_FD},
		{SYS_fsync, CLASS_FD},
		{SYS_sendmsg, CLASS_FD},
		{SYS_accept4, CLASS_FD},
		{SYS_getdents64, CLASS_FD},
		{SYS_openat, CLASS_PATH_AT},
		{SYS_renameat2, CLASS_PATH_AT},
		{SYS_sync, CLASS_FS},
		{SYS_futex, CLASS_FUTEX},
		{SYS_futex_waitv, CLASS_FUTEX_WAITV},
		{SYS_flock, CLASS_FLOCK},
		{SYS_fcntl, CLASS_FCNTL},
		{SYS_semtimedop, CLASS_IPC},
		{SYS_msgrcv, CLASS_QUEUE},
		{SYS_wait4, CLASS_CHILD},
		{SYS_waitid, CLASS_CHILD},
		{SYS_epoll_pwait, CLASS_POLL},
		{SYS_ppoll, CLASS_POLL_NFDS},
		{SYS_pselect6, CLASS_SELECT},
		{SYS_io_uring_enter, CLASS_URING},
		{SYS_rt_sigtimedwait, CLASS_SIGNAL},
		{SYS_nanosleep, CLASS_SLEEP},
		{SYS_clock_nanosleep, CLASS_SLEEP},
#ifdef __x86_64__
		{SYS_open, CLASS_PATH},
		{SYS_select, CLASS_SELECT},
		{SYS_poll, CLASS_POLL_NFDS},
		{SYS_epoll_wait, CLASS_POLL},
		{SYS_pause, CLASS_SIGNAL},
		{SYS_vfork, CLASS_CHILD},
#endif
		{SYS_getpid, CLASS_OTHER},
		{SYS_ioctl, CLASS_OTHER},
		{SYS_mmap, CLASS_OTHER},
	};
	uint8_t classes[NR_SYSCALLS];

	(void)state;
	/* whatever was there is overwritten, also for numbers without a call */
	memset(classes, 0xff, sizeof(classes));
	syscalls__classes(classes);
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (classes[known[i].nr] != known[i].class)
			fail_msg("%s: class %u", syscalls__name(known[i].nr), classes[known[i].nr]);
	}
	for (unsigned int nr = 0; nr < NR_SYSCALLS; nr++) {
		assert_true(classes[nr] <= CLASS_SLEEP);
		if (!syscalls__name(nr))
			assert_int_equal(classes[nr], CLASS_OTHER);
	}
}

static void test_files(void **state)
{
	static const struct {
		long nr;
		uint8_t how, op;
	} known[] = {
		{SYS_pread64, FILE_FD0, FILE_READ},
		{SYS_pwritev2, FILE_FD0, FILE_WRITE},
		{SYS_fdatasync, FILE_FD0, FILE_FDATASYNC},
		{SYS_openat2, FILE_NEW_AT, FILE_OPEN},
		{SYS_statx, FILE_PATH_AT, FILE_STAT},
		{SYS_renameat2, FILE_PATH_AT, FILE_RENAME},
		{SYS_sendfile, FILE_FD1, FILE_SENDFILE},
		{SYS_msync, FILE_ADDR, FILE_MSYNC},
		{SYS_copy_file_range, FILE_FD2, FILE_COPY},
#ifdef __x86_64__
		{SYS_creat, FILE_NEW, FILE_OPEN},
		{SYS_lstat, FILE_PATH, FILE_STAT},
#endif
	};
	uint8_t calls[NR_SYSCALLS];

	(void)state;
	memset(calls, 0xff, sizeof(calls));
	syscalls__files(calls);
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		assert_int_equal(calls[known[i].nr], known[i].how << FILE_HOW_SHIFT | known[i].op);
	assert_int_equal(calls[SYS_getpid], FILE_NONE);
	assert_int_equal(calls[SYS_sendto], FILE_NONE);
	for (unsigned int nr = 0; nr < NR_SYSCALLS; nr++)
		assert_true((calls[nr] & FILE_OP_MASK) < NR_FILE_OPS);
}

static void test_later_names_and_errors(void **state)
{
	(void)state;
	/* whether the headers know them or not */
	assert_string_equal(syscalls__name(451), "cachestat");
	assert_string_equal(syscalls__name(462), "mseal");
	assert_null(syscalls__name(511));
	assert_string_equal(syscalls__error(2), "ENOENT");
	assert_string_equal(syscalls__error(512), "ERESTARTSYS");
	assert_null(syscalls__error(4000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_no_name),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_later_names_and_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
