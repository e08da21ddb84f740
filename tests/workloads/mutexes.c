/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * mutexes free LOOPS: one thread locks and unlocks a mutex that nobody else wants, LOOPS times.
 *
 * mutexes busy LOOPS [THREADS]: THREADS (4) threads do so with one mutex, LOOPS times each, and
 * have it for about a microsecond.
 *
 * Prints the ns that a loop took: of the thread's own CPU time, or of the clock on the wall.
 */
#include "workload.h"

#define THREADS_MAX 64

struct mutexes {
	pthread_mutex_t mutex;
	uint64_t loops;
	bool busy;
	volatile uint64_t counter;
};

static void *mutexes__run(void *arg)
{
	struct mutexes *m = arg;

	for (uint64_t i = 0; i < m->loops; i++) {
		pthread_mutex_lock(&m->mutex);
		m->counter++;
		for (int k = 0; m->busy && k < 500; k++)
			m->counter++;
		pthread_mutex_unlock(&m->mutex);
	}
	return NULL;
}

static void mutexes__all(struct mutexes *m, uint64_t threads)
{
	pthread_t thread[THREADS_MAX];

	for (uint64_t i = 0; i < threads; i++)
		workload__pth(pthread_create(&thread[i], NULL, mutexes__run, m), "pthread_create");
	for (uint64_t i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
}

int main(int argc, char **argv)
{
	static struct mutexes m = {.mutex = PTHREAD_MUTEX_INITIALIZER};
	uint64_t begin;

	m.busy = argc > 1 && !strcmp(argv[1], "busy");
	if (argc < 3 || argc > 3 + m.busy || (!m.busy && strcmp(argv[1], "free")))
		workload__die("usage: mutexes free LOOPS | busy LOOPS [THREADS]");
	m.loops = workload__number(argv[2], 1, 1000000000);
	begin = workload__clock(m.busy ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID);
	if (m.busy)
		mutexes__all(&m, argc > 3 ? workload__number(argv[3], 1, THREADS_MAX) : 4);
	else
		mutexes__run(&m);
	printf("%.3f\n",
	       (double)(workload__clock(m.busy ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID) -
			begin) /
		       (double)m.loops);
	return fflush(stdout) != 0;
}
