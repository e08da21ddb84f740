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

/* What lock_part_key.id is. Threads are numbers of the initial PID namespace. */
enum lock_part_kind {
	PART_WAITER, /* thread that waited */
	PART_HOLDER, /* thread that had the lock meanwhile; states[]: of its clock, meanwhile */
	PART_DOING,  /* holder << 32 | tally slot of what it was blocked on last, and how long */
	PART_WAIT_STACK,    /* as tally_key.id of stacks: where it waited */
	PART_RELEASE_STACK, /* where it was released */
	PART_LOCK,          /* tally slot of the lock, where rows are of something else */
	PART_UNRELEASED,    /* -: the wait ended without a release: by time-out, signal… */
};

struct lock_part_key {
	__u64 id;
	__u32 slot; /* of the tally */
	__u8 part;  /* enum lock_part_kind */
	__u8 bank;  /* the epoch's lowest bit with intervals, else 0 */
	__u16 pad;
};

struct lock_part {
	__u64 count; /* waits */
	__u64 ns;
	__u64 comm[2];           /* PART_WAITER, PART_HOLDER: the command name, 0 if not known */
	__u64 states[NR_STATES]; /* PART_HOLDER: ns; what is missing from the sum is not known */
};

_Static_assert(sizeof(struct lock_part_key) == 16, "no hidden padding: it is hashed");

/* A thread that waits when it is looked at (iterator `waiting`). */
struct lock_waiting {
	__u64 addr;  /* of the lock; 0: it does not wait for one */
	__u64 ns;    /* for how long, since the run's start */
	__u64 stack; /* as tally_key.id of stacks */
	__u32 tid;
	__u32 tgid;
	__u32 holder; /* thread that has the lock, 0: not known */
	__u32 slot;   /* of the lock's tally */
	char comm[16];
};

#endif
