/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* A process's variables by their addresses, from its ELF files; the kernel's: core/kallsyms.h. */
#ifndef DWELL_DATASYMS_H
#define DWELL_DATASYMS_H

#include <stddef.h>
#include <stdint.h>

struct datasyms;

/* NULL without memory. */
struct datasyms *datasyms__new(void);
void datasyms__free(struct datasyms *d);

/*
 * Reads what process @tgid has mapped where, so that its variables can be named after it has gone.
 * 0 or -errno.
 */
int datasyms__remember(struct datasyms *d, uint32_t tgid);

/*
 * The variable of process @tgid that holds @addr, as "name" or "name+0x10", and the last name of
 * its file in @module (of @module_size bytes; "" if the address is in none). 0; -ENOENT if no
 * variable with a symbol is there.
 */
int datasyms__user(struct datasyms *d, uint32_t tgid, uint64_t addr, char *name, size_t size,
		   char *module, size_t module_size);

/*
 * Variable @name of the program or library of process @tgid, as it was remembered, whose file's
 * name begins with @file, or with "lib" and @file: its first byte and the one behind its last one.
 * 0; -ENOENT if there is none.
 */
int datasyms__find(struct datasyms *d, uint32_t tgid, const char *file, const char *name,
		   uint64_t *start, uint64_t *end);

#endif
