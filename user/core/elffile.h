/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * ELF files that may be hostile, read by pread(2): never mapped, every offset and size in them is
 * checked against the file, and memory is bounded by the caller.
 */
#ifndef DWELL_ELFFILE_H
#define DWELL_ELFFILE_H

#include <gelf.h>
#include <stddef.h>
#include <stdint.h>

struct elffile {
	int fd;
	uint64_t bytes; /* of the file */
	Elf *elf;
	uint16_t machine;
	const char *why; /* what is wrong; static */
};

/*
 * Checks what libelf would believe. 0; -ENOEXEC: no ELF file; -EBADMSG with *@why: damaged; or
 * another -errno. @fd stays the caller's.
 */
int elffile__open(int fd, struct elffile *f, const char **why);
void elffile__close(struct elffile *f);

/* The file's own address of its first byte, as it is mapped. 0; -ENODATA if nothing is loaded. */
int elffile__first(const struct elffile *f, uint64_t *vaddr);

#define BUILD_ID_MAX 64

struct build_id {
	uint8_t id[BUILD_ID_MAX];
	size_t bytes; /* 0: it has none */
};

void elffile__build_id(struct elffile *f, struct build_id *id);

uint16_t elffile__machine(const struct elffile *f);
const unsigned char *elffile__ident(const struct elffile *f);

/* The section @name: 0, -ENODATA if there is none (or it has no contents in the file), -EBADMSG. */
int elffile__section(struct elffile *f, const char *name, GElf_Shdr *sh);

/* A section's contents, decompressed, to be freed: at most @max bytes, else -EBADMSG. */
int elffile__read(struct elffile *f, const GElf_Shdr *sh, uint64_t max, uint8_t **data,
		  uint64_t *bytes);

/* A symbol table, and its names. */
struct elffile_symtab {
	GElf_Shdr table, names;
};

#define ELFFILE_SYMBOLS_MAX (4U << 20) /* of a table */

/* The first symbol table of @type (SHT_SYMTAB…). 0; -ENODATA if none is there; -EBADMSG. */
int elffile__symtab(struct elffile *f, uint32_t type, struct elffile_symtab *t);

/* Calls @fn for each symbol, until it returns other than 0, which is returned; or -errno. */
int elffile__symbols(struct elffile *f, const struct elffile_symtab *t,
		     int (*fn)(const GElf_Sym *sym, void *arg), void *arg);

/* All @bytes at @offset; -EBADMSG if the file ends before. */
int elffile__pread(int fd, void *buf, size_t bytes, uint64_t offset);

/* Refuses a file whose header libelf should not see. 0, -ENOEXEC, -EIO, or -EBADMSG with *@why. */
int elffile__check(int fd, uint64_t bytes, const char **why);

#endif
