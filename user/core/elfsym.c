// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/elfsym.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/elffile.h"

#define NAMES_MAX (256U << 20) /* bytes of all names of a table */

struct elfsym_search {
	struct elfsym *syms;
	size_t n;
	const char *names;
	uint64_t names_bytes;
};

static int elfsym__take(const GElf_Sym *sym, void *arg)
{
	const struct elfsym_search *s = arg;

	if (sym->st_shndx == SHN_UNDEF || !sym->st_value || sym->st_name >= s->names_bytes)
		return 0;
	for (size_t i = 0; i < s->n; i++) {
		struct elfsym *wanted = &s->syms[i];
		size_t len = strlen(wanted->name) + 1;

		if (wanted->vaddr || len > s->names_bytes - sym->st_name ||
		    memcmp(wanted->name, s->names + sym->st_name, len) != 0)
			continue;
		wanted->vaddr = sym->st_value;
		wanted->size = sym->st_size;
	}
	return 0;
}

/* A table that is damaged has none of the symbols. */
static void elfsym__table(struct elffile *f, uint32_t type, struct elfsym_search *s)
{
	struct elffile_symtab t;
	uint8_t *names;

	if (elffile__symtab(f, type, &t) ||
	    elffile__read(f, &t.names, NAMES_MAX, &names, &s->names_bytes))
		return;
	s->names = (const char *)names;
	elffile__symbols(f, &t, elfsym__take, s);
	free(names);
}

static void elfsym__place(Elf *elf, struct elfsym *sym)
{
	size_t n = 0;
	GElf_Phdr ph;

	if (!sym->vaddr || elf_getphdrnum(elf, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_LOAD)
			continue;
		if (sym->vaddr >= ph.p_vaddr && sym->vaddr - ph.p_vaddr < ph.p_filesz)
			sym->offset = sym->vaddr - ph.p_vaddr + ph.p_offset;
	}
}

int elfsym__find(int fd, struct elfsym *syms, size_t n)
{
	struct elfsym_search s = {.syms = syms, .n = n};
	struct elffile f;
	const char *why;
	int found = 0;

	if (elffile__open(fd, &f, &why))
		return -ENOEXEC;
	if (gelf_getclass(f.elf) != ELFCLASS64) {
		elffile__close(&f);
		return -ENOEXEC;
	}
	elfsym__table(&f, SHT_SYMTAB, &s);
	elfsym__table(&f, SHT_DYNSYM, &s);
	for (size_t i = 0; i < n; i++) {
		elfsym__place(f.elf, &syms[i]);
		found += syms[i].vaddr != 0;
	}
	elffile__close(&f);
	return found;
}
