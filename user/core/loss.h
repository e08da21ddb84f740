/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What was lost, by reason: kernel side and user side together. */
#ifndef DWELL_CORE_LOSS_H
#define DWELL_CORE_LOSS_H

#include <stdint.h>
#include <stdio.h>

#include "base/json.h"
#include "cpu_stat.h"

struct loss {
	uint64_t count[NR_LOSSES];
};

/* The kernel side's counters (map `cpus`, @fd) over all CPUs. 0 or -errno. */
int loss__read(int fd, struct cpu_stat *sum);
/* The events that all programs together saw. */
uint64_t loss__events(const struct cpu_stat *sum);

uint64_t loss__total(const struct loss *loss);
/* What @now has more than @before, which becomes @now. */
void loss__since(struct loss *out, const struct cpu_stat *now, struct loss *before);

/* {"total":…,"reasons":{…}}: every reason, also those with nothing. */
void loss__json(struct json *j, const struct loss *loss);
/* On stderr, one line per reason; "nothing was lost" only says so in notes. */
void loss__footer(const struct loss *loss);

#endif
