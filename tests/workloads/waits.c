/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * waits MODE [COUNT [MS]]: a thread named "victim" waits COUNT times (200) for about MS ms (5) in
 * one known state, and one JSON object on stdout says what it measured. `waits --list` lists the
 * modes. Exit status 77: this machine can't provoke that state. With WAITS_LINGER in the
 * environment it stays for half a minute after that, so that its symbols can be looked up.
 *
 * How it works is told in waits.h.
 */
#include "workload.h"

#include "waits.h"
#include "waits_fd.h"
#include "waits_kernel.h"
#include "waits_user.h"

/* ---- stop: the victim is a process of its own, since a stop signal stops whole processes ---- */

/* It stops itself, so that it knows when; the controller lets it go on. */
static void stop__block(struct wait *w, unsigned int i)
{
	(void)w;
	(void)i;
	raise(SIGSTOP);
}

static void stop__victim(struct wait *w)
{
	pid_t pid = (pid_t)workload__sys(fork(), "fork");
	int status;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		wait__victim(w);
		_exit(0);
	}
	w->helper_tid = workload__tid();
	for (unsigned int i = 0; i < w->count; i++) {
		workload__sys(waitpid(pid, &status, WUNTRACED), "waitpid");
		if (!WIFSTOPPED(status))
			workload__die("the victim didn't stop");
		workload__sleep(w->hold_ns);
		workload__sys(kill(pid, SIGCONT), "kill");
	}
	workload__sys(waitpid(pid, &status, 0), "waitpid");
}

/* ---- cpu, runq, preempt: the truth is the kernel's own, /proc/thread-self/schedstat ---- */

#define SPINNERS     2
#define RUNQ_SECONDS 25 /* under emulation a round may need more CPU than an idle class's slice */

struct crowd {
	_Atomic bool stop;
	_Atomic uint64_t ns; /* of CPU time that they had */
	int cpu;
	pthread_t thread[SPINNERS];
};

static void *crowd__spin(void *arg)
{
	struct crowd *crowd = arg;

	int schedstat = workload__open_schedstat();
	uint64_t begin, delay;

	prctl(PR_SET_NAME, "spinner");
	workload__pin(crowd->cpu);
	delay = workload__run_delay(schedstat);
	begin = workload__now();
	while (!atomic_load_explicit(&crowd->stop, memory_order_relaxed))
		;
	atomic_fetch_add(&crowd->ns, workload__on_cpu(begin, delay, schedstat));
	close(schedstat);
	return NULL;
}

static void crowd__start(struct crowd *crowd)
{
	crowd->cpu = workload__last_cpu();
	workload__pin(crowd->cpu);
	for (int i = 0; i < SPINNERS; i++)
		workload__pth(pthread_create(&crowd->thread[i], NULL, crowd__spin, crowd),
			      "pthread_create");
}

static void crowd__stop(struct crowd *crowd, struct wait *w)
{
	atomic_store(&crowd->stop, true);
	for (int i = 0; i < SPINNERS; i++)
		pthread_join(crowd->thread[i], NULL);
	w->crowd_ns = crowd->ns;
}

/*
 * After each wake-up it needs 20 us: too little to be preempted in. SCHED_IDLE: it never pushes a
 * spinner off the CPU, so that it really queues.
 */
static void runq__victim(struct wait *w)
{
	struct crowd crowd = {.stop = false};
	struct sched_param param = {0};
	struct workload_sched before, after;
	uint64_t end = workload__now() + RUNQ_SECONDS * 1000 * WORKLOAD_MSEC;

	crowd__start(&crowd);
	workload__sys(sched_setscheduler(0, SCHED_IDLE, &param), "SCHED_IDLE");
	for (unsigned int i = 0; i < w->count; i++) {
		/* A round in which it waited twice is not a sample of one wait. */
		do {
			before = workload__sched(w->schedstat);
			workload__sleep(WORKLOAD_MSEC);
			after = workload__sched(w->schedstat);
			workload__burn(20000);
			if (workload__now() > end)
				workload__skip("its part of a CPU ends before a round does");
		} while (after.slices - before.slices != 1);
		w->samples[i] = w->blocked[i] = after.delay - before.delay;
	}
	crowd__stop(&crowd, w);
}

/* Always wants its CPU, and shares it with the crowd. */
static void preempt__victim(struct wait *w)
{
	struct crowd crowd = {.stop = false};
	uint64_t before = workload__run_delay(w->schedstat), end;

	crowd__start(&crowd);
	for (unsigned int i = 0; i < w->count; i++) {
		end = workload__now() + w->hold_ns;
		while (workload__now() < end)
			;
		w->samples[i] = workload__run_delay(w->schedstat) - before;
		w->blocked[i] = w->samples[i];
		before += w->samples[i];
	}
	crowd__stop(&crowd, w);
}

static void cpu__victim(struct wait *w)
{
	uint64_t begin = workload__now(), delay = workload__run_delay(w->schedstat), had = 0, now;

	for (unsigned int i = 0; i < w->count; i++) {
		workload__burn(w->hold_ns);
		now = workload__on_cpu(begin, delay, w->schedstat);
		w->samples[i] = w->blocked[i] = now - had;
		had = now;
	}
}

/* ---- the table ---- */

#define ON_FUSE .finish = fuse__stop

static const struct mode modes[] = {
	{"lock-mutex", "lock", "mutex", .setup = mutex__setup, .hold = mutex__hold,
	 .block = mutex__block, .release = mutex__unlock, .after = mutex__unlock},
	{"lock-pi", "lock", "pi", .setup = mutex__setup_pi, .hold = mutex__hold,
	 .block = mutex__block, .release = mutex__unlock, .after = mutex__unlock},
	{"lock-robust", "lock", "robust", .setup = mutex__setup_robust, .hold = mutex__hold,
	 .block = mutex__block, .release = mutex__unlock, .after = mutex__unlock},
	{"lock-timed", "lock", "mutex", .setup = mutex__setup, .hold = mutex__hold,
	 .block = mutex__block_timed, .release = mutex__unlock, .after = mutex__unlock},
	{"lock-expired", "lock", "mutex", .setup = mutex__setup_kept,
	 .block = mutex__block_in_vain},
	{"lock-rwlock", "lock", "rwlock", .setup = rwlock__setup, .hold = rwlock__read,
	 .block = rwlock__write, .release = rwlock__unlock, .after = rwlock__unlock},
	{"lock-rwlock-reader", "lock", "rwlock", .setup = rwlock__setup, .hold = rwlock__write,
	 .block = rwlock__read, .release = rwlock__unlock, .after = rwlock__unlock},
	{"lock-rwlock-writers", "lock", "rwlock", .setup = rwlock__setup, .hold = rwlock__write,
	 .block = rwlock__write, .release = rwlock__unlock, .after = rwlock__unlock},
	{"lock-futex2", "lock", "mutex", .setup = futex2__setup, .hold = futex2__lock,
	 .block = futex2__block, .release = futex2__unlock, .after = futex2__after},
	{"lock-flock", "lock", "flock", .setup = filelock__setup, .hold = flock__hold,
	 .block = flock__block, .release = flock__release, .after = flock__after},
	{"lock-fcntl", "lock", "flock", .setup = filelock__setup, .hold = ofd__hold,
	 .block = ofd__block, .release = ofd__release, .after = ofd__after},

	{"sync-cond", "sync", "cond", .setup = cond__setup, .block = cond__block,
	 .release = cond__release},
	{"sync-sem", "sync", "sem", .setup = sem__setup, .block = sem__block,
	 .release = sem__release},
	{"sync-barrier", "sync", "barrier", .setup = barrier__setup, .block = barrier__pass,
	 .release = barrier__pass},
	{"sync-join", "sync", "join", .setup = join__setup, .hold = join__hold,
	 .block = join__block, .release = sem__release},
	{"sync-futex2", "sync", "futex", .setup = futex2__setup, .block = event__block,
	 .release = event__wake},
	{"sync-requeue2", "sync", "futex", .setup = futex2__setup, .block = event__block,
	 .release = event__requeue},
	{"sync-requeue", "sync", "futex", .setup = event__setup, .block = event__old_block,
	 .release = event__old_requeue},
	{"sync-waitv", "sync", "futex", .setup = waitv__setup, .block = waitv__block,
	 .release = waitv__wake},
	{"sync-child", "sync", "child", .setup = child__setup, .hold = child__hold,
	 .block = child__block, .release = child__release},

	{"pipe-read", "pipe", "pipe", .setup = pipe__setup, .block = fd__read_byte,
	 .release = fd__write_byte},
	{"pipe-write", "pipe", "pipe", .setup = pipe__fill, .block = pipe__write_chunk,
	 .release = pipe__read_chunk},
	{"pipe-fifo", "pipe", "pipe", .setup = fifo__setup, .block = fd__read_byte,
	 .release = fd__write_byte},
	{"pipe-eventfd", "pipe", "anon", .setup = eventfd__setup, .block = eventfd__read,
	 .release = eventfd__write},
	{"pipe-signalfd", "pipe", "anon", .setup = signalfd__setup, .block = signalfd__read,
	 .release = signalfd__kill},
	{"pipe-tty", "pipe", "tty", .inexact = true, .setup = tty__setup, .block = fd__read_byte,
	 .release = fd__write_byte},

	{"net-tcp", "net", "socket", .setup = tcp__setup, .block = socket__recv,
	 .release = fd__write_byte},
	{"net-udp", "net", "socket", .setup = udp__setup, .block = socket__recv,
	 .release = fd__write_byte},
	{"net-unix", "net", "socket", .setup = unix__setup, .block = fd__read_byte,
	 .release = fd__write_byte},
	{"net-connect", "net", "socket", .setup = connect__setup, .block = connect__block,
	 .release = connect__release, .after = connect__after},
	{"net-accept", "net", "socket", .setup = accept__setup, .block = accept__block,
	 .release = accept__release, .after = accept__after},

	{"poll-epoll", "poll", "poll", .setup = epoll__setup, .block = epoll__block,
	 .release = eventfd__write, .after = eventfd__read},
	{"poll-poll", "poll", "poll", .setup = eventfd__setup, .block = poll__block,
	 .release = eventfd__write, .after = eventfd__read},
	{"poll-select", "poll", "poll", .setup = eventfd__setup, .block = select__block,
	 .release = eventfd__write, .after = eventfd__read},
	{"poll-signal", "poll", "signal", .setup = pause__setup, .block = pause__block,
	 .release = pause__release},
	{"poll-uring", "poll", "poll", .setup = uring__setup, .block = uring__block,
	 .release = eventfd__write, .after = eventfd__read},

	{"sleep-nanosleep", "sleep", "timer", .block = sleep__relative},
	{"sleep-clock", "sleep", "timer", .block = sleep__absolute},
	{"sleep-poll0", "sleep", "timer", .block = sleep__poll},
	{"sleep-spread", "sleep", "timer", .block = sleep__spread},

	{"disk-read", "disk", "file", .inexact = true, .setup = disk__setup_read,
	 .block = disk__read},
	{"disk-fsync", "disk,fs,klock", NULL, .inexact = true, .setup = disk__setup_sync,
	 .block = disk__sync},

	{"fs-read", "fs", "file", .setup = fs__setup_read, .block = fs__read,
	 .release = fs__release, ON_FUSE},
	{"fs-open", "fs", NULL, .setup = fs__setup_open, .block = fs__open, .release = fs__release,
	 .after = fs__close, ON_FUSE},
	{"fs-stat", "fs", NULL, .setup = fs__setup_stat, .block = fs__stat, .release = fs__release,
	 ON_FUSE},

	{"klock-inode", "klock", "klock", .setup = inode__setup, .hold = inode__hold,
	 .block = inode__block, .release = fs__release, ON_FUSE},
	{"klock-pipe", "klock", "klock", .setup = pipemutex__setup, .hold = pipemutex__hold,
	 .block = fd__read_byte, .release = uffd__answer},

	{"fault-uffd", "fault", "fault", .setup = uffd__setup, .block = uffd__touch,
	 .release = uffd__answer},
	{"fault-mapped", "fault,disk", "fault", .setup = mapped__setup, .block = mapped__touch,
	 .release = fs__release, .finish = mapped__finish},

	{"stop-signal", "stop", "stop", .block = stop__block},

	{"runq", "runq,preempt", "task", .inexact = true, .victim = runq__victim},
	{"preempt", "preempt,runq", "task", .inexact = true, .victim = preempt__victim},
	{"cpu", "cpu", NULL, .inexact = true, .victim = cpu__victim},
	{"other-copy", "other", "syscall", .setup = uffd__setup, .block = uffd__copy,
	 .release = uffd__answer},
};

#define NR_MODES (sizeof(modes) / sizeof(*modes))

static const struct mode *mode__find(const char *name)
{
	for (size_t i = 0; i < NR_MODES; i++)
		if (!strcmp(modes[i].name, name))
			return &modes[i];
	workload__die("no such mode: %s", name);
}

static int mode__list(void)
{
	for (size_t i = 0; i < NR_MODES; i++)
		puts(modes[i].name);
	return 0;
}

/* ---- output ---- */

static uint64_t sum(const uint64_t *values, size_t n)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += values[i];
	return total;
}

static void print__states(const char *states)
{
	printf("\"state\":\"%.*s\",\"states\":[\"", (int)strcspn(states, ","), states);
	for (; *states; states++)
		if (*states == ',')
			printf("\",\"");
		else
			putchar(*states);
	printf("\"],");
}

static void print__detail(const struct wait *w)
{
	printf("\"detail\":{\"blocked\":%ju,\"queued\":%ju,\"queued_ns\":%ju,", (uintmax_t)w->nvcsw,
	       (uintmax_t)w->queued, (uintmax_t)w->queued_ns);
	printf("\"crowd_ns\":%ju,\"life_ns\":%ju", (uintmax_t)w->crowd_ns, (uintmax_t)w->life_ns);
	if (w->path[0])
		printf(",\"path\":\"%s\"", w->path);
	if (w->peer[0])
		printf(",\"peer\":\"%s\"", w->peer);
	if (w->local[0])
		printf(",\"local\":\"%s\"", w->local);
	if (w->addr)
		printf(",\"addr\":\"0x%jx\"", (uintmax_t)(uintptr_t)w->addr);
	if (w->holder_tid)
		printf(",\"holder_tid\":%d", (int)w->holder_tid);
	printf("}");
}

static void print__truth(const struct wait *w)
{
	printf("{\"mode\":\"%s\",", w->mode->name);
	print__states(w->mode->states);
	if (w->mode->kind)
		printf("\"kind\":\"%s\",", w->mode->kind);
	printf("\"pid\":%d,\"tid\":%d,\"helper_tid\":%d,", (int)w->victim_pid, (int)w->victim_tid,
	       (int)w->helper_tid);
	printf("\"count\":%u,\"exact_count\":%s,", w->count, w->mode->inexact ? "false" : "true");
	printf("\"total_ns\":%ju,\"blocked_ns\":%ju,\"cpu_ns\":%ju,\"runq_ns\":%ju,",
	       (uintmax_t)sum(w->samples, w->count), (uintmax_t)sum(w->blocked, w->count),
	       (uintmax_t)w->cpu_ns, (uintmax_t)w->runq_ns);
	workload__json_array("samples", w->samples, w->count);
	putchar(',');
	workload__json_array("blocked", w->blocked, w->count);
	putchar(',');
	print__detail(w);
	puts("}");
}

/* ---- main ---- */

static void *shared__alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		workload__die("mmap: %s", strerror(errno));
	memset(p, 0, size); /* no page faults later on */
	return p;
}

static struct wait *wait__new(int argc, char **argv)
{
	struct wait *w = shared__alloc(sizeof(*w));
	uint64_t ms = argc > 3 ? workload__number(argv[3], 1, 10000) : 5;

	w->mode = mode__find(argv[1]);
	w->count = argc > 2 ? (unsigned int)workload__number(argv[2], 1, WAITS_COUNT_MAX) : 200;
	w->hold_ns = ms * WORKLOAD_MSEC;
	w->samples = shared__alloc(w->count * sizeof(*w->samples));
	w->blocked = shared__alloc(w->count * sizeof(*w->blocked));
	alarm((unsigned int)(30 + w->count * ms * 5 / 1000)); /* whatever happens, it ends */
	return w;
}

static void wait__run(struct wait *w)
{
	uint64_t begin = workload__now();
	pthread_t victim, controller;

	workload__pth(pthread_create(&victim, NULL, wait__victim, w), "pthread_create");
	if (w->mode->release) {
		workload__pth(pthread_create(&controller, NULL, wait__controller, w),
			      "pthread_create");
		pthread_setname_np(controller, "helper");
		pthread_join(controller, NULL);
	}
	pthread_join(victim, NULL);
	w->life_ns = workload__now() - begin;
}

int main(int argc, char **argv)
{
	struct wait *w;

	if (argc == 2 && !strcmp(argv[1], "--list"))
		return mode__list();
	if (argc < 2 || argc > 4)
		workload__die("usage: waits MODE [COUNT [MS]] | waits --list");
	w = wait__new(argc, argv);
	if (w->mode->setup)
		w->mode->setup(w);
	if (w->mode->block == stop__block)
		stop__victim(w);
	else
		wait__run(w);
	if (w->mode->finish)
		w->mode->finish(w);
	print__truth(w);
	if (fflush(stdout) || ferror(stdout))
		return 1;
	if (getenv("WAITS_LINGER"))
		workload__sleep(30 * WORKLOAD_SEC);
	return 0;
}
