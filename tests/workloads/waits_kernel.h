/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Waits inside the kernel: timers, disks, file systems, kernel locks, page faults, signals. */
#ifndef DWELL_WAITS_KERNEL_H
#define DWELL_WAITS_KERNEL_H

#include "fuse.h"
#include "waits.h"

#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/vfs.h>

/* ---- timers ---- */

static void sleep__relative(struct wait *w, unsigned int i)
{
	(void)i;
	workload__sleep(w->hold_ns);
}

static void sleep__absolute(struct wait *w, unsigned int i)
{
	uint64_t end = workload__now() + w->hold_ns;
	struct timespec ts = {(time_t)(end / WORKLOAD_SEC), (long)(end % WORKLOAD_SEC)};

	(void)i;
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static void sleep__poll(struct wait *w, unsigned int i)
{
	(void)i;
	poll(NULL, 0, (int)(w->hold_ns / WORKLOAD_MSEC));
}

/* From 0.1 to 30 ms, evenly on a logarithmic scale, in a scattered order: for percentiles. */
static void sleep__spread(struct wait *w, unsigned int i)
{
	double ns = 100000;

	(void)w;
	for (unsigned int step = i * 37 % 100; step; step--)
		ns *= 1.059;
	workload__sleep((uint64_t)ns);
}

/* ---- disk: what a disk takes is not ours to set, so the measure alone is the truth ---- */

#define DISK_BLOCK (256 * 1024)

static void disk__open(struct wait *w, const char *name, int flags)
{
	struct statfs fs;

	snprintf(w->path, sizeof(w->path), "%s", workload__tmpfile(name));
	workload__sys(statfs(workload__tmpdir(), &fs), "statfs");
	if (fs.f_type == TMPFS_MAGIC)
		workload__skip("%s is not on a disk", workload__tmpdir());
	w->fd[0] = (int)workload__sys(open(w->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), w->path);
	/* aligned, as direct I/O wants it */
	w->memory =
		mmap(NULL, DISK_BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->memory == MAP_FAILED)
		workload__die("mmap: %s", strerror(errno));
	memset(w->memory, 'd', DISK_BLOCK);
	if (!flags)
		return;
	w->fd[1] = open(w->path, O_RDWR | O_CLOEXEC | flags);
	if (w->fd[1] < 0)
		workload__skip("no direct I/O on %s: %s", w->path, strerror(errno));
}

static void disk__setup_read(struct wait *w)
{
	disk__open(w, "blocks", O_DIRECT);
	for (unsigned int i = 0; i < w->count; i++)
		workload__sys(pwrite(w->fd[0], w->memory, DISK_BLOCK, (off_t)i * DISK_BLOCK),
			      "pwrite");
	workload__sys(fsync(w->fd[0]), "fsync");
	posix_fadvise(w->fd[0], 0, 0, POSIX_FADV_DONTNEED);
}

static void disk__read(struct wait *w, unsigned int i)
{
	if (pread(w->fd[1], w->memory, DISK_BLOCK, (off_t)i * DISK_BLOCK) != DISK_BLOCK)
		workload__die("pread: %s", strerror(errno));
}

static void disk__setup_sync(struct wait *w)
{
	disk__open(w, "journal", 0);
}

static void disk__sync(struct wait *w, unsigned int i)
{
	workload__sys(pwrite(w->fd[0], w->memory, 4096, (off_t)i * 4096), "pwrite");
	workload__sys(fsync(w->fd[0]), "fsync");
}

/* ---- fs: the server of the FUSE file system answers when the controller lets it ---- */

/* A first open() and close() ask the server what is asked only once; that isn't to be measured. */
static void fs__start(struct wait *w, uint32_t slow, uint32_t open_flags)
{
	w->fuse.open_flags = open_flags;
	fuse__start(w);
	close(fuse__open(w));
	w->fuse.slow = slow;
}

static void fs__setup_read(struct wait *w)
{
	fs__start(w, FUSE_READ, FOPEN_DIRECT_IO);
	w->fd[0] = fuse__open(w);
}

/* Of a call that takes a path, the cause is known by the call alone. */
static void fs__hide_path(struct wait *w)
{
	memcpy(w->address, w->path, sizeof(w->address));
	w->path[0] = '\0';
}

static void fs__setup_open(struct wait *w)
{
	fs__start(w, FUSE_OPEN, FOPEN_DIRECT_IO);
	fs__hide_path(w);
}

static void fs__setup_stat(struct wait *w)
{
	w->fuse.fresh = true;
	fs__start(w, FUSE_GETATTR, FOPEN_DIRECT_IO);
	fs__hide_path(w);
}

static void fs__read(struct wait *w, unsigned int i)
{
	char c;

	if (pread(w->fd[0], &c, 1, (off_t)i) != 1)
		workload__die("pread: %s", strerror(errno));
}

static void fs__open(struct wait *w, unsigned int i)
{
	/* no other call of that name: the C library opens its files with openat() */
	struct open_how how = {.flags = O_RDWR | O_CLOEXEC};

	(void)i;
	w->fd[2] = (int)workload__sys(syscall(SYS_openat2, AT_FDCWD, w->address, &how, sizeof(how)),
				      w->address);
}

static void fs__close(struct wait *w, unsigned int i)
{
	(void)i;
	close(w->fd[2]);
}

static void fs__stat(struct wait *w, unsigned int i)
{
	struct stat st;

	(void)i;
	workload__sys(stat(w->address, &st), "stat");
}

static void fs__release(struct wait *w, unsigned int i)
{
	(void)i;
	sem_post(&w->fuse.go);
}

/* ---- klock, a rwsem: a slow direct write holds the inode's lock, and the victim wants it ---- */

static void *inode__holder(void *arg)
{
	struct wait *w = arg;

	w->holder_tid = workload__tid();
	for (unsigned int i = 0; i < w->count; i++) {
		while (sem_wait(&w->kick))
			;
		workload__sys(pwrite(w->fd[0], "x", 1, 0), "pwrite");
	}
	return NULL;
}

static void inode__setup(struct wait *w)
{
	fs__start(w, FUSE_WRITE, FOPEN_DIRECT_IO);
	for (int i = 0; i < 2; i++)
		w->fd[i] = fuse__open(w);
	w->path[0] = '\0'; /* a lock has no path */
	workload__sys(sem_init(&w->kick, 0, 0), "sem_init");
	wait__spawn(w, "holder", inode__holder);
}

static void inode__hold(struct wait *w, unsigned int i)
{
	(void)i;
	sem_post(&w->kick);
	while (sem_wait(&w->fuse.seen))
		;
}

/* Takes the inode's lock, finds nothing to write, and asks the server for nothing. */
static void inode__block(struct wait *w, unsigned int i)
{
	(void)i;
	workload__sys(pwrite(w->fd[1], "", 0, 0), "pwrite");
}

/* ---- page faults that are answered when we like ---- */

static void uffd__setup(struct wait *w)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};

	w->page = (size_t)sysconf(_SC_PAGESIZE);
	w->memory = mmap(NULL, w->count * w->page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->memory == MAP_FAILED)
		workload__die("mmap: %s", strerror(errno));
	madvise(w->memory, w->count * w->page, MADV_NOHUGEPAGE);
	/* Without O_NONBLOCK, poll() on it returns at once, with POLLERR. */
	w->fd[2] = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (w->fd[2] < 0)
		workload__skip("userfaultfd: %s", strerror(errno));
	reg.range.start = (uintptr_t)w->memory;
	reg.range.len = w->count * w->page;
	if (ioctl(w->fd[2], UFFDIO_API, &api) || ioctl(w->fd[2], UFFDIO_REGISTER, &reg))
		workload__skip("userfaultfd: %s", strerror(errno));
}

static void uffd__touch(struct wait *w, unsigned int i)
{
	*(volatile char *)(w->memory + i * w->page) = 1;
}

/* A system call that has nothing to do with files, and faults when it hands over its result. */
static void uffd__copy(struct wait *w, unsigned int i)
{
	if (syscall(SYS_getrandom, w->memory + i * w->page, 1, 0) != 1)
		workload__die("getrandom: %s", strerror(errno));
}

/* Waits until the fault has come, without answering it. */
static void uffd__await(struct wait *w)
{
	struct pollfd fd = {.fd = w->fd[2], .events = POLLIN};

	while (poll(&fd, 1, -1) != 1 || fd.revents != POLLIN)
		;
}

static void uffd__answer(struct wait *w, unsigned int i)
{
	struct uffdio_zeropage zero = {.range.len = w->page};
	struct uffd_msg msg;

	(void)i;
	uffd__await(w);
	workload__sys(read(w->fd[2], &msg, sizeof(msg)), "read of userfaultfd");
	if (msg.event != UFFD_EVENT_PAGEFAULT)
		workload__die("userfaultfd: unexpected event %u", msg.event);
	zero.range.start = msg.arg.pagefault.address & ~(uint64_t)(w->page - 1);
	workload__sys(ioctl(w->fd[2], UFFDIO_ZEROPAGE, &zero), "UFFDIO_ZEROPAGE");
}

/*
 * A mapped file that is slow to read. Whether the kernel takes the wait for the page for block I/O
 * depends on its version: on who waits, the file system or the page cache.
 */
static void mapped__setup(struct wait *w)
{
	fs__start(w, FUSE_READ, 0);
	w->page = (size_t)sysconf(_SC_PAGESIZE);
	w->fd[0] = fuse__open(w);
	w->path[0] = '\0'; /* no cause knows which mapping it was */
	w->memory = mmap(NULL, w->count * w->page, PROT_READ, MAP_SHARED, w->fd[0], 0);
	if (w->memory == MAP_FAILED)
		workload__skip("mmap of a FUSE file: %s", strerror(errno));
	madvise(w->memory, w->count * w->page, MADV_RANDOM); /* no read-ahead: a read per page */
}

static void mapped__touch(struct wait *w, unsigned int i)
{
	(void)*(volatile char *)(w->memory + i * w->page);
}

static void mapped__finish(struct wait *w)
{
	munmap(w->memory, w->count * w->page);
	fuse__stop(w);
}

/* ---- klock, a mutex: a write() that faults on its source holds the pipe's mutex meanwhile ---- */

static void *pipemutex__holder(void *arg)
{
	struct wait *w = arg;

	w->holder_tid = workload__tid();
	for (unsigned int i = 0; i < w->count; i++) {
		while (sem_wait(&w->kick))
			;
		workload__sys(write(w->fd[1], w->memory + i * w->page, 1), "write");
	}
	return NULL;
}

static void pipemutex__setup(struct wait *w)
{
	uffd__setup(w);
	workload__sys(pipe2(w->fd, O_CLOEXEC), "pipe2");
	workload__sys(sem_init(&w->kick, 0, 0), "sem_init");
	wait__spawn(w, "holder", pipemutex__holder);
}

static void pipemutex__hold(struct wait *w, unsigned int i)
{
	(void)i;
	sem_post(&w->kick);
	uffd__await(w);
}

/* ---- waiting for a signal ---- */

static void pause__on_signal(int sig)
{
	(void)sig;
}

static void pause__setup(struct wait *w)
{
	struct sigaction action = {.sa_handler = pause__on_signal};

	(void)w;
	sigaction(SIGUSR1, &action, NULL);
}

static void pause__block(struct wait *w, unsigned int i)
{
	(void)w;
	(void)i;
	pause();
}

static void pause__release(struct wait *w, unsigned int i)
{
	(void)i;
	workload__sys(syscall(SYS_tgkill, getpid(), w->victim_tid, SIGUSR1), "tgkill");
}

#endif
