/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What is kept of a thread that submits io_uring's requests, or does them: its clock holds it. */
#ifndef DWELL_URING_REC_BPF_H
#define DWELL_URING_REC_BPF_H

#include "lib/compat.bpf.h"
#include "state.h"

#define URING_WORKS 1024

/* What a worker did for a request. */
struct uring_work {
	u64 from; /* ns: not for another request */
	u64 until;
	u64 journal_ns;
	u64 ns[NR_STATES]; /* of cpu nothing; of `other` how long it slept without a request */
};

struct uring_thread {
	u64 open;          /* the request that it submits just now, or 0 */
	u64 ns[NR_STATES]; /* the clock's readings of all but cpu… */
	u32 turns;         /* …when clock.seq was this */
	u32 batch;         /* of its submissions: each time that it is done with submitting */
	u32 busy;          /* it has submitted something in this batch */
	u32 linked;        /* the next request waits for the one before */
	/* Its waits for a ring that tells nobody but who waits for it: */
	u64 ring;
	u64 idle;      /* ns of those that a single completion ends */
	u64 idle_from; /* the clock's reading when the wait that is under way began, if… */
	u32 waits;     /* …one is */
	/* Of a worker: */
	u32 worker;
	u64 work; /* its request when it left the CPU last; 0: none, or it ended since */
};

#endif
