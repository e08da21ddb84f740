/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * measure [-s] OUT -- TOOL [ARGS…] ++ WORK [ARGS…]: runs WORK while TOOL traces. On stdout one JSON
 * object; what TOOL says goes to OUT, what WORK says to OUT.work. A TOOL "-" is none.
 *
 *   ready_ns   from TOOL's exec until a BPF program of its own ran for the first time; 0: none did
 *   work_ns    WORK from exec to its end
 *   report_ns  from SIGINT until TOOL ended
 *   rss_bytes  TOOL's peak
 *   map_bytes  what the kernel has charged for TOOL's BPF maps
 *   runs, run_ns  of TOOL's BPF programs while WORK ran, by the kernel's statistics; only with -s,
 *              since those have a cost of their own
 *   switches   context switches of the machine meanwhile
 *
 * A tool's programs are those that it holds open, so others may trace at the same time.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define STILL_LIMIT_S  3 /* without new programs, of which none ran: it waits for its events */
#define REPORT_LIMIT_S 120
#define NSEC           1000000000ULL

#define PROGRAMS_MAX 256 /* of a tool; more are not looked at */

/* What a tool holds open. */
struct held {
	uint32_t program[PROGRAMS_MAX]; /* ids: a program's links have it, too */
	uint64_t programs;
	uint64_t runs;
	uint64_t run_ns;
	uint64_t map_bytes;
};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

static uint64_t context_switches(void)
{
	FILE *f = fopen("/proc/stat", "re");
	uint64_t switches = 0;
	char line[8192];

	if (!f)
		err(1, "/proc/stat");
	while (fgets(line, sizeof(line), f) && sscanf(line, "ctxt %" SCNu64, &switches) != 1)
		;
	fclose(f);
	return switches;
}

static void add_program(struct held *held, uint32_t id)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);
	int fd;

	for (uint64_t i = 0; i < held->programs; i++) {
		if (held->program[i] == id)
			return;
	}
	fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0)
		return; /* closed meanwhile */
	if (held->programs < PROGRAMS_MAX && !bpf_obj_get_info_by_fd(fd, &info, &size)) {
		held->program[held->programs++] = id;
		held->runs += info.run_cnt;
		held->run_ns += info.run_time_ns;
	}
	close(fd);
}

/* One of the tool's descriptors: an id of a program, or a map's memory. */
static void add_descriptor(struct held *held, const char *path)
{
	FILE *f = fopen(path, "re");
	uint64_t memlock = 0;
	bool is_map = false;
	char line[256];
	uint32_t id;

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "prog_id: %" SCNu32, &id) == 1)
			add_program(held, id);
		sscanf(line, "memlock: %" SCNu64, &memlock);
		is_map |= !strncmp(line, "map_id:", 7);
	}
	if (is_map)
		held->map_bytes += memlock;
	fclose(f);
}

static struct held held_by(pid_t pid)
{
	struct held held = {0};
	struct dirent *entry;
	char path[300];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	dir = opendir(path);
	if (!dir)
		return held;
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, entry->d_name);
		add_descriptor(&held, path);
	}
	closedir(dir);
	return held;
}

static pid_t start(char **argv, const char *out, const char *suffix)
{
	char path[4096];
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "%s%s", out, suffix);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		err(1, "%s", path);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		execvp(*argv, argv);
		err(127, "%s", *argv);
	}
	close(fd);
	return pid;
}

/* Until the tool traces; the moment, or 0 if it does not. */
static uint64_t await_ready(pid_t pid, uint64_t begin)
{
	const struct timespec ms = {0, 1000000};
	uint64_t programs = 0, since = begin;

	for (;;) {
		struct held held = held_by(pid);
		uint64_t at = now();

		if (held.runs)
			return at;
		if (waitpid(pid, NULL, WNOHANG))
			errx(1, "the tool ended before it traced anything");
		if (held.programs != programs)
			since = at;
		programs = held.programs;
		if (at - since > STILL_LIMIT_S * NSEC)
			return 0;
		nanosleep(&ms, NULL);
	}
}

/* Ends the tool with a report; its peak of memory. */
static uint64_t finish(pid_t pid)
{
	uint64_t limit = now() + REPORT_LIMIT_S * NSEC;
	const struct timespec ms = {0, 1000000};
	struct rusage usage;
	pid_t ended;

	kill(pid, SIGINT);
	while (!(ended = wait4(pid, NULL, WNOHANG, &usage))) {
		if (now() > limit) {
			kill(pid, SIGKILL);
			warnx("the tool did not end within %d s", REPORT_LIMIT_S);
		}
		nanosleep(&ms, NULL);
	}
	if (ended < 0)
		err(1, "wait4");
	return (uint64_t)usage.ru_maxrss * 1024;
}

/* @argv up to @mark, which is replaced by NULL; what follows it. */
static char **cut_at(char **argv, const char *mark)
{
	while (*argv && strcmp(*argv, mark))
		argv++;
	if (!*argv || !argv[1])
		errx(2, "usage: measure [-s] OUT -- TOOL [ARGS...] ++ WORK [ARGS...]");
	*argv = NULL;
	return argv + 1;
}

int main(int argc, char **argv)
{
	bool stats = argc > 1 && !strcmp(argv[1], "-s");
	char **tool = cut_at(argv + 1 + stats, "--"), **work = cut_at(tool, "++");
	uint64_t begin = now(), ready = 0, work_begin, work_ns, switches, report = 0, rss = 0;
	int stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME), status;
	struct held before = {0}, after = {0};
	const char *out = argv[1 + stats];
	bool none = !strcmp(*tool, "-");
	pid_t pid = 0;

	if (stats_fd < 0)
		err(1, "BPF_ENABLE_STATS");
	if (!none) {
		pid = start(tool, out, "");
		ready = await_ready(pid, begin);
	}
	if (!stats)
		close(stats_fd);
	before = held_by(pid);
	switches = context_switches();
	work_begin = now();
	waitpid(start(work, out, ".work"), &status, 0);
	work_ns = now() - work_begin;
	switches = context_switches() - switches;
	if (status)
		errx(1, "the work failed: see %s.work", out);
	if (!none) {
		after = held_by(pid);
		report = now();
		rss = finish(pid);
		report = now() - report;
	}
	printf("{\"ready_ns\":%" PRIu64 ",\"work_ns\":%" PRIu64 ",\"report_ns\":%" PRIu64
	       ",\"rss_bytes\":%" PRIu64 ",\"map_bytes\":%" PRIu64 ",\"runs\":%" PRIu64
	       ",\"run_ns\":%" PRIu64 ",\"switches\":%" PRIu64 "}\n",
	       ready ? ready - begin : 0, work_ns, report, rss, after.map_bytes,
	       after.runs - before.runs, after.run_ns - before.run_ns, switches);
	return 0;
}
