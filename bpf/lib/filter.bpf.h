/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Which threads are measured. Every test takes the thread it is about; none looks at `current`. */
#ifndef DWELL_FILTER_BPF_H
#define DWELL_FILTER_BPF_H

#include "lib/compat.bpf.h"

/* FILTER_TGIDS and FILTER_TIDS: the ids that were asked for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u8);
} targets SEC(".maps");

/*
 * What can be told from a load: false if @task is certainly not watched. With a single process as
 * the target, this is all that other processes' threads cost; the idle tasks are the kernel's.
 */
static __always_inline bool filter__maybe(struct task_struct *task)
{
	if (CONFIG_HAS(filter, FILTER_TGID) && !CONFIG(follow))
		return FIELD(task, tgid) == CONFIG(tgid);
	if (!CONFIG(kthreads))
		return !(FIELD(task, flags) & PF_KTHREAD);
	return FIELD(task, pid) != 0;
}

/* FILTER_FIXED and the rest that never changes: asked when a thread is seen for the first time. */
static __always_inline bool filter__admits(struct task_struct *task)
{
	u32 tgid = FIELD(task, tgid), tid = FIELD(task, pid);

	if (!tid || tgid == CONFIG(self))
		return false;
	if (!CONFIG(kthreads) && (FIELD(task, flags) & PF_KTHREAD))
		return false;
	if (CONFIG_HAS(filter, FILTER_TGID) && tgid != CONFIG(tgid))
		return false;
	if (CONFIG_HAS(filter, FILTER_TGIDS) && !bpf_map_lookup_elem(&targets, &tgid))
		return false;
	if (CONFIG_HAS(filter, FILTER_TIDS) && !bpf_map_lookup_elem(&targets, &tid))
		return false;
	return true;
}

/* FILTER_CHANGING: asked whenever a segment begins. */
static __always_inline bool filter__holds(struct task_struct *task)
{
	if (CONFIG_HAS(filter, FILTER_COMM)) {
		u64 comm[2];

		compat__comm_key(task, comm);
		if (comm[0] != CONFIG(comm[0]) || comm[1] != CONFIG(comm[1]))
			return false;
	}
	if (CONFIG_HAS(filter, FILTER_CGROUP))
		return compat__cgroup_ancestor(task, CONFIG(cgroup_level)) == CONFIG(cgroup_id);
	return true;
}

/* Is @child, just made by @parent, watched? @parent_watched: it has a clock. */
static __always_inline bool filter__inherits(struct task_struct *parent, struct task_struct *child,
					     bool parent_watched)
{
	if (!CONFIG(kthreads) && (FIELD(child, flags) & PF_KTHREAD))
		return false;
	if (!CONFIG_HAS(filter, FILTER_FIXED))
		return FIELD(child, tgid) != CONFIG(self);
	if (!parent_watched)
		return false;
	if (CONFIG(follow))
		return true;
	/* A process id that was asked for may be given to another process later: not that one. */
	return !CONFIG_HAS(filter, FILTER_TIDS) && FIELD(child, tgid) == FIELD(parent, tgid);
}

#endif
