/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/*
 * What user space tells the kernel side: `struct config` before it is loaded (constants, so that
 * the verifier removes what is not used), `struct window` while it runs.
 */
#ifndef DWELL_CONFIG_H
#define DWELL_CONFIG_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "cause.h"

/* How threads are chosen; several may hold together, all must match. */
enum filter_bits {
	FILTER_TGID = 1,    /* the one process config.tgid */
	FILTER_TGIDS = 2,   /* a process of the map `targets` */
	FILTER_TIDS = 4,    /* a thread of the map `targets` */
	FILTER_COMM = 8,    /* the thread's command name is config.comm */
	FILTER_CGROUP = 16, /* in config.cgroup_id or below it */
};
/* These choose a thread once, at the start or when it is born into a chosen one… */
#define FILTER_FIXED (FILTER_TGID | FILTER_TGIDS | FILTER_TIDS)
/* …these can begin and cease to match while it runs. */
#define FILTER_CHANGING (FILTER_COMM | FILTER_CGROUP)

enum group_by {
	BY_PROCESS,
	BY_THREAD,
	BY_COMM,
	BY_CGROUP,
	BY_CPU,
	BY_ALL,  /* one row, whoever it is; so is what follows, for threads */
	BY_FILE, /* file, io: what is read or written */
	BY_OP,
	BY_MOUNT,
};

/* Are stacks that have not changed since the thread's last one walked again? */
enum memo_use {
	MEMO_OFF,
	MEMO_ON,
	MEMO_CHECK, /* yes, and what was remembered is held against it */
};

/* What is found out about locks. */
enum lock_what {
	LOCK_USER = 1,
	LOCK_KERNEL = 2,
	LOCK_EVENTS = 4,    /* condition variables, semaphores, barriers, joins too */
	LOCK_BY_STACK = 16, /* words that may be locks: user space tells by who waits for them */
	LOCK_CAUSES = 8,    /* holders only, and only once window.holders is set: for why */
};

enum lock_by {
	LOCK_BY_LOCK,
	LOCK_BY_CALLER,
	LOCK_BY_TASK,
	LOCK_BY_HOLDER,
};

/*
 * The kernel's types that programs begin with where they follow pointers by loads: see
 * bpf/lib/peek.bpf.h. The first one begins with a number of 8 bytes, and stands for any of those.
 */
#define PEEK_TYPES(X)                                                                              \
	X(timespec64)                                                                              \
	X(task_struct)                                                                             \
	X(file)                                                                                    \
	X(inode)                                                                                   \
	X(mutex)                                                                                   \
	X(rw_semaphore)                                                                            \
	X(pid)                                                                                     \
	X(super_block)                                                                             \
	X(socket)                                                                                  \
	X(sock)                                                                                    \
	X(unix_sock)                                                                               \
	X(unix_address)                                                                            \
	X(io_kiocb)                                                                                \
	X(io_ring_ctx)

enum peek_type {
#define X(type) PEEK_##type,
	PEEK_TYPES(X)
#undef X
		NR_PEEK_TYPES,
};

struct config {
	__u32 filter; /* enum filter_bits */
	__u32 tgid;
	__u32 self; /* dwell's own process: never watched */
	__u32 by;   /* enum group_by: what thread_rec.row identifies */
	__u64 comm[2];
	__u64 cgroup_id;
	__u32 cgroup_level;
	__u32 slots;   /* tallies per bank */
	__u64 db_name; /* query: config__name_hash() of the database and… */
	__u64 db_user; /* …of the user whose sessions are measured; 0: of any */
	__u64 min_ns;  /* shorter waits are not tallied (states stay whole) */
	__u8 banks;    /* 2 with intervals, else 1 */
	__u8 follow;   /* children of watched processes are watched */
	__u8 kthreads;
	__u8 user_stacks;
	__u8 kernel_stacks;
	__u8 switch_has_state; /* sched_switch hands over prev_state (fa2c3254d7cf, 5.18) */
	__u8 stack_padding;    /* bytes above the saved registers on a kernel stack */
	__u8 frame_pointers;   /* user stacks by frame pointers only */
	__u8 memo;             /* enum memo_use */
	__u8 addresses;        /* user stacks keep the place in an interrupted function */
	__u8 lock_what;        /* enum lock_what */
	__u8 lock_by;          /* enum lock_by: what the command lock has a row for */
	__u8 request_arg; /* block_rq_issue's request comes second (a54895fa057c, 5.11: first) */
	__u8 uring_cqe;   /* io_uring_complete hands over the queue's entry: by its arguments */
	__u8 lazy;        /* clocks are made by the command's own programs, as they see threads */
	__u8 merge_arg;   /* the bio of block_bio_backmerge comes third, of block_getrq second
			  (e8a676d61c07, 5.11: first) */
	__u8 bio_arg;     /* the bio of block_bio_queue comes second (the same commit) */
	__u8 io_bios;     /* devices without requests are looked at, too */
	__u64 io_ops;     /* operations of requests to look at, 1 << REQ_OP_*; 0: all */
	__u64 io_first;   /* of these, those from this sector on and… */
	__u64 io_end;     /* …before this one; 0: wherever */
	__u32 io_dev;     /* as in struct request_rec; 0: all */
	__u32 io_mask;    /* entries of the map `requests` less 1; a power of two less 1 */
	__u32 ring_mask;  /* `ring` is looked at once in 1 more records of a CPU; as io_mask */
	__u32 peek_type[NR_PEEK_TYPES];  /* their BTF ids; 0: there is no such pointer */
	__u8 syscall_class[NR_SYSCALLS]; /* enum syscall_class */
};

/*
 * A member's value stands in the programs themselves once they are opened: one instruction, where a
 * load from a map is two, and the verifier removes what depends on either. Before, the lower
 * half of its 64 bits is where the member lies and, from CONFIG_SIZE_SHIFT on, of how many bytes it
 * is; the upper one CONFIG_MARK, and in the lowest byte, if it is not 0, which bits are asked for:
 * then the value is whether one of them is set.
 */
#define CONFIG_MARK       0x7dd10000U
#define CONFIG_SIZE_SHIFT 24

/*
 * Stands in the programs for bpf_rdonly_cast(), which the loader writes in its place: no helper has
 * that number. libbpf could do it, too; but then kernels from 5.13 to 5.15 refuse a function that
 * they lack, though it is never called (a5d827275241, 5.16).
 */
#define CONFIG_PEEK_CALL 0x7dd00000

/*
 * A map whose name begins so is memory: an array of one element, which programs address directly,
 * as the kernel lets them with data sections alone otherwise. The loader sees to it.
 */
#define CONFIG_MEMORY "mem_"

/* io: is it told, by a program more, who a flush that the kernel makes is for? */
#define CONFIG_ASKERS(c) ((c)->by != BY_ALL || (c)->filter || (c)->min_ns)

/* A name, character by character, from CONFIG_NAME_SEED on; never 0 at its end. */
#define CONFIG_NAME_SEED 0xcbf29ce484222325ULL

static inline __attribute__((always_inline)) __u64 config__name_hash(__u64 hash, __u8 c)
{
	return ((hash ^ c) * 0x100000001b3ULL) | 1ULL << 63;
}

/*
 * The run is cut into epochs. Epoch e covers [start[e & 3], start[(e + 1) & 3]); epoch 0 is
 * everything before the run. User space writes start[] first, then epoch. Nothing is reset at a
 * cut: each thread's clock notices at its next event, and who reads works out the rest.
 */
struct window {
	__u64 start[4];  /* CLOCK_MONOTONIC ns */
	__u64 run_start; /* start of epoch 1 */
	__u32 epoch;
	__u32 last;    /* nothing is tallied in later epochs */
	__u64 slow_ns; /* io: requests that took as long are told of one by one */
	/* 1: who has locks is followed; with LOCK_CAUSES from the first long wait for one on. */
	__u32 holders;
	__u32 runtimes; /* lock: processes that came into the map of that name */
};

/* Programs, in the order of the counters in cpu_stat. */
enum prog_id {
	PROG_SWITCH,
	PROG_WAKEUP,
	PROG_NEWTASK,
	PROG_CONTENTION,
	PROG_PROBE,
	PROG_EXIT,
	PROG_CALL_BEGIN,
	PROG_CALL_END,
	PROG_REQUEST,
	NR_PROGS,
};

#endif
