/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Who had the CPU while a runnable thread waited for it: each CPU remembers its last few runs, and
 * a wait is charged to those that it overlaps. Waits are charged on the CPU where they end.
 *
 * Both the work and the tallies must stay bounded where many threads wait for many others:
 *
 * - A long wait that overlaps few runs is divided among them. Others are sampled by time: each
 *   thread adds up such waits, and when it has waited for a period, who had the CPU at a random
 *   moment of its last wait is charged for all of it. So each has its share on average, and all
 *   together never more than was waited; what completes no period is charged to nobody. The period
 *   adapts to the number of those who wait: each CPU samples about one wait per CULPRIT_SPACING.
 * - A culprit gets a tally of its own once the thread waited CULPRIT_WORTH for such as have none,
 *   and while it took fewer than CULPRIT_TALLIES in an epoch: those that matter come first. What
 *   the rest had is the others'.
 */
#ifndef DWELL_CULPRIT_BPF_H
#define DWELL_CULPRIT_BPF_H

#include "lib/culprit_log.bpf.h"
#include "lib/clock.bpf.h"
#include "lib/name.bpf.h"
#include "lib/tally.bpf.h"

#define CULPRIT_FEW        2             /* runs that are looked at for each long wait */
#define CULPRIT_PERIOD     (1000 * 1000) /* ns, at least; a wait that is as long is a long one */
#define CULPRIT_PERIOD_MAX (250 * 1000 * 1000)
#define CULPRIT_SPACING    (1000 * 1000) /* ns */
#define CULPRIT_WORTH      (50 * 1000)   /* ns */
#define CULPRIT_TALLIES    8
_Static_assert(CULPRIT_WORTH <= 0xffff, "culprit_debt.unnamed has room for it");
#define CULPRIT_OTHERS CULPRIT_RUNS /* in place of a run: all that are not named */

/*
 * The functions below that find the wait in here, and have no pointers as arguments, are global: so
 * the verifier looks at each once, and not once per caller and state.
 */
static __always_inline struct culprit_log *culprit__log(void)
{
	struct cpu *cpu = cpu__get();

	return cpu ? &cpu->culprit : NULL;
}

/* @task begins to run here. */
static __always_inline void culprit__ran(struct culprit_log *log, struct task_struct *task, u64 now)
{
	u64 at = (log->last + 1) & (CULPRIT_RUNS - 1);
	struct culprit_run *run = &log->run[at];

	run->since = now;
	run->tgid = FIELD(task, tgid);
	run->leader = (u64)FIELD(task, group_leader);
	log->last = at;
}

/*
 * Where one process is watched, runs are remembered only while a thread of it waits for a CPU: all
 * other switches then cost next to nothing.
 */
static __always_inline bool culprit__is_lazy(void)
{
	return CONFIG_HAS(filter, FILTER_TGID) && !CONFIG(follow);
}

/* Threads that wait for a CPU while runs are not remembered otherwise. */
__u32 culprit_awaited;

static __always_inline bool culprit__is_idle(void)
{
	return culprit__is_lazy() && !*(volatile __u32 *)&culprit_awaited;
}

/* The thread of @clk waits for a CPU from now on… */
static __always_inline void culprit__awaits(struct clock *clk)
{
	if (!culprit__is_lazy() || clk->queued)
		return;
	clk->queued = 1;
	__sync_fetch_and_add(&culprit_awaited, 1);
}

/* …and has it, or is gone. */
static __always_inline void culprit__awaited(struct clock *clk)
{
	if (!culprit__is_lazy() || !clk->queued)
		return;
	clk->queued = 0;
	__sync_fetch_and_add(&culprit_awaited, -1);
}

/*
 * @task ran here until now. If its run is not remembered, it began while nobody waited, after the
 * last one that is: since when does not matter, for whoever waits now came later.
 */
static __always_inline void culprit__leaves(struct cpu *cpu, struct task_struct *task)
{
	struct culprit_log *log = &cpu->culprit;
	struct culprit_run *run;

	if (!culprit__is_lazy())
		return;
	run = &log->run[log->last & (CULPRIT_RUNS - 1)];
	if (run->tgid != FIELD(task, tgid) || run->leader != (u64)FIELD(task, group_leader))
		culprit__ran(log, task, run->since + 1);
}

/*
 * Keeps the command name of @run's process, under the id that its tallies have. If the process is
 * gone, its account has it, or nobody.
 */
static __always_inline void culprit__name(const struct culprit_run *run)
{
	struct name_key key = {.id = run->tgid, .kind = CAUSE_TASK};
	struct task_struct *leader = (void *)run->leader;
	struct name *name;

	if (BPF_CORE_READ(leader, pid) != run->tgid)
		return;
	name = name__new(&key);
	if (name && !bpf_core_read(name->text, sizeof(leader->comm), &leader->comm))
		name->len = sizeof(leader->comm);
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
	if (w->unnamed < CULPRIT_WORTH)
		return TALLY_NONE;
	w->unnamed = CULPRIT_WORTH; /* more would not count, and has no room in the clock */
	if (w->tallies >= CULPRIT_TALLIES)
		return TALLY_NONE;
	slot = tally__slot(&key, &fresh);
	if (fresh)
		culprit__name(run);
	w->unnamed = 0;
	w->tallies++;
	return slot;
}

/*
 * Charges the part of the wait that is behind run @at, or CULPRIT_OTHERS for the rest; 1 if nothing
 * is left.
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
		slot = culprit__slot(w, run, clock__span(from, end) * w->weight);
	}
	if (slot == TALLY_NONE)
		slot = culprit__others(w);
	tally__add_weighted(slot, w->epoch, clock__span(clock__later(from, w->cut), end),
			    clock__span(from, end), w->weight);
	w->end = from;
	return from == w->begin;
}

/* How many of the runs that this CPU remembers began after @at: CULPRIT_RUNS, if all of them. */
__noinline u32 culprit__later(u64 at)
{
	struct culprit_log *log = culprit__log();
	u64 n = 0;

	if (!log)
		return CULPRIT_RUNS;
#pragma unroll
	for (u64 step = CULPRIT_RUNS / 2; step; step /= 2) {
		if (log->run[(log->last - (n + step - 1)) & (CULPRIT_RUNS - 1)].since > at)
			n += step;
	}
	return n + (log->run[(log->last - n) & (CULPRIT_RUNS - 1)].since > at);
}

/* Charges who had the CPU at a random moment of the wait for what is due. */
static __always_inline int culprit__sample(struct culprit_log *log)
{
	u64 random = (u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32(), begin, later, part;
	struct culprit_wait *w = &log->wait;
	u32 at = CULPRIT_OTHERS;

	later = culprit__later(w->end - 1 - random % (w->end - w->cut));
	begin = log->run[(log->last - later) & (CULPRIT_RUNS - 1)].since;
	if (later)
		w->end = log->run[(log->last - later + 1) & (CULPRIT_RUNS - 1)].since;
	w->begin = w->cut;
	/* Before the first switch that was seen here, nobody is known. */
	if (later < CULPRIT_RUNS && begin) {
		at = (log->last - later) & (CULPRIT_RUNS - 1);
		w->begin = clock__later(w->cut, begin);
	}
	part = clock__span(w->begin, w->end) ?: 1;
	w->weight = w->due / part;
	w->due -= w->weight * part;
	return culprit__part(at);
}

/* How long a thread waits until one of its waits is looked at. */
static __always_inline u64 culprit__period(const struct culprit_log *log)
{
	return clock__later(log->period, CULPRIT_PERIOD);
}

/* The period of this CPU, which was completed at @now. */
static __always_inline void culprit__adapt(struct culprit_log *log, u64 now)
{
	u64 period = culprit__period(log);

	if (now - log->sampled >= CULPRIT_SPACING)
		log->period = period - period / 4;
	else if (period < CULPRIT_PERIOD_MAX)
		log->period = period + period / 4;
	log->sampled = now;
}

/* Divides the wait among the last CULPRIT_FEW that ran here. */
static __always_inline int culprit__divide(struct culprit_log *log)
{
	u32 last = log->last;

	log->wait.weight = 1;
	for (u32 i = 0; i < CULPRIT_FEW; i++) {
		if (culprit__part((last - i) & (CULPRIT_RUNS - 1)))
			return 0;
	}
	return culprit__part(CULPRIT_OTHERS);
}

/* Charges the wait: all of it, or for a moment of it what is due. */
__noinline int culprit__look(void)
{
	struct culprit_log *log = culprit__log();

	if (!log)
		return 0;
	if (log->wait.whole)
		return culprit__divide(log);
	culprit__adapt(log, log->wait.end);
	return culprit__sample(log);
}

/* Charges the wait for a CPU that ends at @now to those who ran here meanwhile. */
static __always_inline void culprit__charge(struct clock *clk, struct culprit_log *log,
					    const struct segment *seg, u64 now)
{
	struct culprit_debt *debt = &clk->debt;
	u64 *waited = &debt->waited[seg->state == STATE_PREEMPT];
	struct culprit_wait *w = &log->wait;
	bool whole = false;

	if (unlikely(debt->epoch != seg->epoch))
		*debt = (struct culprit_debt){.epoch = seg->epoch};
	if (unlikely(seg->total >= CULPRIT_PERIOD))
		whole = log->run[(log->last - (CULPRIT_FEW - 1)) & (CULPRIT_RUNS - 1)].since <=
			now - seg->total;
	if (likely(!whole)) {
		*waited += seg->inside;
		if (likely(*waited < CULPRIT_PERIOD || *waited < culprit__period(log)) ||
		    !seg->inside)
			return;
	}
	w->whole = whole;
	w->row = tally__cpu_row(clk->row);
	w->begin = now - seg->total;
	w->cut = now - seg->inside;
	w->end = now;
	w->due = *waited;
	w->epoch = seg->epoch;
	w->state = seg->state;
	w->unnamed = debt->unnamed;
	w->tallies = debt->tallies;
	culprit__look();
	*waited = w->due;
	debt->unnamed = w->unnamed;
	debt->tallies = w->tallies;
}

#endif
