// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <string.h>
#include <sys/syscall.h>

#include "core/syscalls.h"

/* Generated from <sys/syscall.h> as the compiler sees it. */
static const char *const names[] = {
#include "syscall_names.h"
};

/*
 * What may be younger than the headers: include/uapi/asm-generic/unistd.h. From 424 on, numbers are
 * the same on all architectures.
 */
#define LATER_FIRST 451
static const char *const later[] = {
	"cachestat",         "fchmodat2",         "map_shadow_stack", "futex_wake",
	"futex_wait",        "futex_requeue",     "statmount",        "listmount",
	"lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules", "mseal",
	"setxattrat",        "getxattrat",        "listxattrat",      "removexattrat",
	"open_tree_attr",    "file_getattr",      "file_setattr",
};

#ifndef __NR_futex_wait
#define __NR_futex_wait 455 /* 6.7 */
#endif

/* Numbers that an architecture lacks are left out by the #ifdefs at the end. */
static const struct {
	uint16_t nr;
	uint8_t class;
} classes[] = {
#define C(name, class)                                                                             \
	{                                                                                          \
		__NR_##name, CLASS_##class                                                         \
	}
	/* clang-format off */
	C(read, FD), C(write, FD), C(pread64, FD), C(pwrite64, FD), C(readv, FD), C(writev, FD),
	C(preadv, FD), C(pwritev, FD), C(preadv2, FD), C(pwritev2, FD), C(sendfile, FD),
	C(copy_file_range, FD), C(splice, FD), C(vmsplice, FD), C(tee, FD), C(readahead, FD),
	C(fsync, FD), C(fdatasync, FD), C(sync_file_range, FD), C(ftruncate, FD), C(fallocate, FD),
	C(fadvise64, FD), C(getdents64, FD), C(fstat, FD), C(fchmod, FD), C(fchown, FD),
	C(fstatfs, FD), C(syncfs, FD), C(lseek, FD), C(close, FD), C(fsetxattr, FD),
	C(fgetxattr, FD), C(fremovexattr, FD), C(flock, FLOCK), C(fcntl, FCNTL),
	C(connect, FD), C(accept, FD), C(accept4, FD), C(sendto, FD), C(recvfrom, FD),
	C(sendmsg, FD), C(recvmsg, FD), C(sendmmsg, FD), C(recvmmsg, FD), C(shutdown, FD),

	C(openat, PATH_AT), C(openat2, PATH_AT), C(newfstatat, PATH_AT), C(statx, PATH_AT),
	C(unlinkat, PATH_AT), C(renameat, PATH_AT), C(renameat2, PATH_AT), C(mkdirat, PATH_AT),
	C(mknodat, PATH_AT), C(linkat, PATH_AT), C(readlinkat, PATH_AT), C(fchmodat, PATH_AT),
	C(fchownat, PATH_AT), C(faccessat, PATH_AT), C(faccessat2, PATH_AT), C(utimensat, PATH_AT),
	C(name_to_handle_at, PATH_AT),
	C(truncate, PATH), C(statfs, PATH), C(umount2, PATH), C(chdir, PATH), C(setxattr, PATH),
	C(getxattr, PATH), C(lgetxattr, PATH), C(listxattr, PATH), C(removexattr, PATH),
	C(sync, FS), C(mount, FS), C(fchdir, FS), C(getcwd, FS), C(symlinkat, FS),
	C(open_by_handle_at, FS), C(msync, FS), C(execve, FS), C(execveat, FS),

	C(futex, FUTEX), C(futex_waitv, FUTEX_WAITV), C(futex_wait, FUTEX_WAIT),
	C(semop, IPC), C(semtimedop, IPC),
	C(msgsnd, QUEUE), C(msgrcv, QUEUE), C(mq_timedsend, QUEUE), C(mq_timedreceive, QUEUE),
	C(wait4, CHILD), C(waitid, CHILD), C(clone, CHILD), C(clone3, CHILD),
	C(epoll_pwait, POLL), C(epoll_pwait2, POLL), C(io_getevents, POLL), C(io_pgetevents, POLL),
	C(ppoll, POLL_NFDS), C(pselect6, SELECT), C(io_uring_enter, URING),
	C(rt_sigsuspend, SIGNAL), C(rt_sigtimedwait, SIGNAL),
	C(nanosleep, SLEEP), C(clock_nanosleep, SLEEP),
#ifdef __x86_64__ /* calls that newer architectures never had */
	C(open, PATH), C(creat, PATH), C(stat, PATH), C(lstat, PATH), C(access, PATH),
	C(unlink, PATH), C(rename, PATH), C(mkdir, PATH), C(rmdir, PATH), C(link, PATH),
	C(symlink, FS), C(readlink, PATH), C(chmod, PATH), C(chown, PATH), C(lchown, PATH),
	C(mknod, PATH), C(utime, PATH), C(utimes, PATH), C(futimesat, PATH_AT), C(getdents, FD),
	C(epoll_wait, POLL), C(poll, POLL_NFDS), C(select, SELECT), C(pause, SIGNAL),
	C(vfork, CHILD), C(fork, CHILD),
#endif
/* clang-format on */
#undef C
};

const char *syscalls__name(unsigned int nr)
{
	const char *name = nr < sizeof(names) / sizeof(*names) ? names[nr] : NULL;
	unsigned int n = nr - LATER_FIRST;

	return name ?: n < sizeof(later) / sizeof(*later) ? later[n] : NULL;
}

const char *syscalls__error(unsigned int error)
{
	/* include/linux/errno.h: programs see EINTR, or the call again */
	switch (error) {
	case 512:
		return "ERESTARTSYS";
	case 513:
		return "ERESTARTNOINTR";
	case 514:
		return "ERESTARTNOHAND";
	case 515:
		return "ENOIOCTLCMD";
	case 516:
		return "ERESTART_RESTARTBLOCK";
	}
	return strerrorname_np((int)error);
}

void syscalls__classes(uint8_t out[NR_SYSCALLS])
{
	memset(out, CLASS_OTHER, NR_SYSCALLS);
	for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++) {
		if (classes[i].nr < NR_SYSCALLS)
			out[classes[i].nr] = classes[i].class;
	}
}

/* Those that work on files, and which of their arguments says on which: struct file_config. */
static const struct {
	uint16_t nr;
	uint8_t how, op;
} files[] = {
#define F(name, how, op)                                                                           \
	{                                                                                          \
		__NR_##name, FILE_##how, FILE_##op                                                 \
	}
	/* clang-format off */
	F(read, FD0, READ), F(pread64, FD0, READ), F(readv, FD0, READ), F(preadv, FD0, READ),
	F(preadv2, FD0, READ), F(write, FD0, WRITE), F(pwrite64, FD0, WRITE), F(writev, FD0, WRITE),
	F(pwritev, FD0, WRITE), F(pwritev2, FD0, WRITE), F(fsync, FD0, FSYNC),
	F(fdatasync, FD0, FDATASYNC), F(sync_file_range, FD0, SYNC_RANGE), F(close, FD0, CLOSE),
	F(openat, NEW_AT, OPEN), F(openat2, NEW_AT, OPEN), F(fstat, FD0, STAT),
	F(newfstatat, PATH_AT, STAT), F(statx, PATH_AT, STAT), F(getdents64, FD0, GETDENTS),
	F(unlinkat, PATH_AT, UNLINK), F(renameat, PATH_AT, RENAME), F(renameat2, PATH_AT, RENAME),
	F(copy_file_range, FD2, COPY), F(sendfile, FD1, SENDFILE), F(msync, ADDR, MSYNC),
#ifdef __x86_64__
	F(open, NEW, OPEN), F(creat, NEW, OPEN), F(stat, PATH, STAT), F(lstat, PATH, STAT),
	F(getdents, FD0, GETDENTS), F(unlink, PATH, UNLINK), F(rename, PATH, RENAME),
#endif
/* clang-format on */
#undef F
};

void syscalls__files(uint8_t out[NR_SYSCALLS])
{
	memset(out, FILE_NONE, NR_SYSCALLS);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		if (files[i].nr < NR_SYSCALLS)
			out[files[i].nr] = (uint8_t)(files[i].how << FILE_HOW_SHIFT | files[i].op);
	}
}
