/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Unwind tables, against libdw's own look-up for each row of stock binaries. */
/* LDFLAGS: -ldw */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/cfi.h"

static const int saved_regs[UNWIND_SAVED] = {3, 6, 12, 13, 14, 15};

/* The register @reg by libdw: 'same', 'cfa' at *@off, 'reg' + off in *@base, 'none', or '?'. */
static char place_of(Dwarf_Frame *frame, int reg, int64_t *off, int *base)
{
	Dwarf_Op mem[3], *ops;
	size_t n;

	assert_int_equal(dwarf_frame_register(frame, reg, mem, &ops, &n), 0);
	if (!n)
		return ops ? 'u' : 's'; /* undefined, same value */
	if (ops[0].atom == DW_OP_call_frame_cfa && n == 1) {
		*off = 0;
		return 'c';
	}
	if (ops[0].atom == DW_OP_call_frame_cfa && n == 2 && ops[1].atom == DW_OP_plus_uconst) {
		*off = (int64_t)ops[1].number;
		return 'c';
	}
	if (n == 1 && ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg15) {
		*base = ops[0].atom - DW_OP_breg0;
		*off = (int64_t)ops[0].number;
		return 'r';
	}
	return '?';
}

static void compare_cfa(const struct unwind_rule *rule, Dwarf_Frame *frame)
{
	Dwarf_Op *ops;
	size_t n;

	assert_int_equal(dwarf_frame_cfa(frame, &ops, &n), 0);
	switch (rule->kind) {
	case UNWIND_REG:
		assert_int_equal(n, 1);
		if (ops[0].atom == DW_OP_bregx) {
			assert_int_equal(ops[0].number, rule->reg);
			assert_int_equal((int64_t)ops[0].number2, rule->offset);
		} else {
			assert_int_equal(ops[0].atom, DW_OP_breg0 + rule->reg);
			assert_int_equal((int64_t)ops[0].number, rule->offset);
		}
		break;
	case UNWIND_SIGNAL:
	case UNWIND_DEREF:
		assert_int_equal(n, 2);
		assert_int_equal(ops[0].atom, DW_OP_breg0 + rule->reg);
		assert_int_equal((int64_t)ops[0].number,
				 rule->offset + (rule->kind == UNWIND_SIGNAL ? 120 : 0));
		assert_int_equal(ops[1].atom, DW_OP_deref);
		break;
	case UNWIND_PLT:
		assert_int_equal(n, 9);
		assert_int_equal(ops[4].atom, DW_OP_lit0 + rule->offset);
		break;
	default:
		fail();
	}
}

/* What no instruction named, libdw may call undefined: callees save it, so it is the same. */
static void compare_saved(const struct unwind_rule *rule, Dwarf_Frame *frame)
{
	for (int i = 0; i < UNWIND_SAVED; i++) {
		int64_t off = 0;
		int base = -1;
		char place = place_of(frame, saved_regs[i], &off, &base);

		if (place == 's' || place == 'u') {
			assert_int_equal(rule->saved[i], UNWIND_SAME);
			continue;
		}
		assert_int_equal(place, rule->kind == UNWIND_DEREF ? 'r' : 'c');
		assert_int_equal(rule->saved[i], off);
		if (place == 'r')
			assert_int_equal(base, rule->reg);
	}
}

struct counts {
	size_t rows, padding, none, ends, plt, signals;
};

/* Of what there is no rule for: libdw has none either, or one that cannot be told in a rule. */
static void compare_none(Dwarf_CFI *cfi, uint64_t pc)
{
	Dwarf_Frame *frame;
	int64_t off;
	int base;
	bool odd;
	Dwarf_Op *ops;
	size_t n;

	if (dwarf_cfi_addrframe(cfi, pc, &frame))
		return;
	odd = dwarf_frame_cfa(frame, &ops, &n) || n != 1 || place_of(frame, 16, &off, &base) != 'c';
	for (int i = 0; i < UNWIND_SAVED; i++)
		odd |= strchr("r?", place_of(frame, saved_regs[i], &off, &base)) != NULL;
	free(frame);
	assert_true(odd);
}

/* The last byte of a row may be padding between functions, of which libdw says nothing. */
static void compare_row(Dwarf_CFI *cfi, const struct cfi_table *t, uint64_t pc, bool first,
			struct counts *counts)
{
	const struct unwind_rule *rule = cfi__find(t, pc);
	Dwarf_Frame *frame;
	int64_t off = 0;
	int base = -1;
	char place;

	counts->rows++;
	if (!rule) {
		counts->none++;
		compare_none(cfi, pc);
		return;
	}
	if (dwarf_cfi_addrframe(cfi, pc, &frame)) {
		counts->padding++;
		assert_false(first);
		return;
	}
	place = place_of(frame, 16, &off, &base);
	if (rule->kind == UNWIND_END) {
		counts->ends++;
		assert_int_equal(place, 'u');
	} else {
		compare_cfa(rule, frame);
	}
	counts->plt += rule->kind == UNWIND_PLT;
	counts->signals += rule->kind == UNWIND_SIGNAL;
	if (rule->kind == UNWIND_REG || rule->kind == UNWIND_DEREF || rule->kind == UNWIND_PLT) {
		assert_int_equal(place, 'c');
		assert_int_equal(off, rule->ra);
		compare_saved(rule, frame);
	}
	free(frame);
}

/* Each row's first and last byte; false if the file isn't there. */
static bool compare(const char *path, struct counts *counts)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *why = NULL;
	struct cfi_table t;
	Dwarf_CFI *cfi;
	Elf *elf;

	*counts = (struct counts){0};
	if (fd < 0)
		return false;
	assert_int_equal(cfi__read(fd, &t, &why), 0);
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	cfi = dwarf_getcfi_elf(elf);
	assert_non_null(cfi);
	for (size_t i = 0; i + 1 < t.n; i++) {
		compare_row(cfi, &t, t.rows[i].pc, true, counts);
		compare_row(cfi, &t, t.rows[i + 1].pc - 1, false, counts);
	}
	dwarf_cfi_end(cfi);
	elf_end(elf);
	cfi__free(&t);
	close(fd);
	assert_true(counts->rows > 0);
	/* Nearly all code has a rule: what has none is padding, and a few lines of assembly. */
	assert_true(counts->none * 50 <= counts->rows + 500);
	return true;
}

static void compare_or_skip(const char *pattern, struct counts *counts)
{
	glob_t found;
	bool done = !glob(pattern, 0, NULL, &found) && compare(found.gl_pathv[0], counts);

	globfree(&found);
	if (!done) {
		printf("# no %s\n", pattern);
		skip();
	}
}

static void test_libc(void **state)
{
	struct counts counts;

	(void)state;
	compare_or_skip("/lib*/*-linux-gnu/libc.so.6", &counts);
	assert_true(counts.signals > 0);
	assert_true(counts.plt > 0);
	assert_true(counts.ends > 0);
}

static void test_loader(void **state)
{
	struct counts counts;

	(void)state;
	compare_or_skip("/lib64/ld-linux-x86-64.so.2", &counts);
}

static void test_cplusplus(void **state)
{
	struct counts counts;

	(void)state;
	compare_or_skip("/usr/lib/*-linux-gnu/libstdc++.so.6", &counts);
}

static void test_postgresql(void **state)
{
	struct counts counts;

	(void)state;
	compare_or_skip("/usr/lib/postgresql/*/bin/postgres", &counts);
	assert_true(counts.plt > 0);
}

static void test_assembly(void **state)
{
	struct counts counts;

	(void)state;
	compare_or_skip("/usr/lib/*-linux-gnu/libcrypto.so.3", &counts);
}

static void test_itself(void **state)
{
	struct counts counts;

	(void)state;
	compare_or_skip("/proc/self/exe", &counts);
}

static void test_vdso(void **state)
{
	const unsigned long image = getauxval(AT_SYSINFO_EHDR);
	int fd = memfd_create("vdso", MFD_CLOEXEC);
	struct counts counts;
	char path[64];
	size_t bytes = 0;

	(void)state;
	/* as far as it reaches */
	for (; write(fd, (void *)(image + bytes), 4096) == 4096 && bytes < 8192; bytes += 4096)
		;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_true(compare(path, &counts));
	close(fd);
}

static void test_not_elf(void **state)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	struct cfi_table t;
	const char *why;

	(void)state;
	assert_int_equal(cfi__read(fd, &t, &why), -ENOEXEC);
	assert_int_equal(t.n, 0);
	close(fd);
}

/* A copy of a real file with one word changed: an error or another table, and never more. */
static void test_damaged(void **state)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	size_t bytes = (size_t)lseek(from, 0, SEEK_END);
	int fd = memfd_create("damaged", MFD_CLOEXEC);
	uint8_t *image;
	const char *why;
	struct cfi_table t;
	unsigned int seed = 1;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	image = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(image != MAP_FAILED);
	assert_int_equal(pread(from, image, bytes, 0), bytes);
	for (int i = 0; i < 200; i++) {
		size_t at = i & 1 ? (size_t)rand_r(&seed) % 64 : (size_t)rand_r(&seed) % bytes;
		uint8_t old = image[at];

		image[at] = (uint8_t)rand_r(&seed);
		cfi__read(fd, &t, &why);
		cfi__free(&t);
		image[at] = old;
	}
	assert_int_equal(cfi__read(fd, &t, &why), 0);
	cfi__free(&t);
	munmap(image, bytes);
	close(fd);
	close(from);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libc),      cmocka_unit_test(test_loader),
		cmocka_unit_test(test_cplusplus), cmocka_unit_test(test_postgresql),
		cmocka_unit_test(test_assembly),  cmocka_unit_test(test_itself),
		cmocka_unit_test(test_vdso),      cmocka_unit_test(test_not_elf),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
