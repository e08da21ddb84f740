/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * schedstat PID...: what the scheduler itself says of each thread of these processes, one JSON
 * object: {"now_ns":…,"threads":[{"pid","tid","comm","run_ns","wait_ns","slices","now_ns"},…]}.
 */
#include "workload.h"

#include <dirent.h>

/* The first line of a small file, without its newline; false if the thread is gone. */
static bool read_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(buf, (int)size, f);

	if (f)
		fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = 0;
	return ok;
}

static void print__string(const char *s)
{
	putchar('"');
	for (; *s; s++)
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else
			putchar((unsigned char)*s < ' ' ? '?' : *s);
	putchar('"');
}

static void print__thread(const char *pid, const char *tid, bool *comma)
{
	char path[128], comm[64], stat[128];
	unsigned long long run, wait, slices;

	snprintf(path, sizeof(path), "/proc/%.20s/task/%.20s/comm", pid, tid);
	if (!read_line(path, comm, sizeof(comm)))
		return;
	snprintf(path, sizeof(path), "/proc/%.20s/task/%.20s/schedstat", pid, tid);
	if (!read_line(path, stat, sizeof(stat)) ||
	    sscanf(stat, "%llu %llu %llu", &run, &wait, &slices) != 3)
		return;
	printf("%s{\"pid\":%s,\"tid\":%s,\"comm\":", *comma ? "," : "", pid, tid);
	print__string(comm);
	printf(",\"run_ns\":%llu,\"wait_ns\":%llu,\"slices\":%llu,\"now_ns\":%ju}", run, wait,
	       slices, (uintmax_t)workload__now());
	*comma = true;
}

static void print__process(const char *pid, bool *comma)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;

	workload__number(pid, 1, INT_MAX);
	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	dir = opendir(path);
	if (!dir)
		return; /* gone: it has no threads */
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			print__thread(pid, entry->d_name, comma);
	closedir(dir);
}

int main(int argc, char **argv)
{
	bool comma = false;

	if (argc < 2)
		workload__die("usage: schedstat PID...");
	printf("{\"now_ns\":%ju,\"threads\":[", (uintmax_t)workload__now());
	for (int i = 1; i < argc; i++)
		print__process(argv[i], &comma);
	puts("]}");
	return fflush(stdout) || ferror(stdout);
}
