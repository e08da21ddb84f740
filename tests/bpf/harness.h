/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Runs the programs of tests/bpf/<name>.bpf.c, in both variants, by the kernel's test run.
 *
 * They are raw tracepoint programs: these run on any kernel that dwell supports, under the same
 * rules as its hooks (not sleepable), take numbers as arguments, and run in the driver's context.
 * They answer in a struct that they keep in the section ".data.test".
 */
#ifndef TESTS_BPF_HARNESS_H
#define TESTS_BPF_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "config.h"
#include "core/ktypes.h"
#include "core/loader.h"
#include "core/loss.h"
#include "core/patch.h"

struct harness_variant {
	const void *(*elf)(size_t *size);
	int raw;
	int peek; /* kernel memory is read by loads: bpf/lib/peek.bpf.h */
};

struct harness {
	const struct harness_variant *variant;
	struct loader *loader;
	struct bpf_object *obj;
	struct window *window;
	void *answer;
};

/* The same test for both variants, in a list of tests; needs `btf` and `raw` in sight. */
#define HARNESS_BOTH(f)                                                                            \
	{#f "_btf", f, harness__setup, harness__teardown, (void *)&btf},                           \
	{                                                                                          \
#f "_raw", f, harness__setup, harness__teardown, (void *)&raw                      \
	}

/* The same where kernel memory is read by loads, of which the other two are without. */
#define HARNESS_PEEK(f)                                                                            \
	{                                                                                          \
#f "_peek", f, harness__setup, harness__teardown, (void *)&peek                    \
	}

/* What the verifier says is shown only if it says no. */
static inline int harness__print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, ap) : 0;
}

static inline void *harness__map_memory(struct harness *h, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(h->obj, name);
	size_t page = (size_t)sysconf(_SC_PAGESIZE), size;
	void *p;

	assert_non_null(map);
	size = (size_t)bpf_map__value_size(map) * bpf_map__max_entries(map);
	p = mmap(NULL, (size + page - 1) / page * page, PROT_READ | PROT_WRITE, MAP_SHARED,
		 bpf_map__fd(map), 0);
	assert_true(p != MAP_FAILED);
	return p;
}

/* Closes the object; another may be started. Its few mappings go with the process. */
static inline void harness__stop(struct harness *h)
{
	bpf_object__close(h->obj);
	loader__free(h->loader);
	h->obj = NULL;
	h->loader = NULL;
}

/* A test's state: the variant becomes a harness, which goes also if the test fails. */
static inline int harness__setup(void **state)
{
	struct harness *h = calloc(1, sizeof(*h));

	if (!h)
		return -1;
	h->variant = *state;
	*state = h;
	return 0;
}

static inline int harness__teardown(void **state)
{
	harness__stop(*state);
	free(*state);
	return 0;
}

/* The function that makes loads of what programs peek at; without one the test is skipped. */
static inline uint32_t harness__peek(struct config *config)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	uint32_t function;

	assert_non_null(kernel);
	function = patch__prepare(kernel, config);
	btf__free(kernel);
	if (!function) {
		puts("# this kernel has no bpf_rdonly_cast()");
		skip();
	}
	return function;
}

/* Between open and load the maps can be sized. */
static inline void harness__open(struct harness *h, const struct config *config)
{
	struct config own = config ? *config : (struct config){0};
	uint32_t function = h->variant->peek ? harness__peek(&own) : 0;
	struct bpf_map *map;
	const void *elf;
	size_t size = 0;
	void *copy;

	libbpf_set_print(harness__print);
	h->loader = loader__new();
	assert_non_null(h->loader);
	elf = h->variant->elf(&size);
	copy = malloc(size);
	assert_non_null(copy);
	memcpy(copy, elf, size);
	assert_int_equal(patch__write(copy, size, function, &own), 0);
	h->obj = bpf_object__open_mem(copy, size, NULL); /* keeps nothing of it */
	free(copy);
	assert_non_null(h->obj);
	map = bpf_object__find_map_by_name(h->obj, ".rodata.core");
	if (map)
		assert_int_equal(bpf_map__set_initial_value(map, &own, sizeof(own)), 0);
}

static inline void harness__size(struct harness *h, const char *name, uint32_t entries)
{
	assert_int_equal(
		bpf_map__set_max_entries(bpf_object__find_map_by_name(h->obj, name), entries), 0);
}

/* As dwell loads. What loader__load() says. */
static inline int harness__try_load(struct harness *h, bool types)
{
	struct btf *kernel = types ? ktypes__read(NULL) : NULL;
	int err;

	assert_true(kernel || !types);
	err = loader__load(h->loader, h->obj, kernel);
	btf__free(kernel);
	return err;
}

static inline void harness__load(struct harness *h)
{
	assert_int_equal(harness__try_load(h, true), 0);
	h->answer = harness__map_memory(h, ".data.test");
	h->window = harness__map_memory(h, ".data.core");
	h->window->last = UINT32_MAX;
}

static inline void harness__start(struct harness *h, const struct config *config)
{
	harness__open(h, config);
	harness__load(h);
}

static inline int harness__map_fd(struct harness *h, const char *name)
{
	return bpf_object__find_map_fd_by_name(h->obj, name);
}

/* Gives out the numbers below @slots, as user space does. */
static inline void harness__slots(struct harness *h, uint32_t slots)
{
	for (uint32_t i = 0; i < slots; i++)
		assert_int_equal(bpf_map_update_elem(harness__map_fd(h, "tally_free"), NULL, &i, 0),
				 0);
}

static inline int harness__prog_fd(struct harness *h, const char *name)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(h->obj, name);

	assert_non_null(prog);
	return bpf_program__fd(prog);
}

#define HARNESS_ARGS 6

/* What the program returned. */
static inline int harness__run_fd(int fd, const uint64_t args[HARNESS_ARGS])
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args,
		    .ctx_size_in = HARNESS_ARGS * sizeof(*args));

	assert_int_equal(bpf_prog_test_run_opts(fd, &opts), 0);
	return (int)opts.retval;
}

/* harness__run(h, "program", up to HARNESS_ARGS numbers) */
#define harness__run(h, name, ...)                                                                 \
	harness__run_fd(harness__prog_fd(h, name), (uint64_t[HARNESS_ARGS]){__VA_ARGS__})

/* Moves to the next epoch, which begins at @at. */
static inline void harness__cut(struct harness *h, uint64_t at)
{
	struct window *w = h->window;

	if (!w->epoch)
		w->run_start = at;
	w->start[(w->epoch + 1) & 3] = at;
	w->epoch++;
}

static inline struct cpu_stat harness__stat(struct harness *h)
{
	struct cpu_stat sum;

	assert_int_equal(loss__read(harness__map_fd(h, "cpus"), &sum), 0);
	return sum;
}

static inline uint64_t harness__loss(struct harness *h, enum loss_reason reason)
{
	return harness__stat(h).loss[reason];
}

static inline uint64_t harness__losses(struct harness *h)
{
	struct cpu_stat sum = harness__stat(h);
	uint64_t losses = 0;

	for (int i = 0; i < NR_LOSSES; i++)
		losses += sum.loss[i];
	return losses;
}

/* xorshift64*: the same numbers everywhere. @seed != 0 */
static inline uint64_t harness__random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 0x2545f4914f6cdd1dULL;
}

/* Runs the tests of main(), or says in TAP why it can't. */
#define harness__main(tests)                                                                       \
	(geteuid() ? (puts("1..1\nok 1 all of it # skip needs root"), 0)                           \
		   : cmocka_run_group_tests(tests, NULL, NULL))

#endif
