// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * calls [ROUNDS]: a thread makes known numbers of system calls with known errors, and times those
 *	that take long itself. Prints what it did as JSON.
 * calls yield: two threads yield one CPU to each other, which a third one takes from them wherever
 *	they are, for 10 ms in 11; until it is killed.
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

static void *calls__yield(void *arg)
{
	(void)arg;
	for (;;)
		sched_yield();
	return NULL;
}

static _Noreturn void calls__preempt(void)
{
	struct sched_param param = {.sched_priority = 1};
	pthread_t thread;
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	workload__sys(sched_setaffinity(0, sizeof(first), &first), "sched_setaffinity");
	for (int i = 0; i < 2; i++)
		workload__pth(pthread_create(&thread, NULL, calls__yield, NULL), "pthread_create");
	workload__sys(sched_setscheduler(0, SCHED_FIFO, &param), "sched_setscheduler");
	for (;;) {
		workload__burn(10 * WORKLOAD_MSEC);
		workload__sleep(WORKLOAD_MSEC);
	}
}

int main(int argc, char **argv)
{
	struct calls c = {.rounds = 100};
	pthread_t thread;

	if (argc > 1 && !strcmp(argv[1], "yield"))
		calls__preempt();
	if (argc > 1)
		c.rounds = workload__number(argv[1], 1, 100000);
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
