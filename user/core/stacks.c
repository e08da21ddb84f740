/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
#include "core/stacks.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "core/debugfile.h"
#include "core/kallsyms.h"
#include "core/perfmap.h"
#include "core/procmaps.h"
#include "core/sym.h"

#define REFRESH_NS NSEC_PER_SEC
#define LABEL_MAX  256 /* bytes of a module's name */
#define HELD_MAX   512 /* files that are held open; of others, names may be gone with them */
#define PAST_MAX   16  /* layouts of a process that are kept besides the last one; then the first */

enum module_state {
	MODULE_NEW,     /* not opened yet, or no process through which it could be opened */
	MODULE_READ,    /* @sym is there */
	MODULE_WITHOUT, /* there are no symbols to be had */
};

/* A file that is mapped somewhere, or memory with a name. */
struct module {
	uint32_t major, minor;
	uint64_t inode;
	char *path;
	char *label; /* the last part of the path, printable */
	bool deleted;
	enum module_state state;
	uint32_t failed_tgid; /* it could not be opened through this process */
	int fd;               /* held for when file or process are gone; -1: not */
	struct sym_module *sym;
	bool lines_tried;
	struct lines *lines; /* NULL: there is no debug information */
	void *table;         /* stacks_code.table */
};

struct range {
	uint64_t start, end, offset;
	struct module *module;
	bool gone; /* it was mapped before, and isn't any more */
};

/* What a process has mapped, or had. */
struct maps {
	uint32_t layout; /* stacks__mark(); 0: none */
	struct range *ranges;
	size_t n;
};

struct process {
	uint32_t tgid;
	uint64_t read_ns; /* when its mappings were read */
	struct maps now;
	struct maps past[PAST_MAX]; /* which something else was mapped over since */
	size_t n_past;
	struct perfmap *jit;
	uint64_t jit_ns; /* when it was read, or looked for */
};

struct stacks {
	char *proc;
	void *modules; /* tsearch() trees */
	void *processes;
	struct kallsyms *kallsyms;
	int kallsyms_err;
	bool want_lines, want_variables, brief;
	unsigned int held; /* files */
};

/* ---- modules -------------------------------------------------------------------------------- */

static int compare_modules(const void *a, const void *b)
{
	const struct module *x = a, *y = b;

	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	if (x->inode == 0)
		return strcmp(x->path, y->path);
	if (x->major != y->major)
		return x->major < y->major ? -1 : 1;
	return x->minor < y->minor ? -1 : x->minor > y->minor;
}

static void free_module(void *arg)
{
	struct module *m = arg;

	sym__free(m->sym);
	lines__free(m->lines);
	if (m->fd >= 0)
		close(m->fd);
	free(m->label);
	free(m->path);
	free(m);
}

static char *make_label(const struct procmap *map)
{
	const char *slash = map->inode ? strrchr(map->path, '/') : NULL;
	char label[LABEL_MAX];

	str__printable(label, sizeof(label), slash ? slash + 1 : map->path, 0);
	return strdup(label);
}

static struct module *new_module(const struct procmap *map)
{
	struct module *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->major = map->major;
	m->minor = map->minor;
	m->inode = map->inode;
	m->deleted = map->deleted;
	m->fd = -1;
	m->path = strdup(map->path);
	m->label = make_label(map);
	if (!m->path || !m->label) {
		free_module(m);
		return NULL;
	}
	return m;
}

/* The one module for what is mapped. NULL without memory. */
static struct module *intern_module(struct stacks *s, const struct procmap *map)
{
	struct module key = {.major = map->major, .minor = map->minor, .inode = map->inode};
	struct module *m;
	void *known;

	key.path = map->path;
	known = tfind(&key, &s->modules, compare_modules);
	if (known)
		return *(struct module **)known;
	m = new_module(map);
	if (m && !tsearch(m, &s->modules, compare_modules)) {
		free_module(m);
		return NULL;
	}
	return m;
}

/* @inode 0: any. A descriptor or -errno. */
static int open_regular(const char *path, uint64_t inode)
{
	int fd = debugfile__regular(path);
	struct stat st;

	if (fd >= 0 && inode && (fstat(fd, &st) < 0 || st.st_ino != inode)) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

/* map_files needs no check of the inode: nobody but who maps this very range can offer it. */
static int open_file(const struct stacks *s, const struct module *m, uint32_t tgid,
		     const struct range *r)
{
	char path[PATH_MAX + 64];
	int fd;

	snprintf(path, sizeof(path), "%s/%" PRIu32 "/map_files/%" PRIx64 "-%" PRIx64, s->proc, tgid,
		 r->start, r->end);
	fd = open_regular(path, 0);
	if (fd >= 0 || m->deleted || m->path[0] != '/')
		return fd;
	snprintf(path, sizeof(path), "%s/%" PRIu32 "/root%s", s->proc, tgid, m->path);
	fd = open_regular(path, m->inode);
	return fd >= 0 ? fd : open_regular(m->path, m->inode);
}

/* A file of its own for the @bytes at @image. A descriptor or -errno. */
static int make_file(const void *image, size_t bytes)
{
	int fd = memfd_create("vdso", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, image, bytes) != (ssize_t)bytes) {
		close(fd);
		return -EIO;
	}
	return fd;
}

/* dwell's own vdso: all processes of the kernel's own word size have the same. */
static int open_vdso(void)
{
	const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
	const struct procmap *map;
	struct procmaps maps;
	int fd = procmaps__load("/proc/self/maps", &maps);

	if (fd < 0)
		return fd;
	map = procmaps__find(&maps, (uintptr_t)image);
	fd = map ? make_file(image, map->end - (uintptr_t)image) : -ENOENT;
	procmaps__free(&maps);
	return fd;
}

/* The file or its process is gone or out of reach, which is no surprise; other errors are. */
static bool is_out_of_reach(int err)
{
	return err < 0 && err != -ENOEXEC && err != -EMFILE && err != -ENFILE && err != -ENOMEM;
}

static int open_module(const struct stacks *s, const struct module *m, uint32_t tgid,
		       const struct range *r)
{
	if (m->fd >= 0)
		return fcntl(m->fd, F_DUPFD_CLOEXEC, 0);
	if (m->inode != 0)
		return open_file(s, m, tgid, r);
	return strcmp(m->path, "[vdso]") == 0 ? open_vdso() : -ENOEXEC;
}

typedef int debugfile_fn(int fd, const char *root, const char *path);

/* What was stripped from the file, if it is somewhere; @find: debugfile__open() or its like. */
static int open_debug(const struct stacks *s, const struct module *m, uint32_t tgid, int fd,
		      debugfile_fn *find)
{
	char root[PATH_MAX];

	if (fd < 0 || m->inode == 0)
		return -ENOENT;
	snprintf(root, sizeof(root), "%s/%" PRIu32 "/root", s->proc, tgid);
	return find(fd, root, m->path);
}

static void load_module(const struct stacks *s, struct module *m, uint32_t tgid, int fd)
{
	const char *why = NULL;
	int debug = open_debug(s, m, tgid, fd, debugfile__open);
	int err = fd < 0 ? fd : sym__open(fd, &m->sym, &why);

	m->state = err ? MODULE_WITHOUT : MODULE_READ;
	if (err && err != -ENOEXEC)
		log__note("%s: %s%s: no names for its functions", m->label,
			  why ? "ELF file with " : "", why ? why : strerror(-err));
	if (debug < 0)
		return;
	if (err)
		close(debug);
	else if (sym__attach(m->sym, debug, &why))
		log__note("%s: debug file with %s: not used", m->label, why ? why : "an error");
}

/* The module's symbols as far as they can be had through the process @tgid, or NULL. */
static struct sym_module *module_symbols(const struct stacks *s, uint32_t tgid,
					 const struct range *r)
{
	struct module *m = r->module;
	int fd;

	if (m->state != MODULE_NEW || m->failed_tgid == tgid)
		return m->sym;
	fd = open_module(s, m, tgid, r);
	if (is_out_of_reach(fd))
		m->failed_tgid = tgid;
	else
		load_module(s, m, tgid, fd);
	return m->sym;
}

/* The module's debug information as far as it can be had through the process @tgid, or NULL. */
static struct lines *module_lines(const struct stacks *s, uint32_t tgid, const struct range *r)
{
	struct module *m = r->module;
	int fd, debug;

	if (m->lines_tried || m->inode == 0)
		return m->lines;
	fd = open_module(s, m, tgid, r);
	if (is_out_of_reach(fd))
		return NULL;
	m->lines_tried = true;
	debug = open_debug(s, m, tgid, fd, debugfile__lines);
	if (fd >= 0)
		close(fd);
	if (debug >= 0)
		m->lines = lines__new(debug, m->label);
	return m->lines;
}

/* ---- processes ------------------------------------------------------------------------------ */

static int compare_processes(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return x->tgid < y->tgid ? -1 : x->tgid > y->tgid;
}

static void free_process(void *arg)
{
	struct process *p = arg;

	perfmap__free(p->jit);
	for (size_t i = 0; i < p->n_past; i++)
		free(p->past[i].ranges);
	free(p->now.ranges);
	free(p);
}

/* The process, new and without mappings if it wasn't known. NULL without memory. */
static struct process *intern_process(struct stacks *s, uint32_t tgid)
{
	struct process key = {.tgid = tgid}, *p;
	void *known = tfind(&key, &s->processes, compare_processes);

	if (known)
		return *(struct process **)known;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->tgid = tgid;
	if (!tsearch(p, &s->processes, compare_processes)) {
		free(p);
		return NULL;
	}
	return p;
}

static const struct range *find_range(const struct maps *m, uint64_t addr)
{
	size_t low = 0, high = m->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (addr < m->ranges[mid].start)
			high = mid;
		else if (addr >= m->ranges[mid].end)
			low = mid + 1;
		else
			return &m->ranges[mid];
	}
	return NULL;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static bool overlaps(const struct procmaps *maps, const struct range *r)
{
	const struct procmap *map = procmaps__next(maps, r->start);

	return map && map->start < r->end;
}

static int add_range(struct stacks *s, struct maps *to, const struct procmap *map)
{
	static char vdso32[] = "[vdso32]";
	struct procmap named = *map;
	struct module *m;

	/* a 32-bit process has another vdso than dwell */
	if (map->inode == 0 && map->end <= UINT32_MAX && strcmp(map->path, "[vdso]") == 0)
		named.path = vdso32;
	m = intern_module(s, &named);
	if (!m)
		return -ENOMEM;
	to->ranges[to->n++] = (struct range){map->start, map->end, map->offset, m, false};
	return 0;
}

/* Has @now something else where @before had code? */
static bool is_replaced(const struct maps *before, const struct maps *now)
{
	for (size_t i = 0; i < before->n; i++) {
		const struct range *old = &before->ranges[i], *r = find_range(now, old->start);

		if (!r || r->module != old->module ||
		    r->offset + (old->start - r->start) != old->offset)
			return true;
	}
	return false;
}

/* Stacks of the layout that was may still be in the kernel: its mappings are kept for them. */
static void keep_past(struct process *p, const struct maps *now)
{
	if (p->now.layout && is_replaced(&p->now, now) && p->n_past < PAST_MAX)
		p->past[p->n_past++] = p->now;
	else
		free(p->now.ranges);
}

/* What was mapped before and isn't any more stays, for the stacks from then. */
static int merge_maps(struct stacks *s, struct process *p, const struct procmaps *maps)
{
	struct maps merged = {0};
	int err = 0;

	merged.ranges = calloc(p->now.n + maps->n + 1, sizeof(*merged.ranges));
	if (!merged.ranges)
		return -ENOMEM;
	for (size_t i = 0; i < p->now.n; i++)
		if (!overlaps(maps, &p->now.ranges[i])) {
			merged.ranges[merged.n] = p->now.ranges[i];
			merged.ranges[merged.n++].gone = true;
		}
	for (size_t i = 0; i < maps->n && !err; i++)
		err = add_range(s, &merged, &maps->map[i]);
	if (err) {
		free(merged.ranges);
		return err;
	}
	qsort(merged.ranges, merged.n, sizeof(*merged.ranges), compare_ranges);
	keep_past(p, &merged);
	p->now = merged;
	return 0;
}

static int read_process(struct stacks *s, struct process *p)
{
	char path[PATH_MAX];
	struct procmaps maps;
	int err;

	p->read_ns = time__now();
	snprintf(path, sizeof(path), "%s/%" PRIu32 "/maps", s->proc, p->tgid);
	err = procmaps__load(path, &maps);
	if (err)
		return err;
	err = merge_maps(s, p, &maps);
	procmaps__free(&maps);
	return err;
}

int stacks__remember(struct stacks *s, uint32_t tgid)
{
	struct process *p = intern_process(s, tgid);

	if (!p)
		return -ENOMEM;
	return read_process(s, p);
}

void stacks__mark(struct stacks *s, uint32_t tgid, uint32_t layout)
{
	struct process *p = intern_process(s, tgid);

	if (p)
		p->now.layout = layout;
}

int stacks__code(struct stacks *s, uint32_t tgid, int (*fn)(const struct stacks_code *c, void *arg),
		 void *arg)
{
	struct process *p = intern_process(s, tgid);
	int err = 0;

	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < p->now.n && !err; i++) {
		const struct range *r = &p->now.ranges[i];
		struct stacks_code code = {
			.start = r->start,
			.end = r->end,
			.offset = r->offset,
			.module = r->module->label,
			.table = &r->module->table,
			.tgid = tgid,
			.range = r,
		};

		if (!r->gone)
			err = fn(&code, arg);
	}
	return err;
}

int stacks__open(struct stacks *s, const struct stacks_code *code)
{
	const struct range *r = code->range;
	struct module *m = r->module;
	int fd = open_module(s, m, code->tgid, r);

	if (fd >= 0 && m->fd < 0 && s->held < HELD_MAX) {
		m->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		s->held += m->fd >= 0;
	}
	return fd;
}

/* ---- frames --------------------------------------------------------------------------------- */

/* What the process had mapped in @layout, if something else is there now; else what it has. */
static const struct maps *maps_of(const struct process *p, uint32_t layout)
{
	for (size_t i = 0; layout && layout != p->now.layout && i < p->n_past; i++)
		if (p->past[i].layout == layout)
			return &p->past[i];
	return &p->now;
}

/* The first time anyway: @read_ns is 0 then. */
static const struct range *range_of(struct stacks *s, struct process *p, uint32_t layout,
				    uint64_t addr)
{
	const struct maps *maps = maps_of(p, layout);
	const struct range *r = find_range(maps, addr);

	if (r || maps != &p->now || (p->read_ns && time__now() - p->read_ns < REFRESH_NS))
		return r;
	/* a process that is gone keeps what is known of it */
	read_process(s, p);
	return find_range(&p->now, addr);
}

/* The process's number in its own PID namespace, by which it names its map. */
static uint32_t inner_pid(const struct stacks *s, uint32_t tgid)
{
	char path[PATH_MAX], line[512];
	uint32_t pid = tgid;
	FILE *in;

	snprintf(path, sizeof(path), "%s/%" PRIu32 "/status", s->proc, tgid);
	in = fopen(path, "re");
	while (in && fgets(line, sizeof(line), in)) {
		if (strncmp(line, "NSpid:", 6) == 0 && strrchr(line, '\t'))
			pid = (uint32_t)strtoul(strrchr(line, '\t'), NULL, 10);
	}
	if (in)
		fclose(in);
	return pid;
}

static void read_jit(const struct stacks *s, struct process *p)
{
	char path[PATH_MAX];
	struct perfmap *jit;
	int fd;

	p->jit_ns = time__now();
	snprintf(path, sizeof(path), "%s/%" PRIu32 "/root/tmp/perf-%" PRIu32 ".map", s->proc,
		 p->tgid, inner_pid(s, p->tgid));
	fd = debugfile__regular(path);
	if (fd < 0) {
		/* It stays when the process has ended. */
		snprintf(path, sizeof(path), "/tmp/perf-%" PRIu32 ".map", p->tgid);
		fd = debugfile__regular(path);
	}
	jit = fd < 0 ? NULL : perfmap__read(fd);
	if (!jit)
		return;
	perfmap__free(p->jit);
	p->jit = jit;
}

/* The function at @addr in memory without a file; the map grows while the program runs. */
static const char *find_jit(const struct stacks *s, struct process *p, uint64_t addr,
			    uint64_t *start)
{
	const char *name = p->jit ? perfmap__find(p->jit, addr, start) : NULL;

	if (name || s->brief || (p->jit_ns && time__now() - p->jit_ns < REFRESH_NS))
		return name;
	/* Names that were given out live in the one that was read: it stays. */
	if (p->jit)
		return NULL;
	read_jit(s, p);
	return p->jit ? perfmap__find(p->jit, addr, start) : NULL;
}

static void fill_lines(const struct stacks *s, const struct process *p, const struct range *r,
		       uint64_t vaddr, struct sym_frame *out)
{
	struct lines *lines = module_lines(s, p->tgid, r);

	if (lines)
		out->n_lines = lines__find(lines, vaddr, &out->lines);
}

/* @addr is looked up, @ip is what offsets are told of. */
static void fill_user(struct stacks *s, struct process *p, uint32_t layout, uint64_t ip,
		      uint64_t addr, struct sym_frame *out)
{
	const struct range *r = range_of(s, p, layout, addr);
	struct sym_module *sym;
	uint64_t vaddr, start;

	*out = (struct sym_frame){.module_offset = ip};
	if (!r)
		return;
	out->module = r->module->label;
	out->module_offset = ip - r->start + r->offset;
	if (r->module->inode == 0 && strncmp(r->module->path, "[anon", 5) == 0) {
		out->symbol = find_jit(s, p, addr, &start);
		if (out->symbol)
			out->offset = ip - start;
		return;
	}
	sym = module_symbols(s, p->tgid, r);
	if (!sym || sym__vaddr(sym, addr - r->start + r->offset, &vaddr) < 0)
		return;
	out->module_offset = vaddr + (ip - addr);
	out->symbol = sym__find(sym, vaddr, &start);
	if (out->symbol)
		out->offset = out->module_offset - start;
	if (s->want_lines && !s->brief)
		fill_lines(s, p, r, vaddr, out);
}

static uint64_t lookup_address(const uint64_t *ips, size_t i)
{
	return i > 0 && ips[i] > 0 ? ips[i] - 1 : ips[i];
}

/* A signal's handler returns to this function's first byte, which called nobody. */
static bool is_signal_return(const struct sym_frame *frame)
{
	return frame->symbol && strcmp(frame->symbol, "__restore_rt") == 0 && frame->offset == 0;
}

void stacks__user(struct stacks *s, uint32_t tgid, uint32_t layout, const uint64_t *ips, size_t n,
		  struct sym_frame *out)
{
	struct process *p = intern_process(s, tgid);

	for (size_t i = 0; i < n; i++) {
		/* what was interrupted by a signal is where it says, too */
		uint64_t addr =
			i && is_signal_return(&out[i - 1]) ? ips[i] : lookup_address(ips, i);

		out[i] = (struct sym_frame){.module_offset = ips[i]};
		if (p)
			fill_user(s, p, layout, ips[i], addr, &out[i]);
		if (p && addr != ips[i] && !out[i].symbol) {
			struct sym_frame exact;

			fill_user(s, p, layout, ips[i], ips[i], &exact);
			if (is_signal_return(&exact))
				out[i] = exact;
		}
	}
}

static void load_kallsyms(struct stacks *s)
{
	char path[PATH_MAX];

	if (s->kallsyms || s->kallsyms_err)
		return;
	snprintf(path, sizeof(path), "%s/kallsyms", s->proc);
	s->kallsyms = kallsyms__load(path, s->want_variables, &s->kallsyms_err);
}

int stacks__kernel(struct stacks *s, const uint64_t *ips, size_t n, struct sym_frame *out)
{
	load_kallsyms(s);
	for (size_t i = 0; i < n; i++) {
		uint64_t addr = lookup_address(ips, i);

		out[i] = (struct sym_frame){.module_offset = ips[i]};
		if (!s->kallsyms)
			continue;
		out[i].symbol = kallsyms__find(s->kallsyms, addr, &out[i].offset, &out[i].module);
		if (out[i].symbol)
			out[i].offset += ips[i] - addr;
	}
	return s->kallsyms_err;
}

int stacks__kernel_variable(struct stacks *s, uint64_t addr, char *name, size_t size)
{
	const char *variable;
	uint64_t offset;
	size_t len = 0;

	load_kallsyms(s);
	variable = s->kallsyms ? kallsyms__variable(s->kallsyms, addr, &offset) : NULL;
	if (!variable)
		return -ENOENT;
	str__append(name, size, &len, "%s", variable);
	if (offset)
		str__append(name, size, &len, "+0x%" PRIx64, offset);
	return 0;
}

void stacks__print_name(const struct sym_frame *frame, char *buf, size_t size)
{
	const char *module = frame->module;
	size_t len = module ? strlen(module) : 0;

	if (frame->symbol)
		str__copy(buf, size, frame->symbol);
	else if (!module)
		snprintf(buf, size, "[0x%" PRIx64 "]", frame->module_offset);
	else if (len > 2 && module[0] == '[' && module[len - 1] == ']')
		snprintf(buf, size, "%.*s+0x%" PRIx64 "]", (int)len - 1, module,
			 frame->module_offset);
	else
		snprintf(buf, size, "[%s+0x%" PRIx64 "]", module, frame->module_offset);
}

/* ---- life ----------------------------------------------------------------------------------- */

struct stacks *stacks__new(const char *proc)
{
	struct stacks *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->proc = strdup(proc ? proc : "/proc");
	if (!s->proc) {
		free(s);
		return NULL;
	}
	return s;
}

void stacks__be_brief(struct stacks *s, bool brief)
{
	s->brief = brief;
}

void stacks__want_lines(struct stacks *s)
{
	s->want_lines = true;
}

void stacks__want_variables(struct stacks *s)
{
	s->want_variables = true;
}

void stacks__free(struct stacks *s)
{
	if (!s)
		return;
	tdestroy(s->processes, free_process);
	tdestroy(s->modules, free_module);
	kallsyms__free(s->kallsyms);
	free(s->proc);
	free(s);
}
