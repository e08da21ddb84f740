/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What is lost is counted, by reason. */
#ifndef DWELL_LOSS_BPF_H
#define DWELL_LOSS_BPF_H

#include "lib/cpu.bpf.h"

static __always_inline void loss__count(enum loss_reason reason)
{
	struct cpu_stat *stat = cpu_stat__get();

	if (stat)
		stat->loss[reason]++;
}

/* Entry @key of hash @map, made as @empty if there is none; NULL, and counted, without room. */
static __always_inline void *map__take(void *map, const void *key, const void *empty,
				       enum loss_reason reason)
{
	void *found = bpf_map_lookup_elem(map, key);

	if (likely(found))
		return found;
	/* Another CPU may be faster. */
	bpf_map_update_elem(map, key, empty, BPF_NOEXIST);
	found = bpf_map_lookup_elem(map, key);
	if (!found)
		loss__count(reason);
	return found;
}

#endif
