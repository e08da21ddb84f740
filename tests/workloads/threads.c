/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * threads N [SECONDS]: N threads that wait on a condition variable all along. Prints "ready PID"
 * when all of them do; ends after SECONDS (60), or on SIGTERM.
 *
 * threads --births [COUNT [MS]]: COUNT (100) threads that live about MS ms (5), at most
 * BIRTHS_ALIVE at a time; prints how long they lived in all as JSON. Exits when all are gone.
 */
#include "workload.h"

#define BIRTHS_ALIVE 8

/* ---- sleepers ---- */

struct sleepers {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	_Atomic unsigned int here;
	bool end;
};

static void *sleepers__thread(void *arg)
{
	struct sleepers *s = arg;

	pthread_mutex_lock(&s->mutex);
	atomic_fetch_add(&s->here, 1);
	while (!s->end)
		pthread_cond_wait(&s->cond, &s->mutex);
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

static void sleepers__start(struct sleepers *s, unsigned int n)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, (size_t)PTHREAD_STACK_MIN);
	for (unsigned int i = 0; i < n; i++) {
		err = pthread_create(&thread, &attr, sleepers__thread, s);
		if (err == EAGAIN)
			workload__skip("no more than %u threads: %s", i, strerror(err));
		workload__pth(err, "pthread_create");
	}
	/* The last one may still be on its way into its wait: whoever gets the mutex knows. */
	while (atomic_load(&s->here) < n)
		workload__sleep(WORKLOAD_MSEC);
	pthread_mutex_lock(&s->mutex);
	pthread_mutex_unlock(&s->mutex);
	workload__sleep(10 * WORKLOAD_MSEC);
}

static int sleepers__run(unsigned int n, unsigned int seconds)
{
	struct sleepers s = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false};

	sleepers__start(&s, n);
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	workload__sleep(seconds * WORKLOAD_SEC);
	/* Their stacks are here: leave with all of them, without waking them one by one. */
	_exit(0);
}

/* ---- births ---- */

struct birth {
	pthread_t thread;
	uint64_t begin, end, hold_ns;
	pid_t tid;
};

static void *birth__thread(void *arg)
{
	struct birth *b = arg;

	b->tid = workload__tid();
	workload__sleep(b->hold_ns);
	b->end = workload__now();
	return NULL;
}

static uint64_t birth__join(struct birth *b)
{
	workload__pth(pthread_join(b->thread, NULL), "pthread_join");
	return b->end - b->begin;
}

static int births__run(unsigned int count, uint64_t hold_ns)
{
	struct birth birth[BIRTHS_ALIVE];
	uint64_t lifetime = 0;

	for (unsigned int i = 0; i < count + BIRTHS_ALIVE; i++) {
		struct birth *b = &birth[i % BIRTHS_ALIVE];

		if (i >= BIRTHS_ALIVE && i - BIRTHS_ALIVE < count)
			lifetime += birth__join(b);
		if (i >= count)
			continue;
		b->hold_ns = hold_ns;
		b->begin = workload__now();
		workload__pth(pthread_create(&b->thread, NULL, birth__thread, b), "pthread_create");
	}
	printf("{\"pid\":%d,\"count\":%u,\"lifetime_ns\":%ju}\n", (int)getpid(), count,
	       (uintmax_t)lifetime);
	return fflush(stdout) != 0;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && argc <= 4 && !strcmp(argv[1], "--births"))
		return births__run(
			argc > 2 ? (unsigned int)workload__number(argv[2], 1, 1000000) : 100,
			(argc > 3 ? workload__number(argv[3], 1, 10000) : 5) * WORKLOAD_MSEC);
	if (argc < 2 || argc > 3)
		workload__die("usage: threads N [SECONDS] | threads --births [COUNT [MS]]");
	return sleepers__run((unsigned int)workload__number(argv[1], 1, 100000),
			     argc > 2 ? (unsigned int)workload__number(argv[2], 1, 3600) : 60);
}
