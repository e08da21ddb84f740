/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What dwell itself cost. The kernel can measure the run time of BPF programs, but measuring adds
 * about 40 ns to each run: so that is switched on for the run's first moments only (unless
 * kernel.bpf_stats_enabled has it on for all), and the rest is events times the mean seen then.
 */
#ifndef DWELL_COST_H
#define DWELL_COST_H

#include <stdint.h>

#include "base/json.h"
#include "core/object.h"

#define COST_SAMPLE_NS 200000000ULL /* 200 ms */
#define COST_PROGRAMS  32

struct cost_program {
	const char *name; /* the loaded program's */
	uint64_t runs;    /* measured */
	uint64_t ns;
};

struct cost {
	int stats_fd;     /* while the kernel measures; -1 otherwise */
	uint64_t self_ns; /* CPU time of dwell when it began to measure… */
	uint64_t start;   /* …which was then: CLOCK_MONOTONIC ns */
	struct cost_program program[COST_PROGRAMS];
	unsigned int programs;
	/* set by cost__finish() */
	uint64_t events;
	double ns_per_event; /* negative: nothing was measured */
	uint64_t cpu_ns;     /* programs and dwell's own process together */
	double cpu_percent;  /* of all CPUs' time since cost__start() */
	uint64_t max_rss_bytes;
	uint64_t missed; /* runs that the kernel skipped (recursion) */
};

/* Begins to measure; where that is not permitted, the report says that it is not known. */
void cost__start(struct cost *c);
/* Ends the measuring, if it goes on. */
void cost__sampled(struct cost *c, const struct object *o);
/* Works out the cost of @events up to now. */
void cost__finish(struct cost *c, const struct object *o, uint64_t events);

/* Sets the peak of memory up to now: once more when the rows are made, which take the most. */
void cost__peak(struct cost *c);
void cost__json(struct json *j, const struct cost *c);
void cost__footer(const struct cost *c);

#endif
