// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/probes.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <uthash.h>

#include "base/str.h"
#include "base/time.h"
#include "core/placement.h"
#include "core/proc.h"
#include "core/procmaps.h"
#include "core/uprobe.h"

#define FILES_MAX  PROBE_FILES   /* different programs and libraries probed */
#define SEEN_MAX   16384         /* files looked at */
#define PIDS       (4096 * 1024) /* PID_MAX_LIMIT in the kernel */
#define MAPS_EVERY 4             /* scans; of processes that are new in each */
#define ANCESTRY   16            /* generations up to a process of the scope */

/* What may be found in a file. */
enum file_kind {
	FILE_PROGRAM,
	FILE_LIBRARY,
};

struct probe_link {
	struct bpf_link *one; /* or, by uprobe_multi: */
	int multi;            /* a descriptor + 1 */
};

struct probed {
	struct probe_link link[PROBE_POINTS];
	dev_t dev;
	ino_t ino;
	uint64_t offset; /* of a probe that is hit often, in the file */
};

struct seen_key {
	dev_t dev;
	ino_t ino;
	struct timespec changed;
};

struct seen {
	struct seen_key key;
	UT_hash_handle hh;
};

struct probes {
	struct object *object;
	const struct tool_object *from;
	const struct probe_target *targets;
	size_t ntargets;
	const struct probe_scope *scope;
	struct probed file[FILES_MAX];
	unsigned int n;
	unsigned int expected; /* of them: libraries that no process had to have */
	struct seen *seen;
	uint8_t *mapped; /* a bit for each process whose mappings were looked at */
	unsigned int scans;
	bool full;
	uint64_t hit_ns[4]; /* by probes__way() */
	bool measured[4];
};

/* One file that is looked at. */
struct candidate {
	const char *path; /* by which this process reaches it */
	const char *name; /* safe to print */
	const struct stat *st;
	int fd;
	enum file_kind kind;
	bool expected; /* it says by its name that it is one */
};

struct probes *probes__new(struct object *o, const struct tool_object *from,
			   const struct probe_target *targets, size_t n,
			   const struct probe_scope *scope)
{
	struct probes *p = calloc(1, sizeof(*p));

	if (p)
		p->mapped = calloc(PIDS / 8, 1);
	if (!p || !p->mapped) {
		free(p);
		return NULL;
	}
	p->object = o;
	p->from = from;
	p->targets = targets;
	p->ntargets = n;
	p->scope = scope;
	return p;
}

static void probes__detach(struct probed *file)
{
	for (int i = 0; i < PROBE_POINTS; i++) {
		bpf_link__destroy(file->link[i].one);
		if (file->link[i].multi)
			close(file->link[i].multi - 1);
		file->link[i] = (struct probe_link){0};
	}
}

void probes__free(struct probes *p)
{
	struct seen *seen, *next;

	if (!p)
		return;
	for (unsigned int i = 0; i < p->n; i++)
		probes__detach(&p->file[i]);
	HASH_ITER(hh, p->seen, seen, next)
	{
		HASH_DEL(p->seen, seen);
		free(seen);
	}
	free(p->mapped);
	free(p);
}

unsigned int probes__count(const struct probes *p)
{
	return p->n - p->expected;
}

unsigned int probes__expected(const struct probes *p)
{
	return p->expected;
}

bool probes__runs(const struct probes *p, uint32_t pid, uint64_t *offset)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	if (stat(path, &st))
		return false;
	for (unsigned int i = 0; i < p->n; i++) {
		if (p->file[i].dev != st.st_dev || p->file[i].ino != st.st_ino)
			continue;
		*offset = p->file[i].offset;
		return true;
	}
	return false;
}

/* ---- one function -------------------------------------------------------------------------- */

/* Its first bytes, as far as they are worth looking at: their number, or 0. */
static size_t probes__code(int fd, const struct elfsym *sym, uint8_t code[PLACEMENT_CODE])
{
	size_t size = sym->size && sym->size < PLACEMENT_CODE ? sym->size : PLACEMENT_CODE;
	ssize_t n = pread(fd, code, size, (off_t)sym->offset);

	return n > 0 ? (size_t)n : 0;
}

/* Where in the function at @offset of the file the probe goes. */
static struct placement probes__place(int fd, const struct elfsym *sym,
				      const struct probe_point *point)
{
	struct placement at = {0};

#ifdef __x86_64__
	uint8_t code[PLACEMENT_CODE];

	at = placement__find(code, probes__code(fd, sym, code), point->args,
			     point->flags & POINT_RETURN);
	/* Of a longer function not all jumps would be seen: its begin, then. */
	if (sym->size > PLACEMENT_CODE && at.offset)
		at = (struct placement){0};
#else
	(void)fd;
	(void)sym;
	(void)point;
	at.emulated = true; /* nothing is known of a difference */
#endif
	return at;
}

/* For -v: how the probe is hit, and what that costs here, measured once for each way. */
static const char *probes__way(struct probes *p, const struct placement *at, bool returns,
			       char *buf, size_t size)
{
	const char *way = at->emulated ? "emulated" : "single-stepped";
	int i = at->emulated * 2 + returns;
	char each[16];

	if (log__level() < LOG_DEBUG)
		return "";
	if (!p->measured[i])
		p->hit_ns[i] = uprobe__hit_ns(at->emulated, returns);
	p->measured[i] = true;
	time__format(each, sizeof(each), p->hit_ns[i]);
	snprintf(buf, size, p->hit_ns[i] ? "(%s), %s for each hit" : "(%s)", way, each);
	return buf;
}

/* 0 or -errno. */
static int probes__point(struct probes *p, const struct probe_target *target, size_t i,
			 const struct candidate *c, const struct elfsym *sym, uint64_t cookie)
{
	const struct probe_point *point = &target->points[i];
	struct bpf_program *prog =
		bpf_object__find_program_by_name(p->object->part[target->part], point->program);
	struct placement at = probes__place(c->fd, sym, point);
	struct probe_link *link = &p->file[p->n].link[i];
	bool returns = point->flags & POINT_RETURN;
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .retprobe = returns);
	char way[64];
	int fd;

	assert(prog);
	log__debug("%s: probe on %s%s+%u %s", c->name, returns ? "the return of " : "",
		   point->symbol, at.offset, probes__way(p, &at, returns, way, sizeof(way)));
	if (!returns && !(point->flags & POINT_OPTIONAL))
		p->file[p->n].offset = sym->offset + at.offset;
	if (p->object->has[FEATURE_UPROBE_MULTI]) {
		fd = uprobe__multi(bpf_program__fd(prog), c->path, sym->offset + at.offset, cookie,
				   returns);
		link->multi = fd < 0 ? 0 : fd + 1;
		return fd < 0 ? fd : 0;
	}
	if ((target->layout || target->data) && p->object->has[FEATURE_COOKIE])
		opts.bpf_cookie = cookie;
	link->one =
		bpf_program__attach_uprobe_opts(prog, -1, c->path, sym->offset + at.offset, &opts);
	return link->one ? 0 : -errno;
}

/* ---- one file ------------------------------------------------------------------------------ */

/* What the programs must know of this file: 0, -EBADMSG, -EOPNOTSUPP. */
static int probes__layout(struct probes *p, const struct probe_target *target,
			  const struct candidate *c, const struct elfsym *sym, uint64_t *cookie)
{
	uint8_t code[PLACEMENT_CODE];
	uint64_t before = 0;
	uint32_t zero = 0;
	int fd;

	*cookie = 0;
	if (!target->layout)
		return 0;
	if (!sym->offset || !target->layout(code, probes__code(c->fd, sym, code), cookie)) {
		*cookie = 0;
		if (!target->layout_optional)
			return -EBADMSG;
	}
	if (p->object->has[FEATURE_COOKIE])
		return 0;
	fd = bpf_object__find_map_fd_by_name(p->object->part[target->part], "layout");
	assert(fd >= 0);
	bpf_map_lookup_elem(fd, &zero, &before);
	if (before && before != *cookie)
		return -EOPNOTSUPP;
	return bpf_map_update_elem(fd, &zero, cookie, BPF_ANY) ? -errno : 0;
}

/* Tells the programs where this file has the target's variables. 0 or -errno. */
static int probes__data(struct probes *p, const struct probe_target *target,
			const struct candidate *c, const struct elfsym *first, uint64_t *cookie)
{
	struct placement at = probes__place(c->fd, first, &target->points[0]);
	struct elfsym syms[PROBE_DATA] = {0};
	struct probe_data data = {0};
	uint32_t number = p->n;
	int fd, err;
	size_t n;

	if (!target->data || !p->object->has[FEATURE_COOKIE])
		return 0;
	for (n = 0; target->data[n]; n++) {
		assert(n < PROBE_DATA);
		syms[n].name = target->data[n];
	}
	err = elfsym__find(c->fd, syms, n);
	for (size_t i = 0; i < n; i++) {
		if (syms[i].vaddr)
			data.delta[i] = (int64_t)(syms[i].vaddr - first->vaddr - at.offset);
		else
			log__debug("%s has no %s", c->name, syms[i].name);
	}
	*cookie = number;
	fd = bpf_object__find_map_fd_by_name(p->object->part[target->part], "probe_data");
	assert(fd >= 0);
	if (err >= 0 && bpf_map_update_elem(fd, &number, &data, BPF_ANY))
		err = -errno;
	return err < 0 ? err : 0;
}

/* The first function without which it won't do, or NULL. */
static const char *probes__missing(const struct probe_target *target, const struct elfsym *syms)
{
	for (size_t i = 0; i < target->n; i++) {
		if (!syms[i].offset && !(target->points[i].flags & POINT_OPTIONAL))
			return syms[i].name;
	}
	return NULL;
}

/* 0; -ENOENT with *@missing the function that is not there; or -errno. */
static int probes__attach(struct probes *p, const struct probe_target *target,
			  const struct candidate *c, const char **missing)
{
	struct elfsym syms[PROBE_POINTS + 1] = {0};
	uint64_t cookie;
	int err;

	assert(target->n <= PROBE_POINTS);
	for (size_t i = 0; i < target->n; i++)
		syms[i].name = target->points[i].symbol;
	syms[target->n].name = target->layout_of ?: "";
	err = elfsym__find(c->fd, syms, target->n + 1);
	if (err < 0)
		return err;
	*missing = probes__missing(target, syms);
	if (*missing)
		return -ENOENT;
	if (p->n == FILES_MAX)
		return -EMFILE;
	err = object__load_part(p->object, p->from, target->part);
	if (!err)
		err = probes__layout(p, target, c, &syms[target->n], &cookie);
	if (!err)
		err = probes__data(p, target, c, &syms[0], &cookie);
	/* A begin whose end is not seen would stay open. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; !err && i < target->n; i++) {
			const struct probe_point *point = &target->points[i];

			if (point->program && syms[i].offset &&
			    !!(point->flags & POINT_RETURN) == !pass)
				err = probes__point(p, target, i, c, &syms[i], cookie);
		}
	}
	p->file[p->n].dev = c->st->st_dev;
	p->file[p->n].ino = c->st->st_ino;
	if (err)
		probes__detach(&p->file[p->n]);
	else
		p->n++;
	return err;
}

static void probes__refused(struct probes *p, const struct probe_target *target, const char *name,
			    int err, const char *missing)
{
	if (err == -ENOENT && missing)
		log__note("%s is left out: it is no %s that can be probed, it exports no %s", name,
			  target->title, missing);
	else if (err == -EPERM || err == -EACCES)
		log__note("%s is left out: not permitted to probe it (%s)", name,
			  p->object->has[FEATURE_UPROBE_MULTI] ? "CAP_BPF and CAP_PERFMON"
							       : "CAP_SYS_ADMIN");
	else if (err == -EBADMSG)
		log__note("%s is left out: its %s is not one that is understood", name,
			  target->layout_of);
	else if (err == -EOPNOTSUPP)
		log__note("%s is left out: it differs from another %s that is probed, and this "
			  "kernel cannot tell them apart (before 5.15)",
			  name, target->title);
	else if (err == -EMFILE && !p->full)
		log__note("%s is left out: more than %d different programs", name, FILES_MAX);
	else if (err != -EMFILE)
		log__note("%s is left out: it cannot be probed: %s", name, strerror(-err));
	p->full |= err == -EMFILE;
}

/* A file that was replaced is "NAME (deleted)". */
static bool probes__is_named(const char *base, const char *const *names)
{
	for (; names && *names; names++) {
		size_t len = strlen(*names);

		if (!strncmp(base, *names, len) && (!base[len] || base[len] == ' '))
			return true;
	}
	return false;
}

/* Is the file, by its name, one of @target? Or if that says nothing, could it be? */
static bool probes__matches(const struct probe_target *target, struct candidate *c)
{
	const char *base = strrchr(c->name, '/');

	base = base ? base + 1 : c->name;
	if (c->kind == FILE_LIBRARY)
		return target->library && strstr(base, target->library);
	if (probes__is_named(base, target->names)) {
		c->expected = true;
		return true;
	}
	return target->linked_in;
}

static void probes__try(struct probes *p, struct candidate *c)
{
	const struct probe_target *first = NULL;
	const char *missing = NULL, *first_missing = NULL;
	int err, first_err = 0;

	for (size_t i = 0; i < p->ntargets; i++) {
		const struct probe_target *target = &p->targets[i];

		c->expected = false;
		if (!probes__matches(target, c))
			continue;
		missing = NULL;
		err = probes__attach(p, target, c, &missing);
		if (!err)
			return;
		/* What only might have been one, and is none, is no news. */
		if (first || (!c->expected && (err == -ENOENT || err == -ENOEXEC)))
			continue;
		first = target;
		first_err = err;
		first_missing = missing;
	}
	if (first)
		probes__refused(p, first, c->name, first_err, first_missing);
}

/* True for the first time that it is asked for this file. */
static bool probes__is_new(struct probes *p, const struct stat *st)
{
	struct seen *seen;
	struct seen_key key;

	memset(&key, 0, sizeof(key));
	key.dev = st->st_dev;
	key.ino = st->st_ino;
	key.changed = st->st_ctim;
	HASH_FIND(hh, p->seen, &key, sizeof(key), seen);
	if (seen || HASH_COUNT(p->seen) >= SEEN_MAX)
		return false;
	seen = calloc(1, sizeof(*seen));
	if (!seen)
		return false;
	seen->key = key;
	HASH_ADD(hh, p->seen, key, sizeof(seen->key), seen);
	return true;
}

static void probes__file(struct probes *p, const char *path, const char *name, enum file_kind kind)
{
	struct candidate c = {.path = path, .kind = kind};
	char safe[512];
	struct stat st;

	if (stat(path, &st) || !S_ISREG(st.st_mode) || !probes__is_new(p, &st))
		return;
	c.st = &st;
	c.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (c.fd < 0)
		return;
	str__printable(safe, sizeof(safe), name, 0);
	c.name = safe;
	probes__try(p, &c);
	close(c.fd);
}

/* ---- all processes ------------------------------------------------------------------------- */

static bool probes__library(const struct probes *p, const char *path)
{
	const char *base = strrchr(path, '/');

	for (size_t i = 0; base && i < p->ntargets; i++) {
		if (p->targets[i].library && strstr(base, p->targets[i].library))
			return true;
	}
	return false;
}

static void probes__maps(struct probes *p, uint32_t pid)
{
	char path[64 + PATH_MAX];
	struct procmaps maps;

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	if (procmaps__load(path, &maps)) {
		procmaps__free(&maps);
		return;
	}
	for (size_t i = 0; i < maps.n; i++) {
		const struct procmap *map = &maps.map[i];

		if (!map->inode || !probes__library(p, map->path))
			continue;
		/* In its own mount namespace; a file that was replaced has no path any more. */
		if (map->deleted)
			snprintf(path, sizeof(path), "/proc/%u/map_files/%llx-%llx", pid,
				 (unsigned long long)map->start, (unsigned long long)map->end);
		else
			snprintf(path, sizeof(path), "/proc/%u/root%s", pid, map->path);
		probes__file(p, path, map->path, FILE_LIBRARY);
	}
	procmaps__free(&maps);
}

static bool probes__in_scope(const struct probes *p, uint32_t pid)
{
	if (p->scope->all)
		return true;
	for (int i = 0; i < ANCESTRY && pid; i++) {
		for (uint32_t k = 0; k < p->scope->n; k++) {
			if (p->scope->pids[k] == pid)
				return true;
		}
		if (proc__parent(pid, &pid))
			return false;
	}
	return false;
}

static void probes__process(struct probes *p, uint32_t pid)
{
	uint8_t bit = (uint8_t)(1 << (pid & 7)), *mapped = &p->mapped[pid / 8 % (PIDS / 8)];
	char path[64], name[512];
	ssize_t len;

	if (!probes__in_scope(p, pid))
		return;
	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	len = readlink(path, name, sizeof(name) - 1);
	if (len <= 0)
		return; /* a thread of the kernel */
	name[len] = '\0';
	probes__file(p, path, name, FILE_PROGRAM);
	if (!(*mapped & bit) || p->scans % MAPS_EVERY == 0)
		probes__maps(p, pid);
	*mapped |= bit;
}

enum dwell_exit probes__scan(struct probes *p)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	uint64_t pid;

	if (!proc)
		return err__fail("/proc cannot be read: %s", strerror(errno));
	while ((entry = readdir(proc))) {
		if (!str__to_u64(entry->d_name, 1, UINT32_MAX, &pid) && pid != (uint64_t)getpid())
			probes__process(p, (uint32_t)pid);
	}
	closedir(proc);
	p->scans++;
	return EXIT_OK;
}

void probes__expect(struct probes *p, const char *program)
{
	unsigned int before;
	glob_t found;

	if (program)
		probes__file(p, program, program, FILE_PROGRAM);
	before = p->n;
	for (size_t i = 0; i < p->ntargets; i++) {
		const char *const *pattern = p->targets[i].paths;

		for (; pattern && *pattern; pattern++) {
			if (glob(*pattern, GLOB_NOSORT, NULL, &found))
				continue;
			for (size_t k = 0; k < found.gl_pathc; k++)
				probes__file(p, found.gl_pathv[k], found.gl_pathv[k], FILE_LIBRARY);
			globfree(&found);
		}
	}
	p->expected = p->n - before;
}
