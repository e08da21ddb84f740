// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "base/xz.h"
#include "core/ktypes.h"
#include "core/loader.h"
#include "core/object.h"
#include "core/patch.h"

#define OBJECT_MAX (16U << 20) /* bytes of an ELF file of programs */

static int object__print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	/* libbpf's own words help only who debugs dwell: ours say what the user can do. */
	if (log__level() < LOG_DEBUG || level == LIBBPF_DEBUG)
		return 0;
	/* As it is, since it may be a verifier's log of any length. */
	return vfprintf(stderr, fmt, ap);
}

/*
 * Requests can be followed where both ends name them: the submission got them as its first argument
 * with its new name, or when it had two.
 */
static void object__probe_uring(struct object *o, const struct btf *btf, struct config *config)
{
	if (features__tracepoint_args(btf, "io_uring_submit_req"))
		o->uring_submit = "on_uring_submit_req";
	else if (features__tracepoint_args(btf, "io_uring_submit_sqe") == 2)
		o->uring_submit = "on_uring_submit_sqe";
	/* (ring, request, entry); before: (ring, request, user data, result, …) */
	config->uring_cqe = features__tracepoint_args(btf, "io_uring_complete") == 3;
}

static void object__probe(struct object *o, const struct btf *btf, struct config *config)
{
	for (int i = 0; i < NR_FEATURES; i++)
		o->has[i] = features__has(btf, (enum feature)i);
	config->switch_has_state = o->has[FEATURE_SWITCH_STATE];
	config->stack_padding = (uint8_t)features__stack_padding(btf);
	if (config->lock_what & LOCK_KERNEL)
		o->run_queue = features__run_queue(btf);
	config->request_arg = features__tracepoint_args(btf, "block_rq_issue") == 2;
	config->merge_arg = features__tracepoint_args(btf, "block_bio_backmerge") == 3;
	config->bio_arg = features__tracepoint_args(btf, "block_bio_queue") == 2;
	o->bio_ends = features__tracepoint_args(btf, "block_bio_complete") == 2;
	o->rq_get = features__tracepoint_args(btf, "block_getrq") > 0;
	o->rq_merge = features__tracepoint_args(btf, "block_rq_merge") > 0;
	object__probe_uring(o, btf, config);
	/* Of types from elsewhere the numbers are not the kernel's. */
	o->peek = o->btf ? 0 : patch__prepare(btf, config);
	o->config = *config;
}

static enum dwell_exit object__no_types(const char *path)
{
	if (path)
		return err__fail("%s cannot be read as BTF: %s", path, strerror(errno));
	return err__unsupported("this kernel gives no BTF (%s: %s): it needs "
				"CONFIG_DEBUG_INFO_BTF, or name a file with --btf FILE",
				ktypes__path(path), strerror(errno));
}

static void object__size(struct bpf_object *obj, const char *map, uint32_t entries)
{
	struct bpf_map *m = bpf_object__find_map_by_name(obj, map);

	if (m)
		bpf_map__set_max_entries(m, entries ?: 1);
}

static struct bpf_map *object__map(const struct object *o, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(o->obj, name);

	assert(map);
	return map;
}

int object__map_fd(const struct object *o, const char *name)
{
	return bpf_map__fd(object__map(o, name));
}

bool object__has_map(const struct object *o, const char *name)
{
	return bpf_object__find_map_by_name(o->obj, name) != NULL;
}

static struct bpf_object *object__unpack(const struct object *o, const struct tool_object *from,
					 const char *types)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = from->name,
		    .btf_custom_path = types);
	size_t packed_size = 0, size;
	const void *packed = o->raw ? from->raw(&packed_size) : from->btf(&packed_size);
	struct bpf_object *obj;
	void *elf;
	int err = xz__unpack(packed, packed_size, OBJECT_MAX, &elf, &size);

	if (err) {
		errno = -err;
		return NULL;
	}
	err = patch__write(elf, size, o->peek, &o->config);
	obj = err ? NULL : bpf_object__open_mem(elf, size, &opts); /* keeps nothing of it */
	free(elf);
	if (err)
		errno = -err;
	return obj;
}

/*
 * Opens the variant that o->raw says; what it asks for of @kernel is in o->types_fd, from which it
 * is read when the object is loaded. NULL with errno.
 */
static struct bpf_object *object__open_packed(struct object *o, const struct tool_object *from,
					      const struct btf *kernel)
{
	struct bpf_object *obj;
	struct btf *types;
	char path[32];
	int err;

	if (!o->types_fd)
		o->types_fd = memfd_create("types", MFD_CLOEXEC);
	if (o->types_fd < 0)
		return NULL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", o->types_fd);
	obj = object__unpack(o, from, path);
	if (!obj)
		return NULL;
	types = ktypes__cut(kernel, bpf_object__btf(obj));
	err = types ? ktypes__write(types, o->types_fd) : -errno;
	btf__free(types);
	if (!err)
		return obj;
	bpf_object__close(obj);
	errno = -err;
	return NULL;
}

/* Programs for tracepoints that this kernel may lack, or that this run does not need. */
static void object__choose(struct object *o, const struct config *config, struct bpf_program *prog)
{
	const char *name = bpf_program__name(prog);

	if (!strcmp(name, "on_rq_merge")) {
		bpf_program__set_autoload(prog, o->rq_merge);
	} else if (!strcmp(name, "on_rq_get")) {
		bpf_program__set_autoload(prog, o->rq_get && CONFIG_ASKERS(config));
	} else if (!strcmp(name, "on_bio_queue") || !strcmp(name, "on_bio_complete")) {
		bpf_program__set_autoload(prog, o->bio_ends && config->io_bios);
	} else if (config->lazy && (!strcmp(name, "on_newtask") ||
				    (!strcmp(name, "on_exit") && !config->user_stacks &&
				     (config->by == BY_ALL || config->by == BY_FILE)))) {
		/* Clocks are made as threads are seen; none at all, if nobody is to be named. */
		bpf_program__set_autoload(prog, false);
	} else if (!strncmp(name, "on_uring_", 9)) {
		bpf_program__set_autoload(prog, o->uring_submit &&
							(strncmp(name, "on_uring_submit", 15) ||
							 !strcmp(name, o->uring_submit)));
	} else if (!strncmp(name, "on_contention", 13)) {
		bpf_program__set_autoload(prog, o->has[FEATURE_CONTENTION]);
		o->blind_to_klock = !o->has[FEATURE_CONTENTION];
	}
}

/* Opens one variant and makes it what @config and @sizes say; nothing is in the kernel yet. */
static enum dwell_exit object__open(struct object *o, const struct tool_object *from,
				    const struct btf *kernel, const struct config *config,
				    const struct object_sizes *sizes, uint32_t ntargets)
{
	struct bpf_program *prog;
	uint32_t lock_tallies; /* of locks, likely: a part of why's only */
	int err;

	o->obj = object__open_packed(o, from, kernel);
	if (!o->obj)
		return err__fail("the %s object cannot be opened: %s", from->name, strerror(errno));
	err = bpf_map__set_initial_value(object__map(o, ".rodata.core"), config, sizeof(*config));
	assert(!err); /* both sides are compiled with one struct config */
	object__size(o->obj, "targets", ntargets);
	object__size(o->obj, "tally_slots", sizes->tallies);
	object__size(o->obj, "tally_free", sizes->tallies);
	object__size(o->obj, "tallies", sizes->tallies * config->banks);
	object__size(o->obj, "tally_states", sizes->tallies * config->banks);
	object__size(o->obj, "names", sizes->names);
	object__size(o->obj, "requests", sizes->requests);
	object__size(o->obj, "request_ends", sizes->requests);
	object__size(o->obj, "request_stacks",
		     config->user_stacks || config->kernel_stacks ? sizes->requests : 1);
	object__size(o->obj, "request_groups", sizes->tallies);
	object__size(o->obj, "query_texts", sizes->names);
	object__size(o->obj, "query_sums", sizes->tallies * config->banks);
	object__size(o->obj, "query_bursts", sizes->names);
	object__size(o->obj, "query_blocks", sizes->names);
	object__size(o->obj, "file_sums", sizes->tallies * config->banks);
	object__size(o->obj, "uring_requests", sizes->names);
	object__size(o->obj, "stacks", sizes->stacks);
	if (!config->user_stacks || config->frame_pointers) {
		object__size(o->obj, "unwind_ranges", 1);
		object__size(o->obj, "unwind_rules", 1);
		object__size(o->obj, "unwind_spaces", 1);
	}
	object__size(o->obj, "ring", sizes->ring_bytes);
	/* Holders of locks: a thread has a number in each of at most two namespaces. */
	object__size(o->obj, "thread_refs", 2 * sizes->threads);
	lock_tallies = config->lock_what & LOCK_CAUSES ? sizes->tallies / 4 : sizes->tallies;
	object__size(o->obj, "lock_logs", lock_tallies / 4 ?: 1);
	object__size(o->obj, "lock_parts", 8 * lock_tallies ?: 1);
	object__size(o->obj, "clocks", sizes->clocks);
	bpf_object__for_each_program (prog, o->obj)
		object__choose(o, config, prog);
	if (from->prepare)
		from->prepare(o->obj);
	return EXIT_OK;
}

/* Loads @obj, which was opened with @types. 0 or -errno; then it is closed. */
static int object__into_kernel(const struct object *o, struct bpf_object *obj,
			       const struct btf *types)
{
	/* In types from elsewhere, tracepoints do not have the numbers that the kernel knows. */
	struct btf *own = o->btf ? ktypes__read(NULL) : NULL;
	int err = loader__load(o->loader, obj, o->btf ? own : types);

	btf__free(own);
	if (err)
		bpf_object__close(obj);
	return err;
}

static enum dwell_exit object__refused(const char *name, int err)
{
	if (err == -EPERM)
		return err__unsupported("not permitted to load BPF programs: run as root, or with "
					"CAP_BPF and CAP_PERFMON");
	if (err == -ENOMEM)
		return err__fail(
			"no memory for the maps of %s: %s (--max-entries makes them smaller)", name,
			strerror(-err));
	return err__unsupported("this kernel does not take the programs of %s: %s (-v says more)",
				name, strerror(-err));
}

int object__share(const struct object *o, const char *name, size_t n, size_t size,
		  struct shared *shared)
{
	return shared__open(shared, object__map_fd(o, name), n, size);
}

int object__share_all(const struct object *o, const char *name, size_t n, size_t size,
		      struct shared *shared)
{
	return object__share(o, name, n, size, shared) ?: shared__map_all(shared);
}

static enum dwell_exit object__open_shared(struct object *o, const struct config *config)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (size_t)config->slots * config->banks;
	int err;
	void *p;

	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, object__map_fd(o, ".data.core"),
		 0);
	if (p == MAP_FAILED)
		return err__fail("the run's window cannot be mapped: %s", strerror(errno));
	o->window = p;
	err = object__share(o, "tallies", n, sizeof(struct hist), &o->tallies);
	if (!err && object__has_map(o, "tally_states"))
		err = object__share(o, "tally_states", n, sizeof(struct tally_states), &o->states);
	return err ? err__fail("the tallies cannot be mapped: %s", strerror(-err)) : EXIT_OK;
}

static enum dwell_exit object__fill(struct object *o, const struct config *config,
				    const struct option_list *targets)
{
	int free_fd = object__map_fd(o, "tally_free"), targets_fd = object__map_fd(o, "targets");
	uint8_t one = 1;

	for (uint32_t i = 0; i < config->slots; i++) {
		if (bpf_map_update_elem(free_fd, NULL, &i, BPF_ANY))
			return err__fail("the tallies cannot be prepared: %s", strerror(errno));
	}
	if (!(config->filter & (FILTER_TGIDS | FILTER_TIDS)))
		return EXIT_OK;
	for (uint32_t i = 0; i < targets->n; i++) {
		if (bpf_map_update_elem(targets_fd, &targets->value[i], &one, BPF_ANY))
			return err__fail("the targets cannot be set: %s", strerror(errno));
	}
	return EXIT_OK;
}

enum dwell_exit object__load(struct object *o, const struct tool_object *from,
			     enum object_attach how, const char *btf, struct config *config,
			     const struct object_sizes *sizes, const struct option_list *targets)
{
	enum dwell_exit status;
	int err = 0;

	libbpf_set_print(object__print);
	o->btf = btf;
	o->loader = loader__new();
	if (!o->loader)
		return err__fail("programs cannot be loaded: %s", strerror(errno));
	for (int raw = how == ATTACH_RAW_TP; raw <= (how != ATTACH_TP_BTF); raw++) {
		struct btf *kernel = ktypes__read(btf);

		if (!kernel)
			return object__no_types(btf);
		object__probe(o, kernel, config);
		o->raw = raw;
		status = object__open(o, from, kernel, config, sizes, targets->n);
		err = status ? 0 : object__into_kernel(o, o->obj, kernel);
		btf__free(kernel);
		if (status)
			return status;
		if (!err)
			break;
		o->obj = NULL;
		log__debug("%s: the %s programs were refused: %s", from->name,
			   raw ? "raw_tp" : "tp_btf", strerror(-err));
		if (err == -EPERM)
			break;
	}
	if (err)
		return object__refused(from->name, err);
	/* The copy of the kernel's types, 11 MB, is free again: it would stay in the heap. */
	malloc_trim(0);
	status = object__open_shared(o, config);
	return status ?: object__fill(o, config, targets);
}

/*
 * A part's own are its constants and what it keeps to itself; all else is the main object's. Of
 * sections of data these are ".rodata.core" and ".data.core".
 */
static int object__reuse(const struct object *o, struct bpf_object *part)
{
	struct bpf_map *map, *main;
	int err = 0;

	bpf_object__for_each_map (map, part) {
		const char *name = bpf_map__name(map);
		const char *section = strrchr(name, '.');

		if (err || (section && strcmp(section, ".core") != 0))
			continue;
		main = bpf_object__find_map_by_name(o->obj, name);
		if (main)
			err = bpf_map__reuse_fd(map, bpf_map__fd(main));
	}
	return err;
}

/* NULL with errno. */
static struct bpf_object *object__open_part(struct object *o, const struct tool_object *from,
					    const struct btf *kernel)
{
	struct bpf_object *obj = object__open_packed(o, from, kernel);
	struct bpf_program *prog;
	int err;

	if (!obj)
		return NULL;
	if (from->prepare)
		from->prepare(obj);
	bpf_object__for_each_program (prog, obj) {
		if (o->has[FEATURE_UPROBE_MULTI])
			bpf_program__set_expected_attach_type(prog, OBJECT_UPROBE_MULTI);
	}
	err = object__reuse(o, obj);
	if (!err)
		return obj;
	bpf_object__close(obj);
	errno = -err;
	return NULL;
}

int object__load_part(struct object *o, const struct tool_object *from, unsigned int part)
{
	const struct tool_object *object = from->parts[part];
	struct bpf_object *obj;
	struct btf *kernel;
	int err;

	assert(part < OBJECT_PARTS);
	if (o->part[part])
		return 0;
	kernel = ktypes__read(o->btf);
	obj = kernel ? object__open_part(o, object, kernel) : NULL;
	err = obj ? object__into_kernel(o, obj, kernel) : -errno;
	btf__free(kernel);
	if (!err)
		o->part[part] = obj;
	return err;
}

struct bpf_program *object__next_program(const struct object *o, struct bpf_program *before)
{
	const struct bpf_object *in;
	struct bpf_program *prog;
	bool here = !before;

	/* libbpf goes from one to the next within its object only. */
	for (int part = -1; part < OBJECT_PARTS; part++) {
		in = part < 0 ? o->obj : o->part[part];
		prog = NULL;
		while (in && (prog = bpf_object__next_program(in, prog))) {
			if (here)
				return prog;
			here = prog == before;
		}
	}
	return NULL;
}

#define HOLDERS_PROGRAM "on_waking" /* sees who lets go of a lock: at each wake-up */

static enum dwell_exit object__attach_one(struct object *o, const struct bpf_program *prog)
{
	struct bpf_link *link = bpf_program__attach(prog);

	if (!link)
		return err__fail("%s cannot be attached: %s", bpf_program__name(prog),
				 strerror(errno));
	assert(o->links < OBJECT_LINKS);
	o->link[o->links++] = link;
	return EXIT_OK;
}

enum dwell_exit object__attach(struct object *o, const struct config *config)
{
	enum dwell_exit status = EXIT_OK;
	struct bpf_program *prog;

	/*
	 * From the last to the first: what sees a thing's end is written behind what sees its
	 * begin, and nothing may begin whose end nobody would see.
	 */
	for (prog = bpf_object__prev_program(o->obj, NULL); prog;
	     prog = bpf_object__prev_program(o->obj, prog)) {
		/* Uprobes are attached where the command finds a place for them: core/probes.h. */
		if (!bpf_program__autoload(prog) ||
		    bpf_program__type(prog) == BPF_PROG_TYPE_KPROBE ||
		    bpf_program__expected_attach_type(prog) == BPF_TRACE_ITER ||
		    bpf_program__type(prog) == BPF_PROG_TYPE_UNSPEC)
			continue;
		if ((config->lock_what & LOCK_CAUSES) &&
		    !strcmp(bpf_program__name(prog), HOLDERS_PROGRAM))
			continue;
		status = status ?: object__attach_one(o, prog);
	}
	return status;
}

enum dwell_exit object__follow_holders(struct object *o)
{
	enum dwell_exit status;

	if (o->window->holders)
		return EXIT_OK;
	/* First, so that no thread is born between the look at all threads and its own. */
	o->window->holders = 1;
	status = object__iterate(o, "refs", 1, NULL, NULL);
	return status
		       ?: object__attach_one(o, bpf_object__find_program_by_name(o->obj,
										 HOLDERS_PROGRAM));
}

static enum dwell_exit object__drain(int fd, size_t size,
				     enum dwell_exit (*fn)(const void *rec, void *arg), void *arg)
{
	char *buf = malloc(size * 256);
	size_t have = 0, at;
	enum dwell_exit status = EXIT_OK;
	ssize_t n;

	if (!buf)
		return err__fail("no memory to read the threads");
	while (!status && (n = read(fd, buf + have, size * 256 - have)) != 0) {
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0) {
			status = err__fail("the threads cannot be read: %s", strerror(errno));
			break;
		}
		have += (size_t)n;
		for (at = 0; !status && have - at >= size; at += size)
			status = fn ? fn(buf + at, arg) : EXIT_OK;
		memmove(buf, buf + at, have - at);
		have -= at;
	}
	free(buf);
	return status;
}

enum dwell_exit object__iterate(struct object *o, const char *name, size_t size,
				enum dwell_exit (*fn)(const void *rec, void *arg), void *arg)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(o->obj, name);
	enum dwell_exit status;
	struct bpf_link *link;
	int fd;

	assert(prog);
	link = bpf_program__attach_iter(prog, NULL);
	if (!link)
		return err__unsupported("this kernel has no task iterator: %s", strerror(errno));
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0) {
		status = err__fail("the task iterator cannot be opened: %s", strerror(errno));
	} else {
		status = object__drain(fd, size, fn, arg);
		close(fd);
	}
	bpf_link__destroy(link);
	return status;
}

void object__free(struct object *o)
{
	for (unsigned int i = 0; i < o->links; i++)
		bpf_link__destroy(o->link[i]);
	if (o->window)
		munmap((void *)o->window, (size_t)sysconf(_SC_PAGESIZE));
	shared__close(&o->tallies);
	shared__close(&o->states);
	for (int i = 0; i < OBJECT_PARTS; i++)
		bpf_object__close(o->part[i]);
	bpf_object__close(o->obj);
	loader__free(o->loader);
	if (o->types_fd > 0)
		close(o->types_fd);
	memset(o, 0, sizeof(*o));
}
