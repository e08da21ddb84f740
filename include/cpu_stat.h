/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* Counters that every CPU keeps for itself (map `cpus`); user space adds them up. */
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
	__u64 ending;  /* threads with a clock that began to exit… */
	__u64 ended;   /* …and those of them that left their CPU for good */
	__u64 emitted; /* threads' accounts that were put into the ring */
	/* User stacks that were walked by tables, that were not since they had not changed… */
	__u64 walked;
	__u64 recalled;
	__u64 misremembered; /* …and, with MEMO_CHECK, that had: a fault of dwell */
	/* The same of kernel stacks, which the kernel walks. */
	__u64 kernel_walked;
	__u64 kernel_recalled;
	__u64 kernel_misremembered;
};

#endif
