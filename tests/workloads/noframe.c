/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * noframe: threads without frame pointers that wait in awkward places, for ever: below alloca() and
 * large frames, in a callback of qsort(), in a signal handler (on the stack of a function, and on a
 * stack of its own), in a library that was loaded by dlopen().
 */
/* CFLAGS: -fomit-frame-pointer -fno-optimize-sibling-calls -Wno-return-type */
/* LDFLAGS: -ldl */
#include "workload.h"

#include <alloca.h>
#include <dlfcn.h>

static void noframe__pause(unsigned int us)
{
	nanosleep(&(struct timespec){0, us * 1000}, NULL);
}

__attribute__((noinline)) static int noframe__alloca(int n, unsigned int *seed)
{
	volatile char *room = alloca(16 + (size_t)(rand_r(seed) % 500));
	volatile char large[9000];

	room[0] = large[n] = 1;
	if (n)
		return noframe__alloca(n - 1, seed) + room[0];
	noframe__pause(300);
	return large[n];
}

static void *noframe__deep(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	for (;;)
		noframe__alloca(rand_r(&seed) % 12, &seed);
}

static int noframe__compare(const void *a, const void *b)
{
	noframe__pause(50);
	return *(const int *)a - *(const int *)b;
}

static void *noframe__sort(void *arg)
{
	int values[64];

	for (;;) {
		for (int i = 0; i < 64; i++)
			values[i] = i * 7919 % 64;
		qsort(values, 64, sizeof(*values), noframe__compare);
	}
	return arg;
}

static void noframe__on_signal(int signal)
{
	(void)signal;
	noframe__pause(400);
}

/* A signal comes while it computes, at any instruction. */
static void *noframe__signalled(void *arg)
{
	struct itimerspec every = {{0, 1500000}, {0, 1500000}};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
	volatile double sum = 0;
	timer_t timer;

	if (arg)
		sigaltstack(&stack, NULL);
	else
		event.sigev_signo = SIGRTMIN + 1;
	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	workload__sys(timer_create(CLOCK_MONOTONIC, &event, &timer), "timer_create");
	timer_settime(timer, 0, &every, NULL);
	for (unsigned int seed = 1;; sum += rand_r(&seed))
		;
}

#ifndef NOFRAME_STATIC
static void *noframe__feed(void *arg)
{
	for (;;) {
		noframe__pause(2000);
		(void)!write(*(int *)arg, "abcdefgh", 8);
	}
}

/* zlib waits for a pipe. */
static void *noframe__loaded(void *arg)
{
	void *library = dlopen("libz.so.1", RTLD_NOW);
	void *(*open_fd)(int, const char *) = library ? dlsym(library, "gzdopen") : NULL;
	int (*read_it)(void *, void *, unsigned int) = library ? dlsym(library, "gzread") : NULL;
	char buf[256];
	pthread_t thread;
	void *file;
	int fd[2];

	workload__sys(pipe(fd), "pipe");
	pthread_create(&thread, NULL, noframe__feed, &fd[1]);
	file = open_fd ? open_fd(fd[0], "r") : NULL;
	while (file && read_it)
		read_it(file, buf, sizeof(buf));
	pause();
	return arg;
}
#endif

int main(void)
{
	struct sigaction action = {.sa_handler = noframe__on_signal, .sa_flags = SA_RESTART};
	pthread_t thread;

	sigaction(SIGRTMIN + 1, &action, NULL);
	action.sa_flags |= SA_ONSTACK;
	sigaction(SIGRTMIN, &action, NULL);
	for (uintptr_t i = 1; i <= 2; i++)
		pthread_create(&thread, NULL, noframe__deep, (void *)i);
	pthread_create(&thread, NULL, noframe__sort, NULL);
	pthread_create(&thread, NULL, noframe__signalled, NULL);
	pthread_create(&thread, NULL, noframe__signalled, (void *)1);
	noframe__pause(999999);
#ifndef NOFRAME_STATIC
	pthread_create(&thread, NULL, noframe__loaded, NULL);
#endif
	pause();
	return 0;
}
