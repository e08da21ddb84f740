/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What each CPU has for itself: the counters, and what a command keeps besides. */
#ifndef DWELL_CPU_BPF_H
#define DWELL_CPU_BPF_H

#include "lib/compat.bpf.h"
#include "cpu_stat.h"

/* What a command keeps for each CPU: members, set before this file is included. */
#ifndef CPU_EXTRA
#define CPU_EXTRA
#endif

/* All in one, which a hook looks up once. The counters come first: user space reads them. */
struct cpu {
	struct cpu_stat stat;
	CPU_EXTRA
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cpu);
} cpus SEC(".maps");

/* NULL never, but for verifiers. */
static __always_inline struct cpu *cpu__get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&cpus, &zero);
}

static __always_inline struct cpu_stat *cpu_stat__get(void)
{
	struct cpu *cpu = cpu__get();

	return cpu ? &cpu->stat : NULL;
}

/* Program @prog runs: counted, and what its CPU has. */
static __always_inline struct cpu *cpu__event(enum prog_id prog)
{
	struct cpu *cpu = cpu__get();

	if (likely(cpu))
		cpu->stat.events[prog]++;
	return cpu;
}

#endif
