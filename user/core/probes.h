/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Uprobes in programs that run: finds the programs by the names of their files, their functions by
 * symbol (stripped files have their exports), and in these the place where a probe is cheap.
 *
 * A probe is in the file, so that all processes which run it, now or later, in a container or not,
 * are seen; a program is looked at once for each file (device and inode).
 */
#ifndef DWELL_PROBES_H
#define DWELL_PROBES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "core/object.h"

struct probe_point {
	const char *program; /* of the BPF object */
	const char *symbol;
	unsigned int args; /* that the program reads */
	bool optional;
};

#define PROBE_POINTS 8

/* A kind of program, and where to probe it. */
struct probe_target {
	const char *title;        /* "PostgreSQL" */
	const char *const *names; /* of the file, NULL-terminated */
	const struct probe_point *points;
	size_t n; /* at most PROBE_POINTS */
};

struct probes;

/* NULL without memory. */
struct probes *probes__new(void);
void probes__free(struct probes *p);

/*
 * Looks at all processes, and attaches to the programs among them that are of one of @targets and
 * have not been seen before. One that can't be probed is told of, once, and left out. EXIT_FAIL
 * only without memory or /proc.
 */
enum dwell_exit probes__scan(struct probes *p, const struct object *o,
			     const struct probe_target *targets, size_t n);

/* Programs that are probed. */
unsigned int probes__count(const struct probes *p);

#endif
