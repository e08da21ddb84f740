// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/varfile.h"

#include <errno.h>
#include <inttypes.h>
#include <libiberty/demangle.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "core/elffile.h"
#include "core/sym.h"

#define NAME_BYTES 256

/* Of .symtab or .dynsym. */
struct vartable {
	struct symtab symbols;
	uint64_t names, names_bytes; /* where its names begin in the file */
};

struct varfile {
	int fd;
	uint64_t first; /* the file's own address of its first byte */
	struct vartable table[2];
};

static int vartable__take(const GElf_Sym *sym, void *arg)
{
	struct vartable *t = arg;

	if (GELF_ST_TYPE(sym->st_info) != STT_OBJECT || sym->st_shndx == SHN_UNDEF ||
	    sym->st_name >= t->names_bytes)
		return 0;
	return symtab__add(&t->symbols, sym->st_value, sym->st_size,
			   GELF_ST_BIND(sym->st_info) == STB_GLOBAL ? SYM_GLOBAL : SYM_LOCAL,
			   sym->st_name);
}

static int vartable__read(struct vartable *t, struct elffile *f, uint32_t type)
{
	struct elffile_symtab from;
	int err;

	if (elffile__symtab(f, type, &from))
		return 0;
	t->names = from.names.sh_offset;
	t->names_bytes = from.names.sh_size;
	err = elffile__symbols(f, &from, vartable__take, t);
	symtab__sort(&t->symbols);
	return err == -ENOMEM ? err : 0;
}

struct varfile *varfile__open(int fd)
{
	struct varfile *v = calloc(1, sizeof(*v));
	struct elffile f;
	const char *why;
	int err = 0;

	if (!v) {
		close(fd);
		return NULL;
	}
	v->fd = fd;
	if (elffile__open(fd, &f, &why))
		return v;
	if (!elffile__first(&f, &v->first))
		err = vartable__read(&v->table[0], &f, SHT_SYMTAB)
			      ?: vartable__read(&v->table[1], &f, SHT_DYNSYM);
	elffile__close(&f);
	if (!err)
		return v;
	varfile__free(v);
	return NULL;
}

void varfile__free(struct varfile *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < 2; i++)
		symtab__free(&v->table[i].symbols);
	close(v->fd);
	free(v);
}

/* The name as people write it (C++, Rust). */
static int vartable__present(const struct vartable *t, int fd, const struct sym_row *row,
			     uint64_t offset, char *name, size_t size)
{
	char text[NAME_BYTES], *demangled;
	ssize_t got = pread(fd, text, sizeof(text) - 1, (off_t)(t->names + row->name));
	size_t len;

	if (got <= 0)
		return -ENOENT;
	text[got] = '\0';
	demangled = cplus_demangle(text, DMGL_AUTO);
	str__printable(name, size, demangled ?: text, 0);
	free(demangled);
	len = strlen(name);
	if (offset)
		str__append(name, size, &len, "+0x%" PRIx64, offset);
	return 0;
}

/* Of several names the first that is global, if one is. */
static int vartable__name(const struct vartable *t, int fd, uint64_t vaddr, char *name, size_t size)
{
	size_t first = 0, n = symtab__find(&t->symbols, vaddr, &first);
	const struct sym_row *row;

	if (!n)
		return -ENOENT;
	row = &t->symbols.rows[first];
	for (const struct sym_row *other = row + 1; other < &t->symbols.rows[first + n]; other++) {
		if (other->rank < row->rank)
			row = other;
	}
	return vartable__present(t, fd, row, vaddr - row->addr, name, size);
}

int varfile__name(const struct varfile *v, uint64_t distance, char *name, size_t size)
{
	uint64_t vaddr = v->first + distance;

	return vartable__name(&v->table[0], v->fd, vaddr, name, size) &&
			       vartable__name(&v->table[1], v->fd, vaddr, name, size)
		       ? -ENOENT
		       : 0;
}
