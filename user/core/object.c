// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <zlib.h>

#include "core/object.h"

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

static int object__print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	/* libbpf's own words help only who debugs dwell: ours say what the user can do. */
	if (log__level() < LOG_DEBUG || level == LIBBPF_DEBUG)
		return 0;
	/* As it is, since it may be a verifier's log of any length. */
	return vfprintf(stderr, fmt, ap);
}

static enum dwell_exit object__probe(struct object *o, const char *btf_path, struct config *config)
{
	struct btf *btf = btf__parse(btf_path ?: KERNEL_BTF, NULL);

	if (!btf && btf_path)
		return err__fail("%s cannot be read as BTF: %s", btf_path, strerror(errno));
	if (!btf)
		return err__unsupported("this kernel gives no BTF (%s: %s): it needs "
					"CONFIG_DEBUG_INFO_BTF, or name a file with --btf FILE",
					KERNEL_BTF, strerror(errno));
	for (int i = 0; i < NR_FEATURES; i++)
		o->has[i] = features__has(btf, (enum feature)i);
	config->switch_has_state = o->has[FEATURE_SWITCH_STATE];
	config->stack_padding = (uint8_t)features__stack_padding(btf);
	config->request_arg = features__tracepoint_args(btf, "block_rq_issue") == 2;
	o->rq_merge = features__tracepoint_args(btf, "block_rq_merge") > 0;
	btf__free(btf);
	return EXIT_OK;
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

/* The ELF file in @packed, which gzip made: allocated. NULL if that cannot be. */
static void *object__unpack(const void *packed, size_t n, size_t *size)
{
	const unsigned char *end = (const unsigned char *)packed + n;
	/* RFC 1952: the last four bytes are the size, the lowest first */
	size_t max = end[-4] | end[-3] << 8 | end[-2] << 16 | (size_t)end[-1] << 24;
	z_stream z = {.next_in = (Bytef *)(uintptr_t)packed, .avail_in = (uInt)n};
	void *elf = malloc(max);

	if (!elf || inflateInit2(&z, MAX_WBITS + 16)) {
		free(elf);
		return NULL;
	}
	z.next_out = elf;
	z.avail_out = (uInt)max;
	*size = inflate(&z, Z_FINISH) == Z_STREAM_END ? z.total_out : 0;
	inflateEnd(&z);
	return elf;
}

static struct bpf_object *object__open_packed(const struct tool_object *from, bool raw,
					      const struct bpf_object_open_opts *opts)
{
	size_t packed_size = 0, size = 0;
	const void *packed = raw ? from->raw(&packed_size) : from->btf(&packed_size);
	void *elf = object__unpack(packed, packed_size, &size);
	struct bpf_object *obj = NULL;

	if (elf)
		obj = bpf_object__open_mem(elf, size, opts); /* keeps nothing of it */
	free(elf);
	return obj;
}

/* Opens one variant and makes it what @config and @sizes say; nothing is in the kernel yet. */
static enum dwell_exit object__open(struct object *o, const struct tool_object *from, bool raw,
				    const char *btf, const struct config *config,
				    const struct object_sizes *sizes, uint32_t ntargets)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = from->name, .btf_custom_path = btf);
	struct bpf_program *prog;
	int err;

	o->raw = raw;
	o->obj = object__open_packed(from, raw, &opts);
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
	object__size(o->obj, "requests", sizes->names);
	object__size(o->obj, "query_texts", sizes->names);
	object__size(o->obj, "query_sums", sizes->tallies * config->banks);
	object__size(o->obj, "stacks", sizes->stacks);
	if (!config->user_stacks || config->frame_pointers) {
		object__size(o->obj, "unwind_ranges", 1);
		object__size(o->obj, "unwind_rules", 1);
		object__size(o->obj, "unwind_spaces", 1);
	}
	object__size(o->obj, "ring", sizes->ring_bytes);
	/* The command lock's: a thread has a number in each of at most two namespaces. */
	object__size(o->obj, "thread_refs", 2 * sizes->threads);
	object__size(o->obj, "lock_logs", sizes->tallies / 4 ?: 1);
	object__size(o->obj, "lock_parts", 8 * sizes->tallies);
	if (raw)
		object__size(o->obj, "clocks", sizes->threads);
	bpf_object__for_each_program (prog, o->obj) {
		if (!strcmp(bpf_program__name(prog), "on_rq_merge"))
			bpf_program__set_autoload(prog, o->rq_merge);
		if (strncmp(bpf_program__name(prog), "on_contention", 13))
			continue;
		bpf_program__set_autoload(prog, o->has[FEATURE_CONTENTION]);
		o->blind_to_klock = !o->has[FEATURE_CONTENTION];
	}
	if (from->prepare)
		from->prepare(o->obj);
	return EXIT_OK;
}

/* 0 or -errno. */
static int object__try(struct object *o)
{
	int err = bpf_object__load(o->obj);

	if (err) {
		bpf_object__close(o->obj);
		o->obj = NULL;
	}
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

/* @bytes of array @name in this process's memory, in whole pages (*@mapped); NULL with errno. */
static void *object__map_array(const struct object *o, const char *name, size_t bytes,
			       size_t *mapped)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	*mapped = (bytes + page - 1) / page * page;
	p = mmap(NULL, *mapped, PROT_READ | PROT_WRITE, MAP_SHARED, object__map_fd(o, name), 0);
	return p == MAP_FAILED ? NULL : p;
}

static enum dwell_exit object__share(struct object *o, const struct config *config)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (size_t)config->slots * config->banks;
	void *p;

	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, object__map_fd(o, ".data.core"),
		 0);
	if (p == MAP_FAILED)
		return err__fail("the run's window cannot be mapped: %s", strerror(errno));
	o->window = p;
	p = object__map_array(o, "tallies", n * sizeof(struct hist), &o->tallies_bytes);
	if (!p)
		return err__fail("the tallies cannot be mapped: %s", strerror(errno));
	o->tallies = p;
	if (!object__has_map(o, "tally_states"))
		return EXIT_OK;
	p = object__map_array(o, "tally_states", n * sizeof(struct tally_states), &o->states_bytes);
	if (!p)
		return err__fail("the tallies' states cannot be mapped: %s", strerror(errno));
	o->states = p;
	return EXIT_OK;
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
	status = object__probe(o, btf, config);
	if (status)
		return status;
	for (int raw = how == ATTACH_RAW_TP; raw <= (how != ATTACH_TP_BTF); raw++) {
		status = object__open(o, from, raw, btf, config, sizes, targets->n);
		if (status)
			return status;
		err = object__try(o);
		if (!err)
			break;
		log__debug("%s: the %s programs were refused: %s", from->name,
			   raw ? "raw_tp" : "tp_btf", strerror(-err));
		if (err == -EPERM)
			break;
	}
	if (err)
		return object__refused(from->name, err);
	status = object__share(o, config);
	return status ?: object__fill(o, config, targets);
}

enum dwell_exit object__attach(struct object *o)
{
	struct bpf_program *prog;
	struct bpf_link *link;

	bpf_object__for_each_program (prog, o->obj) {
		/* Uprobes are attached where the command finds a place for them: core/probes.h. */
		if (!bpf_program__autoload(prog) ||
		    bpf_program__type(prog) == BPF_PROG_TYPE_KPROBE ||
		    bpf_program__expected_attach_type(prog) == BPF_TRACE_ITER ||
		    bpf_program__type(prog) == BPF_PROG_TYPE_UNSPEC)
			continue;
		link = bpf_program__attach(prog);
		if (!link)
			return err__fail("%s cannot be attached: %s", bpf_program__name(prog),
					 strerror(errno));
		assert(o->links < OBJECT_LINKS);
		o->link[o->links++] = link;
	}
	return EXIT_OK;
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
	if (o->tallies)
		munmap(o->tallies, o->tallies_bytes);
	if (o->states)
		munmap(o->states, o->states_bytes);
	bpf_object__close(o->obj);
	memset(o, 0, sizeof(*o));
}
