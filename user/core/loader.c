// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * libbpf prepares a program (relocations, maps, types), calls back, and loads it. What it would
 * load is kept then, and it is given a program in its place that does nothing. When it is done, all
 * that was kept is loaded at once, and each takes the place of its stand-in: the descriptor, by
 * which libbpf attaches it, becomes that of the true one.
 */
#include "core/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "base/err.h"
#include "config.h"

#define LICENSE     "Dual BSD/GPL" /* of all programs: libbpf tells of an object's to nobody */
#define THREADS_MAX 4              /* one program takes a third of the time of all of them */
#define LOG_BYTES   (16U << 20)    /* the verifier's, with -v */

/* A program that libbpf prepared. */
struct loading {
	struct bpf_program *prog;
	enum bpf_prog_type type;
	struct bpf_insn *insns;
	size_t n;
	struct bpf_prog_load_opts opts; /* points into what libbpf has until the object is closed */
	int fd;                         /* of the true one; or -errno */
};

/*
 * Sections whose programs are a loader's, by how libbpf names them, and of which type their
 * stand-ins are: where one wants a type of the kernel, libbpf would read all of those once more.
 */
static const struct section {
	const char *name;
	enum bpf_prog_type type;
	enum bpf_attach_type attach;
} sections[] = {
	{"tp_btf+", BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_TRACE_RAW_TP},
	{"iter+", BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_TRACE_ITER},
	{"raw_tp+", BPF_PROG_TYPE_RAW_TRACEPOINT, 0},
	{"uprobe+", BPF_PROG_TYPE_KPROBE, 0},
	{"uretprobe+", BPF_PROG_TYPE_KPROBE, 0},
};

#define SECTIONS (sizeof(sections) / sizeof(*sections))

/* Of no program, and never taken back: libbpf before 1.3 uses memory after free() without any. */
#define SECTION_THAT_STAYS "dwell"

struct loader {
	int handler[SECTIONS];    /* libbpf's number of it; negative: there is none */
	const struct btf *kernel; /* while an object is loaded, and… */
	struct bpf_object *obj;   /* …this */
	struct loading *loading;
	size_t n, max;
	atomic_size_t next; /* of @loading, for whichever thread has time */
};

/* What a program's section says that it is for: "sched_switch" of "tp_btf/sched_switch". */
static const char *loader__target(const struct bpf_program *prog)
{
	const char *slash = strchr(bpf_program__section_name(prog), '/');

	return slash ? slash + 1 : "";
}

static bool loader__traces(const struct bpf_program *prog)
{
	return bpf_program__expected_attach_type(prog) == BPF_TRACE_RAW_TP ||
	       bpf_program__expected_attach_type(prog) == BPF_TRACE_ITER;
}

/* The number of the kernel's type that describes what @prog traces; negative: there is none. */
static int loader__target_type(const struct loader *l, const struct bpf_program *prog)
{
	bool iter = bpf_program__expected_attach_type(prog) == BPF_TRACE_ITER;
	char name[64];

	if (!l->kernel)
		return -ENOENT;
	snprintf(name, sizeof(name), "%s%s", iter ? "bpf_iter_" : "btf_trace_",
		 loader__target(prog));
	return btf__find_by_name_kind(l->kernel, name, iter ? BTF_KIND_FUNC : BTF_KIND_TYPEDEF);
}

static bool loader__is_memory(const struct loader *l, int fd)
{
	struct bpf_map *map;

	bpf_object__for_each_map (map, l->obj) {
		if (bpf_map__fd(map) == fd)
			return !strncmp(bpf_map__name(map), CONFIG_MEMORY, strlen(CONFIG_MEMORY));
	}
	return false;
}

/* The addresses of maps that are memory become those of what is in them. */
static void loader__address(const struct loader *l, struct loading *loading)
{
	struct bpf_insn *insn = loading->insns, *end = insn + loading->n;

	for (; insn < end; insn++) {
		if (insn->code != (BPF_LD | BPF_DW | BPF_IMM))
			continue;
		if (insn->src_reg == BPF_PSEUDO_MAP_FD && loader__is_memory(l, insn->imm)) {
			insn[0].src_reg = BPF_PSEUDO_MAP_VALUE;
			insn[1].imm = 0;
		}
		insn++;
	}
}

/* ---- what libbpf calls --------------------------------------------------------------------- */

static int loader__keep(struct loader *l, struct bpf_program *prog,
			const struct bpf_prog_load_opts *opts)
{
	struct loading *loading;
	int type;

	if (l->n == l->max) {
		loading = realloc(l->loading, (l->max + 16) * sizeof(*loading));
		if (!loading)
			return -ENOMEM;
		l->loading = loading;
		l->max += 16;
	}
	loading = &l->loading[l->n];
	*loading = (struct loading){
		.prog = prog,
		.type = bpf_program__type(prog),
		.n = bpf_program__insn_cnt(prog),
		.opts = *opts,
	};
	loading->opts.sz = sizeof(loading->opts);
	if (loader__traces(prog)) {
		type = loader__target_type(l, prog);
		if (type < 0)
			return type;
		loading->type = BPF_PROG_TYPE_TRACING;
		loading->opts.attach_btf_id = (uint32_t)type;
	}
	loading->insns = malloc(loading->n * sizeof(*loading->insns));
	if (!loading->insns)
		return -ENOMEM;
	memcpy(loading->insns, bpf_program__insns(prog), loading->n * sizeof(*loading->insns));
	loader__address(l, loading);
	l->n++;
	return 0;
}

static int loader__on_prepared(struct bpf_program *prog, struct bpf_prog_load_opts *opts,
			       long cookie)
{
	struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int err = loader__keep((struct loader *)cookie, prog, opts);

	if (err)
		return err;
	opts->func_info_cnt = opts->line_info_cnt = 0;
	return bpf_program__set_insns(prog, nothing, sizeof(nothing) / sizeof(*nothing));
}

static int loader__on_attach(const struct bpf_program *prog, long cookie, struct bpf_link **link)
{
	(void)cookie;
	if (loader__traces(prog))
		*link = bpf_program__attach_trace(prog);
	else
		*link = bpf_program__attach_raw_tracepoint(prog, loader__target(prog));
	return *link ? 0 : -errno;
}

/* ---- loading ------------------------------------------------------------------------------- */

/* Of a program that was refused: why, in the verifier's words. */
static void loader__explain(const struct loading *loading)
{
	struct bpf_prog_load_opts opts = loading->opts;
	char *log = calloc(1, LOG_BYTES);

	log__debug("%s: load failed: %s", bpf_program__name(loading->prog), strerror(-loading->fd));
	if (!log)
		return;
	opts.log_level = 1;
	opts.log_buf = log;
	opts.log_size = LOG_BYTES;
	if (bpf_prog_load(loading->type, bpf_program__name(loading->prog), LICENSE, loading->insns,
			  loading->n, &opts) < 0)
		fputs(log, stderr); /* of any length */
	free(log);
}

static void *loader__work(void *arg)
{
	struct loader *l = arg;
	struct loading *loading;
	size_t i;

	while ((i = atomic_fetch_add(&l->next, 1)) < l->n) {
		loading = &l->loading[i];
		loading->fd = bpf_prog_load(loading->type, bpf_program__name(loading->prog),
					    LICENSE, loading->insns, loading->n, &loading->opts);
		if (loading->fd < 0)
			loading->fd = -errno;
	}
	return NULL;
}

/* The longest first: what comes last is waited for. */
static int loader__compare(const void *a, const void *b)
{
	const struct loading *x = a, *y = b;

	return (x->n < y->n) - (x->n > y->n);
}

static void loader__run(struct loader *l)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t thread[THREADS_MAX - 1];
	size_t threads = 0;

	qsort(l->loading, l->n, sizeof(*l->loading), loader__compare);
	atomic_store(&l->next, 0);
	while (threads < THREADS_MAX - 1 && (long)threads + 1 < cpus && threads + 1 < l->n &&
	       !pthread_create(&thread[threads], NULL, loader__work, l))
		threads++;
	loader__work(l); /* all of it, where no other thread can be made */
	while (threads)
		pthread_join(thread[--threads], NULL);
}

/* The true programs in their stand-ins' places. 0 or the error of the first that was refused. */
static int loader__place(struct loader *l)
{
	int err = 0;

	for (size_t i = 0; i < l->n && !err; i++) {
		const struct loading *loading = &l->loading[i];

		if (loading->fd < 0) {
			err = loading->fd;
			if (log__level() >= LOG_DEBUG)
				loader__explain(loading);
		} else if (dup3(loading->fd, bpf_program__fd(loading->prog), O_CLOEXEC) < 0) {
			err = -errno;
		}
	}
	return err;
}

static void loader__forget(struct loader *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->loading[i].insns);
		if (l->loading[i].fd > 0)
			close(l->loading[i].fd);
	}
	l->n = 0;
}

int loader__load(struct loader *l, struct bpf_object *obj, const struct btf *kernel)
{
	int err;

	l->kernel = kernel;
	l->obj = obj;
	err = bpf_object__load(obj);
	l->kernel = NULL;
	l->obj = NULL;
	if (!err) {
		loader__run(l);
		err = loader__place(l);
	}
	loader__forget(l);
	return err;
}

/* ---- its life ------------------------------------------------------------------------------ */

struct loader *loader__new(void)
{
	struct loader *l = calloc(1, sizeof(*l));
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .cookie = (long)l,
		    .prog_prepare_load_fn = loader__on_prepared,
		    .prog_attach_fn = loader__on_attach);
	int err;

	if (!l)
		return NULL;
	err = libbpf_register_prog_handler(SECTION_THAT_STAYS, BPF_PROG_TYPE_UNSPEC, 0, NULL);
	err = err < 0 ? -err : 0;
	for (size_t i = 0; i < SECTIONS; i++) {
		l->handler[i] = libbpf_register_prog_handler(sections[i].name, sections[i].type,
							     sections[i].attach, &opts);
		err = err ?: l->handler[i] < 0 ? -l->handler[i] : 0;
	}
	if (!err)
		return l;
	loader__free(l);
	errno = err;
	return NULL;
}

void loader__free(struct loader *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < SECTIONS; i++) {
		if (l->handler[i] >= 0)
			libbpf_unregister_prog_handler(l->handler[i]);
	}
	free(l->loading);
	free(l);
}
