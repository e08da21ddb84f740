// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* LDFLAGS: -pthread */
#include <limits.h>
#include <mntent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/target.h"

#include "capture.h"

static struct capture capture;

/* Resolves @t, and checks the status and the one line on stderr. */
static void refused(struct target *t, enum dwell_exit expected, const char *message)
{
	struct config config = {0};
	enum dwell_exit status;
	const char *text;

	capture__begin(&capture, STDERR_FILENO);
	status = target__resolve(t, 0, &config);
	text = capture__end(&capture);
	assert_int_equal(status, expected);
	if (!strstr(text, message))
		fail_msg("expected '%s', got '%s'", message, text);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void accepted(struct target *t, struct config *config)
{
	memset(config, 0, sizeof(*config));
	assert_int_equal(target__resolve(t, 77, config), EXIT_OK);
	assert_int_equal(config->self, getpid());
}

/* The number of a process that was there a moment ago. */
static uint32_t vanished(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return (uint32_t)pid;
}

static void test_vanished(void **state)
{
	uint32_t pid = vanished();
	struct target pids = {.pids = {1, {pid}}}, tids = {.tids = {2, {1, pid}}};
	char message[64];

	(void)state;
	snprintf(message, sizeof(message), "there is no process %u", pid);
	refused(&pids, EXIT_FAIL, message);
	snprintf(message, sizeof(message), "there is no thread %u", pid);
	refused(&tids, EXIT_FAIL, message);
}

static void *resolve_own_tid(void *arg)
{
	uint32_t tid = (uint32_t)gettid();
	struct target t = {.pids = {1, {tid}}};
	char message[64];

	snprintf(message, sizeof(message), "use -t %u or -p %d", tid, getpid());
	refused(&t, EXIT_FAIL, message);
	*(uint32_t *)arg = tid;
	return NULL;
}

static void test_thread_as_process(void **state)
{
	pthread_t thread;
	uint32_t tid = 0;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, resolve_own_tid, &tid), 0);
	pthread_join(thread, NULL);
	assert_true(tid != 0);
}

static void test_itself(void **state)
{
	struct target t = {.pids = {1, {(uint32_t)getpid()}}};

	(void)state;
	refused(&t, EXIT_FAIL, "is dwell itself");
}

static void test_several_kinds(void **state)
{
	char *program[] = {"true", NULL};
	struct target both[] = {
		{.pids = {1, {1}}, .tids = {1, {1}}}, {.pids = {1, {1}}, .all = true},
		{.comm = "x", .cgroup = "/"},         {.comm = "x", .program = program},
		{.all = true, .program = program},    {.tids = {1, {1}}, .comm = "x"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(both) / sizeof(*both); i++)
		refused(&both[i], EXIT_USAGE, "only one of");
}

static void test_comm(void **state)
{
	struct target t = {.comm = "0123456789abcdef"};
	struct config config;

	(void)state;
	refused(&t, EXIT_USAGE, "at most 15 bytes: '0123456789abcdef'");
	t.comm = "";
	refused(&t, EXIT_USAGE, "-c wants a command name");
	t.comm = "0123456789abcde";
	accepted(&t, &config);
	assert_int_equal(config.filter, FILTER_COMM);
	assert_memory_equal(config.comm, "0123456789abcde", 16);
	assert_string_equal(t.text, "command 0123456789abcde");
	/* the rest is zero: it is compared whole */
	t.comm = "sh";
	accepted(&t, &config);
	assert_memory_equal(config.comm, "sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

/* Where cgroup v2 is mounted; NULL if it is not. */
static const char *cgroup_root(char path[PATH_MAX])
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *m;

	path[0] = '\0';
	while (mounts && !*path && (m = getmntent(mounts))) {
		if (!strcmp(m->mnt_type, "cgroup2"))
			snprintf(path, PATH_MAX, "%s", m->mnt_dir);
	}
	if (mounts)
		endmntent(mounts);
	return *path ? path : NULL;
}

static void test_no_cgroup(void **state)
{
	struct target t = {.cgroup = "/sys/fs/cgroup/there is none"};

	(void)state;
	refused(&t, EXIT_FAIL, "there is none cannot be opened");
	t.cgroup = "/tmp";
	refused(&t, EXIT_FAIL, "/tmp is not a cgroup v2 directory");
	t.cgroup = "/proc/self/status";
	refused(&t, EXIT_FAIL, "cannot be opened");
}

static void test_cgroup(void **state)
{
	char path[PATH_MAX], below[PATH_MAX + 32];
	struct target t = {.cgroup = cgroup_root(path)};
	struct config config;
	struct stat st;

	(void)state;
	if (!t.cgroup) {
		print_message("# cgroup v2 is not mounted\n");
		skip();
	}
	if (stat(path, &st) || st.st_ino != 1) {
		refused(&t, EXIT_UNSUPPORTED, "is not visible");
		return;
	}
	accepted(&t, &config);
	assert_int_equal(config.filter, FILTER_CGROUP);
	assert_int_equal(config.cgroup_id, 1);
	assert_int_equal(config.cgroup_level, 0);
	snprintf(below, sizeof(below), "%s/dwell-test-%d", path, getpid());
	if (mkdir(below, 0755)) {
		print_message("# not permitted to make a cgroup\n");
		skip();
	}
	t.cgroup = below;
	assert_int_equal(stat(below, &st), 0);
	accepted(&t, &config);
	rmdir(below);
	assert_int_equal(config.cgroup_id, st.st_ino);
	assert_int_equal(config.cgroup_level, 1);
}

static void test_processes(void **state)
{
	struct target one = {.pids = {1, {1}}}, two = {.pids = {2, {1, (uint32_t)getppid()}}};
	struct config config;

	(void)state;
	accepted(&one, &config);
	assert_int_equal(config.filter, FILTER_TGID);
	assert_int_equal(config.tgid, 1);
	assert_int_equal(config.follow, 0);
	assert_memory_equal(one.text, "pid 1 (", 7);
	if (getppid() <= 1) {
		print_message("# the parent is process 1\n");
		skip();
	}
	accepted(&two, &config);
	assert_int_equal(config.filter, FILTER_TGIDS);
	assert_int_equal(two.ids.n, 2);
	assert_int_equal(two.ids.value[1], getppid());
}

/* The description of many ends with how many are left out. */
static void test_many(void **state)
{
	struct target t = {.tids = {OPTION_LIST_MAX, {0}}};
	struct config config;

	(void)state;
	for (uint32_t i = 0; i < OPTION_LIST_MAX; i++)
		t.tids.value[i] = 1;
	accepted(&t, &config);
	assert_int_equal(config.filter, FILTER_TIDS);
	assert_int_equal(t.ids.n, OPTION_LIST_MAX);
	assert_true(strlen(t.text) < sizeof(t.text));
	assert_string_equal(t.text + strlen(t.text) - 5, " more");
}

static void test_program_and_all(void **state)
{
	char *program[] = {"sleep", "1", NULL};
	struct target t = {.program = program}, all = {.all = true}, none = {0};
	struct config config;

	(void)state;
	accepted(&t, &config);
	assert_int_equal(config.filter, FILTER_TGID);
	assert_int_equal(config.tgid, 77);
	assert_int_equal(config.follow, 1);
	assert_string_equal(t.text, "sleep (pid 77) and its descendants");
	accepted(&all, &config);
	assert_int_equal(config.filter, 0);
	accepted(&none, &config);
	assert_int_equal(config.filter, 0);
	assert_string_equal(none.text, all.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vanished), cmocka_unit_test(test_thread_as_process),
		cmocka_unit_test(test_itself),   cmocka_unit_test(test_several_kinds),
		cmocka_unit_test(test_comm),     cmocka_unit_test(test_no_cgroup),
		cmocka_unit_test(test_cgroup),   cmocka_unit_test(test_processes),
		cmocka_unit_test(test_many),     cmocka_unit_test(test_program_and_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
