/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The variables of an ELF file by their addresses. A file keeps 16 bytes for each; names stay in
 * it, and are read for those that are asked for.
 */
#ifndef DWELL_VARFILE_H
#define DWELL_VARFILE_H

#include <stddef.h>
#include <stdint.h>

struct varfile;

/*
 * Reads the symbol tables of the file @fd, which is the varfile's from here on. It may be hostile
 * (core/elffile.h): one that is damaged, or is no ELF file, has no variables. NULL without memory.
 */
struct varfile *varfile__open(int fd);
void varfile__free(struct varfile *v);

/*
 * The variable that is mapped @distance bytes behind the file's first byte, as "name" or
 * "name+0x10" (C++, Rust: demangled). 0; -ENOENT if none with a symbol is there.
 */
int varfile__name(const struct varfile *v, uint64_t distance, char *name, size_t size);

#endif
