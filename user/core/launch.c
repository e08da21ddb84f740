// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "core/launch.h"

static _Noreturn void launch__child(int gate, int failed, char **argv)
{
	sigset_t none;
	char byte;
	int err;

	if (read(gate, &byte, 1) != 1)
		_exit(0); /* dwell is gone, or gave up */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	err = errno;
	if (write(failed, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

static int launch__executable(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return access(path, X_OK) ? -errno : 0;
}

int launch__find(const char *file, char path[PATH_MAX])
{
	const char *dir = getenv("PATH") ?: "/bin:/usr/bin";
	int err, first = -ENOENT;

	if (strchr(file, '/')) {
		str__copy(path, PATH_MAX, file);
		return launch__executable(file);
	}
	for (size_t len; *dir; dir += len + (dir[len] == ':')) {
		len = strcspn(dir, ":");
		if (snprintf(path, PATH_MAX, "%.*s/%s", len ? (int)len : 1, len ? dir : ".",
			     file) >= PATH_MAX)
			continue;
		err = launch__executable(path);
		if (!err)
			return 0;
		if (err != -ENOENT)
			first = err;
	}
	return first;
}

enum dwell_exit launch__prepare(struct launch *l, char **argv)
{
	int gate[2] = {-1, -1}, failed[2] = {-1, -1}, err;
	char path[PATH_MAX];

	err = launch__find(argv[0], path);
	if (err)
		return err__fail("%s cannot be executed: %s", argv[0], strerror(-err));
	if (pipe2(gate, O_CLOEXEC) || pipe2(failed, O_CLOEXEC)) {
		close(gate[0]);
		close(gate[1]);
		return err__fail("no pipe for %s: %s", argv[0], strerror(errno));
	}
	l->pid = fork();
	if (!l->pid) {
		close(gate[1]);
		close(failed[0]);
		launch__child(gate[0], failed[1], argv);
	}
	close(gate[0]);
	close(failed[1]);
	l->gate = gate[1];
	l->failed = failed[0];
	if (l->pid < 0)
		return err__fail("%s cannot be started: %s", argv[0], strerror(errno));
	l->pidfd = (int)syscall(SYS_pidfd_open, l->pid, 0);
	if (l->pidfd < 0)
		return err__fail("%s cannot be waited for: %s", argv[0], strerror(errno));
	return EXIT_OK;
}

enum dwell_exit launch__release(struct launch *l, char **argv)
{
	ssize_t n;
	int err;

	if (write(l->gate, "", 1) != 1)
		return err__fail("%s cannot be let go: %s", argv[0], strerror(errno));
	l->released = true;
	/* The pipe closes on exec: end of file means that the program runs. */
	do {
		n = read(l->failed, &err, sizeof(err));
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(err)) {
		launch__reap(l);
		return err__fail("%s cannot be executed: %s", argv[0], strerror(err));
	}
	return EXIT_OK;
}

void launch__reap(struct launch *l)
{
	pid_t pid;

	do {
		pid = waitpid(l->pid, &l->status, 0);
	} while (pid < 0 && errno == EINTR);
	l->ended = true;
}

int launch__exit_status(const struct launch *l)
{
	if (!l->ended)
		return 0;
	return WIFSIGNALED(l->status) ? 128 + WTERMSIG(l->status) : WEXITSTATUS(l->status);
}

void launch__free(struct launch *l)
{
	if (l->gate >= 0)
		close(l->gate);
	if (l->failed >= 0)
		close(l->failed);
	/* A child at the gate ends by itself when the gate closes. */
	if (l->pid > 0 && !l->released)
		launch__reap(l);
	if (l->pidfd >= 0)
		close(l->pidfd);
}
