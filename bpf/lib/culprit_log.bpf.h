/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What a CPU keeps for culprit.bpf.h. Comes first: cpu.bpf.h is to know of it. */
#ifndef DWELL_CULPRIT_LOG_BPF_H
#define DWELL_CULPRIT_LOG_BPF_H

#include "lib/compat.bpf.h"

#define CULPRIT_RUNS 64 /* who ran before is not known; a power of two */

struct culprit_run {
	u64 since;
	u64 leader; /* of the process: its task_struct, not to be relied on */
	u32 tgid;
	u32 pad;
};

/* The wait that is being charged. */
struct culprit_wait {
	u64 row;
	u64 begin;
	u64 cut;     /* what lies before is not of the epoch */
	u64 end;     /* of what is not charged yet */
	u64 weight;  /* counts as so many */
	u64 due;     /* ns that a sample is to be charged for */
	u64 unnamed; /* as in culprit_debt */
	u32 tallies; /* as in culprit_debt */
	u32 epoch;
	u32 state;
	u32 whole; /* is divided, and not sampled */
};

struct culprit_log {
	u64 last;    /* index of the run that goes on, masked */
	u64 period;  /* ns, of culprit__period() */
	u64 sampled; /* when this was done here last */
	struct culprit_wait wait;
	struct culprit_run run[CULPRIT_RUNS];
};

#define CPU_EXTRA struct culprit_log culprit;

#include "lib/cpu.bpf.h"

#endif
