// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* core/loader.h: what libbpf prepared is in the kernel, each under its name. */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>

#include "core/loader.h"
#include "loader_test.h"

#include "loader.btf.skel.h"
#include "loader.raw.skel.h"

#define NAPS 50

static const struct harness_variant btf = {.elf = loader_btf__elf_bytes};
static const struct harness_variant raw = {.elf = loader_raw__elf_bytes, .raw = 1};

static unsigned int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Loads all but those left out, and @also, if it is not NULL. What loader__load() says. */
static int load(struct harness *h, const char *also, bool types)
{
	harness__open(h, NULL);
	if (also)
		bpf_program__set_autoload(bpf_object__find_program_by_name(h->obj, also), true);
	return harness__try_load(h, types);
}

static void expect_program(struct harness *h, const char *name, enum bpf_prog_type type)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(harness__prog_fd(h, name), &info, &size), 0);
	assert_string_equal(info.name, name);
	assert_int_equal(info.type, type);
	assert_true(info.xlated_prog_len > 2 * sizeof(struct bpf_insn));
}

static void test_in_their_places(void **state)
{
	struct harness *h = *state;

	assert_int_equal(load(h, NULL, true), 0);
	expect_program(h, "on_switch",
		       h->variant->raw ? BPF_PROG_TYPE_RAW_TRACEPOINT : BPF_PROG_TYPE_TRACING);
	expect_program(h, "threads", BPF_PROG_TYPE_TRACING);
	expect_program(h, "one", BPF_PROG_TYPE_RAW_TRACEPOINT);
	assert_int_equal(harness__run(h, "one", 2, 3, 5, 7), 3);
	assert_int_equal(harness__run(h, "two", 2, 3, 5, 7), 43);
	assert_int_equal(harness__run(h, "three", 2, 3, 5, 7), 9);
}

/* The times that the kernel says it switched the driver off are those that the program saw. */
static void test_attached(void **state)
{
	struct harness *h = *state;
	volatile struct loader_answer *answer;
	struct rusage before, after;
	struct bpf_link *link;

	assert_int_equal(load(h, NULL, true), 0);
	answer = harness__map_memory(h, ".data.test");
	link = bpf_program__attach(bpf_object__find_program_by_name(h->obj, "on_switch"));
	assert_non_null(link);
	answer->tgid = (uint32_t)getpid();
	getrusage(RUSAGE_SELF, &before);
	answer->switches = 0;
	for (int i = 0; i < NAPS; i++)
		usleep(100);
	answer->tgid = 0; /* first: what the program sees, the kernel has counted by then */
	getrusage(RUSAGE_SELF, &after);
	assert_in_range(answer->switches, NAPS,
			(after.ru_nvcsw - before.ru_nvcsw) + (after.ru_nivcsw - before.ru_nivcsw));
	bpf_link__destroy(link);
}

static void test_iterated(void **state)
{
	struct harness *h = *state;
	volatile struct loader_answer *answer;
	struct bpf_link *link;
	char nothing;
	int fd;

	assert_int_equal(load(h, NULL, true), 0);
	answer = harness__map_memory(h, ".data.test");
	answer->tgid = (uint32_t)getpid();
	link = bpf_program__attach(bpf_object__find_program_by_name(h->obj, "threads"));
	assert_non_null(link);
	fd = bpf_iter_create(bpf_link__fd(link));
	assert_true(fd >= 0);
	assert_int_equal(read(fd, &nothing, 1), 0);
	assert_int_equal(answer->threads, 1);
	close(fd);
	bpf_link__destroy(link);
}

/* One that the verifier refuses is an error, and nothing stays. Then another try may succeed. */
static void test_refused(void **state)
{
	struct harness *h = *state;
	unsigned int before = descriptors();

	assert_int_equal(load(h, "refused", true), -EACCES);
	harness__stop(h);
	assert_int_equal(descriptors(), before);
	assert_int_equal(load(h, NULL, true), 0);
	assert_int_equal(harness__run(h, "one", 1), 2);
}

/* Who asks for a type that is not there, or of a kernel without types, is told. */
static void test_unknown(void **state)
{
	struct harness *h = *state;

	assert_int_equal(load(h, "nowhere", true), h->variant->raw ? 0 : -ENOENT);
	harness__stop(h);
	assert_int_equal(load(h, NULL, false), -ENOENT);
}

/* What programs store in memory is where user space looks it up, and nowhere else. */
static void test_memory(void **state)
{
	struct loader_pair pairs[LOADER_PAIRS], expected[LOADER_PAIRS] = {{0}};
	struct harness *h = *state;
	uint32_t zero = 0;

	assert_int_equal(load(h, NULL, true), 0);
	expected[0] = (struct loader_pair){1, 2};
	expected[LOADER_PAIRS - 1] = (struct loader_pair){3, 4};
	assert_int_equal(harness__run(h, "store", 0, 1, 2), 0);
	assert_int_equal(harness__run(h, "store", LOADER_PAIRS - 1, 3, 4), 0);
	assert_int_equal(bpf_map_lookup_elem(harness__map_fd(h, "mem_pairs"), &zero, pairs), 0);
	assert_memory_equal(pairs, expected, sizeof(pairs));
	assert_int_equal(harness__run(h, "last"), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HARNESS_BOTH(test_in_their_places), HARNESS_BOTH(test_attached),
		HARNESS_BOTH(test_iterated),        HARNESS_BOTH(test_refused),
		HARNESS_BOTH(test_unknown),         HARNESS_BOTH(test_memory),
	};

	return harness__main(tests);
}
