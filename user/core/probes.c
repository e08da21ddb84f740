// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/probes.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "core/elfsym.h"
#include "core/placement.h"

#define FILES_MAX 64 /* different programs probed, or found unfit */

struct probed {
	dev_t dev;
	ino_t ino;
	struct bpf_link *link[PROBE_POINTS];
};

struct probes {
	struct probed file[FILES_MAX];
	unsigned int n;
	unsigned int attached;
	bool full;
};

struct probes *probes__new(void)
{
	return calloc(1, sizeof(struct probes));
}

static void probes__detach(struct probed *file)
{
	for (int i = 0; i < PROBE_POINTS; i++) {
		bpf_link__destroy(file->link[i]);
		file->link[i] = NULL;
	}
}

void probes__free(struct probes *p)
{
	for (unsigned int i = 0; p && i < p->n; i++)
		probes__detach(&p->file[i]);
	free(p);
}

unsigned int probes__count(const struct probes *p)
{
	return p->attached;
}

/* Where in the function at @offset of the file the probe goes. */
static struct placement probes__place(int fd, const struct elfsym *sym, unsigned int args)
{
	size_t size = sym->size && sym->size < PLACEMENT_CODE ? sym->size : PLACEMENT_CODE;
	struct placement at = {0};

#ifdef __x86_64__
	uint8_t code[PLACEMENT_CODE];
	ssize_t n = pread(fd, code, size, (off_t)sym->offset);

	/* Of a longer function not all jumps would be seen: its begin, then. */
	if (n > 0)
		at = placement__find(code, (size_t)n, args);
	if (sym->size > PLACEMENT_CODE && at.offset)
		at = (struct placement){0};
#else
	(void)fd;
	(void)args;
	(void)size;
	at.emulated = true; /* nothing is known of a difference */
#endif
	return at;
}

/* 0 or -errno. */
static int probes__point(struct probed *file, int i, const struct object *o,
			 const struct probe_point *point, const struct elfsym *sym,
			 const char *path, const char *name, int fd)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(o->obj, point->program);
	struct placement at = probes__place(fd, sym, point->args);
	LIBBPF_OPTS(bpf_uprobe_opts, opts);

	assert(prog);
	log__debug("%s: probe on %s+%u (%s)", name, point->symbol, at.offset,
		   at.emulated ? "emulated" : "single-stepped: some 20us for each call");
	file->link[i] =
		bpf_program__attach_uprobe_opts(prog, -1, path, sym->offset + at.offset, &opts);
	return file->link[i] ? 0 : -errno;
}

/* 0, or -errno with *@missing the function that is not there. */
static int probes__attach(struct probed *file, const struct object *o,
			  const struct probe_target *target, const char *path, const char *name,
			  const char **missing)
{
	struct elfsym syms[PROBE_POINTS] = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	assert(target->n <= PROBE_POINTS);
	for (size_t i = 0; i < target->n; i++)
		syms[i].name = target->points[i].symbol;
	err = elfsym__find(fd, syms, target->n);
	for (size_t i = 0; err >= 0 && i < target->n; i++) {
		const struct probe_point *point = &target->points[i];

		if (!syms[i].offset && point->optional)
			continue;
		*missing = point->symbol;
		err = syms[i].offset
			      ? probes__point(file, (int)i, o, point, &syms[i], path, name, fd)
			      : -ENOENT;
		if (!err)
			*missing = NULL;
	}
	close(fd);
	if (err < 0)
		probes__detach(file);
	return err < 0 ? err : 0;
}

static void probes__refused(const struct probe_target *target, const char *name, int err,
			    const char *missing)
{
	if (err == -ENOENT && missing)
		log__note("%s is left out: it is no %s that can be probed, it exports no %s", name,
			  target->title, missing);
	else if (err == -EPERM || err == -EACCES)
		log__note("%s is left out: not permitted to probe it (CAP_SYS_ADMIN)", name);
	else
		log__note("%s is left out: it cannot be probed: %s", name, strerror(-err));
}

static bool probes__seen(const struct probes *p, const struct stat *st)
{
	for (unsigned int i = 0; i < p->n; i++) {
		if (p->file[i].dev == st->st_dev && p->file[i].ino == st->st_ino)
			return true;
	}
	return false;
}

static const struct probe_target *probes__target(const char *name,
						 const struct probe_target *targets, size_t n)
{
	const char *base = strrchr(name, '/');

	base = base ? base + 1 : name;
	for (size_t i = 0; i < n; i++) {
		for (const char *const *known = targets[i].names; *known; known++) {
			size_t len = strlen(*known);

			/* A file that was replaced is "NAME (deleted)". */
			if (!strncmp(base, *known, len) && (!base[len] || base[len] == ' '))
				return &targets[i];
		}
	}
	return NULL;
}

static void probes__process(struct probes *p, const struct object *o, const char *pid,
			    const struct probe_target *targets, size_t n)
{
	const struct probe_target *target;
	char path[64], name[512], safe[512];
	const char *missing = NULL;
	struct probed *file;
	struct stat st;
	ssize_t len;
	int err;

	snprintf(path, sizeof(path), "/proc/%s/exe", pid);
	len = readlink(path, name, sizeof(name) - 1);
	if (len <= 0)
		return;
	name[len] = '\0';
	target = probes__target(name, targets, n);
	if (!target || stat(path, &st) || probes__seen(p, &st))
		return;
	if (p->n == FILES_MAX) {
		if (!p->full)
			log__note("more than %d different programs: the rest is left out",
				  FILES_MAX);
		p->full = true;
		return;
	}
	file = &p->file[p->n++];
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	str__printable(safe, sizeof(safe), name, 0);
	err = probes__attach(file, o, target, path, safe, &missing);
	if (err)
		probes__refused(target, safe, err, missing);
	else
		p->attached++;
}

enum dwell_exit probes__scan(struct probes *p, const struct object *o,
			     const struct probe_target *targets, size_t n)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		return err__fail("/proc cannot be read: %s", strerror(errno));
	while ((entry = readdir(proc))) {
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			probes__process(p, o, entry->d_name, targets, n);
	}
	closedir(proc);
	return EXIT_OK;
}
