// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * calls [ROUNDS]: a thread makes known numbers of system calls with known errors, and times those
 * that take long itself. Prints what it did as JSON.
 */
#include <sys/stat.h>

#include "workload.h"

#define FAST   50 /* getppid() per round */
#define MISSES 3  /* open() of what does not exist, per round */

struct calls {
	uint64_t rounds;
	uint64_t *samples; /* of each sleep, ns */
	uint64_t total_ns;
	pid_t tid;
};

static void calls__sleep(struct calls *c, uint64_t round)
{
	struct timespec ts = {0, 2 * WORKLOAD_MSEC};
	uint64_t begin = workload__now();

	workload__sys(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, NULL), "nanosleep");
	c->samples[round] = workload__now() - begin;
	c->total_ns += c->samples[round];
}

static void calls__round(struct calls *c, int empty, uint64_t round)
{
	char byte;

	for (int i = 0; i < FAST; i++)
		syscall(SYS_getppid);
	for (int i = 0; i < MISSES; i++)
		syscall(SYS_openat, AT_FDCWD, "/nonexistent/calls", O_RDONLY);
	if (syscall(SYS_read, empty, &byte, 1) >= 0)
		workload__die("an empty pipe was read");
	syscall(SYS_fsync, -1);
	syscall(SYS_fsync, empty);
	calls__sleep(c, round);
}

static void *calls__run(void *arg)
{
	struct calls *c = arg;
	int fds[2];

	c->tid = workload__tid();
	prctl(PR_SET_NAME, "victim");
	workload__sys(pipe2(fds, O_NONBLOCK), "pipe2");
	for (uint64_t i = 0; i < c->rounds; i++)
		calls__round(c, fds[0], i);
	return NULL;
}

int main(int argc, char **argv)
{
	struct calls c = {.rounds = argc > 1 ? workload__number(argv[1], 1, 100000) : 100};
	pthread_t thread;

	c.samples = calloc(c.rounds, sizeof(*c.samples));
	if (!c.samples)
		workload__die("no memory");
	workload__pth(pthread_create(&thread, NULL, calls__run, &c), "pthread_create");
	workload__pth(pthread_join(thread, NULL), "pthread_join");
	printf("{\"pid\":%d,\"tid\":%d,\"calls\":{\"getppid\":%llu,\"openat\":%llu,\"read\":%llu,"
	       "\"fsync\":%llu,\"clock_nanosleep\":%llu},\"errors\":{\"openat\":{\"ENOENT\":%llu},"
	       "\"read\":{\"EAGAIN\":%llu},\"fsync\":{\"EBADF\":%llu,\"EINVAL\":%llu}},"
	       "\"sleep_ns\":%llu,\"samples\":[",
	       getpid(), c.tid, (unsigned long long)c.rounds * FAST,
	       (unsigned long long)c.rounds * MISSES, (unsigned long long)c.rounds,
	       (unsigned long long)c.rounds * 2, (unsigned long long)c.rounds,
	       (unsigned long long)c.rounds * MISSES, (unsigned long long)c.rounds,
	       (unsigned long long)c.rounds, (unsigned long long)c.rounds,
	       (unsigned long long)c.total_ns);
	for (uint64_t i = 0; i < c.rounds; i++)
		printf("%s%llu", i ? "," : "", (unsigned long long)c.samples[i]);
	puts("]}");
	return 0;
}
