/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Uprobes in programs that run: finds the programs by the names of their files or by their symbols
 * (stripped files have their exports), libraries by what processes have mapped, and in a function
 * the place where a probe is cheap.
 *
 * A probe is in the file, so that all processes which run it, now or later, in a container or not,
 * are seen; a file is looked at once (device, inode, time of change). From Linux 6.6 on probes are
 * attached by uprobe_multi, which needs no more than CAP_BPF and CAP_PERFMON.
 */
#ifndef DWELL_PROBES_H
#define DWELL_PROBES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "core/elfsym.h"
#include "core/object.h"
#include "probe.h"

enum probe_flags {
	POINT_OPTIONAL = 1,
	POINT_RETURN = 2, /* where the function returns; attached before what is at its begin */
};

struct probe_point {
	/* Of the BPF object's part; NULL: the symbol must be there, and has no probe. */
	const char *program;
	const char *symbol;
	unsigned int args; /* the program reads the function's first so many */
	unsigned int flags;
};

#define PROBE_POINTS 8

/* A kind of program, and where to probe it. */
struct probe_target {
	const char *title;        /* "PostgreSQL" */
	unsigned int part;        /* of the BPF object: loaded when the first program is found */
	const char *const *names; /* of the program's file; several kinds may share them */
	const char *library;      /* part of the name of a library's file */
	bool linked_in;           /* any program with these symbols is of this kind */
	const char *const *paths; /* of libraries, as for glob(3): probes__expect() */
	const struct probe_point *points;
	size_t n; /* at most PROBE_POINTS */
	/*
	 * What the probes' programs must know of this file, given to them as their cookie (before
	 * Linux 5.15 in the map `layout`, for all files alike): the function @layout_of, of which
	 * the first @size bytes are in @code, tells. False if it does not: then the file is left
	 * out, unless @layout_optional; the cookie is then 0.
	 */
	const char *layout_of;
	bool (*layout)(const uint8_t *code, size_t size, uint64_t *cookie);
	bool layout_optional;
	/*
	 * Or variables, whose places the programs are told in the map `probe_data` (probe.h) by the
	 * number that is then the cookie (before Linux 5.15: not at all): NULL-terminated.
	 */
	const char *const *data;
};

struct probes;

/* Whose programs are looked for: all, or those of these processes and of their descendants. */
struct probe_scope {
	bool all;
	const uint32_t *pids;
	uint32_t n;
};

/*
 * NULL without memory. The @n targets are probed with the parts of @from, which @o is; @scope's
 * array must live as long.
 */
struct probes *probes__new(struct object *o, const struct tool_object *from,
			   const struct probe_target *targets, size_t n,
			   const struct probe_scope *scope);
void probes__free(struct probes *p);

/*
 * Looks at all processes in the scope, and attaches to the programs among them that are of one of
 * the targets and have not been seen before. One that can't be probed is told of, once, and left
 * out. EXIT_FAIL only without memory or /proc.
 */
enum dwell_exit probes__scan(struct probes *p);

/* The same for what is likely to be run: the file @program, if not NULL, and libraries. */
void probes__expect(struct probes *p, const char *program);

/* Files that are probed: those in use, and libraries that are only expected to be. */
unsigned int probes__count(const struct probes *p);
unsigned int probes__expected(const struct probes *p);

/* Is the program of process @pid one that is probed? Then a probe is at *@offset of its file. */
bool probes__runs(const struct probes *p, uint32_t pid, uint64_t *offset);

#endif
