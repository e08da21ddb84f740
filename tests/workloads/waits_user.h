/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Waits for other threads: user-space locks, file locks, and the rest of the pthread family. */
#ifndef DWELL_WAITS_USER_H
#define DWELL_WAITS_USER_H

#include "waits.h"

#include <sys/file.h>
#include <sys/wait.h>

/* ---- mutexes: the controller holds, the victim waits ---- */

static void mutex__init(struct wait *w, int protocol, int robust)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	workload__pth(pthread_mutexattr_setprotocol(&attr, protocol), "setprotocol");
	workload__pth(pthread_mutexattr_setrobust(&attr, robust), "setrobust");
	workload__pth(pthread_mutex_init(&w->mutex, &attr), "pthread_mutex_init");
	w->addr = &w->mutex;
}

static void mutex__setup(struct wait *w)
{
	mutex__init(w, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED);
}

static void mutex__setup_pi(struct wait *w)
{
	mutex__init(w, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED);
}

static void mutex__setup_robust(struct wait *w)
{
	mutex__init(w, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST);
}

static void mutex__hold(struct wait *w, unsigned int i)
{
	(void)i;
	w->holder_tid = workload__tid();
	workload__pth(pthread_mutex_lock(&w->mutex), "pthread_mutex_lock");
}

static void mutex__block(struct wait *w, unsigned int i)
{
	(void)i;
	workload__pth(pthread_mutex_lock(&w->mutex), "pthread_mutex_lock");
}

static void mutex__block_timed(struct wait *w, unsigned int i)
{
	struct timespec deadline;

	(void)i;
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 60;
	workload__pth(pthread_mutex_timedlock(&w->mutex, &deadline), "pthread_mutex_timedlock");
}

static void mutex__unlock(struct wait *w, unsigned int i)
{
	(void)i;
	workload__pth(pthread_mutex_unlock(&w->mutex), "pthread_mutex_unlock");
}

/* ---- read-write locks ---- */

static void rwlock__setup(struct wait *w)
{
	workload__pth(pthread_rwlock_init(&w->rwlock, NULL), "pthread_rwlock_init");
	w->addr = &w->rwlock;
}

static void rwlock__read(struct wait *w, unsigned int i)
{
	(void)i;
	workload__pth(pthread_rwlock_rdlock(&w->rwlock), "pthread_rwlock_rdlock");
}

static void rwlock__write(struct wait *w, unsigned int i)
{
	(void)i;
	workload__pth(pthread_rwlock_wrlock(&w->rwlock), "pthread_rwlock_wrlock");
}

static void rwlock__unlock(struct wait *w, unsigned int i)
{
	(void)i;
	workload__pth(pthread_rwlock_unlock(&w->rwlock), "pthread_rwlock_unlock");
}

/* ---- file locks: two open files of the same path, since the lock belongs to the open file ---- */

static void filelock__setup(struct wait *w)
{
	snprintf(w->path, sizeof(w->path), "%s", workload__tmpfile("locked"));
	for (int i = 0; i < 2; i++)
		w->fd[i] = (int)workload__sys(open(w->path, O_RDWR | O_CREAT, 0600), w->path);
}

static void flock__hold(struct wait *w, unsigned int i)
{
	(void)i;
	workload__sys(flock(w->fd[0], LOCK_EX), "flock");
}

static void flock__block(struct wait *w, unsigned int i)
{
	(void)i;
	workload__sys(flock(w->fd[1], LOCK_EX), "flock");
}

static void flock__release(struct wait *w, unsigned int i)
{
	(void)i;
	workload__sys(flock(w->fd[0], LOCK_UN), "flock");
}

static void flock__after(struct wait *w, unsigned int i)
{
	(void)i;
	workload__sys(flock(w->fd[1], LOCK_UN), "flock");
}

static void ofd__set(int fd, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

	workload__sys(fcntl(fd, F_OFD_SETLKW, &lock), "F_OFD_SETLKW");
}

static void ofd__hold(struct wait *w, unsigned int i)
{
	(void)i;
	ofd__set(w->fd[0], F_WRLCK);
}

static void ofd__block(struct wait *w, unsigned int i)
{
	(void)i;
	ofd__set(w->fd[1], F_WRLCK);
}

static void ofd__release(struct wait *w, unsigned int i)
{
	(void)i;
	ofd__set(w->fd[0], F_UNLCK);
}

static void ofd__after(struct wait *w, unsigned int i)
{
	(void)i;
	ofd__set(w->fd[1], F_UNLCK);
}

/* ---- condition variable, semaphore, barrier ---- */

static void cond__setup(struct wait *w)
{
	mutex__init(w, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED);
	workload__pth(pthread_cond_init(&w->cond, NULL), "pthread_cond_init");
	w->addr = &w->cond;
}

static void cond__block(struct wait *w, unsigned int i)
{
	(void)i;
	pthread_mutex_lock(&w->mutex);
	while (!w->flag)
		pthread_cond_wait(&w->cond, &w->mutex);
	w->flag = false;
	pthread_mutex_unlock(&w->mutex);
}

/* Signals after the unlock, else the victim would wait for the mutex too. */
static void cond__release(struct wait *w, unsigned int i)
{
	(void)i;
	pthread_mutex_lock(&w->mutex);
	w->flag = true;
	pthread_mutex_unlock(&w->mutex);
	pthread_cond_signal(&w->cond);
}

static void sem__setup(struct wait *w)
{
	workload__sys(sem_init(&w->sem, 0, 0), "sem_init");
	w->addr = &w->sem;
}

static void sem__block(struct wait *w, unsigned int i)
{
	(void)i;
	workload__sys(sem_wait(&w->sem), "sem_wait");
}

static void sem__release(struct wait *w, unsigned int i)
{
	(void)i;
	workload__sys(sem_post(&w->sem), "sem_post");
}

static void barrier__setup(struct wait *w)
{
	workload__pth(pthread_barrier_init(&w->barrier, NULL, 2), "pthread_barrier_init");
	w->addr = &w->barrier;
}

static void barrier__pass(struct wait *w, unsigned int i)
{
	(void)i;
	pthread_barrier_wait(&w->barrier);
}

/* ---- join and child ---- */

static void *join__thread(void *arg)
{
	struct wait *w = arg;

	while (sem_wait(&w->sem))
		;
	return NULL;
}

static void join__setup(struct wait *w)
{
	workload__sys(sem_init(&w->sem, 0, 0), "sem_init");
}

static void join__hold(struct wait *w, unsigned int i)
{
	(void)i;
	workload__pth(pthread_create(&w->thread, NULL, join__thread, w), "pthread_create");
}

static void join__block(struct wait *w, unsigned int i)
{
	(void)i;
	workload__pth(pthread_join(w->thread, NULL), "pthread_join");
}

static void child__setup(struct wait *w)
{
	workload__sys(pipe2(w->fd, O_CLOEXEC), "pipe2");
}

static void child__hold(struct wait *w, unsigned int i)
{
	pid_t pid = (pid_t)workload__sys(fork(), "fork");
	char c;

	(void)i;
	if (pid) {
		w->child = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(read(w->fd[0], &c, 1) != 1);
}

static void child__block(struct wait *w, unsigned int i)
{
	(void)i;
	workload__sys(waitpid(w->child, NULL, 0), "waitpid");
}

static void child__release(struct wait *w, unsigned int i)
{
	(void)i;
	workload__sys(write(w->fd[1], "x", 1), "write");
}

#endif
