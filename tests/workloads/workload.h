/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What the workloads share: programs whose behaviour is known exactly, because they measure it
 * themselves. Times are ns of CLOCK_MONOTONIC, the clock that dwell uses.
 */
#ifndef DWELL_WORKLOAD_H
#define DWELL_WORKLOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WORKLOAD_SKIP 77 /* exit status: this machine can't provoke what was asked for */
#define WORKLOAD_MSEC 1000000ULL
#define WORKLOAD_SEC  1000000000ULL

static inline _Noreturn __attribute__((format(printf, 1, 2))) void workload__die(const char *fmt,
										 ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static inline _Noreturn __attribute__((format(printf, 1, 2))) void workload__skip(const char *fmt,
										  ...)
{
	va_list args;

	fprintf(stderr, "%s: skipped: ", program_invocation_short_name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(WORKLOAD_SKIP);
}

/* @value is a system call's result: passes it on, or dies with the call's name. */
static inline long workload__sys(long value, const char *what)
{
	if (value < 0)
		workload__die("%s: %s", what, strerror(errno));
	return value;
}

/* The same for the pthread family, which returns its error. */
static inline void workload__pth(int err, const char *what)
{
	if (err)
		workload__die("%s: %s", what, strerror(err));
}

static inline uint64_t workload__clock(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * WORKLOAD_SEC + (uint64_t)ts.tv_nsec;
}

static inline uint64_t workload__now(void)
{
	return workload__clock(CLOCK_MONOTONIC);
}

static inline void workload__sleep(uint64_t ns)
{
	struct timespec left = {(time_t)(ns / WORKLOAD_SEC), (long)(ns % WORKLOAD_SEC)};

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

/* Burns @ns of this thread's own CPU time. */
static inline void workload__burn(uint64_t ns)
{
	uint64_t end = workload__clock(CLOCK_THREAD_CPUTIME_ID) + ns;

	while (workload__clock(CLOCK_THREAD_CPUTIME_ID) < end)
		for (volatile int i = 0; i < 1000; i++)
			;
}

static inline pid_t workload__tid(void)
{
	return (pid_t)syscall(SYS_gettid);
}

static inline uint64_t workload__number(const char *s, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno || end == s || *end || *s == '-' || n < min || n > max)
		workload__die("not a number in [%ju, %ju]: %s", (uintmax_t)min, (uintmax_t)max, s);
	return n;
}

/* What the scheduler says of the calling thread. */
struct workload_sched {
	unsigned long long run;    /* ns on a CPU */
	unsigned long long delay;  /* ns runnable without a CPU */
	unsigned long long slices; /* how often it got a CPU */
};

/* @fd: /proc/thread-self/schedstat. */
static inline struct workload_sched workload__sched(int fd)
{
	struct workload_sched s;
	char buf[96];
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);

	workload__sys(n, "schedstat");
	buf[n] = 0;
	if (sscanf(buf, "%llu %llu %llu", &s.run, &s.delay, &s.slices) != 3)
		workload__die("schedstat: unexpected form");
	return s;
}

static inline uint64_t workload__run_delay(int fd)
{
	return workload__sched(fd).delay;
}

static inline int workload__open_schedstat(void)
{
	return (int)workload__sys(open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC),
				  "/proc/thread-self/schedstat");
}

/*
 * How long the calling thread has had a CPU since @begin, by the clock on the wall, when its run
 * delay was @delay; it may not have slept. That is more than its CPU time if a hypervisor takes the
 * CPU away (steal), which the scheduler leaves out. @fd: as of workload__sched().
 */
static inline uint64_t workload__on_cpu(uint64_t begin, uint64_t delay, int fd)
{
	return workload__now() - begin - (workload__run_delay(fd) - delay);
}

/*
 * ns of CPU that a hypervisor has taken away from this machine, in steps of a tick. A thread whose
 * CPU it took seems to have been blocked, if only its CPU time and run delay are known.
 */
static inline uint64_t workload__steal(void)
{
	unsigned long long steal = 0;
	FILE *f = fopen("/proc/stat", "re");

	if (!f)
		workload__die("/proc/stat: %s", strerror(errno));
	if (fscanf(f, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &steal) != 1)
		workload__die("/proc/stat: unexpected form");
	fclose(f);
	return steal * (WORKLOAD_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* Voluntary context switches of the calling thread: each is a wait that really blocked. */
static inline uint64_t workload__nvcsw(void)
{
	struct rusage usage;

	workload__sys(getrusage(RUSAGE_THREAD, &usage), "getrusage");
	return (uint64_t)usage.ru_nvcsw;
}

/* Pins the calling thread. */
static inline void workload__pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	workload__sys(sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

/* The highest CPU that this process may use: interrupts tend to land on the lowest. */
static inline int workload__last_cpu(void)
{
	cpu_set_t set;
	int last = -1;

	workload__sys(sched_getaffinity(0, sizeof(set), &set), "sched_getaffinity");
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET((size_t)cpu, &set))
			last = cpu;
	return last;
}

static inline void workload__json_array(const char *key, const uint64_t *values, size_t n)
{
	printf("\"%s\":[", key);
	for (size_t i = 0; i < n; i++)
		printf("%s%ju", i ? "," : "", (uintmax_t)values[i]);
	printf("]");
}

/*
 * Temporary files. A directory of the workload's own, on a real disk; it and the files that were
 * named in it are removed at exit and on signals. The list is global since a signal handler has
 * nothing else to look at; only the process that made the directory removes it.
 */
#define WORKLOAD_FILES 8

struct workload_tmp {
	pid_t owner;
	unsigned int n;
	char dir[64];
	char file[WORKLOAD_FILES][96];
};

static struct workload_tmp workload_tmp __attribute__((unused));

static inline void workload__cleanup(void)
{
	if (workload_tmp.owner != getpid())
		return;
	for (unsigned int i = 0; i < workload_tmp.n; i++)
		unlink(workload_tmp.file[i]);
	rmdir(workload_tmp.dir);
	workload_tmp.owner = 0;
}

static inline void workload__on_signal(int sig)
{
	workload__cleanup();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* Creates the directory (in $DWELL_TEST_DIR, or /var/tmp) once. */
static inline const char *workload__tmpdir(void)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGALRM, SIGPIPE};
	const char *base = getenv("DWELL_TEST_DIR");
	struct sigaction action = {.sa_handler = workload__on_signal, .sa_flags = SA_RESETHAND};

	if (workload_tmp.owner)
		return workload_tmp.dir;
	if (!base || strlen(base) > 32)
		base = "/var/tmp";
	snprintf(workload_tmp.dir, sizeof(workload_tmp.dir), "%s/dwell-test.XXXXXX", base);
	if (!mkdtemp(workload_tmp.dir))
		workload__die("%s: %s", workload_tmp.dir, strerror(errno));
	workload_tmp.owner = getpid();
	atexit(workload__cleanup);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &action, NULL);
	return workload_tmp.dir;
}

/* A path in that directory which will be removed at the end, whether or not it exists. */
static inline const char *workload__tmpfile(const char *name)
{
	const char *dir = workload__tmpdir();
	char *file;

	if (workload_tmp.n == WORKLOAD_FILES)
		workload__die("too many temporary files");
	file = workload_tmp.file[workload_tmp.n++];
	snprintf(file, sizeof(*workload_tmp.file), "%s/%s", dir, name);
	return file;
}

#endif
