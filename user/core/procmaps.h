/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What code a process has mapped where: the executable mappings of /proc/PID/maps. */
#ifndef DWELL_PROCMAPS_H
#define DWELL_PROCMAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct procmap {
	uint64_t start, end; /* addresses [start, end) */
	uint64_t offset;     /* of @start in the file, bytes */
	uint32_t major, minor;
	uint64_t inode; /* 0: no file */
	/*
	 * The file's path in the process's mount namespace, or without a file "[vdso]", "[heap]",
	 * "[anon:NAME]" as the kernel names it, and "[anon]" for memory without a name (JIT code).
	 * Under the control of the process: may hold any byte but 0.
	 */
	char *path;
	bool deleted; /* there was a file of that path; the kernel's mark is not part of @path */
};

struct procmaps {
	struct procmap *map; /* ascending, never overlapping */
	size_t n;
};

/*
 * Reads the executable mappings. 0 (none is no error: kernel threads and zombies have none),
 * -EINVAL if @in is not of the format, -ENOMEM, or the -errno of reading (-ESRCH if the process is
 * gone). Empty but valid on error. procmaps__free() frees what is in @maps, not @maps itself.
 */
int procmaps__parse(FILE *in, struct procmaps *maps);
int procmaps__load(const char *path, struct procmaps *maps);
void procmaps__free(struct procmaps *maps);

/* The first mapping that ends behind @addr, or NULL. */
const struct procmap *procmaps__next(const struct procmaps *maps, uint64_t addr);

/* The mapping that holds @addr, or NULL. */
const struct procmap *procmaps__find(const struct procmaps *maps, uint64_t addr);

#endif
