/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * locks crowd KIND [ROUNDS [MS [FSYNCS]]]: in each round (50) the thread "holder" takes a lock of
 * KIND (mutex, pi, robust, rwlock), WAITERS threads "waiter" want it, and when all of them are
 * blocked it goes on for about MS ms (10): 2/5 on the CPU, 3/5 asleep, and FSYNCS times (0) it
 * writes to a file and syncs it. Then it lets go, and each has it for next to nothing.
 *
 * locks chain [ROUNDS [MS]]: "query" waits for chain_second, which "worker" has, who waits for
 * chain_first, which "logger" has, who sleeps.
 *
 * locks deadlock [SECONDS]: "ping" and "pong" each have a lock and want the other's. Prints its
 * JSON when they do, and exits after SECONDS (5).
 *
 * locks open: once it gets SIGUSR1, threads wait for open_mutex: OPEN_OFTEN of them OPEN_ROUNDS
 * times for some ms; then OPEN_ONCE others, once, for 2 s, in open__once(); then the first ones
 * again, for good, in open__last(). Prints its JSON when they have done so for 2.2 s.
 *
 * Prints what it measured as one JSON object. Waiters spin until it is their turn, so each round
 * has one wait of each; how long it was blocked is measured as in waits.h. As much as steal_ns
 * of what seems to be blocked in a crowd may have been on a CPU: see workload__steal().
 */
#include "workload.h"

#define WAITERS     4
#define OPEN_OFTEN  240
#define OPEN_ONCE   60
#define OPEN_ROUNDS 24

/* Locks with names, to be found in the symbol table. */
pthread_mutex_t crowd_mutex, chain_first, chain_second, open_mutex;
pthread_rwlock_t crowd_rwlock;

struct member {
	pthread_t thread;
	const char *name;
	unsigned int index;
	_Atomic pid_t tid;
	_Atomic unsigned int turn, done; /* rounds */
	uint64_t count, total_ns, blocked_ns;
	struct locks *locks;
	void (*take)(struct locks *);
	void (*give)(struct locks *);
};

struct locks {
	unsigned int rounds;
	uint64_t hold_ns;
	unsigned int fsyncs;
	int file;
	bool rwlock;
	struct member member[WAITERS];
	/* of the holder, from when all wait until it lets go */
	pid_t holder;
	uint64_t cpu_ns, runq_ns, held_ns;
	uint64_t sync_ns;                  /* blocked in fsync() */
	uint64_t before_cpu_ns, before_ns; /* the same until all waited */
};

/* ---- members ---- */

static void member__wait(struct member *m, int schedstat)
{
	uint64_t runq = workload__run_delay(schedstat), nvcsw = workload__nvcsw();
	uint64_t cpu = workload__clock(CLOCK_THREAD_CPUTIME_ID), begin = workload__now(), all, busy;

	m->take(m->locks);
	all = workload__now() - begin;
	cpu = workload__clock(CLOCK_THREAD_CPUTIME_ID) - cpu;
	m->count += workload__nvcsw() - nvcsw;
	m->give(m->locks);
	busy = cpu + workload__run_delay(schedstat) - runq;
	m->total_ns += all;
	m->blocked_ns += all > busy ? all - busy : 0;
}

static void *member__run(void *arg)
{
	struct member *m = arg;
	int schedstat = workload__open_schedstat();

	prctl(PR_SET_NAME, m->name);
	atomic_store(&m->tid, workload__tid());
	for (unsigned int round = 1; round <= m->locks->rounds; round++) {
		while (atomic_load(&m->turn) < round)
			sched_yield();
		member__wait(m, schedstat);
		atomic_store(&m->done, round);
	}
	close(schedstat);
	return NULL;
}

static void member__start(struct locks *l, unsigned int i, const char *name,
			  void (*take)(struct locks *), void (*give)(struct locks *))
{
	struct member *m = &l->member[i];

	m->name = name;
	m->index = i;
	m->locks = l;
	m->take = take;
	m->give = give;
	workload__pth(pthread_create(&m->thread, NULL, member__run, m), "pthread_create");
	while (!atomic_load(&m->tid))
		workload__sleep(100000);
}

static bool member__is_blocked(const struct member *m)
{
	char path[64], buf[512], *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)m->tid);
	fd = (int)workload__sys(open(path, O_RDONLY | O_CLOEXEC), path);
	n = workload__sys(read(fd, buf, sizeof(buf) - 1), path);
	close(fd);
	buf[n] = 0;
	end = strrchr(buf, ')');
	return end && end[1] == ' ' && end[2] == 'S';
}

static void member__go(struct member *m, unsigned int round)
{
	atomic_store(&m->turn, round);
	while (!member__is_blocked(m))
		workload__sleep(20000);
}

static void member__await(struct member *m, unsigned int round)
{
	while (atomic_load(&m->done) < round)
		workload__sleep(20000);
}

static void member__print(const struct member *m)
{
	printf("{\"tid\":%d,\"comm\":\"%s\",\"count\":%ju,\"total_ns\":%ju,\"blocked_ns\":%ju}",
	       (int)m->tid, m->name, (uintmax_t)m->count, (uintmax_t)m->total_ns,
	       (uintmax_t)m->blocked_ns);
}

/* ---- crowd ---- */

static void crowd__setup(struct locks *l, const char *kind)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	l->rwlock = !strcmp(kind, "rwlock");
	if (!strcmp(kind, "pi"))
		workload__pth(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT), "pi");
	else if (!strcmp(kind, "robust"))
		workload__pth(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST), "robust");
	else if (strcmp(kind, "mutex") && !l->rwlock)
		workload__die("no such kind: %s", kind);
	workload__pth(pthread_mutex_init(&crowd_mutex, &attr), "pthread_mutex_init");
	workload__pth(pthread_rwlock_init(&crowd_rwlock, NULL), "pthread_rwlock_init");
}

static void crowd__take(struct locks *l)
{
	if (l->rwlock)
		workload__pth(pthread_rwlock_wrlock(&crowd_rwlock), "pthread_rwlock_wrlock");
	else
		workload__pth(pthread_mutex_lock(&crowd_mutex), "pthread_mutex_lock");
}

static void crowd__give(struct locks *l)
{
	if (l->rwlock)
		pthread_rwlock_unlock(&crowd_rwlock);
	else
		pthread_mutex_unlock(&crowd_mutex);
}

static void crowd__sync(struct locks *l, int schedstat)
{
	uint64_t cpu = workload__clock(CLOCK_THREAD_CPUTIME_ID);
	uint64_t runq = workload__run_delay(schedstat), begin = workload__now();
	char page[4096] = "";

	for (unsigned int i = 0; i < l->fsyncs; i++) {
		workload__sys(pwrite(l->file, page, sizeof(page), 0), "pwrite");
		workload__sys(fsync(l->file), "fsync");
	}
	cpu = workload__clock(CLOCK_THREAD_CPUTIME_ID) - cpu;
	runq = workload__run_delay(schedstat) - runq;
	l->sync_ns += workload__now() - begin - cpu - runq;
}

/* All of them wait before the time that is measured begins. */
static void crowd__hold(struct locks *l, unsigned int round, int schedstat)
{
	uint64_t cpu = workload__clock(CLOCK_THREAD_CPUTIME_ID), runq, begin = workload__now();

	crowd__take(l);
	for (int i = 0; i < WAITERS; i++)
		member__go(&l->member[i], round);
	l->before_ns += workload__now() - begin;
	l->before_cpu_ns += workload__clock(CLOCK_THREAD_CPUTIME_ID) - cpu;
	runq = workload__run_delay(schedstat);
	begin = workload__now();
	workload__burn(l->hold_ns * 2 / 5);
	l->cpu_ns += workload__on_cpu(begin, runq, schedstat);
	cpu = workload__clock(CLOCK_THREAD_CPUTIME_ID);
	workload__sleep(l->hold_ns * 3 / 5);
	if (l->fsyncs)
		crowd__sync(l, schedstat);
	l->held_ns += workload__now() - begin;
	l->cpu_ns += workload__clock(CLOCK_THREAD_CPUTIME_ID) - cpu;
	l->runq_ns += workload__run_delay(schedstat) - runq;
	crowd__give(l);
	for (int i = 0; i < WAITERS; i++)
		member__await(&l->member[i], round);
}

static void *crowd__holder(void *arg)
{
	struct locks *l = arg;
	int schedstat = workload__open_schedstat();

	prctl(PR_SET_NAME, "holder");
	prctl(PR_SET_TIMERSLACK, 1);
	l->holder = workload__tid();
	for (unsigned int round = 1; round <= l->rounds; round++)
		crowd__hold(l, round, schedstat);
	close(schedstat);
	return NULL;
}

static void crowd__run(struct locks *l, const char *kind)
{
	uint64_t steal = workload__steal();
	pthread_t holder;

	crowd__setup(l, kind);
	if (l->fsyncs)
		l->file = (int)workload__sys(open(workload__tmpfile("held"),
						  O_WRONLY | O_CREAT | O_CLOEXEC, 0600),
					     "held");
	for (unsigned int i = 0; i < WAITERS; i++)
		member__start(l, i, "waiter", crowd__take, crowd__give);
	workload__pth(pthread_create(&holder, NULL, crowd__holder, l), "pthread_create");
	pthread_join(holder, NULL);
	for (unsigned int i = 0; i < WAITERS; i++)
		pthread_join(l->member[i].thread, NULL);
	steal = workload__steal() - steal;
	printf("{\"kind\":\"%s\",\"pid\":%d,\"rounds\":%u,\"addr\":\"0x%jx\",\"symbol\":\"%s\","
	       "\"steal_ns\":%ju,\"holder\":{\"tid\":%d,\"held_ns\":%ju,\"cpu_ns\":%ju,\"runq_ns\":"
	       "%ju,"
	       "\"sync_ns\":%ju,\"before_ns\":%ju,\"before_cpu_ns\":%ju},\"waiters\":[",
	       kind, (int)getpid(), l->rounds,
	       (uintmax_t)(l->rwlock ? (uintptr_t)&crowd_rwlock : (uintptr_t)&crowd_mutex),
	       l->rwlock ? "crowd_rwlock" : "crowd_mutex", (uintmax_t)steal, (int)l->holder,
	       (uintmax_t)l->held_ns, (uintmax_t)l->cpu_ns, (uintmax_t)l->runq_ns,
	       (uintmax_t)l->sync_ns, (uintmax_t)l->before_ns, (uintmax_t)l->before_cpu_ns);
	for (int i = 0; i < WAITERS; i++) {
		if (i)
			putchar(',');
		member__print(&l->member[i]);
	}
	puts("]}");
}

/* ---- chain ---- */

static void chain__take_both(struct locks *l)
{
	(void)l;
	pthread_mutex_lock(&chain_second);
	pthread_mutex_lock(&chain_first);
}

static void chain__give_both(struct locks *l)
{
	(void)l;
	pthread_mutex_unlock(&chain_first);
	pthread_mutex_unlock(&chain_second);
}

static void chain__take_second(struct locks *l)
{
	(void)l;
	pthread_mutex_lock(&chain_second);
}

static void chain__give_second(struct locks *l)
{
	(void)l;
	pthread_mutex_unlock(&chain_second);
}

static void *chain__logger(void *arg)
{
	struct locks *l = arg;

	prctl(PR_SET_NAME, "logger");
	l->holder = workload__tid();
	for (unsigned int round = 1; round <= l->rounds; round++) {
		pthread_mutex_lock(&chain_first);
		member__go(&l->member[0], round);
		member__go(&l->member[1], round);
		workload__sleep(l->hold_ns);
		pthread_mutex_unlock(&chain_first);
		member__await(&l->member[0], round);
		member__await(&l->member[1], round);
	}
	return NULL;
}

static void chain__run(struct locks *l)
{
	pthread_t logger;

	member__start(l, 0, "worker", chain__take_both, chain__give_both);
	member__start(l, 1, "query", chain__take_second, chain__give_second);
	workload__pth(pthread_create(&logger, NULL, chain__logger, l), "pthread_create");
	pthread_join(logger, NULL);
	pthread_join(l->member[0].thread, NULL);
	pthread_join(l->member[1].thread, NULL);
	printf("{\"pid\":%d,\"rounds\":%u,\"logger\":%d,\"worker\":", (int)getpid(), l->rounds,
	       (int)l->holder);
	member__print(&l->member[0]);
	printf(",\"query\":");
	member__print(&l->member[1]);
	puts("}");
}

/* ---- deadlock ---- */

static void *deadlock__ping(void *arg)
{
	struct locks *l = arg;

	prctl(PR_SET_NAME, "ping");
	atomic_store(&l->member[0].tid, workload__tid());
	pthread_mutex_lock(&chain_first);
	while (!atomic_load(&l->member[1].done))
		sched_yield();
	pthread_mutex_lock(&chain_second);
	return NULL;
}

static void *deadlock__pong(void *arg)
{
	struct locks *l = arg;

	prctl(PR_SET_NAME, "pong");
	while (!atomic_load(&l->member[0].tid))
		workload__sleep(100000);
	atomic_store(&l->member[1].tid, workload__tid());
	pthread_mutex_lock(&chain_second);
	atomic_store(&l->member[1].done, 1);
	while (!member__is_blocked(&l->member[0]))
		workload__sleep(100000);
	pthread_mutex_lock(&chain_first);
	return NULL;
}

static void deadlock__run(struct locks *l, uint64_t seconds)
{
	workload__pth(pthread_create(&l->member[0].thread, NULL, deadlock__ping, l), "ping");
	workload__pth(pthread_create(&l->member[1].thread, NULL, deadlock__pong, l), "pong");
	while (!atomic_load(&l->member[1].done) || !member__is_blocked(&l->member[0]) ||
	       !member__is_blocked(&l->member[1]))
		workload__sleep(100000);
	/* They sleep on nothing but their locks, but pong between two looks at ping. */
	workload__sleep(100 * WORKLOAD_MSEC);
	printf("{\"pid\":%d,\"ping\":%d,\"pong\":%d}\n", (int)getpid(), (int)l->member[0].tid,
	       (int)l->member[1].tid);
	fflush(stdout);
	workload__sleep(seconds * WORKLOAD_SEC);
	_exit(0);
}

/* ---- open ---- */

static pthread_barrier_t open_barrier; /* of those who wait often, and the main thread */

static __attribute__((noinline)) void open__often(void)
{
	pthread_mutex_lock(&open_mutex);
	pthread_mutex_unlock(&open_mutex);
}

static __attribute__((noinline)) void open__once(void)
{
	pthread_mutex_lock(&open_mutex);
	pthread_mutex_unlock(&open_mutex);
}

static __attribute__((noinline)) void open__last(void)
{
	pthread_mutex_lock(&open_mutex);
	pthread_mutex_unlock(&open_mutex);
}

static void *open__run_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < OPEN_ROUNDS; i++) {
		pthread_barrier_wait(&open_barrier);
		open__often();
		pthread_barrier_wait(&open_barrier);
	}
	pthread_barrier_wait(&open_barrier);
	open__last();
	return NULL;
}

static void *open__run_once(void *arg)
{
	(void)arg;
	open__once();
	return NULL;
}

static void open__start(pthread_t *thread, void *(*run)(void *))
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	workload__pth(pthread_create(thread, &attr, run, NULL), "pthread_create");
	pthread_attr_destroy(&attr);
}

static void open__run(void)
{
	pthread_t often, once[OPEN_ONCE];
	sigset_t usr1;
	int sig;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	pthread_mutex_init(&open_mutex, NULL);
	pthread_barrier_init(&open_barrier, NULL, OPEN_OFTEN + 1);
	for (int i = 0; i < OPEN_OFTEN; i++)
		open__start(&often, open__run_often);
	puts("ready");
	fflush(stdout);
	sigwait(&usr1, &sig);
	for (int i = 0; i < OPEN_ROUNDS; i++) {
		pthread_mutex_lock(&open_mutex);
		pthread_barrier_wait(&open_barrier);
		workload__sleep(8 * WORKLOAD_MSEC);
		pthread_mutex_unlock(&open_mutex);
		pthread_barrier_wait(&open_barrier);
	}
	pthread_mutex_lock(&open_mutex);
	for (int i = 0; i < OPEN_ONCE; i++)
		open__start(&once[i], open__run_once);
	workload__sleep(2 * WORKLOAD_SEC);
	pthread_mutex_unlock(&open_mutex);
	for (int i = 0; i < OPEN_ONCE; i++)
		pthread_join(once[i], NULL);
	pthread_mutex_lock(&open_mutex);
	pthread_barrier_wait(&open_barrier);
	workload__sleep(2200 * WORKLOAD_MSEC);
	printf("{\"pid\":%d,\"often\":%d,\"once\":%d}\n", (int)getpid(), OPEN_OFTEN, OPEN_ONCE);
	fflush(stdout);
	workload__sleep(30 * WORKLOAD_SEC);
	_exit(0);
}

int main(int argc, char **argv)
{
	static struct locks l;
	bool crowd = argc > 2 && !strcmp(argv[1], "crowd");
	int at = crowd ? 3 : 2;

	if (argc == 2 + (argc > 2) && !strcmp(argv[1], "deadlock"))
		deadlock__run(&l, argc > 2 ? workload__number(argv[2], 1, 3600) : 5);
	if (argc == 2 && !strcmp(argv[1], "open"))
		open__run();
	if (argc < 2 || argc > at + 2 + crowd || (!crowd && strcmp(argv[1], "chain")))
		workload__die(
			"usage: locks crowd KIND [ROUNDS [MS [FSYNCS]]] | chain [ROUNDS [MS]] | "
			"deadlock [SECONDS] | open");
	l.rounds = argc > at ? (unsigned int)workload__number(argv[at], 1, 10000) : 50;
	l.hold_ns = (argc > at + 1 ? workload__number(argv[at + 1], 1, 10000) : 10) * WORKLOAD_MSEC;
	l.fsyncs = argc > at + 2 ? (unsigned int)workload__number(argv[at + 2], 0, 100) : 0;
	alarm((unsigned int)(60 + l.rounds * l.hold_ns * 5 / WORKLOAD_SEC));
	if (crowd)
		crowd__run(&l, argv[2]);
	else
		chain__run(&l);
	return fflush(stdout) != 0;
}
