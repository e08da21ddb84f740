// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/silence.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "core/proc.h"
#include "core/procmaps.h"

#define BUSY_NS 100000000ULL /* of CPU time; less is housekeeping */

/* The process's user and system time; 0 if it cannot be read. */
static uint64_t silence__cpu_ns(uint32_t pid)
{
	char path[32], buf[1024], *at;
	uint64_t user, system;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	if (proc__slurp(path, buf, sizeof(buf)) <= 0)
		return 0;
	at = strrchr(buf, ')'); /* ends the name, which may hold anything */
	if (!at ||
	    sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
		   &user, &system) != 2)
		return 0;
	return (user + system) * (1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK));
}

void silence__look(struct silence *s, const struct probes *p)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	uint64_t pid, offset;

	s->n = 0;
	while (proc && s->n < SILENCE_PROCESSES && (entry = readdir(proc))) {
		if (str__to_u64(entry->d_name, 1, UINT32_MAX, &pid) ||
		    !probes__runs(p, (uint32_t)pid, &offset))
			continue;
		s->process[s->n].pid = (uint32_t)pid;
		s->process[s->n++].cpu_ns = silence__cpu_ns((uint32_t)pid);
	}
	if (proc)
		closedir(proc);
}

static uint64_t silence__cpu_before(const struct silence *s, uint32_t pid)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->process[i].pid == pid)
			return s->process[i].cpu_ns;
	}
	return 0;
}

/* Where process @pid has mapped the code at @offset of its program; 0 if it has not. */
static uint64_t silence__address(uint32_t pid, uint64_t offset)
{
	char path[32], program[4096];
	struct procmaps maps;
	uint64_t address = 0;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	len = readlink(path, program, sizeof(program) - 1);
	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	if (len < 0 || procmaps__load(path, &maps))
		return 0;
	program[len] = '\0';
	for (size_t i = 0; i < maps.n; i++) {
		const struct procmap *map = &maps.map[i];

		/* A program that was replaced is "NAME (deleted)". */
		if (map->inode && !strncmp(map->path, program, strlen(map->path)) &&
		    offset >= map->offset && offset - map->offset < map->end - map->start)
			address = map->start + offset - map->offset;
	}
	procmaps__free(&maps);
	return address;
}

/* Is what is at @offset of its program another thing in the process's memory than in the file? */
static bool silence__is_probed(uint32_t pid, uint64_t offset)
{
	uint64_t address = silence__address(pid, offset);
	uint32_t code = 0, own = 0;
	char path[32];
	bool probed;
	int memory, file;

	snprintf(path, sizeof(path), "/proc/%u/mem", pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	file = open(path, O_RDONLY | O_CLOEXEC);
	probed = address && pread(memory, &own, sizeof(own), (off_t)address) == sizeof(own) &&
		 pread(file, &code, sizeof(code), (off_t)offset) == sizeof(code) && code != own;
	if (memory >= 0)
		close(memory);
	if (file >= 0)
		close(file);
	return probed;
}

void silence__reason(const struct silence *before, const struct probes *p, char *text, size_t size)
{
	uint64_t all = 0, most = 0, offset = 0;
	struct silence *now = malloc(sizeof(*now));
	uint32_t busiest = 0;
	char cpu[16];

	if (!now) {
		snprintf(text, size, "the reason is not known (no memory)");
		return;
	}
	silence__look(now, p);
	for (size_t i = 0; i < now->n; i++) {
		uint64_t was = silence__cpu_before(before, now->process[i].pid);
		uint64_t ns = now->process[i].cpu_ns > was ? now->process[i].cpu_ns - was : 0;

		all += ns;
		if (ns >= most) {
			most = ns;
			busiest = now->process[i].pid;
		}
	}
	free(now);
	time__format(cpu, sizeof(cpu), all);
	if (all < BUSY_NS)
		snprintf(text, size, "the servers had no statements (they computed for %s)", cpu);
	else if (probes__runs(p, busiest, &offset) && !silence__is_probed(busiest, offset))
		snprintf(text, size,
			 "process %u, which computed for %s, runs from a copy of its program "
			 "that has no probes (huge pages, a JIT's or a packer's)",
			 busiest, cpu);
	else
		snprintf(text, size,
			 "process %u computed for %s, in a statement that began before, in "
			 "work of its own, or in a build that has the functions inlined",
			 busiest, cpu);
}
