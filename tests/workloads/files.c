// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * files DIR [ROUNDS]: makes known numbers of file operations on two files in DIR, in turn, which
 *	are made, renamed and deleted each time; times its own fsyncs. Prints what it did as JSON.
 * files DIR many N: makes, closes and deletes N files.
 * files DIR busy: reads and writes a cached file as fast as it can, until it is killed.
 * files DIR deep: writes to a file whose path is longer than anybody keeps, and whose directories
 *	are more; and asks for one by a path that is too long.
 */
#include <sys/mman.h>
#include <sys/uio.h>

#include "workload.h"

#define BYTES      4096
#define DEPTH      40
#define DEEP_NAME  "a-directory-whose-name-is-not-short"
#define DIR_BUFFER 65536

struct files {
	int dir;
	const char *path;
	uint64_t rounds;
	uint64_t *samples; /* of each fsync, ns */
	char buffer[BYTES];
};

static void files__stat(int dirfd, const char *path, int flags, int error)
{
	struct stat st;
	long err = syscall(SYS_newfstatat, dirfd, path, &st, flags);

	if (error ? err >= 0 || errno != error : err < 0)
		workload__die("stat %s: %s", path, strerror(errno));
}

/* Reads in three ways: 2 * BYTES + BYTES / 2 in all. */
static void files__read(struct files *f, int fd)
{
	struct iovec iov[2] = {{f->buffer, BYTES / 4}, {f->buffer + BYTES / 2, BYTES / 4}};

	workload__sys(syscall(SYS_pread64, fd, f->buffer, BYTES, 0), "pread64");
	workload__sys(syscall(SYS_lseek, fd, 0, SEEK_SET), "lseek");
	workload__sys(syscall(SYS_read, fd, f->buffer, BYTES), "read");
	workload__sys(syscall(SYS_preadv, fd, iov, 2, 0, 0), "preadv");
}

static void files__round(struct files *f, uint64_t round)
{
	const char *name = round & 1 ? "one" : "zero", *other = round & 1 ? "was-one" : "was-zero";
	char path[PATH_MAX];
	uint64_t begin;
	long fd;

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	fd = workload__sys(syscall(SYS_openat, f->dir, name, O_RDWR | O_CREAT, 0600), "openat");
	workload__sys(syscall(SYS_pwrite64, fd, f->buffer, BYTES, 0), "pwrite64");
	begin = workload__now();
	workload__sys(syscall(SYS_fsync, fd), "fsync");
	f->samples[round] = workload__now() - begin;
	files__read(f, (int)fd);
	files__stat((int)fd, "", AT_EMPTY_PATH, 0);
	files__stat(AT_FDCWD, path, 0, 0);
	files__stat(f->dir, "missing", 0, ENOENT);
	workload__sys(syscall(SYS_renameat2, f->dir, name, f->dir, other, 0), "renameat2");
	workload__sys(syscall(SYS_unlinkat, f->dir, other, 0), "unlinkat");
	/* It has no name any more. */
	workload__sys(syscall(SYS_pwrite64, fd, f->buffer, BYTES, 0), "pwrite64");
	workload__sys(syscall(SYS_fdatasync, fd), "fdatasync");
	workload__sys(syscall(SYS_close, fd), "close");
	if (syscall(SYS_openat, f->dir, "missing", O_RDONLY) >= 0)
		workload__die("what is missing was opened");
}

/* What is no file is not to be found. */
static void files__others(struct files *f)
{
	int fds[2];

	workload__sys(pipe(fds), "pipe");
	workload__sys(write(fds[1], f->buffer, 1), "write");
	workload__sys(read(fds[0], f->buffer, 1), "read");
	close(fds[0]);
	close(fds[1]);
	close((int)workload__sys(open("/dev/null", O_RDONLY), "open"));
}

/* A mapped file, synchronised once; and a copy of it by the kernel, twice. */
static void files__mapped(struct files *f)
{
	long fd, out;
	off_t from = 0;
	void *p;

	fd = workload__sys(openat(f->dir, "mapped", O_RDWR | O_CREAT, 0600), "openat");
	out = workload__sys(openat(f->dir, "copy", O_RDWR | O_CREAT, 0600), "openat");
	workload__sys(write((int)fd, f->buffer, BYTES), "write");
	p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	if (p == MAP_FAILED)
		workload__die("mmap: %s", strerror(errno));
	memset(p, 1, BYTES);
	workload__sys(syscall(SYS_msync, p, BYTES, MS_SYNC), "msync");
	workload__sys(syscall(SYS_sendfile, out, fd, &from, BYTES), "sendfile");
	from = 0;
	workload__sys(syscall(SYS_copy_file_range, fd, &from, out, NULL, BYTES, 0),
		      "copy_file_range");
	workload__sys(syscall(SYS_sync_file_range, fd, 0, BYTES, SYNC_FILE_RANGE_WRITE),
		      "sync_file_range");
	munmap(p, BYTES);
	close((int)fd);
	close((int)out);
}

static void files__list(struct files *f)
{
	char *buffer = malloc(DIR_BUFFER);

	if (!buffer)
		workload__die("no memory");
	while (workload__sys(syscall(SYS_getdents64, f->dir, buffer, DIR_BUFFER), "getdents64"))
		;
	free(buffer);
}

static void files__count(struct files *f)
{
	f->samples = calloc(f->rounds, sizeof(*f->samples));
	if (!f->samples)
		workload__die("no memory");
	for (uint64_t i = 0; i < f->rounds; i++)
		files__round(f, i);
	files__others(f);
	files__mapped(f);
	files__list(f);
	printf("{\"pid\":%d,\"dir\":\"%s\",\"rounds\":%llu,\"bytes\":%d,", getpid(), f->path,
	       (unsigned long long)f->rounds, BYTES);
	workload__json_array("fsync", f->samples, f->rounds);
	puts("}");
}

static void files__many(struct files *f, uint64_t n)
{
	char name[32];

	for (uint64_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
		close((int)workload__sys(openat(f->dir, name, O_WRONLY | O_CREAT, 0600), "openat"));
		workload__sys(unlinkat(f->dir, name, 0), "unlinkat");
	}
}

static _Noreturn void files__busy(struct files *f)
{
	long fd = workload__sys(openat(f->dir, "busy", O_RDWR | O_CREAT, 0600), "openat");

	for (;;) {
		workload__sys(pwrite((int)fd, f->buffer, 64, 0), "pwrite");
		workload__sys(pread((int)fd, f->buffer, 64, 0), "pread");
	}
}

static void files__deep(struct files *f)
{
	char path[DEPTH * sizeof(DEEP_NAME) + 1] = "";
	size_t len = 0;
	int dir = f->dir;

	for (int i = 0; i < DEPTH; i++) {
		workload__sys(mkdirat(dir, DEEP_NAME, 0700), "mkdirat");
		dir = (int)workload__sys(openat(dir, DEEP_NAME, O_PATH | O_DIRECTORY), "openat");
		len += (size_t)snprintf(path + len, sizeof(path) - len, DEEP_NAME "/");
	}
	dir = (int)workload__sys(openat(dir, "deep", O_WRONLY | O_CREAT, 0600), "openat");
	workload__sys(write(dir, f->buffer, BYTES), "write");
	files__stat(f->dir, path, 0, 0);
}

int main(int argc, char **argv)
{
	struct files f = {.path = argc > 1 ? argv[1] : "."};

	f.dir = (int)workload__sys(open(f.path, O_RDONLY | O_DIRECTORY), f.path);
	if (argc > 3 && !strcmp(argv[2], "many")) {
		files__many(&f, workload__number(argv[3], 1, 1000000));
	} else if (argc > 2 && !strcmp(argv[2], "busy")) {
		files__busy(&f);
	} else if (argc > 2 && !strcmp(argv[2], "deep")) {
		files__deep(&f);
	} else {
		f.rounds = argc > 2 ? workload__number(argv[2], 2, 100000) : 100;
		files__count(&f);
	}
	return 0;
}
