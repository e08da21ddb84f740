// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* On the test's own process, its threads and children. */
/* LDFLAGS: -pthread */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/proc.h"

#define NO_PID 4194305 /* above the highest that a kernel gives: PID_MAX_LIMIT */

/* A thread that waits to be let go. */
struct waiter {
	pthread_t thread;
	pthread_barrier_t begun, end;
	pid_t tid;
};

static void *waiter__run(void *arg)
{
	struct waiter *w = arg;

	w->tid = gettid();
	pthread_setname_np(pthread_self(), "a thread");
	pthread_barrier_wait(&w->begun);
	pthread_barrier_wait(&w->end);
	return NULL;
}

static void waiter__begin(struct waiter *w)
{
	pthread_barrier_init(&w->begun, NULL, 2);
	pthread_barrier_init(&w->end, NULL, 2);
	assert_int_equal(pthread_create(&w->thread, NULL, waiter__run, w), 0);
	pthread_barrier_wait(&w->begun);
}

static void waiter__end(struct waiter *w)
{
	pthread_barrier_wait(&w->end);
	pthread_join(w->thread, NULL);
}

/* A child that does nothing; it keeps one end of @pipe_fd, and this process the other. */
static pid_t child(const int *pipe_fd, int keeps)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pipe_fd)
			close(pipe_fd[!keeps]);
		close(ready[0]);
		close(ready[1]);
		for (;;)
			pause();
	}
	if (pipe_fd)
		close(pipe_fd[keeps]);
	/* the end of file says that the child has closed what it was to close */
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 0);
	close(ready[0]);
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_comm(void **state)
{
	char comm[THREAD_COMM + 1];
	struct waiter w;

	(void)state;
	waiter__begin(&w);
	proc__comm((uint32_t)w.tid, comm);
	assert_string_equal(comm, "a thread");
	waiter__end(&w);
	/* the longest, and one that could be taken for two lines */
	prctl(PR_SET_NAME, "0123456789abcde");
	proc__comm((uint32_t)getpid(), comm);
	assert_string_equal(comm, "0123456789abcde");
	prctl(PR_SET_NAME, "test_proc");
	proc__comm(NO_PID, comm);
	assert_string_equal(comm, "?");
}

static void test_tgid(void **state)
{
	uint32_t tgid = 0;
	struct waiter w;
	pid_t pid;

	(void)state;
	assert_int_equal(proc__tgid((uint32_t)getpid(), &tgid), 0);
	assert_int_equal(tgid, getpid());
	waiter__begin(&w);
	assert_true(w.tid != getpid());
	assert_int_equal(proc__tgid((uint32_t)w.tid, &tgid), 0);
	assert_int_equal(tgid, getpid());
	waiter__end(&w);
	pid = child(NULL, 0);
	assert_int_equal(proc__tgid((uint32_t)pid, &tgid), 0);
	assert_int_equal(tgid, pid);
	end_child(pid);
	assert_int_equal(proc__tgid((uint32_t)pid, &tgid), -ESRCH);
	assert_int_equal(proc__tgid(NO_PID, &tgid), -ESRCH);
}

static void test_outer_tid(void **state)
{
	struct waiter w;

	(void)state;
	waiter__begin(&w);
	/* in no namespace of its own a number stays what it is, even one that is not there */
	assert_int_equal(proc__outer_tid((uint32_t)getpid(), (uint32_t)w.tid), w.tid);
	assert_int_equal(proc__outer_tid((uint32_t)getpid(), 3), 3);
	assert_int_equal(proc__outer_tid(NO_PID, 3), 3);
	waiter__end(&w);
}

static void test_outer_tid_in_a_namespace(void **state)
{
	uint32_t found;
	pid_t pid, outer;

	(void)state;
	/* whose children are in a namespace of their own */
	outer = fork();
	assert_true(outer >= 0);
	if (!outer) {
		if (unshare(CLONE_NEWPID))
			_exit(77);
		pid = fork();
		if (!pid) {
			for (;;)
				pause();
		}
		found = proc__outer_tid((uint32_t)pid, 1);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		_exit(found == (uint32_t)pid ? 0 : 1);
	}
	assert_int_equal(waitpid(outer, (int *)&found, 0), outer);
	if (WIFEXITED((int)found) && WEXITSTATUS((int)found) == 77) {
		print_message("# no permission to make a PID namespace\n");
		skip();
	}
	assert_int_equal(found, 0);
}

static void test_threads(void **state)
{
	uint32_t before = proc__threads();

	(void)state;
	assert_true(before >= 1);
	assert_true(before < 4194304);
}

static uint64_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void test_pipe_peer(void **state)
{
	uint32_t self = (uint32_t)getpid(), peer = 0;
	int fd[2];
	pid_t pid;

	(void)state;
	/* this process reads, the child has the end that writes */
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	pid = child(fd, 1);
	assert_int_equal(proc__pipe_peer(inode(fd[0]), self, 1, &peer), 0);
	assert_int_equal(peer, pid);
	/* nobody else reads */
	assert_int_equal(proc__pipe_peer(inode(fd[0]), self, 0, &peer), -ENOENT);
	end_child(pid);
	assert_int_equal(proc__pipe_peer(inode(fd[0]), self, 1, &peer), -ENOENT);
	close(fd[0]);
	/* and the other way round */
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	pid = child(fd, 0);
	assert_int_equal(proc__pipe_peer(inode(fd[1]), self, 0, &peer), 0);
	assert_int_equal(peer, pid);
	assert_int_equal(proc__pipe_peer(inode(fd[1]), self, 1, &peer), -ENOENT);
	/* seen from the child, it is this process */
	assert_int_equal(proc__pipe_peer(inode(fd[1]), (uint32_t)pid, 1, &peer), 0);
	assert_int_equal(peer, self);
	end_child(pid);
	close(fd[1]);
	assert_int_equal(proc__pipe_peer(1, self, 1, &peer), -ENOENT);
}

static void test_cgroup(void **state)
{
	char path[4096], recorded[4200] = "", line[4200];
	FILE *in = fopen("/proc/self/cgroup", "r");

	(void)state;
	while (in && fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "0::", 3))
			snprintf(recorded, sizeof(recorded), "%s", line + 3);
	}
	if (in)
		fclose(in);
	if (!*recorded) {
		print_message("# no cgroup v2 here\n");
		skip();
	}
	assert_int_equal(proc__cgroup((uint32_t)getpid(), path, sizeof(path)), 0);
	assert_string_equal(path, recorded);
	assert_int_equal(path[0], '/');
	/* cut, but ended */
	assert_int_equal(proc__cgroup((uint32_t)getpid(), path, 2), 0);
	assert_string_equal(path, "/");
	assert_true(proc__cgroup(NO_PID, path, sizeof(path)) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comm),      cmocka_unit_test(test_tgid),
		cmocka_unit_test(test_outer_tid), cmocka_unit_test(test_outer_tid_in_a_namespace),
		cmocka_unit_test(test_threads),   cmocka_unit_test(test_pipe_peer),
		cmocka_unit_test(test_cgroup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
