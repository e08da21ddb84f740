// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "core/proc.h"

ssize_t proc__slurp(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

int proc__comm(uint32_t tid, char comm[THREAD_COMM + 1])
{
	char path[64], buf[THREAD_COMM + 2];

	snprintf(path, sizeof(path), "/proc/%u/comm", tid);
	if (proc__slurp(path, buf, sizeof(buf)) <= 0) {
		str__copy(comm, THREAD_COMM + 1, "?");
		return -ESRCH;
	}
	buf[strcspn(buf, "\n")] = '\0';
	str__copy(comm, THREAD_COMM + 1, buf);
	return 0;
}

/* The number in line @key ("\nTgid:\t") of a thread's status. 0, -ESRCH, or -errno. */
static int proc__status(uint32_t tid, const char *key, uint32_t *value)
{
	char path[64], buf[4096];
	const char *line;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/status", tid);
	n = proc__slurp(path, buf, sizeof(buf));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	line = strstr(buf, key);
	if (!line || sscanf(line + strlen(key), "%" SCNu32, value) != 1)
		return -ESRCH;
	return 0;
}

int proc__tgid(uint32_t tid, uint32_t *tgid)
{
	return proc__status(tid, "\nTgid:\t", tgid);
}

int proc__parent(uint32_t pid, uint32_t *parent)
{
	return proc__status(pid, "\nPPid:\t", parent);
}

/* The last number of "NSpid:", the one inside; 0 if there is none. */
static uint32_t proc__inner_tid(uint32_t tgid, const char *tid)
{
	char path[64 + NAME_MAX], buf[4096], *line, *last;

	snprintf(path, sizeof(path), "/proc/%u/task/%s/status", tgid, tid);
	if (proc__slurp(path, buf, sizeof(buf)) <= 0)
		return 0;
	line = strstr(buf, "\nNSpid:");
	if (!line)
		return 0;
	line[1 + strcspn(line + 1, "\n")] = '\0';
	last = strrchr(line, '\t');
	return last ? (uint32_t)strtoul(last + 1, NULL, 10) : 0;
}

uint32_t proc__outer_tid(uint32_t tgid, uint32_t ns_tid)
{
	char path[64], self[16];
	uint32_t found = ns_tid;
	struct dirent *entry;
	DIR *dir;

	snprintf(self, sizeof(self), "%u", tgid);
	if (proc__inner_tid(tgid, self) == tgid)
		return ns_tid; /* not in a namespace of its own */
	snprintf(path, sizeof(path), "/proc/%u/task", tgid);
	dir = opendir(path);
	if (!dir)
		return ns_tid;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || proc__inner_tid(tgid, entry->d_name) != ns_tid)
			continue;
		found = (uint32_t)strtoul(entry->d_name, NULL, 10);
		break;
	}
	closedir(dir);
	return found;
}

uint32_t proc__threads(void)
{
	char buf[128];
	unsigned int threads = 0;

	if (proc__slurp("/proc/loadavg", buf, sizeof(buf)) <= 0 ||
	    sscanf(buf, "%*s %*s %*s %*u/%u", &threads) != 1)
		return 1;
	return threads ?: 1;
}

/* Does the open file behind /proc/PID/fd/FD read, or write? */
static int proc__fd_mode(const char *pid, const char *fd)
{
	char path[64 + 2 * NAME_MAX], buf[256];
	const char *flags;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	if (proc__slurp(path, buf, sizeof(buf)) <= 0)
		return -1;
	flags = strstr(buf, "flags:\t");
	return flags ? (int)(strtoul(flags + 7, NULL, 8) & O_ACCMODE) : -1;
}

/* True if process @pid has the end of the pipe that is wanted. @left: descriptors to look at. */
static int proc__has_pipe(const char *pid, const char *pipe, int unwanted, unsigned int *left)
{
	char path[64 + 2 * NAME_MAX], link[64];
	struct dirent *entry;
	int found = 0;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while (!found && *left && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		(*left)--;
		n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		found = !strcmp(link, pipe) && proc__fd_mode(pid, entry->d_name) != unwanted;
	}
	closedir(dir);
	return found;
}

int proc__pipe_peer(uint64_t ino, uint32_t tgid, int reading, uint32_t *peer)
{
	unsigned int left = PROC_FDS_MAX;
	struct dirent *entry;
	int err = -ENOENT;
	char pipe[64];
	uint64_t pid;
	DIR *dir;

	snprintf(pipe, sizeof(pipe), "pipe:[%" PRIu64 "]", ino);
	dir = opendir("/proc");
	if (!dir)
		return -errno;
	while (err && left && (entry = readdir(dir))) {
		if (str__to_u64(entry->d_name, 1, UINT32_MAX, &pid) || pid == tgid)
			continue;
		if (!proc__has_pipe(entry->d_name, pipe, reading ? O_RDONLY : O_WRONLY, &left))
			continue;
		*peer = (uint32_t)pid;
		err = 0;
	}
	closedir(dir);
	return err;
}

int proc__cgroup(uint32_t pid, char *path, size_t size)
{
	char file[64], buf[8192], *line;
	ssize_t n;

	snprintf(file, sizeof(file), "/proc/%u/cgroup", pid);
	n = proc__slurp(file, buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	line = !strncmp(buf, "0::", 3) ? buf : strstr(buf, "\n0::");
	if (!line)
		return -ENOENT;
	line += *line == '\n' ? 4 : 3;
	line[strcspn(line, "\n")] = '\0';
	str__copy(path, size, line);
	return 0;
}
