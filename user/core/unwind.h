/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The unwind tables of the processes that are watched, in the kernel side's maps.
 *
 * A file's table is made once, however many processes map it and under whatever inode (it is known
 * by its build-id); processes with the same mappings share their ranges too.
 */
#ifndef DWELL_UNWIND_H
#define DWELL_UNWIND_H

#include "core/object.h"
#include "core/stacks.h"

struct unwind;

/* What it took. */
struct unwind_stats {
	size_t modules, rows, rules, layouts;
	size_t bytes; /* of the tables, in the kernel */
	uint64_t ns;  /* of CPU time that was spent on making them */
};

/* NULL without memory, or if the maps cannot be reached. */
struct unwind *unwind__new(const struct object *o, struct stacks *stacks);
void unwind__free(struct unwind *u);

/*
 * Looks at what @tgid has mapped, and has the kernel side walk its stacks by it. @mm, @code: as in
 * thread_seen; what is the same as before is not looked at again; 0: not known. Modules without
 * tables are walked by frame pointers. 0 or -errno.
 */
int unwind__process(struct unwind *u, uint32_t tgid, uint64_t mm, uint64_t code);

/*
 * The process @tgid has mapped code: what is known of it is looked at again. MAPPINGS_ALL: all
 * processes are. Of others nothing is done.
 */
void unwind__changed(struct unwind *u, uint32_t tgid);

struct unwind_stats unwind__stats(const struct unwind *u);

#endif
