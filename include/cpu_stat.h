/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* Counters that every CPU keeps for itself (map `cpu_stats`); user space adds them up. */
#ifndef DWELL_CPU_STAT_H
#define DWELL_CPU_STAT_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "config.h"
#include "loss.h"

struct cpu_stat {
	__u64 events[NR_PROGS]; /* times that each program ran */
	__u64 loss[NR_LOSSES];
	__u64 ending; /* threads with a clock that began to exit… */
	__u64 ended;  /* …and those of them that left their CPU for good */
};

#endif
