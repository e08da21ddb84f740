// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
#include "core/varfile.h"

#define REFRESH_NS    NSEC_PER_SEC
#define PROCESSES_MAX 256 /* beyond, those that are gone have no names */
#define FILES_MAX     64  /* that are kept open; beyond, the oldest makes room */

struct mapping {
	uint64_t start, end, offset, dev, inode;
	char *path; /* "" without one */
};

struct process {
	uint32_t tgid;
	uint64_t read_ns; /* when its mappings were read */
	struct mapping *maps;
	size_t n;
};

/* A file whose variables were asked for: many locks are in few files. */
struct known_file {
	uint64_t dev, inode;
	struct varfile *vars; /* NULL: no file is here */
};

struct datasyms {
	struct process processes[PROCESSES_MAX];
	size_t n;
	struct known_file files[FILES_MAX];
	size_t next; /* of files[], to be taken next */
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
	uint32_t major, minor;
	int at = 0;
	size_t len;

	if (sscanf(line,
		   "%" SCNx64 "-%" SCNx64 " %*4s %" SCNx64 " %" SCNx32 ":%" SCNx32 " %" SCNu64
		   " %n",
		   &m.start, &m.end, &m.offset, &major, &minor, &m.inode, &at) != 6 ||
	    !at)
		return 0;
	m.dev = (uint64_t)major << 32 | minor;
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
	for (size_t i = 0; i < FILES_MAX; i++)
		varfile__free(d->files[i].vars);
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

/* ---- files ----------------------------------------------------------------------------------- */

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

/* The variables of the file behind @m, a mapping of process @tgid; NULL if it cannot be opened. */
static const struct varfile *datasyms__file(struct datasyms *d, uint32_t tgid,
					    const struct mapping *m)
{
	struct known_file *f;
	struct varfile *vars;
	int fd;

	for (size_t i = 0; i < FILES_MAX; i++) {
		f = &d->files[i];
		if (f->vars && f->inode == m->inode && f->dev == m->dev)
			return f->vars;
	}
	fd = file__open(tgid, m);
	vars = fd < 0 ? NULL : varfile__open(fd);
	if (!vars)
		return NULL;
	f = &d->files[d->next++ % FILES_MAX];
	varfile__free(f->vars);
	*f = (struct known_file){.dev = m->dev, .inode = m->inode, .vars = vars};
	return vars;
}

int datasyms__user(struct datasyms *d, uint32_t tgid, uint64_t addr, char *name, size_t size,
		   char *module, size_t module_size)
{
	struct process *p = datasyms__process(d, tgid);
	const struct varfile *vars;
	const struct mapping *m;
	const char *slash;

	module[0] = '\0';
	/* What was mapped since is found the second time; what is gone stays as it was. */
	m = p ? process__file(p, addr) : NULL;
	if (!m && (!p || time__now() - p->read_ns > REFRESH_NS) && !datasyms__remember(d, tgid))
		m = process__file(datasyms__process(d, tgid), addr);
	if (!m || m->path[0] != '/')
		return -ENOENT;
	slash = strrchr(m->path, '/');
	str__printable(module, module_size, slash + 1, 0);
	vars = datasyms__file(d, tgid, m);
	return vars ? varfile__name(vars, addr - m->start, name, size) : -ENOENT;
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
		if (!elffile__first(&f, &first)) {
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
