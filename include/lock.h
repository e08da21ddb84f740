/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/*
 * What the command lock knows besides the tallies: what waits were made of, by the slot of their
 * tally. Parts are of the waits that ended in an epoch, with their whole length.
 */
#ifndef DWELL_LOCK_H
#define DWELL_LOCK_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "state.h"

/*
 * Map `runtimes`, by process: the data of a runtime (CPython's) whose condition variables are its
 * locks, from `start` on and before `end`; or 0 and 0: it has locks that only stacks tell.
 */
struct lock_runtime {
	__u64 start;
	__u64 end;
};

/*
 * The key's tid and id; where it says nothing, they are 0. Threads are numbers of the initial PID
 * namespace, stacks as tally_key.id of stacks.
 */
enum lock_part_kind {
	PART_WAIT,       /* who waited (0: whoever it was); its stack, or STACK_NOT_SEEN */
	PART_HOLDER,     /* who had the lock meanwhile; states[]: of its clock, meanwhile */
	PART_DOING,      /* the holder; tally slot of what it was blocked on, and for how long */
	PART_RELEASE,    /* who let it go; its stack */
	PART_UNRELEASED, /* the wait ended without a release: by time-out, signal… */
};

/*
 * The first waits for a lock and releases of it by a thread, so many of them, have their stacks; of
 * further ones, each with this chance. LOCK_SAMPLE is a power of two.
 */
#define LOCK_SURE   16
#define LOCK_SAMPLE 8

/*
 * The same of the spins for kernel locks that a CPU sees, whose stacks take longer than most spins:
 * after so many events of them, the chance is less. A power of two.
 */
#define LOCK_FEW_SPINS   256
#define LOCK_SPIN_SAMPLE 64

struct lock_part_key {
	__u64 id;
	__u32 slot; /* of the tally */
	__u32 tid;
	__u32 of;  /* PART_WAIT: tally slot of the lock; another one where rows are not locks */
	__u8 part; /* enum lock_part_kind */
	__u8 bank; /* the epoch's lowest bit with intervals, else 0 */
	__u16 pad;
};

struct lock_part {
	__u64 count;   /* waits */
	__u64 ns;      /* of them, whole */
	__u64 seen_ns; /* with stacks: the same, each for those too whose stack was not looked at */
	__u64 comm[2]; /* PART_WAIT, PART_HOLDER: the command name, 0 if not known */
	__u64 states[NR_STATES]; /* PART_HOLDER: ns; what is missing from the sum is not known */
};

_Static_assert(sizeof(struct lock_part_key) == 24, "no hidden padding: it is hashed");

/*
 * Waits for words that may be locks (LOCK_BY_STACK) are tallied for each stack by itself: kind
 * CAUSE_NONE, state STATE_SYNC, id the address, id2 the slot of the cause's tally, aux the user
 * stack.
 */

/* A thread that waits when it is looked at (iterator `waiting`). */
struct lock_waiting {
	__u64 addr;  /* of the lock; 0: it does not wait for one */
	__u64 ns;    /* for how long, since the run's start */
	__u64 stack; /* as tally_key.id of stacks */
	__u32 tid;
	__u32 tgid;
	__u32 holder;   /* thread that has the lock, 0: not known */
	__u32 slot;     /* of the lock's tally */
	__u32 row_slot; /* of the tally that the wait goes to; TALLY_NONE */
	__u32 weight;   /* waits that the stack stands for */
	char comm[16];
};

#endif
