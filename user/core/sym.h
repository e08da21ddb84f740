/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Symbols: the sorted table that every source of symbols fills, and ELF files as such a source.
 *
 * A module (an ELF file) keeps 16 bytes per function. Names stay in the file, which is kept open:
 * they are read, demangled and kept only for the functions that are asked for.
 */
#ifndef DWELL_SYM_H
#define DWELL_SYM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the table ------------------------------------------------------------------------------ */

#define SYM_SIZE_MAX ((1U << 28) - 1) /* bytes of code; what is longer is cut */

/* Several names may stand for one address; the lowest rank is the name to show. */
enum sym_rank {
	SYM_GLOBAL,
	SYM_WEAK,
	SYM_LOCAL,
	SYM_UNTYPED,    /* a label with a size */
	SYM_NO_SIZE = 4 /* or-ed to the others: the size is an upper bound */
};

struct sym_row {
	uint64_t addr;
	uint32_t size: 28; /* bytes */
	uint32_t rank: 4;
	uint32_t name; /* offset of the name, wherever the owner of the table keeps its names */
};

struct symtab {
	struct sym_row *rows;
	size_t n, max;
};

/* Appends a row; @size 0 is no function and is not taken. 0 or -ENOMEM. */
int symtab__add(struct symtab *t, uint64_t addr, uint64_t size, uint32_t rank, uint32_t name);
/* Once, after the last row: sorts, ends rows of SYM_NO_SIZE where the next begins, gives back
 * memory. */
void symtab__sort(struct symtab *t);
/*
 * The names of the function that holds @addr, the innermost where functions are nested: rows that
 * begin at the same address. Their number (0: none), with *@first the index of the first.
 */
size_t symtab__find(const struct symtab *t, uint64_t addr, size_t *first);
/*
 * Whether name @a with @rank_a is the one to show rather than @b: a true size, fewer leading
 * underscores ("read", not "__libc_read"), global before weak before local, shorter, strcmp().
 */
bool symtab__better(const char *a, uint32_t rank_a, const char *b, uint32_t rank_b);
void symtab__free(struct symtab *t);

/* ---- ELF files ------------------------------------------------------------------------------ */

#define SYM_NAME_MAX 1024 /* bytes of a name, its end included; what is longer is cut */

struct sym_module;

/*
 * @name demangled (C++, Rust; without parameters and return type) or as it is, safe on a terminal;
 * to be freed. NULL without memory.
 */
char *sym__demangled(const char *name);

/*
 * Reads the symbol table (.symtab, or .dynsym where that is missing or empty) of the file @fd,
 * which is the module's from here on, and is closed if this fails.
 *
 * The file may be hostile: it is never mapped, every offset and number in it is checked, and time
 * and memory are bounded (ELFFILE_SYMBOLS_MAX of 16 bytes). 0; -ENOEXEC if it is no ELF file;
 * -EBADMSG with *@why (static; "a segment outside the file") if it is damaged or beyond the limits;
 * or another -errno.
 */
int sym__open(int fd, struct sym_module **module, const char **why);
/*
 * Adds the symbols of @fd, a debug file of the same build (consumed, as by sym__open()); those of
 * @m are looked up where it has none. 0 or an error as sym__open()'s.
 */
int sym__attach(struct sym_module *m, int fd, const char **why);
void sym__free(struct sym_module *m);

/* The ELF file's own address ("what addr2line takes") of byte @offset of the file; -ENOENT if it
 * isn't in a loaded segment. */
int sym__vaddr(const struct sym_module *m, uint64_t offset, uint64_t *vaddr);

/*
 * The function that holds the ELF file's address @vaddr, *@start its first byte; NULL if there is
 * none (its size is respected: what lies between functions has no name). Demangled without
 * parameters and return type (C++, Rust), safe on a terminal, valid as long as the module.
 */
const char *sym__find(struct sym_module *m, uint64_t vaddr, uint64_t *start);

/* Functions in the table. */
size_t sym__count(const struct sym_module *m);

#endif
