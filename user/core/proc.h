/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What procfs says of processes. All of it may be gone or different a moment later. */
#ifndef DWELL_PROC_H
#define DWELL_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "thread.h"

/* The first @size - 1 bytes of a (pseudo) file, terminated; their number or -errno. */
ssize_t proc__slurp(const char *path, char *buf, size_t size);

/*
 * The command name of thread @tid, or "?" and -ESRCH if it is gone. True bytes: print with
 * str__printable().
 */
int proc__comm(uint32_t tid, char comm[THREAD_COMM + 1]);

/* The process that thread @tid belongs to. 0, -ESRCH, or -errno. */
int proc__tgid(uint32_t tid, uint32_t *tgid);

/* The process that is the parent of @pid; 0 if it has none here. 0, -ESRCH, or -errno. */
int proc__parent(uint32_t pid, uint32_t *parent);

/*
 * The thread of process @tgid that has @ns_tid in the innermost PID namespace of the process, as a
 * number of ours; @ns_tid itself if that cannot be found out.
 */
uint32_t proc__outer_tid(uint32_t tgid, uint32_t ns_tid);

/* Threads on this machine; at least 1. */
uint32_t proc__threads(void);

/*
 * A process other than @tgid that holds the opposite end of pipe @ino: the one that writes, if
 * @tgid was blocked reading. 0 with *@peer, -ENOENT, or -errno. Looks through all processes'
 * descriptors, at most PROC_FDS_MAX of them.
 */
#define PROC_FDS_MAX 100000
int proc__pipe_peer(uint64_t ino, uint32_t tgid, int reading, uint32_t *peer);

/* The path of the cgroup v2 of @pid, "/…". 0 or -errno. */
int proc__cgroup(uint32_t pid, char *path, size_t size);

#endif
