/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* A thread's account of one epoch, as the kernel side hands it over. */
#ifndef DWELL_THREAD_H
#define DWELL_THREAD_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "state.h"

#define THREAD_COMM  16
#define THREAD_EARLY 4 /* waits that a thread keeps to itself: a power of two */

/* One of them; never 0. */
#define EARLY_WAIT(ns, state)  ((__u64)(ns) << 4 | (state))
#define EARLY_WAIT_NS(wait)    ((wait) >> 4)
#define EARLY_WAIT_STATE(wait) ((wait)&STATE_MASK)

enum thread_flags {
	THREAD_EXITED = 1,  /* the thread ended in this epoch */
	THREAD_PARTIAL = 2, /* goes on under another row: its command or cgroup changed */
	THREAD_OPEN = 4,    /* its last segment was still open at the epoch's end */
	THREAD_TORN = 8,    /* it changed state whenever it was read: nothing else is set */
	THREAD_ENDING = 16, /* it is exiting, and has not left its CPU for good yet */
	THREAD_TAKEN = 32,  /* its account was handed over before: only the flags are set */
};

struct thread_rec {
	__u64 row;      /* identity of what it is grouped by (enum group_by) */
	__u64 start_ns; /* start, CLOCK_BOOTTIME: with tid, an identity that survives pid reuse */
	__u64 cgroup;   /* cgroup v2 id */
	__u32 tid;
	__u32 tgid;
	__u32 epoch;
	__u32 flags;
	__u32 spill_slot; /* tally slot of the segment that crossed the epoch's end… */
	__u32 open_slot;  /* …or that is still open; TALLY_NONE if none */
	__u64 spill_ns;   /* its part inside this epoch */
	__u64 open_ns;
	__u64 open_total_ns; /* its length since the run's start */
	__u32 open_state;
	__u32 pad;
	char comm[THREAD_COMM];
	__u64 ns[NR_STATES]; /* time in each state within the epoch */
	/* The thread's first waits, if no tally has them (runq): EARLY_WAIT(), 0: none. */
	__u64 early[THREAD_EARLY];
};

_Static_assert(sizeof(struct thread_rec) == 80 + THREAD_COMM + 8 * (NR_STATES + THREAD_EARLY),
	       "no hidden padding");

/* The other record in the ring: a process that leaves the CPU with stacks to be resolved. */
struct thread_seen {
	__u32 tgid;
	__u32 pad;
	__u64 mm;   /* its address space, and */
	__u64 code; /* the pages of code that are mapped in it: another pair, other mappings */
};

/* The third: a thread waited for a lock long enough for its holder to be asked for. */
struct holders_wanted {
	__u32 tgid; /* its process: variables may be locks */
	__u32 pad;
};

#endif
