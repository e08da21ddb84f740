/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Where named symbols of an ELF file are: for probes, and for data to be read. */
#ifndef DWELL_ELFSYM_H
#define DWELL_ELFSYM_H

#include <stddef.h>
#include <stdint.h>

struct elfsym {
	const char *name; /* asked for */
	uint64_t vaddr;   /* the file's own address; 0: the file does not define it */
	uint64_t offset;  /* of its first byte in the file; 0: it has none (.bss) */
	uint64_t size;    /* bytes */
};

/*
 * Looks @n symbols up in the file's .symtab and .dynsym. The file may be hostile: every offset is
 * checked, and the number of symbols is bounded. The number found, or -errno: -ENOEXEC if it is no
 * ELF file of 64 bits.
 */
int elfsym__find(int fd, struct elfsym *syms, size_t n);

#endif
