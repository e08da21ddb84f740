/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/*
 * Tallies: what segments are grouped by, and the histogram of each group.
 *
 * A key gets a slot number at its first use and keeps it for the run. Its histogram is at
 * tallies[bank * slots + slot], where bank is the epoch's lowest bit with intervals and 0 without.
 * In a tally, `sum` has the ns that lie in the epoch; count, max and buckets are of the waits that
 * *ended* in it, with their whole length since the run's start.
 */
#ifndef DWELL_TALLY_H
#define DWELL_TALLY_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "state.h"

struct tally_key {
	__u64 row; /* thread_rec.row; 0 where a command does not group by it */
	__u64 id;
	__u64 id2;
	__u32 aux;
	__u8 state;    /* enum dwell_state */
	__u8 kind;     /* enum cause_kind */
	__u16 syscall; /* number, or SYSCALL_NONE */
};

_Static_assert(sizeof(struct tally_key) == 32, "no hidden padding: it is hashed");

#define TALLY_ROW_CPU (1ULL << 63) /* tally_key.row with --by cpu: this and the CPU's number */
#define TALLY_NONE    0xffffffffU  /* no slot: the map is full, or nothing to tally */
/* In place of a slot: a wait in @state that its thread keeps to itself, as thread_rec.early. */
#define TALLY_EARLY(state)      (0xffffff00U | (state))
#define TALLY_IS_EARLY(slot)    ((slot)-TALLY_EARLY(0) < NR_STATES)
#define TALLY_EARLY_STATE(slot) ((slot)&STATE_MASK)

/*
 * Of commands whose tallies are of spans: of what states the time in `sum` is; at the same index in
 * the map `tally_states` as the histogram in `tallies`. A span belongs whole to the epoch that it
 * ended in, so here `sum` and the states are of what `count` counts. What is in no other state is
 * cpu, and is not kept: most spans never leave the CPU, so of most there is only `sum` to write.
 */
struct tally_states {
	__u64 ns[NR_STATES];
};

/* What a key's id stands for, captured when the key is first seen. */
struct name_key {
	__u64 id;
	__u64 id2;
	__u32 kind;
	__u32 pad;
};

#define NAME_SIZE  512
#define NAME_PART  256 /* NAME_MAX + 1 */
#define NAME_PARTS 24

#define NAME_TRUNCATED 1 /* the beginning of a path is missing */
#define NAME_BELOW_MOUNT                                                                           \
	2          /* a path from the root of its file system: where that is mounted is not known */
#define NAME_CUT 4 /* the end of a path is missing */

/*
 * Paths are kept as the kernel finds them: components from the last to the first, each terminated
 * by a NUL; all others are one terminated string. A leading NUL stands for an abstract socket's.
 */
struct name {
	__u32 len;
	__u32 flags;
	char text[NAME_SIZE + NAME_PART];
};

#endif
