// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libiberty/demangle.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "core/datasyms.h"
#include "core/elffile.h"
#include "core/elfsym.h"

#define REFRESH_NS    NSEC_PER_SEC
#define PROCESSES_MAX 256 /* beyond, those that are gone have no names */
#define NAME_BYTES    256

struct mapping {
	uint64_t start, end, offset, inode;
	char *path; /* "" without one */
};

struct process {
	uint32_t tgid;
	uint64_t read_ns; /* when its mappings were read */
	struct mapping *maps;
	size_t n;
};

struct datasyms {
	struct process processes[PROCESSES_MAX];
	size_t n;
};

/* ---- mappings ------------------------------------------------------------------------------- */

static void process__free(struct process *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->maps[i].path);
	free(p->maps);
	*p = (struct process){0};
}

static int process__add(struct process *p, const char *line)
{
	struct mapping *grown, m = {0};
	int at = 0;
	size_t len;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*4s %" SCNx64 " %*x:%*x %" SCNu64 " %n",
		   &m.start, &m.end, &m.offset, &m.inode, &at) != 4 ||
	    !at)
		return 0;
	if (!(p->n & (p->n - 1))) {
		grown = realloc(p->maps, (p->n ? 2 * p->n : 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		p->maps = grown;
	}
	len = strcspn(line + at, "\n");
	m.path = strndup(line + at, len);
	if (!m.path)
		return -ENOMEM;
	p->maps[p->n++] = m;
	return 0;
}

static int process__read(struct process *p, uint32_t tgid)
{
	char path[64], *line = NULL;
	size_t size = 0;
	int err = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/maps", tgid);
	in = fopen(path, "re");
	if (!in)
		return -errno;
	while (!err && getline(&line, &size, in) > 0)
		err = process__add(p, line);
	free(line);
	fclose(in);
	p->tgid = tgid;
	p->read_ns = time__now();
	return err ?: p->n ? err : -ESRCH;
}

static struct process *datasyms__process(struct datasyms *d, uint32_t tgid)
{
	for (size_t i = 0; i < d->n; i++) {
		if (d->processes[i].tgid == tgid)
			return &d->processes[i];
	}
	return NULL;
}

int datasyms__remember(struct datasyms *d, uint32_t tgid)
{
	struct process *known = datasyms__process(d, tgid), fresh = {0};
	int err = process__read(&fresh, tgid);

	if (!err && !known && d->n == PROCESSES_MAX)
		err = -ENOSPC;
	if (err) {
		process__free(&fresh);
		return err;
	}
	if (!known)
		known = &d->processes[d->n++];
	else
		process__free(known);
	*known = fresh;
	return 0;
}

struct datasyms *datasyms__new(void)
{
	return calloc(1, sizeof(struct datasyms));
}

void datasyms__free(struct datasyms *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n; i++)
		process__free(&d->processes[i]);
	free(d);
}

/*
 * The first mapping of the file that holds @addr, or that ends in the memory without a file that
 * does: a variable without initial value lies behind its file's.
 */
static const struct mapping *process__file(const struct process *p, uint64_t addr)
{
	const struct mapping *file = NULL, *first = NULL;
	uint64_t end = 0;

	for (size_t i = 0; i < p->n && p->maps[i].start <= addr; i++) {
		const struct mapping *m = &p->maps[i];

		if (m->inode)
			file = m;
		else if (m->start != end || m->path[0])
			file = NULL;
		if (file && addr < m->end)
			break;
		end = m->end;
	}
	if (!file || addr < file->start)
		return NULL;
	for (size_t i = 0; !first && i < p->n; i++)
		first = p->maps[i].inode == file->inode && !p->maps[i].offset ? &p->maps[i] : NULL;
	return first;
}

/* ---- ELF ------------------------------------------------------------------------------------ */

/* The file's own address of what is mapped @distance bytes behind its first byte. */
static bool elf__vaddr(Elf *elf, uint64_t distance, uint64_t *vaddr)
{
	GElf_Phdr segment;
	size_t n = 0;

	if (elf_getphdrnum(elf, &n))
		return false;
	for (size_t i = 0; i < n && gelf_getphdr(elf, (int)i, &segment); i++) {
		if (segment.p_type != PT_LOAD)
			continue;
		/* Segments are in ascending order, and the first holds the file's first byte. */
		*vaddr = segment.p_vaddr - segment.p_offset + distance;
		return true;
	}
	return false;
}

struct elf_search {
	uint64_t vaddr;
	GElf_Sym found;
};

/* 1 at the variable that holds the address. */
static int elf__take(const GElf_Sym *sym, void *arg)
{
	struct elf_search *s = arg;

	if (GELF_ST_TYPE(sym->st_info) != STT_OBJECT || !sym->st_shndx ||
	    s->vaddr < sym->st_value || s->vaddr - sym->st_value >= sym->st_size)
		return 0;
	s->found = *sym;
	return 1;
}

/* The name as people write it (C++, Rust). */
static void elf__present(const char *symbol, char *name, size_t size)
{
	char *demangled = cplus_demangle(symbol, DMGL_AUTO);

	str__printable(name, size, demangled ?: symbol, 0);
	free(demangled);
}

/* Of the symbols in the table of @type. 0 or -ENOENT. */
static int elf__name(struct elffile *f, uint32_t type, uint64_t vaddr, char *name, size_t size)
{
	struct elf_search s = {.vaddr = vaddr};
	struct elffile_symtab t;
	char text[NAME_BYTES];
	size_t len;
	ssize_t got;

	if (elffile__symtab(f, type, &t) || elffile__symbols(f, &t, elf__take, &s) != 1 ||
	    s.found.st_name >= t.names.sh_size)
		return -ENOENT;
	got = pread(f->fd, text, sizeof(text) - 1, (off_t)(t.names.sh_offset + s.found.st_name));
	if (got <= 0)
		return -ENOENT;
	text[got] = '\0';
	elf__present(text, name, size);
	len = strlen(name);
	if (vaddr != s.found.st_value)
		str__append(name, size, &len, "+0x%" PRIx64, vaddr - s.found.st_value);
	return 0;
}

/*
 * The regular file behind a mapping: as the process has it, or by its path if it is still the
 * same.
 */
static int file__open(uint32_t tgid, const struct mapping *m)
{
	char path[PATH_MAX + 64];
	struct stat st;
	int fd;

	for (int how = 0; how < 2; how++) {
		if (how)
			snprintf(path, sizeof(path), "%s", m->path);
		else
			snprintf(path, sizeof(path), "/proc/%" PRIu32 "/root%s", tgid, m->path);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_ino == m->inode)
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -ENOENT;
}

int datasyms__user(struct datasyms *d, uint32_t tgid, uint64_t addr, char *name, size_t size,
		   char *module, size_t module_size)
{
	struct process *p = datasyms__process(d, tgid);
	const struct mapping *m;
	const char *slash, *why;
	struct elffile f;
	uint64_t vaddr;
	int fd, err = -ENOENT;

	module[0] = '\0';
	/* What was mapped since is found the second time; what is gone stays as it was. */
	m = p ? process__file(p, addr) : NULL;
	if (!m && (!p || time__now() - p->read_ns > REFRESH_NS) && !datasyms__remember(d, tgid))
		m = process__file(datasyms__process(d, tgid), addr);
	if (!m || m->path[0] != '/')
		return -ENOENT;
	slash = strrchr(m->path, '/');
	str__printable(module, module_size, slash + 1, 0);
	fd = file__open(tgid, m);
	if (fd < 0)
		return fd;
	if (!elffile__open(fd, &f, &why)) {
		if (elf__vaddr(f.elf, addr - m->start, &vaddr))
			err = elf__name(&f, SHT_SYMTAB, vaddr, name, size) &&
					      elf__name(&f, SHT_DYNSYM, vaddr, name, size)
				      ? -ENOENT
				      : 0;
		elffile__close(&f);
	}
	close(fd);
	return err;
}

/* Where @name of the file that @m is the first mapping of lies. 0 or -ENOENT. */
static int file__find(uint32_t tgid, const struct mapping *m, const char *name, uint64_t *start,
		      uint64_t *end)
{
	struct elfsym sym = {.name = name};
	int fd = file__open(tgid, m), err = -ENOENT;
	struct elffile f;
	const char *why;
	uint64_t first;

	if (fd < 0)
		return fd;
	if (elfsym__find(fd, &sym, 1) == 1 && sym.vaddr && !elffile__open(fd, &f, &why)) {
		if (elf__vaddr(f.elf, 0, &first)) {
			*start = m->start + (sym.vaddr - first);
			*end = *start + sym.size;
			err = 0;
		}
		elffile__close(&f);
	}
	close(fd);
	return err;
}

int datasyms__find(struct datasyms *d, uint32_t tgid, const char *file, const char *name,
		   uint64_t *start, uint64_t *end)
{
	const struct process *p = datasyms__process(d, tgid);
	int err = -ENOENT;

	for (size_t i = 0; p && err && i < p->n; i++) {
		const struct mapping *m = &p->maps[i];
		const char *base = strrchr(m->path, '/');

		if (!base || m->offset || !m->inode)
			continue;
		base += !strncmp(base, "/lib", 4) ? 4 : 1;
		if (!strncmp(base, file, strlen(file)))
			err = file__find(tgid, m, name, start, end);
	}
	return err;
}
