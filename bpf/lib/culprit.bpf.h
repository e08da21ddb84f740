/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Who had the CPU while a runnable thread waited for it: each CPU remembers its last few runs, and
 * a wait is divided among those that it overlaps. Waits are charged on the CPU where they end.
 */
#ifndef DWELL_CULPRIT_BPF_H
#define DWELL_CULPRIT_BPF_H

#include "lib/clock.bpf.h"
#include "lib/name.bpf.h"
#include "lib/tally.bpf.h"

#define CULPRIT_RUNS 32 /* what ran before the last 32 runs is charged to nobody by name */

struct culprit_run {
	u64 since;
	u32 tgid;
	u32 pad;
	u64 comm[2]; /* of the process, not the thread */
};

struct culprit_log {
	u64 last; /* index of the run that goes on, masked */
	struct culprit_run run[CULPRIT_RUNS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct culprit_log);
} culprit_logs SEC(".maps");

static __always_inline struct culprit_log *culprit__log(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&culprit_logs, &zero);
}

/* @task begins to run here. */
static __always_inline void culprit__ran(struct culprit_log *log, struct task_struct *task, u64 now)
{
	u64 at = (log->last + 1) & (CULPRIT_RUNS - 1);
	struct culprit_run *run = &log->run[at];

	run->since = now;
	run->tgid = FIELD(task, tgid);
	compat__comm(FIELD(task, group_leader), run->comm);
	log->last = at;
}

/* Keeps the command name of @run, under the id that its tallies have. */
static __always_inline void culprit__name(const struct culprit_run *run)
{
	struct name_key key = {.id = run->tgid, .kind = CAUSE_TASK};
	struct name *name = name__new(&key);

	if (!name)
		return;
	__builtin_memcpy(name->text, run->comm, sizeof(run->comm));
	name->len = sizeof(run->comm);
}

/*
 * The tally of waits of @row in @state for run @at of this CPU; CULPRIT_RUNS stands for all earlier
 * ones. A global function of scalars, so that the verifier looks at it once.
 */
__noinline u32 culprit__slot(u64 row, u32 state, u32 at)
{
	struct tally_key key = {
		.row = row, .state = state, .kind = CAUSE_TASK, .syscall = SYSCALL_NONE};
	struct culprit_log *log = culprit__log();
	bool fresh = false;
	u32 slot;

	if (!log)
		return TALLY_NONE;
	if (at >= CULPRIT_RUNS) {
		key.id2 = 1;
		return tally__slot(&key, &fresh);
	}
	key.id = log->run[at].tgid;
	slot = tally__slot(&key, &fresh);
	if (fresh)
		culprit__name(&log->run[at]);
	return slot;
}

/* The same, remembered: mostly it is the same process that had the CPU. */
static __always_inline u32 culprit__known_slot(struct clock *clk, u32 tgid, u32 state, u32 at)
{
	u64 memo = (u64)tgid << 32 | (at >= CULPRIT_RUNS ? 1 << 16 : 0) | state;

	if (config.by == BY_CPU || clk->culprit != memo) {
		clk->culprit_slot = culprit__slot(tally__cpu_row(clk->row), state, at);
		clk->culprit = memo;
	}
	return clk->culprit_slot;
}

/* Charges the wait for a CPU that ends at @now to those who ran here meanwhile. */
static __noinline int culprit__charge(struct clock *clk, struct culprit_log *log,
				      const struct segment *seg, u64 now)
{
	u64 begin = now - seg->total, cut = now - seg->inside, end = now, from;
	u32 at = log->last, slot;

	for (int i = 0; i < CULPRIT_RUNS; i++, at--) {
		struct culprit_run *run = &log->run[at & (CULPRIT_RUNS - 1)];

		from = clock__later(run->since, begin);
		slot = culprit__known_slot(clk, run->tgid, seg->state, at & (CULPRIT_RUNS - 1));
		tally__add(slot, seg->epoch, clock__span(clock__later(from, cut), end),
			   clock__span(from, end));
		if (from == begin)
			return 0;
		end = from;
	}
	slot = culprit__known_slot(clk, 0, seg->state, CULPRIT_RUNS);
	tally__add(slot, seg->epoch, clock__span(clock__later(begin, cut), end),
		   clock__span(begin, end));
	return 0;
}

#endif
