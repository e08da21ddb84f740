/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What spans are kept as: apart from lib/span.bpf.h, since a clock may hold them. */
#ifndef DWELL_SPAN_REC_BPF_H
#define DWELL_SPAN_REC_BPF_H

#include "lib/compat.bpf.h"
#include "state.h"

struct span {
	u64 start;         /* ns */
	u64 kind;          /* the caller's: an end must name the begin's */
	u64 ns[NR_STATES]; /* reading at the begin: of the clock (calls), or of struct span_waits */
	u64 waits;         /* and this of span_waits.count */
};

/* What a thread waited since it got its clock: next to that, if a command has such spans. */
struct span_waits {
	u64 ns[NR_STATES]; /* of STATE_CPU: nothing */
	u64 count;         /* of the waits that were added */
	u64 read;          /* a wait that was read before it had ended is added from here on, ns */
};

/* A span that ended: @ns sums up to @latency. */
struct span_result {
	u64 start;
	u64 latency;
	u64 ns[NR_STATES];
	bool waited; /* not all of it is cpu */
};

#endif
