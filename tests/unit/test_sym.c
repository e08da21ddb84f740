/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* LDFLAGS: -rdynamic */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "core/procmaps.h"
#include "core/sym.h"
#include "core/varfile.h"

/* ---- functions whose names are known -------------------------------------------------------- */

#define TARGET __attribute__((noinline, noclone, used))

TARGET static int a_static_function(int x)
{
	return x * 3 + getpid();
}

int a_global_function(int x);
int a_cpp_function(int x) __asm__("_ZN5shelf4BookIiE4readEiPKc");
int a_rust_function(int x) __asm__("_ZN4core3fmt5write17h0123456789abcdefE");
int a_rust_v0_function(int x) __asm__("_RNvC7mycrate3foo");
int a_broken_function(int x) __asm__("_ZN9nonsense");

TARGET int a_global_function(int x)
{
	return x * 5 + getpid();
}

TARGET int a_cpp_function(int x)
{
	return x * 7 + getpid();
}

TARGET int a_rust_function(int x)
{
	return x * 11 + getpid();
}

TARGET int a_rust_v0_function(int x)
{
	return x * 13 + getpid();
}

TARGET int a_broken_function(int x)
{
	return x * 17 + getpid();
}

/* ---- helpers -------------------------------------------------------------------------------- */

static struct sym_module *open_module(int fd)
{
	struct sym_module *m = NULL;
	const char *why = NULL;

	assert_true(fd >= 0);
	assert_int_equal(sym__open(fd, &m, &why), 0);
	assert_null(why);
	return m;
}

static struct sym_module *open_path(const char *path)
{
	return open_module(open(path, O_RDONLY | O_CLOEXEC));
}

/* @out, a new file, with what is in @path. */
static int copy_to(int out, const char *path)
{
	int in = open(path, O_RDONLY | O_CLOEXEC);
	char buf[65536];
	ssize_t n;

	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, n), n);
	assert_int_equal(n, 0);
	close(in);
	return out;
}

static int copy_of(const char *path)
{
	return copy_to(memfd_create("copy", MFD_CLOEXEC), path);
}

/* The address that the ELF file has for this process's @p, which lies in that file. */
static uint64_t vaddr_of(const struct sym_module *m, const void *p)
{
	const struct procmap *map;
	struct procmaps maps;
	uint64_t vaddr;

	assert_int_equal(procmaps__load("/proc/self/maps", &maps), 0);
	map = procmaps__find(&maps, (uintptr_t)p);
	assert_non_null(map);
	assert_int_equal(sym__vaddr(m, (uintptr_t)p - map->start + map->offset, &vaddr), 0);
	procmaps__free(&maps);
	return vaddr;
}

static void expect(struct sym_module *m, const void *p, const char *name)
{
	uint64_t vaddr = vaddr_of(m, p), start = 0;
	const char *got = sym__find(m, vaddr, &start), *again;

	assert_non_null(got);
	assert_string_equal(got, name);
	assert_int_equal(start, vaddr);
	again = sym__find(m, vaddr + 1, &start);
	assert_ptr_equal(again, got);
	assert_int_equal(start, vaddr);
}

/* ---- the table ------------------------------------------------------------------------------ */

static void expect_rows(const struct symtab *t, uint64_t addr, size_t n, uint32_t name)
{
	size_t first = 0;

	assert_int_equal(symtab__find(t, addr, &first), n);
	if (n > 0)
		assert_int_equal(t->rows[first].name, name);
}

static void test_table(void **state)
{
	struct symtab t = {0};

	(void)state;
	expect_rows(&t, 100, 0, 0);
	assert_int_equal(symtab__add(&t, 500, 100, SYM_GLOBAL, 5), 0);
	assert_int_equal(symtab__add(&t, 520, 10, SYM_LOCAL, 6), 0); /* inside the one before */
	assert_int_equal(symtab__add(&t, 100, 50, SYM_GLOBAL, 1), 0);
	assert_int_equal(symtab__add(&t, 200, 1000, SYM_GLOBAL | SYM_NO_SIZE, 2), 0);
	assert_int_equal(symtab__add(&t, 300, 20, SYM_GLOBAL, 4), 0);
	assert_int_equal(symtab__add(&t, 300, 20, SYM_WEAK, 3), 0);
	assert_int_equal(symtab__add(&t, 400, 0, SYM_GLOBAL, 9), 0);
	assert_int_equal(symtab__add(&t, UINT64_MAX - 9, 1ULL << 40, SYM_GLOBAL, 7), 0);
	symtab__sort(&t);
	expect_rows(&t, 99, 0, 0);
	expect_rows(&t, 100, 1, 1);
	expect_rows(&t, 149, 1, 1);
	expect_rows(&t, 150, 0, 0);
	expect_rows(&t, 299, 1, 2); /* as far as the next */
	expect_rows(&t, 300, 2, 3);
	expect_rows(&t, 320, 0, 0);
	expect_rows(&t, 400, 0, 0);
	expect_rows(&t, 519, 1, 5);
	expect_rows(&t, 529, 1, 6);
	expect_rows(&t, 530, 1, 5); /* around the inner one */
	expect_rows(&t, 600, 0, 0);
	expect_rows(&t, UINT64_MAX, 1, 7);
	symtab__free(&t);
}

/* A million nested functions must not make a look-up slow. */
static void test_table_is_bounded(void **state)
{
	uint64_t begin;
	struct symtab t = {0};
	size_t first;

	(void)state;
	for (uint32_t i = 0; i < 200000; i++)
		assert_int_equal(symtab__add(&t, i, 1, SYM_GLOBAL, i), 0);
	for (uint32_t i = 0; i < 200000; i++)
		assert_int_equal(symtab__add(&t, 1000000, 1, SYM_GLOBAL, i), 0);
	symtab__sort(&t);
	begin = time__now();
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(symtab__find(&t, 500000, &first), 0);
		assert_true(symtab__find(&t, 1000000, &first) <= 64);
	}
	assert_true(time__now() - begin < NSEC_PER_SEC);
	symtab__free(&t);
}

static void test_better(void **state)
{
	(void)state;
	assert_true(symtab__better("a", SYM_LOCAL, "b", SYM_GLOBAL | SYM_NO_SIZE));
	assert_false(symtab__better("a", SYM_GLOBAL | SYM_NO_SIZE, "b", SYM_LOCAL));
	assert_true(symtab__better("read", SYM_WEAK, "__libc_read", SYM_GLOBAL));
	assert_true(symtab__better("long_name", SYM_GLOBAL, "name", SYM_WEAK));
	assert_true(symtab__better("name", SYM_WEAK, "long_name", SYM_WEAK));
	assert_true(symtab__better("a", SYM_WEAK, "b", SYM_WEAK));
	assert_false(symtab__better("a", SYM_WEAK, "a", SYM_WEAK));
}

/* ---- files ---------------------------------------------------------------------------------- */

static void test_own_functions(void **state)
{
	struct sym_module *m = open_path("/proc/self/exe");

	(void)state;
	expect(m, a_static_function, "a_static_function");
	expect(m, a_global_function, "a_global_function");
	sym__free(m);
}

static void test_demangled(void **state)
{
	struct sym_module *m = open_path("/proc/self/exe");

	(void)state;
	expect(m, a_cpp_function, "shelf::Book<int>::read");
	expect(m, a_rust_function, "core::fmt::write");
	expect(m, a_rust_v0_function, "mycrate::foo");
	expect(m, a_broken_function, "_ZN9nonsense");
	sym__free(m);
}

static void test_libc(void **state)
{
	static const char *const names[] = {"puts", "qsort", "read", "getpid", "epoll_wait"};
	void *libc = dlopen("libc.so.6", RTLD_NOW);
	struct sym_module *m;
	Dl_info info;

	(void)state;
	assert_non_null(libc);
	assert_true(dladdr(dlsym(libc, "gnu_get_libc_version"), &info));
	m = open_path(info.dli_fname);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		/* the sanitizer puts itself before some of them */
		void *p = dlsym(libc, names[i]);
		Dl_info where;

		assert_non_null(p);
		if (dladdr(p, &where) && where.dli_fbase == info.dli_fbase)
			expect(m, p, names[i]);
	}
	sym__free(m);
	dlclose(libc);
}

static void test_stripped(void **state)
{
	char path[] = "/tmp/stripped-XXXXXX", command[64];
	struct sym_module *m;
	uint64_t start;

	(void)state;
	close(copy_to(mkstemp(path), "/proc/self/exe"));
	snprintf(command, sizeof(command), "strip %s", path);
	if (system(command) != 0) {
		unlink(path);
		print_message("# there is no strip(1)\n");
		skip();
	}
	m = open_path(path);
	expect(m, a_global_function, "a_global_function");
	/* it lies beside or between functions that have a name, but isn't called like them */
	assert_null(sym__find(m, vaddr_of(m, a_static_function), &start));
	sym__free(m);
	unlink(path);
}

/* The bytes of @needle in the file, replaced by those of @with. */
static void replace(int fd, const char *needle, const char *with)
{
	struct stat st;
	char *map, *at;

	assert_int_equal(strlen(needle), strlen(with));
	assert_int_equal(fstat(fd, &st), 0);
	map = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	for (at = map; (at = memmem(at, map + st.st_size - at, needle, strlen(needle)));)
		memcpy(at, with, strlen(with));
	munmap(map, st.st_size);
}

static void test_control_characters(void **state)
{
	int fd = copy_of("/proc/self/exe");
	struct sym_module *m;

	(void)state;
	replace(fd, "a_global_function", "a_\033lobal\nfunction");
	m = open_module(fd);
	expect(m, a_global_function, "a_?lobal?function");
	sym__free(m);
}

/* Each level doubles what the name stands for: 2^8 characters of it would fill the machine. */
static void test_name_that_explodes(void **state)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char name[1024] = "_Z1fI1PIiiE", *end = name + strlen(name);
	struct sym_module *m;
	uint64_t start;
	const char *got;
	/* an ELF file of one function */
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph;
		Elf64_Shdr sh[3];
		Elf64_Sym sym[2];
		char names[1024];
	} f = {0};
	int fd = memfd_create("explodes", MFD_CLOEXEC);

	(void)state;
	for (int i = 1; i < 33; i++)
		end += sprintf(end, "S0_IS%c_S%c_E", digits[i], digits[i]);
	strcpy(end, "Evv");
	memcpy(f.eh.e_ident, ELFMAG "\2\1\1", 7);
	f.eh.e_version = EV_CURRENT;
	f.eh.e_ehsize = sizeof(f.eh);
	f.eh.e_phoff = offsetof(typeof(f), ph);
	f.eh.e_phentsize = sizeof(f.ph);
	f.eh.e_phnum = 1;
	f.eh.e_shoff = offsetof(typeof(f), sh);
	f.eh.e_shentsize = sizeof(f.sh[0]);
	f.eh.e_shnum = 3;
	f.ph = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_X, .p_filesz = sizeof(f)};
	f.sh[1] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
			       .sh_link = 2,
			       .sh_entsize = sizeof(f.sym[0]),
			       .sh_offset = offsetof(typeof(f), sym),
			       .sh_size = sizeof(f.sym)};
	f.sh[2] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
			       .sh_offset = offsetof(typeof(f), names),
			       .sh_size = sizeof(f.names)};
	f.sym[1] = (Elf64_Sym){.st_name = 1,
			       .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
			       .st_shndx = 1,
			       .st_value = 16,
			       .st_size = 16};
	strcpy(f.names + 1, name);
	assert_int_equal(write(fd, &f, sizeof(f)), sizeof(f));
	m = open_module(fd);
	got = sym__find(m, 20, &start);
	assert_non_null(got);
	assert_true(strlen(got) < SYM_NAME_MAX);
	assert_int_equal(strncmp(got, "f<P<int, int>", 13), 0);
	sym__free(m);
}

static void test_32_bits(void **state)
{
	struct {
		Elf32_Ehdr eh;
		Elf32_Phdr ph;
		Elf32_Shdr sh[4];
		Elf32_Sym sym[4];
		char names[32];
	} f = {0};
	int fd = memfd_create("narrow", MFD_CLOEXEC);
	struct sym_module *m;
	uint64_t start, vaddr;

	(void)state;
	memcpy(f.eh.e_ident, ELFMAG "\1\1\1", 7);
	f.eh.e_version = EV_CURRENT;
	f.eh.e_ehsize = sizeof(f.eh);
	f.eh.e_phoff = offsetof(typeof(f), ph);
	f.eh.e_phentsize = sizeof(f.ph);
	f.eh.e_phnum = 1;
	f.eh.e_shoff = offsetof(typeof(f), sh);
	f.eh.e_shentsize = sizeof(f.sh[0]);
	f.eh.e_shnum = 4;
	f.ph = (Elf32_Phdr){
		.p_type = PT_LOAD, .p_flags = PF_X, .p_vaddr = 0x8000, .p_filesz = sizeof(f)};
	f.sh[1] = (Elf32_Shdr){.sh_type = SHT_SYMTAB,
			       .sh_link = 2,
			       .sh_entsize = sizeof(f.sym[0]),
			       .sh_offset = offsetof(typeof(f), sym),
			       .sh_size = sizeof(f.sym)};
	f.sh[2] = (Elf32_Shdr){.sh_type = SHT_STRTAB,
			       .sh_offset = offsetof(typeof(f), names),
			       .sh_size = sizeof(f.names)};
	f.sh[3] = (Elf32_Shdr){.sh_type = SHT_PROGBITS, .sh_addr = 0x8010, .sh_size = 0x30};
	f.sym[1] = (Elf32_Sym){.st_name = 1,
			       .st_info = ELF32_ST_INFO(STB_GLOBAL, STT_FUNC),
			       .st_shndx = 3,
			       .st_value = 0x8010,
			       .st_size = 16};
	/* without a size: to the end of its section */
	f.sym[2] = (Elf32_Sym){.st_name = 5,
			       .st_info = ELF32_ST_INFO(STB_LOCAL, STT_FUNC),
			       .st_shndx = 3,
			       .st_value = 0x8030};
	f.sym[3] = (Elf32_Sym){.st_name = 9,
			       .st_info = ELF32_ST_INFO(STB_GLOBAL, STT_OBJECT),
			       .st_shndx = 3,
			       .st_value = 0x8040,
			       .st_size = 8};
	memcpy(f.names, "\0one\0two\0three", 15);
	assert_int_equal(write(fd, &f, sizeof(f)), sizeof(f));
	m = open_module(fd);
	assert_int_equal(sym__count(m), 2);
	assert_int_equal(sym__vaddr(m, 0x18, &vaddr), 0);
	assert_int_equal(vaddr, 0x8018);
	assert_string_equal(sym__find(m, vaddr, &start), "one");
	assert_int_equal(start, 0x8010);
	assert_null(sym__find(m, 0x8020, &start));
	assert_string_equal(sym__find(m, 0x803f, &start), "two");
	assert_null(sym__find(m, 0x8040, &start));
	assert_int_equal(sym__vaddr(m, sizeof(f), &vaddr), -ENOENT);
	sym__free(m);
}

/* ---- files that are not what they seem ------------------------------------------------------ */

static void expect_error(int fd, int expected)
{
	struct sym_module *m = NULL;
	const char *why = NULL;

	assert_int_equal(sym__open(fd, &m, &why), expected);
	assert_null(m);
	assert_int_equal(why != NULL, expected == -EBADMSG);
}

static void test_no_elf_file(void **state)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	(void)state;
	expect_error(dup(fd), -ENOEXEC);
	for (int i = 0; i < 100; i++)
		assert_int_equal(write(fd, "#!/bin/sh\n", 10), 10);
	expect_error(fd, -ENOEXEC);
	expect_error(open("/", O_RDONLY | O_CLOEXEC), -EIO);
	expect_error(open("/dev/null", O_RDONLY | O_CLOEXEC), -ENOEXEC);
}

static void test_truncated(void **state)
{
	int fd = copy_of("/proc/self/exe");
	struct sym_module *m;
	const char *why;
	struct stat st;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	for (int i = 400; i >= 0; i--) {
		/* the last 100 within the header */
		off_t size = i < 100 ? i : st.st_size / 401 * i;
		int err;

		assert_int_equal(ftruncate(fd, size), 0);
		err = sym__open(dup(fd), &m, &why);
		assert_true(err < 0);
		assert_true(err == -EBADMSG || size < 64);
	}
	close(fd);
}

/* Opens and uses what may be damaged; it must return, and soon. */
static void use(int fd)
{
	uint64_t begin = time__now(), vaddr, start;
	struct varfile *v = varfile__open(dup(fd));
	struct sym_module *m;
	const char *why;
	char name[64];

	assert_non_null(v);
	for (uint64_t offset = 0; offset < 1 << 20; offset += 4999)
		varfile__name(v, offset, name, sizeof(name));
	varfile__free(v);
	if (sym__open(dup(fd), &m, &why) == 0) {
		for (uint64_t offset = 0; offset < 1 << 20; offset += 4999)
			if (sym__vaddr(m, offset, &vaddr) == 0)
				sym__find(m, vaddr, &start);
		sym__free(m);
	}
	assert_true(time__now() - begin < 2 * NSEC_PER_SEC);
}

static void use_with(int fd, off_t at, unsigned char mask)
{
	unsigned char was, is;

	assert_int_equal(pread(fd, &was, 1, at), 1);
	is = was ^ mask;
	assert_int_equal(pwrite(fd, &is, 1, at), 1);
	use(fd);
	assert_int_equal(pwrite(fd, &was, 1, at), 1);
}

static Elf64_Ehdr header_of(int fd)
{
	Elf64_Ehdr eh;

	assert_int_equal(pread(fd, &eh, sizeof(eh), 0), sizeof(eh));
	return eh;
}

/* Each byte of the headers that are used, with one bit or all of them turned. */
static void test_damaged_headers(void **state)
{
	int fd = copy_of("/proc/self/exe");
	Elf64_Ehdr eh = header_of(fd);
	Elf64_Shdr sh;

	(void)state;
	for (off_t at = 0; at < (off_t)sizeof(eh); at++)
		for (int bit = 0; bit < 8; bit++)
			use_with(fd, at, 1 << bit);
	for (off_t at = 0; at < eh.e_phnum * eh.e_phentsize; at++)
		use_with(fd, eh.e_phoff + at, at % 2 ? 0x80 : 0xff);
	for (int i = 0; i < eh.e_shnum; i++) {
		off_t at = eh.e_shoff + i * eh.e_shentsize;

		assert_int_equal(pread(fd, &sh, sizeof(sh), at), sizeof(sh));
		if (sh.sh_type != SHT_SYMTAB && sh.sh_type != SHT_DYNSYM &&
		    sh.sh_type != SHT_STRTAB)
			continue;
		for (size_t byte = 0; byte < sizeof(sh); byte++)
			use_with(fd, at + byte, byte % 2 ? 0x80 : 0xff);
	}
	close(fd);
}

/* Overwrites random places of the headers and of the symbols and their names, several at once. */
static void test_damaged_at_random(void **state)
{
	int fd = copy_of("/proc/self/exe");
	Elf64_Ehdr eh = header_of(fd);
	char sections[65536], symbols[65536], was[2][65536];
	size_t sections_len = eh.e_shnum * sizeof(Elf64_Shdr), symbols_len;
	Elf64_Shdr sh = {0};
	uint64_t seed = 42;

	(void)state;
	assert_true(sections_len <= sizeof(sections));
	for (int i = 0; i < eh.e_shnum && sh.sh_type != SHT_SYMTAB; i++)
		assert_int_equal(pread(fd, &sh, sizeof(sh), eh.e_shoff + i * eh.e_shentsize),
				 sizeof(sh));
	assert_int_equal(pread(fd, was[0], sections_len, eh.e_shoff), sections_len);
	symbols_len = sh.sh_size < sizeof(symbols) ? sh.sh_size : sizeof(symbols);
	assert_int_equal(pread(fd, was[1], symbols_len, sh.sh_offset), symbols_len);
	for (int round = 0; round < 300; round++) {
		memcpy(sections, was[0], sections_len);
		memcpy(symbols, was[1], symbols_len);
		for (int i = 0; i < 1 + round % 40; i++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			if (round % 2)
				sections[(seed >> 40) % sections_len] = seed >> 32;
			symbols[(seed >> 20) % symbols_len] = seed >> 32;
		}
		assert_int_equal(pwrite(fd, sections, sections_len, eh.e_shoff), sections_len);
		assert_int_equal(pwrite(fd, symbols, symbols_len, sh.sh_offset), symbols_len);
		use(fd);
	}
	close(fd);
}

/* A file of 1 TiB that has nothing in it but headers: what they promise must not be believed. */
static void test_sparse_giant(void **state)
{
	int fd = copy_of("/proc/self/exe");
	Elf64_Ehdr eh = header_of(fd);
	Elf64_Shdr sh;

	(void)state;
	assert_int_equal(ftruncate(fd, 1LL << 40), 0);
	for (int i = 0; i < eh.e_shnum; i++) {
		off_t at = eh.e_shoff + i * eh.e_shentsize;

		assert_int_equal(pread(fd, &sh, sizeof(sh), at), sizeof(sh));
		if (sh.sh_type != SHT_SYMTAB)
			continue;
		sh.sh_offset = 0;
		sh.sh_size = (1LL << 40) / sizeof(Elf64_Sym) * sizeof(Elf64_Sym);
		assert_int_equal(pwrite(fd, &sh, sizeof(sh), at), sizeof(sh));
	}
	expect_error(dup(fd), -EBADMSG);
	/* 2^32 sections by way of section 0 */
	eh.e_shnum = 0;
	assert_int_equal(pwrite(fd, &eh, sizeof(eh), 0), sizeof(eh));
	sh = (Elf64_Shdr){.sh_size = UINT32_MAX};
	assert_int_equal(pwrite(fd, &sh, sizeof(sh), eh.e_shoff), sizeof(sh));
	expect_error(fd, -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_is_bounded),
		cmocka_unit_test(test_better),
		cmocka_unit_test(test_own_functions),
		cmocka_unit_test(test_demangled),
		cmocka_unit_test(test_libc),
		cmocka_unit_test(test_stripped),
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_name_that_explodes),
		cmocka_unit_test(test_32_bits),
		cmocka_unit_test(test_no_elf_file),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_damaged_headers),
		cmocka_unit_test(test_damaged_at_random),
		cmocka_unit_test(test_sparse_giant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
