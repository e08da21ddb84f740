/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* An executable at fixed addresses; test_sym is one that is position-independent. */
/* CFLAGS: -fno-pie */
/* LDFLAGS: -no-pie */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/procmaps.h"
#include "core/stacks.h"

#include "capture.h"

/* Two functions without a gap: a call that is the first one's last instruction returns into the
 * second. */
__asm__(".text\n"
	".p2align 4\n"
	".type ends_with_a_call, @function\n"
	".globl ends_with_a_call, comes_after\n"
	"ends_with_a_call: .skip 16, 0x90\n"
	".size ends_with_a_call, . - ends_with_a_call\n"
	".type comes_after, @function\n"
	"comes_after: .skip 16, 0x90\n"
	".size comes_after, . - comes_after\n");
void ends_with_a_call(void);
void comes_after(void);

__attribute__((noinline, noclone, used)) static int a_static_function(int x)
{
	return x * 3 + getpid();
}

/* ---- helpers -------------------------------------------------------------------------------- */

static struct stacks *new_stacks(const char *proc)
{
	struct stacks *s = stacks__new(proc);

	assert_non_null(s);
	return s;
}

/* The frame of one address of this process. */
static struct sym_frame frame_of(struct stacks *s, uint64_t ip)
{
	struct sym_frame frame;

	stacks__user(s, getpid(), 0, &ip, 1, &frame);
	return frame;
}

static void expect_text(const struct sym_frame *frame, const char *text)
{
	char buf[256];

	stacks__print_name(frame, buf, sizeof(buf));
	assert_string_equal(buf, text);
}

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* A copy of this program under /tmp, to be unlinked. */
static void copy_program(const char *path)
{
	int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int out = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	char buf[65536];
	ssize_t n;

	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, n), n);
	close(in);
	close(out);
}

/* Where in this program's file the page of a_static_function() is. */
static uint64_t code_offset(uint64_t *within_page)
{
	const uint64_t page = sysconf(_SC_PAGESIZE);
	const struct procmap *map;
	struct procmaps maps;
	uint64_t offset;

	assert_int_equal(procmaps__load("/proc/self/maps", &maps), 0);
	map = procmaps__find(&maps, (uintptr_t)a_static_function);
	assert_non_null(map);
	offset = (uintptr_t)a_static_function - map->start + map->offset;
	procmaps__free(&maps);
	*within_page = offset % page;
	return offset - offset % page;
}

/* Maps the code of the copy of this program at @path; the address of its a_static_function(). */
static uint64_t map_copy(const char *path, void **page)
{
	uint64_t within, offset = code_offset(&within);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	*page = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, offset);
	assert_true(*page != MAP_FAILED);
	close(fd);
	return (uintptr_t)*page + within;
}

static void unmap(void *page)
{
	assert_int_equal(munmap(page, sysconf(_SC_PAGESIZE)), 0);
}

/* ---- user stacks ---------------------------------------------------------------------------- */

static void test_own_stack(void **state)
{
	struct stacks *s = new_stacks(NULL);
	uint64_t ips[] = {(uintptr_t)a_static_function + 2, (uintptr_t)comes_after,
			  (uintptr_t)comes_after + 4};
	struct sym_frame f[3];

	(void)state;
	stacks__user(s, getpid(), 0, ips, 3, f);
	assert_string_equal(f[0].symbol, "a_static_function");
	assert_string_equal(f[0].module, "test_stacks");
	assert_int_equal(f[0].offset, 2);
	/* not position-independent: the file's addresses are the process's */
	assert_int_equal(f[0].module_offset, ips[0]);
	/* a return address belongs to the call before it */
	assert_string_equal(f[1].symbol, "ends_with_a_call");
	assert_int_equal(f[1].offset, 16);
	assert_int_equal(f[1].module_offset, ips[1]);
	assert_string_equal(f[2].symbol, "comes_after");
	assert_int_equal(f[2].offset, 4);
	/* the innermost frame is no return address */
	stacks__user(s, getpid(), 0, ips + 1, 1, f);
	assert_string_equal(f[0].symbol, "comes_after");
	assert_int_equal(f[0].offset, 0);
	expect_text(&f[0], "comes_after");
	stacks__free(s);
}

static void test_libc(void **state)
{
	struct stacks *s = new_stacks(NULL);
	void *libc = dlopen("libc.so.6", RTLD_NOW);
	uint64_t ip = (uintptr_t)dlsym(libc, "gnu_get_libc_version");
	struct sym_frame f;
	Dl_info info;

	(void)state;
	assert_true(ip && dladdr((void *)ip, &info));
	f = frame_of(s, ip + 1);
	assert_string_equal(f.symbol, "gnu_get_libc_version");
	assert_string_equal(f.module, "libc.so.6");
	assert_int_equal(f.offset, 1);
	assert_int_equal(f.module_offset, ip + 1 - (uintptr_t)info.dli_fbase);
	stacks__free(s);
	dlclose(libc);
}

static void test_vdso(void **state)
{
	struct stacks *s = new_stacks(NULL);
	void *vdso = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD);
	void *p = vdso ? dlsym(vdso, "__vdso_clock_gettime") : NULL;
	struct sym_frame f;

	(void)state;
	if (!p) {
		stacks__free(s);
		print_message("# there is no vdso\n");
		skip();
	}
	f = frame_of(s, (uintptr_t)p);
	assert_string_equal(f.symbol, "clock_gettime");
	assert_string_equal(f.module, "[vdso]");
	stacks__free(s);
	dlclose(vdso);
}

static void test_no_file(void **state)
{
	struct stacks *s = new_stacks(NULL);
	char *jit = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sym_frame f;

	(void)state;
	assert_true(jit != MAP_FAILED);
	f = frame_of(s, (uintptr_t)jit + 0x10);
	assert_null(f.symbol);
	assert_string_equal(f.module, "[anon]");
	/* neighbours without a name are one mapping */
	assert_true(f.module_offset >= 0x10);
	f.module_offset = 0x10;
	expect_text(&f, "[anon+0x10]");
	f = frame_of(s, 0x1234);
	assert_null(f.symbol);
	assert_null(f.module);
	expect_text(&f, "[0x1234]");
	munmap(jit, 4096);
	stacks__free(s);
}

static void test_deleted_file(void **state)
{
	static const char path[] = "/tmp/test-stacks-deleted";
	struct stacks *s = new_stacks(NULL);
	struct sym_frame f;
	uint64_t ip;
	void *page;

	(void)state;
	copy_program(path);
	ip = map_copy(path, &page);
	unlink(path);
	f = frame_of(s, ip);
	assert_string_equal(f.module, "test-stacks-deleted");
	if (geteuid() == 0)
		assert_string_equal(f.symbol, "a_static_function");
	else
		assert_null(f.symbol);
	unmap(page);
	stacks__free(s);
}

/* Another file of the same name is not the one that is mapped. */
static void test_replaced_file(void **state)
{
	static const char path[] = "/tmp/test-stacks-replaced";
	struct stacks *s = new_stacks(NULL);
	struct sym_frame f;
	uint64_t ip;
	void *page;

	(void)state;
	copy_program(path);
	ip = map_copy(path, &page);
	assert_int_equal(stacks__remember(s, getpid()), 0);
	unmap(page);
	unlink(path);
	/* keeps the inode's number from being taken again */
	assert_int_equal(symlink("x", "/tmp/test-stacks-link"), 0);
	copy_program(path);
	f = frame_of(s, ip);
	assert_string_equal(f.module, "test-stacks-replaced");
	assert_null(f.symbol);
	unlink("/tmp/test-stacks-link");
	unlink(path);
	stacks__free(s);
}

/* What is at the path now must not be opened if it isn't a file: it would block or have effects. */
static void test_fifo_in_place_of_file(void **state)
{
	static const char path[] = "/tmp/test-stacks-fifo";
	struct stacks *s = new_stacks(NULL);
	struct sym_frame f;
	uint64_t ip;
	void *page;

	(void)state;
	copy_program(path);
	ip = map_copy(path, &page);
	assert_int_equal(stacks__remember(s, getpid()), 0);
	unmap(page);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	f = frame_of(s, ip);
	unlink(path);
	assert_null(f.symbol);
	stacks__free(s);
}

static void test_hostile_path(void **state)
{
	static const char path[] = "/tmp/test stacks\n\033[2J (deleted)";
	struct stacks *s = new_stacks(NULL);
	struct sym_frame f;
	uint64_t ip;
	void *page;

	(void)state;
	copy_program(path);
	ip = map_copy(path, &page);
	f = frame_of(s, ip);
	unlink(path);
	assert_string_equal(f.module, "test stacks??[2J");
	if (geteuid() == 0)
		assert_string_equal(f.symbol, "a_static_function");
	unmap(page);
	stacks__free(s);
}

static void test_damaged_file(void **state)
{
	static const char path[] = "/tmp/test-stacks-damaged";
	static struct capture capture;
	struct stacks *s = new_stacks(NULL);
	uint64_t ip, bad = 1ULL << 60, within, offset = code_offset(&within);
	struct sym_frame f;
	char text[128];
	void *page;
	int fd;

	(void)state;
	copy_program(path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &bad, sizeof(bad), 40), sizeof(bad)); /* e_shoff */
	close(fd);
	ip = map_copy(path, &page);
	capture__begin(&capture, STDERR_FILENO);
	f = frame_of(s, ip);
	frame_of(s, ip + 1);
	/* said once */
	assert_string_equal(capture__end(&capture),
			    "dwell: test-stacks-damaged: ELF file with section headers outside the "
			    "file: no names for its functions\n");
	unlink(path);
	assert_null(f.symbol);
	snprintf(text, sizeof(text), "[test-stacks-damaged+0x%" PRIx64 "]", offset + within);
	expect_text(&f, text);
	unmap(page);
	stacks__free(s);
}

static void test_mapped_later(void **state)
{
	static const char path[] = "/tmp/test-stacks-later";
	struct stacks *s = new_stacks(NULL);
	struct sym_frame f;
	uint64_t ip, gone;
	void *page, *page2;

	(void)state;
	copy_program(path);
	gone = map_copy(path, &page2);
	assert_int_equal(stacks__remember(s, getpid()), 0);
	/* elsewhere for sure: page2 is still mapped */
	ip = map_copy(path, &page);
	unmap(page2);
	/* not read again at once… */
	f = frame_of(s, ip);
	assert_null(f.module);
	usleep(1100000);
	/* …but then, and what was known before is still known */
	f = frame_of(s, ip);
	assert_string_equal(f.symbol, "a_static_function");
	f = frame_of(s, gone);
	assert_string_equal(f.symbol, "a_static_function");
	unlink(path);
	unmap(page);
	stacks__free(s);
}

/* ---- other processes ------------------------------------------------------------------------ */

/* posix_spawn() returns when the new program is there, and with it none of this one's mappings. */
static pid_t start_sleeper(void)
{
	char *argv[] = {"sleep", "60", NULL};
	pid_t pid;

	assert_int_equal(posix_spawn(&pid, "/bin/sleep", NULL, NULL, argv, environ), 0);
	return pid;
}

/* Where process @pid has what this one has at @addr, a byte of a library; 0 until it is mapped. */
static uint64_t same_in(pid_t pid, uint64_t addr)
{
	struct procmaps mine, other;
	const struct procmap *m;
	uint64_t found = 0;
	char path[64];

	assert_int_equal(procmaps__load("/proc/self/maps", &mine), 0);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	assert_int_equal(procmaps__load(path, &other), 0);
	m = procmaps__find(&mine, addr);
	assert_non_null(m);
	for (size_t i = 0; i < other.n; i++)
		if (other.map[i].inode == m->inode && other.map[i].offset == m->offset)
			found = other.map[i].start + (addr - m->start);
	procmaps__free(&mine);
	procmaps__free(&other);
	return found;
}

static uint64_t wait_for(pid_t pid, uint64_t addr)
{
	uint64_t found = 0;

	for (int i = 0; i < 500 && !found; i++) {
		found = same_in(pid, addr);
		usleep(10000);
	}
	assert_true(found != 0);
	return found;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_exited_process(void **state)
{
	struct stacks *s = new_stacks(NULL);
	void *libc = dlopen("libc.so.6", RTLD_NOW);
	uint64_t mine = (uintptr_t)dlsym(libc, "gnu_get_libc_version"), ip;
	pid_t pid = start_sleeper(), forgotten = start_sleeper();
	struct sym_frame f;

	(void)state;
	ip = wait_for(pid, mine);
	assert_int_equal(stacks__remember(s, pid), 0);
	assert_int_equal(stacks__remember(s, pid), 0);
	end(pid);
	end(forgotten);
	assert_int_equal(stacks__remember(s, pid), -ENOENT);
	assert_int_equal(stacks__remember(s, forgotten), -ENOENT);
	stacks__user(s, pid, 0, &ip, 1, &f);
	assert_string_equal(f.symbol, "gnu_get_libc_version");
	assert_string_equal(f.module, "libc.so.6");
	stacks__user(s, forgotten, 0, &ip, 1, &f);
	assert_null(f.symbol);
	assert_null(f.module);
	assert_int_equal(f.module_offset, ip);
	stacks__free(s);
	dlclose(libc);
}

static void test_modules_are_shared(void **state)
{
	struct stacks *s = new_stacks(NULL);
	void *libc = dlopen("libc.so.6", RTLD_NOW);
	uint64_t mine = (uintptr_t)dlsym(libc, "gnu_get_libc_version"), ip;
	pid_t pid = start_sleeper();
	struct sym_frame f, other;
	int descriptors;

	(void)state;
	ip = wait_for(pid, mine);
	f = frame_of(s, mine);
	descriptors = open_descriptors();
	stacks__user(s, pid, 0, &ip, 1, &other);
	assert_int_equal(open_descriptors(), descriptors);
	assert_ptr_equal(f.symbol, other.symbol);
	assert_ptr_equal(f.module, other.module);
	assert_int_equal(f.module_offset, other.module_offset);
	end(pid);
	stacks__free(s);
	dlclose(libc);
}

/* Recorded from elsewhere: no file of it is here, or it has another inode. */
static void test_recorded_process(void **state)
{
	static const struct {
		uint64_t ip;
		const char *text;
	} expected[] = {
		{0x401010, "[server v2+0x1010]"},
		{0x7f2c40000040, "[anon+0x40]"},
		{0x7f2c48000001, "[anon:v8 code+0x1]"},
		{0x7f2c50000001, "[memfd:doublemapper+0x2001]"},
		{0x7f2c61000005, "[lib?x.so+0x3005]"},
		{0x7f2c62000000, "[libold.so.1+0x0]"},
		{0x7f2c63028010, "[libc.so.6+0x28010]"},
		{0xffffffffff600400, "[vsyscall+0x400]"},
		{0x500000, "[0x500000]"},
	};
	struct stacks *s = new_stacks("tests/unit/fixtures/proc");
	struct sym_frame f;

	(void)state;
	assert_int_equal(stacks__remember(s, 4711), 0);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		stacks__user(s, 4711, 0, &expected[i].ip, 1, &f);
		assert_null(f.symbol);
		expect_text(&f, expected[i].text);
	}
	stacks__free(s);
}

/* Where map_files has nothing to offer, the path counts in the process's own root. */
static void test_other_root(void **state)
{
	static const char proc[] = "/tmp/test-stacks-proc",
			  path[] = "/tmp/test-stacks-proc/77/root/prog";
	uint64_t within, offset = code_offset(&within), ip = 0x10000000 + within;
	struct sym_frame f;
	struct stacks *s;
	struct stat st;
	FILE *maps;

	(void)state;
	assert_int_equal(mkdir(proc, 0700), 0);
	assert_int_equal(mkdir("/tmp/test-stacks-proc/77", 0700), 0);
	assert_int_equal(mkdir("/tmp/test-stacks-proc/77/root", 0700), 0);
	copy_program(path);
	assert_int_equal(stat(path, &st), 0);
	maps = fopen("/tmp/test-stacks-proc/77/maps", "w");
	assert_non_null(maps);
	fprintf(maps, "10000000-10001000 r-xp %" PRIx64 " 00:00 %" PRIu64 " /prog\n", offset,
		(uint64_t)st.st_ino);
	fclose(maps);
	s = new_stacks(proc);
	stacks__user(s, 77, 0, &ip, 1, &f);
	assert_string_equal(f.symbol, "a_static_function");
	stacks__free(s);
	assert_int_equal(system("rm -r /tmp/test-stacks-proc"), 0);
}

/* ---- kernel stacks -------------------------------------------------------------------------- */

static void test_kernel_stack(void **state)
{
	struct stacks *s = new_stacks("tests/unit/fixtures/proc");
	uint64_t ips[] = {0xffffffff81000180, 0xffffffff81000180, 0xffffffffc0300108, 0x1234};
	struct sym_frame f[4];

	(void)state;
	assert_int_equal(stacks__kernel(s, ips, 4, f), 0);
	assert_string_equal(f[0].symbol, "ksys_read_alias");
	assert_int_equal(f[0].offset, 0);
	assert_null(f[0].module);
	assert_int_equal(f[0].module_offset, ips[0]);
	assert_string_equal(f[1].symbol, "do_one_thing");
	assert_int_equal(f[1].offset, 0x80);
	assert_string_equal(f[2].symbol, "ext4_writepage");
	assert_string_equal(f[2].module, "[ext4]");
	assert_null(f[3].symbol);
	expect_text(&f[3], "[0x1234]");
	stacks__free(s);
}

static void test_kernel_restricted(void **state)
{
	struct stacks *s = new_stacks("tests/unit/fixtures/proc-restricted");
	uint64_t ip = 0xffffffff81000180;
	struct sym_frame f;

	(void)state;
	assert_int_equal(stacks__kernel(s, &ip, 1, &f), -EPERM);
	assert_int_equal(stacks__kernel(s, &ip, 1, &f), -EPERM);
	expect_text(&f, "[0xffffffff81000180]");
	stacks__free(s);
}

static void test_print_name_is_cut(void **state)
{
	struct sym_frame f = {.symbol = "a_long_name"};
	char buf[8];

	(void)state;
	stacks__print_name(&f, buf, sizeof(buf));
	assert_string_equal(buf, "a_long_");
	f = (struct sym_frame){.module = "[]", .module_offset = 1};
	stacks__print_name(&f, buf, sizeof(buf));
	assert_string_equal(buf, "[[]+0x1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_stack),
		cmocka_unit_test(test_libc),
		cmocka_unit_test(test_vdso),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_deleted_file),
		cmocka_unit_test(test_replaced_file),
		cmocka_unit_test(test_fifo_in_place_of_file),
		cmocka_unit_test(test_hostile_path),
		cmocka_unit_test(test_damaged_file),
		cmocka_unit_test(test_mapped_later),
		cmocka_unit_test(test_exited_process),
		cmocka_unit_test(test_modules_are_shared),
		cmocka_unit_test(test_recorded_process),
		cmocka_unit_test(test_other_root),
		cmocka_unit_test(test_kernel_stack),
		cmocka_unit_test(test_kernel_restricted),
		cmocka_unit_test(test_print_name_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
