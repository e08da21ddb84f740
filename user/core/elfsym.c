// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/elfsym.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <string.h>

#define SYMBOLS_MAX (4U << 20)

static void elfsym__take(struct elfsym *syms, size_t n, const char *name, const GElf_Sym *sym)
{
	for (size_t i = 0; i < n; i++) {
		if (syms[i].vaddr || strcmp(syms[i].name, name) != 0)
			continue;
		syms[i].vaddr = sym->st_value;
		syms[i].size = sym->st_size;
	}
}

static void elfsym__section(Elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr, struct elfsym *syms,
			    size_t n)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t count = shdr->sh_entsize ? shdr->sh_size / shdr->sh_entsize : 0;
	GElf_Sym sym;
	const char *name;

	for (size_t i = 0; data && i < count && i < SYMBOLS_MAX; i++) {
		if (!gelf_getsym(data, (int)i, &sym))
			return;
		if (sym.st_shndx == SHN_UNDEF || !sym.st_value)
			continue;
		name = elf_strptr(elf, shdr->sh_link, sym.st_name);
		if (name)
			elfsym__take(syms, n, name, &sym);
	}
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
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	int found = 0;
	Elf *elf;

	elf_version(EV_CURRENT);
	/* Not mapped: a file that shrinks meanwhile would be fatal. */
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		return -ENOEXEC;
	if (elf_kind(elf) != ELF_K_ELF || gelf_getclass(elf) != ELFCLASS64) {
		elf_end(elf);
		return -ENOEXEC;
	}
	while ((scn = elf_nextscn(elf, scn))) {
		if (gelf_getshdr(scn, &shdr) &&
		    (shdr.sh_type == SHT_DYNSYM || shdr.sh_type == SHT_SYMTAB))
			elfsym__section(elf, scn, &shdr, syms, n);
	}
	for (size_t i = 0; i < n; i++) {
		elfsym__place(elf, &syms[i]);
		found += syms[i].vaddr != 0;
	}
	elf_end(elf);
	return found;
}
