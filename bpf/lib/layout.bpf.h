/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What a probe's program must know of the build that it is in: see probe_target.layout. */
#ifndef DWELL_LAYOUT_BPF_H
#define DWELL_LAYOUT_BPF_H

#include "lib/compat.bpf.h"

/* One for all builds, where a program cannot ask which probe it is (7adfc6c9b315, 5.15). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} layout SEC(".maps");

static __always_inline u64 layout__get(void *ctx)
{
	u32 zero = 0;
	u64 *only;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
		return bpf_get_attach_cookie(ctx);
	only = bpf_map_lookup_elem(&layout, &zero);
	return only ? *only : 0;
}

#endif
