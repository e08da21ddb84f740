/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Waits for other threads: user-space locks, file locks, and the rest of the pthread family. */
#ifndef DWELL_WAITS_USER_H
#define DWELL_WAITS_USER_H

#include "waits.h"

#include <linux/futex.h>
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

/* Has it for good. */
static void *mutex__keep(void *arg)
{
	struct wait *w = arg;

	w->helper_tid = w->holder_tid = workload__tid();
	workload__pth(pthread_mutex_lock(&w->mutex), "pthread_mutex_lock");
	while (sem_post(&w->kick) || pause())
		;
	return NULL;
}

static void mutex__setup_kept(struct wait *w)
{
	mutex__setup(w);
	workload__sys(sem_init(&w->kick, 0, 0), "sem_init");
	wait__spawn(w, "keeper", mutex__keep);
	while (sem_wait(&w->kick))
		;
}

static void mutex__block_in_vain(struct wait *w, unsigned int i)
{
	struct timespec deadline;

	(void)i;
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_nsec += (long)w->hold_ns;
	deadline.tv_sec += deadline.tv_nsec / 1000000000;
	deadline.tv_nsec %= 1000000000;
	if (pthread_mutex_timedlock(&w->mutex, &deadline) != ETIMEDOUT)
		workload__die("a mutex that is never let go was got");
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

/* ---- futex2, and waits for several words: a lock of our own (0 free, 1 taken, 2 wanted) ---- */

#define SYS_FUTEX_WAKE2    454 /* include/uapi/asm-generic/unistd.h; 6.7 */
#define SYS_FUTEX_WAIT2    455
#define SYS_FUTEX_REQUEUE2 456
#define FUTEX2_U32_PRIVATE (2 | 128) /* include/uapi/linux/futex.h */

static void futex2__setup(struct wait *w)
{
	syscall(SYS_FUTEX_WAKE2, w->word, ~0U, 0, FUTEX2_U32_PRIVATE);
	if (errno == ENOSYS)
		workload__skip("no futex_wait(): Linux 6.7 has it");
	w->addr = w->word;
}

static void futex2__wait(_Atomic uint32_t *word, uint32_t val)
{
	while (*word == val &&
	       syscall(SYS_FUTEX_WAIT2, word, val, ~0U, FUTEX2_U32_PRIVATE, NULL,
		       CLOCK_MONOTONIC) &&
	       errno == EINTR)
		;
}

static void futex2__wake(_Atomic uint32_t *word)
{
	workload__sys(syscall(SYS_FUTEX_WAKE2, word, ~0U, 1, FUTEX2_U32_PRIVATE), "futex_wake");
}

static void futex2__lock(struct wait *w, unsigned int i)
{
	(void)i;
	w->word[0] = 1;
}

static void futex2__block(struct wait *w, unsigned int i)
{
	(void)i;
	while (atomic_exchange(&w->word[0], 2))
		futex2__wait(&w->word[0], 2);
}

static void futex2__unlock(struct wait *w, unsigned int i)
{
	(void)i;
	w->word[0] = 0;
	futex2__wake(&w->word[0]);
}

static void futex2__after(struct wait *w, unsigned int i)
{
	(void)i;
	w->word[0] = 0;
}

/* An event: word[0] counts the rounds that may end; word[1] is where waiters are moved to. */
static void event__block(struct wait *w, unsigned int i)
{
	while (w->word[0] == i)
		futex2__wait(&w->word[0], i);
}

static void event__wake(struct wait *w, unsigned int i)
{
	w->word[0] = i + 1;
	futex2__wake(&w->word[0]);
}

/* The same wait goes on at another word, where it is ended. */
static void event__requeue(struct wait *w, unsigned int i)
{
	struct futex_waitv words[2] = {
		{.val = i, .uaddr = (uintptr_t)&w->word[0], .flags = FUTEX2_U32_PRIVATE},
		{.val = 0, .uaddr = (uintptr_t)&w->word[1], .flags = FUTEX2_U32_PRIVATE},
	};

	workload__sys(syscall(SYS_FUTEX_REQUEUE2, words, 0, 0, 1), "futex_requeue");
	w->word[0] = i + 1;
	futex2__wake(&w->word[1]);
}

static void event__old_block(struct wait *w, unsigned int i)
{
	while (w->word[0] == i)
		syscall(SYS_futex, &w->word[0], FUTEX_WAIT_PRIVATE, i, NULL, NULL, 0);
}

static void event__old_requeue(struct wait *w, unsigned int i)
{
	workload__sys(syscall(SYS_futex, &w->word[0], FUTEX_CMP_REQUEUE_PRIVATE, 0, 1UL,
			      &w->word[1], i),
		      "FUTEX_CMP_REQUEUE");
	w->word[0] = i + 1;
	workload__sys(syscall(SYS_futex, &w->word[1], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0),
		      "FUTEX_WAKE");
}

static void event__setup(struct wait *w)
{
	w->addr = w->word;
}

static void waitv__setup(struct wait *w)
{
	syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0);
	if (errno == ENOSYS)
		workload__skip("no futex_waitv(): Linux 5.16 has it");
	w->addr = w->word;
}

/* For either of two words; the second one is what ends it. */
static void waitv__block(struct wait *w, unsigned int i)
{
	struct futex_waitv words[2] = {
		{.val = 0, .uaddr = (uintptr_t)&w->word[0], .flags = FUTEX2_U32_PRIVATE},
		{.val = i, .uaddr = (uintptr_t)&w->word[1], .flags = FUTEX2_U32_PRIVATE},
	};

	while (w->word[1] == i)
		syscall(SYS_futex_waitv, words, 2, 0, NULL, 0);
}

static void waitv__wake(struct wait *w, unsigned int i)
{
	w->word[1] = i + 1;
	workload__sys(syscall(SYS_futex, &w->word[1], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0),
		      "FUTEX_WAKE");
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
