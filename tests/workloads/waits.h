/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The frame of waits.c: one thread, the victim, waits a known number of times for a known time in
 * one known state, and measures each wait itself, right around the call that blocks.
 *
 * Each round goes like this:
 *
 *   controller                                   victim
 *   hold()     (e.g. takes the lock)             spins with sched_yield() until its turn
 *   gives the victim its turn
 *   waits until the victim is blocked            block()    (measured)
 *   sleeps MS ms
 *   release()                                    after()    (e.g. unlocks)
 *   waits until the victim is done
 *
 * The victim spins between its waits, so that nothing of the handshake blocks it: the time goes to
 * "cpu" (and "runq", "preempt" on a busy machine), and no state that is measured is touched. The
 * controller polls /proc for the victim being blocked *before* it begins to wait, so every wait
 * really blocks, and lasts at least MS ms, however late the victim gets a CPU. The controller's own
 * waits may be in any state: it isn't measured.
 */
#ifndef DWELL_WAITS_H
#define DWELL_WAITS_H

#include "workload.h"

#include <semaphore.h>
#include <sys/mman.h>

#define WAITS_COUNT_MAX 100000

struct wait;

struct mode {
	const char *name;
	const char *states; /* where the waits may be accounted: "disk,fs"; usually one */
	const char *kind;   /* of the cause; NULL: not asserted */
	bool inexact;       /* a round may not block at all, or twice: the kernel knows */
	void (*setup)(struct wait *w); /* on the main thread; skips if the machine can't */
	void (*hold)(struct wait *w, unsigned int i);
	void (*block)(struct wait *w, unsigned int i);
	void (*release)(struct wait *w, unsigned int i); /* NULL: the wait ends by itself */
	void (*after)(struct wait *w, unsigned int i);
	/* Replaces the victim's rounds; fills the samples itself. */
	void (*victim)(struct wait *w);
	void (*finish)(struct wait *w);
};

/* What the FUSE server and its clients share. */
struct fuse_control {
	uint32_t slow;       /* the opcode whose requests wait for @go */
	uint32_t open_flags; /* FOPEN_… */
	bool fresh;          /* attributes are never cached */
	sem_t seen;          /* posted when a slow request has come */
	sem_t go;            /* posted to let it be answered */
};

/*
 * Lies in shared memory, since some victims and helpers are processes: never assign fork()'s result
 * to a member, the child would overwrite it with 0.
 */
struct wait {
	const struct mode *mode;
	unsigned int count;
	uint64_t hold_ns;

	_Atomic unsigned int turn; /* the round that the victim may enter, from 1 */
	_Atomic unsigned int done; /* the round that it has finished */
	_Atomic pid_t victim_tid;
	_Atomic pid_t victim_pid;
	_Atomic pid_t helper_tid;

	/* What a cause should name; empty or 0 if there is nothing. */
	char path[128];
	char peer[64];
	char local[64];
	char address[128]; /* for the workload itself: no cause can know it */
	const volatile void *addr;
	_Atomic pid_t holder_tid;

	pthread_mutex_t mutex;
	pthread_rwlock_t rwlock;
	pthread_cond_t cond;
	pthread_barrier_t barrier;
	pthread_t thread;
	sem_t sem, kick;
	_Atomic uint32_t word[2]; /* futexes */
	bool flag;
	int fd[4];
	pid_t child;
	char *memory;
	size_t page;
	struct fuse_control fuse;
	void *ring;

	/* Sums over all rounds; of a wait's time, what was not blocked: running, run queue. */
	uint64_t cpu_ns, runq_ns, nvcsw;
	/* How often and how long the victim waited for a CPU in all its life. */
	uint64_t queued, queued_ns;
	uint64_t crowd_ns; /* CPU time of those that it shared its CPU with */
	uint64_t life_ns;  /* from before its creation until it was joined */
	int schedstat;
	uint64_t *samples; /* ns, wall-clock */
	uint64_t *blocked; /* ns, without the CPU and run-queue time in it */
};

static inline void wait__spawn(struct wait *w, const char *name, void *(*fn)(void *))
{
	pthread_t thread;

	workload__pth(pthread_create(&thread, NULL, fn, w), "pthread_create");
	pthread_setname_np(thread, name);
	pthread_detach(thread);
}

/* Runs block() and takes the sample. A frame of its own, to be found in stacks. */
static __attribute__((noinline)) void wait__measure(struct wait *w, unsigned int i)
{
	uint64_t runq = workload__run_delay(w->schedstat), nvcsw = workload__nvcsw();
	uint64_t cpu = workload__clock(CLOCK_THREAD_CPUTIME_ID), begin = workload__now(), busy;

	w->mode->block(w, i);
	w->samples[i] = workload__now() - begin;
	cpu = workload__clock(CLOCK_THREAD_CPUTIME_ID) - cpu;
	w->nvcsw += workload__nvcsw() - nvcsw;
	runq = workload__run_delay(w->schedstat) - runq;
	busy = cpu + runq;
	w->blocked[i] = w->samples[i] > busy ? w->samples[i] - busy : 0;
	w->cpu_ns += cpu;
	w->runq_ns += runq;
}

/* True if the victim is off the CPU and not runnable. @fd: its /proc/…/stat. */
static inline bool wait__is_blocked(int fd)
{
	char buf[512], *end;
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);

	workload__sys(n, "stat of the victim");
	buf[n] = 0;
	end = strrchr(buf, ')');
	return end && end[1] == ' ' && strchr("SDTt", end[2]);
}

static inline void wait__await_blocked(int fd)
{
	uint64_t deadline = workload__now() + 20 * WORKLOAD_SEC;

	while (!wait__is_blocked(fd)) {
		if (workload__now() > deadline)
			workload__die("the victim doesn't block");
		workload__sleep(20000);
	}
}

static inline void wait__await_done(struct wait *w, unsigned int round)
{
	while (atomic_load(&w->done) != round)
		workload__sleep(20000);
}

static inline int wait__open_victim_stat(struct wait *w)
{
	char path[64];

	while (!atomic_load(&w->victim_tid))
		workload__sleep(100000);
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)w->victim_tid);
	return (int)workload__sys(open(path, O_RDONLY | O_CLOEXEC), path);
}

static inline void *wait__controller(void *arg)
{
	struct wait *w = arg;
	const struct mode *m = w->mode;
	int fd;

	prctl(PR_SET_TIMERSLACK, 1);
	w->helper_tid = workload__tid();
	fd = wait__open_victim_stat(w);
	for (unsigned int i = 0; i < w->count; i++) {
		if (m->hold)
			m->hold(w, i);
		atomic_store(&w->turn, i + 1);
		wait__await_blocked(fd);
		workload__sleep(w->hold_ns);
		m->release(w, i);
		wait__await_done(w, i + 1);
	}
	close(fd);
	return NULL;
}

static __attribute__((noinline)) void wait__rounds(struct wait *w)
{
	const struct mode *m = w->mode;

	for (unsigned int i = 0; i < w->count; i++) {
		while (m->release && atomic_load(&w->turn) != i + 1)
			sched_yield();
		wait__measure(w, i);
		if (m->after)
			m->after(w, i);
		atomic_store(&w->done, i + 1);
	}
}

static inline void *wait__victim(void *arg)
{
	struct workload_sched sched;
	struct wait *w = arg;

	prctl(PR_SET_NAME, "victim");
	prctl(PR_SET_TIMERSLACK, 1);
	w->schedstat = workload__open_schedstat();
	w->victim_pid = getpid();
	atomic_store(&w->victim_tid, workload__tid());
	if (w->mode->victim)
		w->mode->victim(w);
	else
		wait__rounds(w);
	sched = workload__sched(w->schedstat);
	w->queued = sched.slices;
	w->queued_ns = sched.delay;
	close(w->schedstat);
	return NULL;
}

#endif
