/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Who had the CPU while a runnable thread waited for it: each CPU remembers its last few runs, and
 * a wait is divided among those that it overlaps. Waits are charged on the CPU where they end.
 *
 * Both the work and the tallies must stay bounded where many threads wait for many others:
 *
 * - A wait that overlaps few runs is divided as it is. Others are sampled by time: each thread adds
 *   up such waits, and divides the one that completes a period, in place of all of them. A wait is
 *   chosen in proportion to its length, so the shares are unbiased, and never exceed what was
 *   waited. The period adapts to the number of those who wait: each CPU divides about one wait per
 *   CULPRIT_SPACING.
 * - A culprit gets a tally of its own once the thread waited CULPRIT_WORTH for such as have none,
 *   and while it took fewer than CULPRIT_TALLIES in an epoch: those that matter come first. What
 *   the rest had is the others'.
 */
#ifndef DWELL_CULPRIT_BPF_H
#define DWELL_CULPRIT_BPF_H

#include "lib/clock.bpf.h"
#include "lib/name.bpf.h"
#include "lib/tally.bpf.h"

#define CULPRIT_RUNS       32 /* what ran before the last 32 runs is charged to nobody by name */
#define CULPRIT_FEW        2  /* runs that are looked at for each wait */
#define CULPRIT_PERIOD     (1000 * 1000) /* ns, at least… */
#define CULPRIT_PERIOD_MAX (250 * 1000 * 1000)
#define CULPRIT_SPACING    (1000 * 1000) /* ns */
#define CULPRIT_WORTH      (50 * 1000)   /* ns */
#define CULPRIT_TALLIES    8
#define CULPRIT_OTHERS     CULPRIT_RUNS     /* in place of a run: all that are not named */
#define CULPRIT_NONE       (TALLY_NONE - 1) /* no tally was taken yet */

struct culprit_run {
	u64 since;
	u32 tgid;
	u32 pad;
	u64 comm[2]; /* of the process, not the thread */
};

struct culprit_log {
	u64 last;    /* index of the run that goes on, masked */
	u64 period;  /* ns that a thread waits until one of its waits is divided */
	u64 divided; /* when this was done here last */
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
 * The tally of waits of @row in @state for run @at of this CPU, taken if need be and @take says so;
 * CULPRIT_NONE if there is none. @at may be CULPRIT_OTHERS. A global function of scalars, so that
 * the verifier looks at it once.
 */
__noinline u32 culprit__slot(u64 row, u32 state, u32 at, u32 take)
{
	struct tally_key key = {
		.row = row, .state = state, .kind = CAUSE_TASK, .syscall = SYSCALL_NONE};
	struct culprit_log *log = culprit__log();
	bool fresh = false;
	u32 slot, *found;

	if (!log)
		return TALLY_NONE;
	if (at >= CULPRIT_RUNS) {
		key.id2 = 1;
		return tally__slot(&key, &fresh);
	}
	key.id = log->run[at].tgid;
	found = bpf_map_lookup_elem(&tally_slots, &key);
	if (found)
		return *found;
	if (!take)
		return CULPRIT_NONE;
	slot = tally__slot(&key, &fresh);
	if (fresh)
		culprit__name(&log->run[at]);
	return slot;
}

/* May this thread take another tally? If not, @ns more went to the others. */
static __always_inline bool culprit__worth(struct culprit_debt *debt, u64 ns)
{
	debt->unnamed += ns;
	return debt->unnamed >= CULPRIT_WORTH && debt->tallies < CULPRIT_TALLIES;
}

/* Where @ns behind run @at are to be charged. Mostly it is the same process that had the CPU. */
static __always_inline u32 culprit__find(struct clock *clk, u32 tgid, u32 state, u32 at, u64 ns)
{
	u64 memo = (u64)tgid << 32 | (at >= CULPRIT_RUNS ? 1 << 16 : 0) | state;
	u64 row = clk->row;
	u32 slot;

	if (config.by == BY_CPU)
		row = tally__cpu_row(row);
	else if (likely(clk->culprit == memo))
		return clk->culprit_slot;
	slot = culprit__slot(row, state, at, false);
	if (slot == CULPRIT_NONE) {
		if (!culprit__worth(&clk->debt, ns))
			return culprit__slot(row, state, CULPRIT_OTHERS, true);
		slot = culprit__slot(row, state, at, true);
		clk->debt.unnamed = 0;
		clk->debt.tallies++;
	}
	clk->culprit = memo;
	clk->culprit_slot = slot;
	return slot;
}

/* Divides the wait of @seg that ends at @now among those who ran here; counts as @weight such. */
static __noinline int culprit__divide(struct clock *clk, struct culprit_log *log,
				      const struct segment *seg, u64 now, u64 weight)
{
	u64 begin = now - seg->total, cut = now - seg->inside, end = now, from;
	u32 at = log->last, slot;

	for (int i = 0; i < CULPRIT_RUNS; i++, at--) {
		struct culprit_run *run = &log->run[at & (CULPRIT_RUNS - 1)];

		from = clock__later(run->since, begin);
		slot = culprit__find(clk, run->tgid, seg->state, at & (CULPRIT_RUNS - 1),
				     (end - from) * weight);
		tally__add_weighted(slot, seg->epoch, clock__span(clock__later(from, cut), end),
				    clock__span(from, end), weight);
		if (from == begin)
			return 0;
		end = from;
	}
	slot = culprit__find(clk, 0, seg->state, CULPRIT_OTHERS, 0);
	tally__add_weighted(slot, seg->epoch, clock__span(clock__later(begin, cut), end),
			    clock__span(begin, end), weight);
	return 0;
}

/*
 * Is the wait of @seg, which overlaps many runs, the one to be divided in place of all since the
 * last? Then, for how many of its length.
 */
static __always_inline u64 culprit__chosen(struct culprit_debt *debt, struct culprit_log *log,
					   const struct segment *seg, u64 now)
{
	u64 *waited = &debt->waited[seg->state == STATE_PREEMPT];
	u64 weight, elapsed = now - log->divided;

	*waited += seg->inside;
	if (likely(*waited < log->period) || !seg->inside)
		return 0;
	if (elapsed >= CULPRIT_SPACING && log->period > CULPRIT_PERIOD)
		log->period -= log->period / 4;
	else if (elapsed < CULPRIT_SPACING && log->period < CULPRIT_PERIOD_MAX)
		log->period += log->period / 4;
	log->divided = now;
	weight = *waited / seg->inside;
	*waited -= weight * seg->inside;
	return weight;
}

/* Charges the wait for a CPU that ends at @now to those who ran here meanwhile. */
static __always_inline void culprit__charge(struct clock *clk, struct culprit_log *log,
					    const struct segment *seg, u64 now)
{
	u64 few = log->run[(log->last - (CULPRIT_FEW - 1)) & (CULPRIT_RUNS - 1)].since;
	struct culprit_debt *debt = &clk->debt;
	u64 weight = 1;

	if (unlikely(debt->epoch != seg->epoch)) {
		*debt = (struct culprit_debt){.epoch = seg->epoch};
		if (!log->period)
			log->period = CULPRIT_PERIOD;
	} else if (few > now - seg->total) {
		weight = culprit__chosen(debt, log, seg, now);
	}
	if (weight)
		culprit__divide(clk, log, seg, now, weight);
}

#endif
