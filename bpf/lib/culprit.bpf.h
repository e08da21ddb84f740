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

#define CULPRIT_RUNS       64            /* who ran before the last so many is not known by name */
#define CULPRIT_FEW        2             /* runs that are looked at for each wait */
#define CULPRIT_PERIOD     (1000 * 1000) /* ns, at least… */
#define CULPRIT_PERIOD_MAX (250 * 1000 * 1000)
#define CULPRIT_SPACING    (1000 * 1000) /* ns */
#define CULPRIT_WORTH      (50 * 1000)   /* ns */
#define CULPRIT_TALLIES    8
#define CULPRIT_OTHERS     CULPRIT_RUNS /* in place of a run: all that are not named */

struct culprit_run {
	u64 since;
	u32 tgid;
	u32 pad;
	u64 comm[2]; /* of the process, not the thread */
};

/* The wait that is being divided. */
struct culprit_wait {
	u64 row;
	u64 begin;
	u64 cut;     /* what lies before is not of the epoch */
	u64 end;     /* of what is not divided yet */
	u64 weight;  /* counts as so many */
	u64 unnamed; /* as in culprit_debt */
	u32 tallies; /* as in culprit_debt */
	u32 epoch;
	u32 state;
	u32 pad;
};

struct culprit_log {
	u64 last;    /* index of the run that goes on, masked */
	u64 period;  /* ns that a thread waits until one of its waits is divided */
	u64 divided; /* when this was done here last */
	struct culprit_wait wait;
	/* The tally that was used last here, and what of: mostly it is the same again. */
	u64 memo_row;
	u64 memo_tgid;
	u32 memo_state;
	u32 memo_slot;
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

/* The tally of those that have none of their own. */
static __always_inline u32 culprit__others(const struct culprit_wait *w)
{
	struct tally_key key = {.row = w->row,
				.id2 = 1,
				.state = w->state,
				.kind = CAUSE_TASK,
				.syscall = SYSCALL_NONE};
	bool fresh = false;

	return tally__slot(&key, &fresh);
}

/* The tally for @run, behind which @ns were waited; TALLY_NONE if it has none yet. */
static __always_inline u32 culprit__slot(struct culprit_wait *w, const struct culprit_run *run,
					 u64 ns)
{
	struct tally_key key = {.row = w->row,
				.id = run->tgid,
				.state = w->state,
				.kind = CAUSE_TASK,
				.syscall = SYSCALL_NONE};
	u32 *found = bpf_map_lookup_elem(&tally_slots, &key);
	bool fresh = false;
	u32 slot;

	if (likely(found))
		return *found;
	w->unnamed += ns;
	if (w->unnamed < CULPRIT_WORTH || w->tallies >= CULPRIT_TALLIES)
		return TALLY_NONE;
	slot = tally__slot(&key, &fresh);
	if (fresh)
		culprit__name(run);
	w->unnamed = 0;
	w->tallies++;
	return slot;
}

static __always_inline u32 culprit__known(struct culprit_log *log, struct culprit_wait *w,
					  const struct culprit_run *run, u64 ns)
{
	if (log->memo_slot == TALLY_NONE || log->memo_tgid != run->tgid ||
	    log->memo_row != w->row || log->memo_state != w->state) {
		log->memo_slot = culprit__slot(w, run, ns);
		log->memo_tgid = run->tgid;
		log->memo_row = w->row;
		log->memo_state = w->state;
	}
	return log->memo_slot;
}

/*
 * Charges the part of this CPU's ->wait that is behind run @at, or CULPRIT_OTHERS for the rest; 1
 * if nothing is left. A global function of scalars, so that the verifier looks at it once.
 */
__noinline int culprit__part(u32 at)
{
	struct culprit_log *log = culprit__log();
	struct culprit_wait *w;
	u32 slot = TALLY_NONE;
	u64 from, end;

	if (!log)
		return 1;
	w = &log->wait;
	from = w->begin;
	end = w->end;
	if (at < CULPRIT_RUNS) {
		struct culprit_run *run = &log->run[at & (CULPRIT_RUNS - 1)];

		from = clock__later(run->since, from);
		slot = culprit__known(log, w, run, clock__span(from, end) * w->weight);
	}
	if (slot == TALLY_NONE)
		slot = culprit__others(w);
	tally__add_weighted(slot, w->epoch, clock__span(clock__later(from, w->cut), end),
			    clock__span(from, end), w->weight);
	w->end = from;
	return from == w->begin;
}

/* Divides the wait of @seg that ends at @now among those who ran here; counts as @weight such. */
static __noinline int culprit__divide(struct clock *clk, struct culprit_log *log,
				      const struct segment *seg, u64 now, u64 weight)
{
	struct culprit_debt *debt = &clk->debt;
	struct culprit_wait *w = &log->wait;
	u32 last = log->last;

	w->row = tally__cpu_row(clk->row);
	w->begin = now - seg->total;
	w->cut = now - seg->inside;
	w->end = now;
	w->weight = weight;
	w->epoch = seg->epoch;
	w->state = seg->state;
	w->unnamed = debt->unnamed;
	w->tallies = debt->tallies;
	for (u32 i = 0; i <= CULPRIT_RUNS; i++) {
		if (culprit__part(i < CULPRIT_RUNS ? (last - i) & (CULPRIT_RUNS - 1)
						   : CULPRIT_OTHERS))
			break;
	}
	debt->unnamed = w->unnamed;
	debt->tallies = w->tallies;
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
