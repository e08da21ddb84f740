/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* On a terminal, a run shows that it is alive: elapsed time and events, in one line of stderr. */
#ifndef DWELL_PROGRESS_H
#define DWELL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/object.h"

struct progress {
	bool on;       /* stderr is a terminal that nobody else writes to */
	bool shown;    /* the line stands there */
	uint64_t next; /* CLOCK_MONOTONIC ns: when it is to be shown again; UINT64_MAX: never */
};

/* @alone: no program that dwell started shares the terminal. */
void progress__start(struct progress *p, bool alone, uint64_t now);

/* Shows the line if it is time to. */
void progress__tick(struct progress *p, const struct object *o, uint64_t start, uint64_t now);

/* Takes the line away, before anything else is printed. */
void progress__clear(struct progress *p);

#endif
