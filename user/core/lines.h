/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Source lines and inlined functions of addresses, by the debug information (DWARF) of a file.
 *
 * libdw reads it in a process of its own, without privileges: whatever a hostile or damaged file
 * makes of that process, dwell only loses this file's lines, and says so in one line.
 */
#ifndef DWELL_LINES_H
#define DWELL_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINES_INLINED_MAX 16 /* functions at one address: what is inlined deeper is left out */

struct lines;

/* A function at an address, and where in its source the address is. */
struct line {
	const char *function; /* demangled; NULL: not known */
	const char *file;     /* as the compiler wrote it; NULL: not known */
	uint32_t line;        /* 1 and up; 0: not known */
};

/*
 * The lines of the ELF file @fd, which is consumed; nothing is read yet. @label (copied) names it
 * in messages. NULL without memory.
 */
struct lines *lines__new(int fd, const char *label);
void lines__free(struct lines *l);

/*
 * The functions at the ELF address @vaddr, innermost first: those that were inlined there, and at
 * the end the one whose code it is. *@line lives as long as @l. Their number; 0: nothing is known,
 * or the file could not be read, which is said once.
 */
size_t lines__find(struct lines *l, uint64_t vaddr, const struct line **line);

#endif
