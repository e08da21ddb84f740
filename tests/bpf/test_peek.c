// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * bpf/lib/peek.bpf.h and CONFIG(): kernel memory by loads is what it is by the helper, and
 * constants are what config says.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "peek_test.h"

#include "peek.btf.skel.h"
#include "peek.raw.skel.h"

static const struct harness_variant btf = {.elf = peek_btf__elf_bytes};
static const struct harness_variant raw = {.elf = peek_raw__elf_bytes, .raw = 1};
static const struct harness_variant peek = {.elf = peek_btf__elf_bytes, .peek = 1};

/* include/linux/kdev_t.h */
static uint64_t kernel_dev(dev_t dev)
{
	return (uint64_t)major(dev) << 20 | minor(dev);
}

static void look_at(struct harness *h, const char *directory)
{
	struct peek_answer *a = h->answer;
	unsigned long generation;
	struct stat st;
	int fd;

	assert_int_equal(chdir(directory), 0);
	fd = open(".", O_RDONLY | O_DIRECTORY);
	assert_int_equal(fstat(fd, &st), 0);
	memset(a, 0x55, sizeof(*a));
	assert_int_equal(harness__run(h, "look", 0), 1);
	assert_int_equal(a->ino, st.st_ino);
	assert_int_equal(a->mode, st.st_mode);
	assert_int_equal(a->dev, kernel_dev(st.st_dev));
	/* Not every file system tells. */
	if (!ioctl(fd, FS_IOC_GETVERSION, &generation))
		assert_int_equal(a->generation, (uint32_t)generation);
	close(fd);
}

static void test_members(void **state)
{
	static const char *const directories[] = {"/", "/tmp", "/proc/self", "/sys"};
	int back = open(".", O_RDONLY | O_DIRECTORY);
	struct harness *h = *state;

	harness__start(h, NULL);
	for (size_t i = 0; i < sizeof(directories) / sizeof(*directories); i++)
		look_at(h, directories[i]);
	assert_int_equal(fchdir(back), 0);
	close(back);
}

/* No address may do harm: what is the user's, what nobody has, what is no address at all. */
static void test_not_mapped(void **state)
{
	static const uint64_t own = 0x1234567812345678;
	const uint64_t nothing[] = {0,
				    8,
				    (uintptr_t)&own,
				    0x00007ffffffff000,
				    0xdead000000000100,
				    0xffffffffffffff00,
				    0xffff800000000000};
	struct harness *h = *state;
	struct peek_answer *a;

	harness__start(h, NULL);
	a = h->answer;
	for (size_t i = 0; i < sizeof(nothing) / sizeof(*nothing); i++) {
		a->word = 0x55;
		harness__run(h, "word", nothing[i]);
		if (a->word)
			fail_msg("0x%llx at 0x%llx", (unsigned long long)a->word,
				 (unsigned long long)nothing[i]);
	}
}

static void test_number(void **state)
{
	struct harness *h = *state;
	struct peek_answer *a;

	harness__start(h, NULL);
	a = h->answer;
	harness__run(h, "number", 0);
	assert_true(a->number[0]);
	assert_int_equal(a->number[0], a->number[1]);
}

static void test_constants(void **state)
{
	const struct config config = {
		.filter = FILTER_TGID | FILTER_COMM,
		.tgid = 0xfedcba98,
		.comm = {1, 0xf1f2f3f4f5f6f7f8},
		.min_ns = 0x8123456789abcdef,
		.banks = 0xfe,
		.follow = 0xff, /* the next one */
	};
	const uint64_t expected[] = {
		config.min_ns, config.tgid, config.banks, config.comm[1], 0, 1, 1};
	struct harness *h = *state;
	struct peek_answer *a;

	harness__start(h, &config);
	a = h->answer;
	memset(a, 0x55, sizeof(*a));
	assert_int_equal(harness__run(h, "constants", 0), 0);
	assert_memory_equal(a->constant, expected, sizeof(expected));
}

static bool is_constant(const char *insn)
{
	uint32_t mark;

	memcpy(&mark, insn + 12, sizeof(mark));
	return insn[0] == 0x18 && (mark & ~0xffU) == CONFIG_MARK;
}

/* Each call and constant is written, and nothing else; what is no ELF file stays as it is. */
static void test_write(void **state)
{
	char junk[] = "no ELF file at all, but as long as a header: 0123456789012345678901234567";
	const struct config config = {.tgid = 1, .min_ns = 1ULL << 32};
	size_t size = 0, calls = 0, constants = 0;
	const char *elf = peek_btf__elf_bytes(&size);
	char same[sizeof(junk)], *copy = malloc(size);

	(void)state;
	assert_non_null(copy);
	memcpy(copy, elf, size);
	assert_int_equal(patch__write(copy, size, 0x01020304, &config), 0);
	for (size_t i = 0; i + 16 <= size; i += 8) {
		if (!memcmp(elf + i, copy + i, 8))
			continue;
		if (is_constant(elf + i)) {
			assert_memory_equal(copy + i, elf + i, 4);
			assert_memory_equal(copy + i + 8, elf + i + 8, 4);
			assert_false(is_constant(copy + i));
			constants++;
			i += 8;
			continue;
		}
		calls++;
		assert_memory_equal(elf + i, "\x85\0\0\0\0\0\xd0\x7d", 8);
		assert_memory_equal(copy + i, "\x85\x20\0\0\x04\x03\x02\x01", 8);
	}
	assert_in_range(calls, 3, 100); /* each program that peeks has one at least */
	assert_in_range(constants, 7 + calls, 200);
	free(copy);
	memcpy(same, junk, sizeof(junk));
	assert_int_equal(patch__write(junk, sizeof(junk), 1, &config), -EINVAL);
	assert_memory_equal(junk, same, sizeof(junk));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HARNESS_PEEK(test_members),    HARNESS_BOTH(test_not_mapped),
		HARNESS_PEEK(test_not_mapped), HARNESS_BOTH(test_number),
		HARNESS_PEEK(test_number),     HARNESS_BOTH(test_constants),
		cmocka_unit_test(test_write),
	};

	return harness__main(tests);
}
