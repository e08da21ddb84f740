// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Loads every BPF object in every configuration, as the commands would, and says in TAP how many
 * instructions the verifier looked at: one test per object, way to attach and program, with the
 * worst of its configurations ($DWELL_TEST_FEW: of fewer, in which each thing varies once).
 *
 * Linked with --wrap for two functions of libbpf, so that what is loaded is what dwell loads, but
 * the verifier's words come here.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/object.h"
#include "core/session.h"
#include "core/syscalls.h"
#include "core/target.h"

/*
 * A load must not be felt: the verifier does 1 to 2 million instructions a second on a machine of
 * today, and older kernels look at more states for the same program. The kernel's own limit is
 * 1,000,000.
 */
#define BUDGET 200000

#define FEW_RAW       3 /* where tp_btf can be had, raw_tp is taken by hand only */
#define PROGRAMS_MAX  64
#define LOG_LINES     12
#define BPF_LOG_STATS 4 /* linux/bpf_verifier.h */

#define LOG_BYTES_STATS 65536
#define LOG_BYTES       (16U << 20)

#define TOOL(id, object) extern const struct tool tool_##id;
#include "tools.def"
#undef TOOL

static const struct tool *const tools[] = {
#define TOOL(id, object) &tool_##id,
#include "tools.def"
#undef TOOL
};

#define NR_TOOLS (sizeof(tools) / sizeof(*tools))

struct program {
	char name[64];
	unsigned int insns; /* the most */
	unsigned int loads;
	char worst[96]; /* the configuration in which it was */
};

/* One object, attached in one way. What is wrapped gets no argument of ours: hence the static. */
static struct {
	pthread_mutex_t mutex;
	struct program program[PROGRAMS_MAX];
	unsigned int programs;
	char variant[96];
	bool explain; /* the log of what was refused is wanted, not the numbers */
	char refused[64];
	char *log;
} run = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* What is varied. */
struct variant {
	const char *filter;
	uint32_t by;
	bool user_stacks, kernel_stacks, intervals, kthreads;
};

static const char *const filters[] = {"none", "pid", "pids", "tid", "comm", "cgroup", "program"};
static const char *const groups[] = {"process", "thread", "comm", "cgroup", "cpu",
				     "all",     "file",   "op",   "mount"};

static bool few; /* configurations: $DWELL_TEST_FEW */

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- what the verifier says ---------------------------------------------------------------- */

static struct program *load__program(const char *name)
{
	for (unsigned int i = 0; i < run.programs; i++) {
		if (!strcmp(run.program[i].name, name))
			return &run.program[i];
	}
	if (run.programs == PROGRAMS_MAX)
		return NULL;
	snprintf(run.program[run.programs].name, sizeof(run.program[0].name), "%s", name);
	return &run.program[run.programs++];
}

static void load__count(const char *name, const char *log)
{
	const char *processed = strstr(log, "processed ");
	struct program *program;
	unsigned int insns;

	if (!processed || sscanf(processed, "processed %u insns", &insns) != 1)
		return;
	program = load__program(name);
	if (!program)
		return;
	program->loads++;
	if (insns > program->insns) {
		program->insns = insns;
		snprintf(program->worst, sizeof(program->worst), "%s", run.variant);
	}
}

/* Takes @log of a program that the kernel took, or did not. */
static void load__judged(const char *name, char *log, bool refused)
{
	pthread_mutex_lock(&run.mutex);
	if (refused && !run.refused[0])
		snprintf(run.refused, sizeof(run.refused), "%s", name);
	if (!run.explain) {
		load__count(name, log);
	} else if (refused && !run.log) {
		run.log = log;
		log = NULL;
	}
	pthread_mutex_unlock(&run.mutex);
	free(log);
}

int __real_bpf_prog_load(enum bpf_prog_type type, const char *name, const char *license,
			 const struct bpf_insn *insns, size_t n,
			 const struct bpf_prog_load_opts *opts);
int __wrap_bpf_prog_load(enum bpf_prog_type type, const char *name, const char *license,
			 const struct bpf_insn *insns, size_t n,
			 const struct bpf_prog_load_opts *opts);

/* Called from several threads at once. */
int __wrap_bpf_prog_load(enum bpf_prog_type type, const char *name, const char *license,
			 const struct bpf_insn *insns, size_t n,
			 const struct bpf_prog_load_opts *opts)
{
	struct bpf_prog_load_opts with_log = *opts;
	int fd, err;

	with_log.log_level = run.explain ? 1 : BPF_LOG_STATS;
	with_log.log_size = run.explain ? LOG_BYTES : LOG_BYTES_STATS;
	with_log.log_buf = calloc(1, with_log.log_size);
	if (!with_log.log_buf)
		return -ENOMEM;
	fd = __real_bpf_prog_load(type, name, license, insns, n, &with_log);
	err = errno;
	load__judged(name, with_log.log_buf, fd < 0);
	errno = err;
	return fd;
}

static int load__print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (run.explain && level == LIBBPF_WARN) {
		printf("# ");
		vprintf(fmt, ap);
	}
	return 0;
}

libbpf_print_fn_t __wrap_libbpf_set_print(libbpf_print_fn_t fn);
libbpf_print_fn_t __real_libbpf_set_print(libbpf_print_fn_t fn);

libbpf_print_fn_t __wrap_libbpf_set_print(libbpf_print_fn_t fn)
{
	(void)fn;
	return __real_libbpf_set_print(load__print);
}

/* ---- configurations ------------------------------------------------------------------------ */

static enum dwell_exit load__target(struct target *t, const char *filter, struct config *config)
{
	static char *program[] = {"true", NULL};

	if (!strcmp(filter, "pid") || !strcmp(filter, "pids"))
		t->pids = (struct option_list){filter[3] ? 2 : 1, {1, (uint32_t)getppid()}};
	else if (!strcmp(filter, "tid"))
		t->tids = (struct option_list){1, {1}};
	else if (!strcmp(filter, "comm"))
		t->comm = "sh";
	else if (!strcmp(filter, "cgroup"))
		config->filter = FILTER_CGROUP; /* of a cgroup v2, which need not be mounted */
	else if (!strcmp(filter, "program"))
		t->program = program;
	return config->filter ? EXIT_OK : target__resolve(t, 1, config);
}

/* What dwell found in this kernel, for tests/vm/features: "# feature WHAT: yes|no: WITHOUT IT". */
static void load__features(const struct object *object)
{
	for (int i = 0; i < NR_FEATURES; i++)
		printf("# feature %s: %s: %s\n", feature_texts[i].name,
		       object->has[i] ? "yes" : "no", feature_texts[i].without);
}

static enum dwell_exit load__once(const struct tool *tool, enum object_attach how,
				  const struct variant *v)
{
	struct object_sizes sizes = {1024, 1024, 1024, 1024, 4096, 4096, 1 << 16};
	struct config config = {
		.by = v->by,
		.slots = 1024,
		.io_mask = 1023,
		.banks = v->intervals ? 2 : 1,
		.kthreads = v->kthreads,
		.user_stacks = v->user_stacks,
		.memo = MEMO_ON,
		.kernel_stacks = v->kernel_stacks,
	};
	struct target target = {0};
	struct object object = {0};
	enum dwell_exit status = load__target(&target, v->filter, &config);
	void *options = calloc(1, tool->options_size ?: 1);

	if (!options)
		return EXIT_FAIL;
	syscalls__classes(config.syscall_class);
	/* Only of what is slow are stacks taken. */
	config.min_ns = tool->accepts & STACKS_OF_SLOW ? 1 : 0;
	if (tool->configure)
		tool->configure(options, &config);
	config.io_bios = 1;
	snprintf(run.variant, sizeof(run.variant), "filter %s, by %s%s%s%s%s", v->filter,
		 groups[v->by], v->user_stacks ? ", -u" : "", v->kernel_stacks ? ", -k" : "",
		 v->intervals ? ", -i" : "", v->kthreads ? ", --kthreads" : "");
	if (!status)
		status = object__load(&object, tool->object, how, NULL, &config, &sizes,
				      &target.ids);
	for (unsigned int i = 0; !status && tool->object->parts && tool->object->parts[i]; i++) {
		if (object__load_part(&object, tool->object, i))
			status = EXIT_UNSUPPORTED;
	}
	if (!status && how == ATTACH_AUTO)
		load__features(&object);
	object__free(&object);
	free(options);
	return status;
}

static void load__explain(const struct tool *tool, enum object_attach how,
			  const struct variant *variant)
{
	char *line;
	int lines = 0;

	run.explain = true;
	load__once(tool, how, variant);
	run.explain = false;
	if (!run.log)
		return;
	/* The end says why; every line of it begins with a # for TAP. */
	for (line = run.log + strlen(run.log); line > run.log && lines < LOG_LINES + 2; line--)
		lines += line[-1] == '\n';
	for (line = strtok(line, "\n"); line; line = strtok(NULL, "\n"))
		printf("#     %.160s\n", line);
	free(run.log);
	run.log = NULL;
}

/* Where a load takes ten times as long: several things are varied at once, each at least once. */
static bool load__few(const struct tool *tool, unsigned int i, struct variant *v)
{
	bool stacks = tool->accepts & ACCEPTS_STACKS;
	unsigned int ngroups = tool->accepts & ACCEPTS_BY_FILE ? COUNT(groups) : BY_CPU + 1;
	unsigned int n = ngroups > COUNT(filters) ? ngroups : COUNT(filters);

	*v = (struct variant){
		.filter = filters[i % COUNT(filters)],
		.by = i ? (i - 1) % ngroups : tool->by,
		.user_stacks = stacks && !(i & 1),
		.kernel_stacks = stacks && !(i & 2),
		.intervals = i % 3 == 1,
		.kthreads = i % 3 == 1,
	};
	return i <= n;
}

/*
 * Each filter, each kind of stacks, each group (with all that intervals add): what one changes in a
 * program the others don't.
 */
static bool load__variant(const struct tool *tool, unsigned int i, struct variant *v)
{
	bool stacks = tool->accepts & ACCEPTS_STACKS;
	unsigned int ngroups = tool->accepts & ACCEPTS_BY_FILE ? COUNT(groups) : BY_CPU + 1;

	if (few)
		return load__few(tool, i, v);

	*v = (struct variant){.filter = filters[0],
			      .by = tool->by,
			      .user_stacks = stacks,
			      .kernel_stacks = stacks};
	if (i < COUNT(filters)) {
		v->filter = filters[i];
		return true;
	}
	i -= COUNT(filters);
	if (i < ngroups) {
		v->by = i;
		v->intervals = v->kthreads = true;
		return true;
	}
	i -= ngroups;
	v->user_stacks = i & 1;
	v->kernel_stacks = i & 2;
	return stacks && i < 3;
}

/* ---- the test ------------------------------------------------------------------------------ */

static unsigned int tests;

static void load__refusal(const struct tool *tool, enum object_attach how,
			  const struct variant *variant)
{
	printf("not ok %u %s %s %s: refused (%s)\n", ++tests, tool->name,
	       how == ATTACH_RAW_TP ? "raw_tp" : "tp_btf", run.refused[0] ? run.refused : "maps",
	       run.variant);
	load__explain(tool, how, variant);
}

static void load__judge(const struct tool *tool, enum object_attach how)
{
	for (unsigned int i = 0; i < run.programs; i++) {
		const struct program *p = &run.program[i];

		printf("%s %u %s %s %s: at most %u instructions (%s; %u loads)\n",
		       p->insns <= BUDGET ? "ok" : "not ok", ++tests, tool->name,
		       how == ATTACH_RAW_TP ? "raw_tp" : "tp_btf", p->name, p->insns, p->worst,
		       p->loads);
	}
}

/*
 * At most @max configurations. Refusals are explained once; the rest is tried all the same.
 */
static void load__all(const struct tool *tool, enum object_attach how, unsigned int max)
{
	struct variant variant;
	unsigned int refused = 0, i;

	memset(&run, 0, sizeof(run));
	pthread_mutex_init(&run.mutex, NULL);
	for (i = 0; i < max && load__variant(tool, i, &variant); i++) {
		if (load__once(tool, how, &variant) && !refused++)
			load__refusal(tool, how, &variant);
		if (refused && i == 2)
			break; /* not for one configuration: the others would say the same */
	}
	if (refused > 1)
		printf("# %u of %u configurations were refused\n", refused, i + 1);
	load__judge(tool, how);
	fflush(stdout);
}

/* load [COMMAND]: all of them, if none is named. */
int main(int argc, char **argv)
{
	const struct variant plain = {.filter = filters[0]};
	bool storage = libbpf_probe_bpf_map_type(BPF_MAP_TYPE_TASK_STORAGE, NULL) > 0;

	few = getenv("DWELL_TEST_FEW") != NULL;
	setvbuf(stdout, NULL, _IOLBF, 0);
	load__once(tools[0], ATTACH_AUTO, &plain);
	for (unsigned int i = 0; i < NR_TOOLS; i++) {
		if (argc > 1 && strcmp(argv[1], tools[i]->name) != 0)
			continue;
		if (storage)
			load__all(tools[i], ATTACH_TP_BTF, UINT_MAX);
		else
			printf("ok %u %s tp_btf # skip the kernel has no task storage\n", ++tests,
			       tools[i]->name);
		load__all(tools[i], ATTACH_RAW_TP, few && storage ? FEW_RAW : UINT_MAX);
	}
	printf("1..%u\n", tests);
	return 0;
}
