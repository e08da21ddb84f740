/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* What a thread waits for: the kinds of causes, and how system calls are sorted into them. */
#ifndef DWELL_CAUSE_H
#define DWELL_CAUSE_H

/*
 * X(enumerator, JSON key, what tally_key.id, id2 and aux hold). Append only.
 * An empty description: the system call alone tells.
 */
#define DWELL_CAUSES(X)                                                                            \
	X(CAUSE_SYSCALL, "syscall", "")                                                            \
	X(CAUSE_FILE, "file", "inode, device | generation << 32; name: path")                      \
	X(CAUSE_IN4, "socket", "IPv4 address, -, ports: see SOCK_*")                               \
	X(CAUSE_IN6, "socket", "IPv6 address in id and id2, ports")                                \
	X(CAUSE_UNIX, "socket", "an address's or inode's identity; name: path")                    \
	X(CAUSE_SOCK, "socket", "other families: inode, -, family")                                \
	X(CAUSE_PIPE, "pipe", "as file; name: path of a FIFO")                                     \
	X(CAUSE_TTY, "tty", "as file")                                                             \
	X(CAUSE_ANON, "anon", "file operations; name: [eventfd]…")                                 \
	X(CAUSE_MUTEX, "mutex", "user address, holder's TID in its PID namespace (0: unknown)")    \
	X(CAUSE_PI, "pi", "as mutex")                                                              \
	X(CAUSE_ROBUST, "robust", "as mutex")                                                      \
	X(CAUSE_RWLOCK, "rwlock", "as mutex; the holder is a writer")                              \
	X(CAUSE_FLOCK, "flock", "inode, device | generation << 32; name: path")                    \
	X(CAUSE_COND, "cond", "user address: condition variable")                                  \
	X(CAUSE_JOIN, "join", "-: a thread is waited for once")                                    \
	X(CAUSE_FUTEX, "futex", "user address: once, or a word of the program's own")              \
	X(CAUSE_IPC, "ipc", "")                                                                    \
	X(CAUSE_CHILD, "child", "")                                                                \
	X(CAUSE_POLL, "poll", "")                                                                  \
	X(CAUSE_SIGNAL, "signal", "")                                                              \
	X(CAUSE_TIMER, "timer", "")                                                                \
	X(CAUSE_KLOCK, "klock", "kernel address, -, LCB_F_* flags and KLOCK_*")                    \
	X(CAUSE_FAULT, "fault", "")                                                                \
	X(CAUSE_STOP, "stop", "-, -, task state")                                                  \
	X(CAUSE_KTHREAD, "kthread", "")                                                            \
	X(CAUSE_TASK, "task", "TGID that had the CPU; name: its command")                          \
	X(CAUSE_SEM, "sem", "user address: semaphore")                                             \
	X(CAUSE_BARRIER, "barrier", "user address")                                                \
	X(CAUSE_PATH, "file", "hash of a path and where it begins, or 0; name: the path")

enum cause_kind {
	CAUSE_NONE = 0,
#define X(id, ...) id,
	DWELL_CAUSES(X)
#undef X
		NR_CAUSES,
};

/* How a blocked system call is sorted; filled per architecture by user space (core/syscalls.c). */
enum syscall_class {
	CLASS_OTHER = 0,
	CLASS_FD,          /* first argument is a descriptor: its inode tells */
	CLASS_PATH,        /* first argument is a path (opening a FIFO included) */
	CLASS_PATH_AT,     /* first argument is a directory's descriptor, the second a path */
	CLASS_FS,          /* works on a file system, but which path is not among these */
	CLASS_FUTEX,       /* futex(uaddr, op, val, …) */
	CLASS_FUTEX_WAIT,  /* futex_wait(uaddr, val, …) */
	CLASS_FUTEX_WAITV, /* futex_waitv(waiters, …) */
	CLASS_FLOCK,       /* flock(fd, …) */
	CLASS_FCNTL,       /* fcntl(fd, cmd, …): a lock if cmd waits for one */
	CLASS_IPC,         /* System V semaphores */
	CLASS_QUEUE,       /* System V and POSIX message queues */
	CLASS_CHILD,       /* wait4, waitid, vfork */
	CLASS_POLL,        /* idle */
	CLASS_POLL_NFDS,   /* idle; a sleep if the second argument is 0 */
	CLASS_SELECT,      /* idle; a sleep if the first argument is 0 */
	CLASS_URING,       /* idle even in iowait (8a796565cec3 set it for io_uring's waits) */
	CLASS_SIGNAL,      /* idle until a signal comes */
	CLASS_SLEEP,
};

#define NR_SYSCALLS 512 /* numbers from here on are CLASS_OTHER */

/* tally_key.syscall of a wait outside a system call. */
#define SYSCALL_NONE 0xffff

/*
 * tally_key.aux of CAUSE_KLOCK: the flags of the kernel's contention_begin (include/trace/events/
 * lock.h), and which lock it is as far as its address tells.
 */
#define LCB_F_SPIN   1
#define LCB_F_READ   2
#define LCB_F_WRITE  4
#define LCB_F_RT     8
#define LCB_F_PERCPU 16
#define LCB_F_MUTEX  32

#define KLOCK_CLASS_SHIFT 16

enum klock_class {
	KLOCK_UNKNOWN,
	KLOCK_MMAP,   /* the address space's mmap_lock */
	KLOCK_SIGNAL, /* the process's siglock */
	KLOCK_INODE,  /* i_rwsem of the file that the system call works on */
	KLOCK_PIPE,   /* the mutex of the pipe that it works on */
	NR_KLOCK_CLASSES,
};

/* tally_key.aux of CAUSE_IN4 and CAUSE_IN6: the port that names the service, and whose it is. */
#define SOCK_PORT       0xffff
#define SOCK_LOCAL_PORT 0x10000 /* the port is ours: the peer is a client */

#endif
