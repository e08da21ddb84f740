/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What spans are kept as: apart from lib/span.bpf.h, since a clock may hold them. */
#ifndef DWELL_SPAN_REC_BPF_H
#define DWELL_SPAN_REC_BPF_H

#include "lib/compat.bpf.h"
#include "state.h"

struct span {
	u64 start;         /* ns */
	u64 kind;          /* the caller's: an end must name the begin's */
	u64 ns[NR_STATES]; /* reading of the clock at the begin */
};

/* A span that ended: @ns sums up to @latency. */
struct span_result {
	u64 start;
	u64 latency;
	u64 ns[NR_STATES];
};

#endif
