/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* File operations: which system calls and io_uring requests they are, and what is kept of them. */
#ifndef DWELL_FILE_H
#define DWELL_FILE_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "cause.h"
#include "state.h"

/* X(enumerator, JSON key, does its result count bytes of the file). Append only. */
#define DWELL_FILE_OPS(X)                                                                          \
	X(FILE_READ, "read", 1)                                                                    \
	X(FILE_WRITE, "write", 1)                                                                  \
	X(FILE_FSYNC, "fsync", 0)                                                                  \
	X(FILE_FDATASYNC, "fdatasync", 0)                                                          \
	X(FILE_SYNC_RANGE, "sync_file_range", 0)                                                   \
	X(FILE_OPEN, "open", 0)                                                                    \
	X(FILE_CLOSE, "close", 0)                                                                  \
	X(FILE_STAT, "stat", 0)                                                                    \
	X(FILE_GETDENTS, "getdents", 0)                                                            \
	X(FILE_UNLINK, "unlink", 0)                                                                \
	X(FILE_RENAME, "rename", 0)                                                                \
	X(FILE_COPY, "copy_file_range", 1)                                                         \
	X(FILE_SENDFILE, "sendfile", 1)                                                            \
	X(FILE_MSYNC, "msync", 0)

enum file_op {
	FILE_NONE = 0,
#define X(id, ...) id,
	DWELL_FILE_OPS(X)
#undef X
		NR_FILE_OPS,
};

#define FILE_OPS   16 /* a power of two, so that an index can be masked for the verifier */
#define FILE_URING 15 /* io_uring_enter(): no operation itself */

_Static_assert(NR_FILE_OPS <= FILE_URING, "arrays by operation are indexed with FILE_OPS - 1");

/* How a system call names the file that it works on. */
enum file_how {
	FILE_FD0, /* a descriptor, the first argument */
	FILE_FD1,
	FILE_FD2,
	FILE_PATH,    /* a path, the first argument */
	FILE_PATH_AT, /* a directory's descriptor and a path */
	FILE_NEW,     /* a path, and the result is a descriptor */
	FILE_NEW_AT,
	FILE_ADDR, /* an address at which it is mapped */
};

/* file_config.call: how << FILE_HOW_SHIFT | operation; 0: no file operation */
#define FILE_HOW_SHIFT 5
#define FILE_OP_MASK   31

/* io_uring's operations, include/uapi/linux/io_uring.h: their numbers are less than this. */
#define NR_URING_OPS 64

/* What user space tells the kernel side of `file` besides struct config. */
struct file_config {
	__u8 call[NR_SYSCALLS];
	__u8 uring[NR_URING_OPS]; /* enum file_op by io_uring's number */
	__u32 bytes;              /* bits by enum file_op: the result counts bytes */
	__u32 pad;
	__u64 journal_from; /* the code of the journal (jbd2): addresses from here… */
	__u64 journal_to;   /* …to before this; 0: not known */
};

/* tally_key.kind: what id and id2 are. */
enum file_key {
	FILE_KEY_NONE,  /* rows are not by file */
	FILE_KEY_INODE, /* inode number; device | generation << 32 */
	FILE_KEY_PATH,  /* hashes of the path as the program gave it, and of where it begins */
	FILE_KEY_MOUNT, /* the mount's address; device */
	FILE_KEY_GONE,  /* neither a file nor a path could be read */
};

/* tally_key.aux: enum file_op, and… */
#define FILE_AUX_OP     0xff
#define FILE_AUX_MISS   0x100 /* …a read that waited for a block device */
#define FILE_AUX_URING  0x200 /* …an io_uring request: from its submission to its completion */
#define FILE_AUX_UNTOLD 0x400 /* …a read of which nobody tells whether it waited for one */
#define FILE_AUX_CACHE  (FILE_AUX_MISS | FILE_AUX_UNTOLD)

/* name_key.kind of a file's name: this and enum file_key */
#define NAME_FILE 0x20000

/* Map `file_sums`, at the index of the tally: of operations that ended in the epoch. */
struct file_sum {
	__u64 bytes;
	__u64 errors;
	__u64 journal_ns; /* of the tally's time in the state `fs` */
};

enum uring_flags {
	URING_BEHIND = 1,    /* it may have to wait for other requests */
	URING_POLLED = 2,    /* nobody is told of its end: the ring is polled */
	URING_ELSEWHERE = 4, /* the kernel's thread submits it, and goes on without a sign */
	URING_QUEUED = 8,    /* a worker thread is to do it */
};

/* An io_uring request under way, in the map `uring_requests` by its address. */
struct uring_rec {
	__u64 row;           /* thread_rec.row of who submitted it */
	__u64 start;         /* ns */
	__u64 at;            /* ns: up to here the states are known */
	__u64 ns[NR_STATES]; /* these: the rest of that time is cpu */
	__u64 journal_ns;    /* of `fs` */
	__u64 task;          /* who submitted it: its address */
	__u64 ring;          /* its ring, if that tells only who waits for it; else 0 */
	__u64 idle;          /* uring__idle() at `at`, */
	__u32 turns;         /* and clock.seq */
	__u32 batch;         /* uring_thread.batch */
	__u32 flags;         /* enum uring_flags */
	__u32 pad;
};

#endif
