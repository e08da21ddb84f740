/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The databases whose statements can be measured: how their programs are recognised, and where in
 * them statements are seen. What a probe reads there is with its program in bpf/query_*.bpf.c.
 */
#ifndef DWELL_ENGINES_H
#define DWELL_ENGINES_H

#include "core/probes.h"

/* The objects of the databases' probes: probe_target.part. */
enum engine_part {
	PART_POSTGRESQL,
	PART_SQLITE,
	PART_MYSQL,
	PART_REDIS,
	NR_PARTS,
};

extern const struct probe_target engines[];
extern const size_t engines_n;

#endif
