/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Tallies: a histogram per key. See include/tally.h for the layout. */
#ifndef DWELL_TALLY_BPF_H
#define DWELL_TALLY_BPF_H

#include "lib/filter.bpf.h"
#include "lib/loss.bpf.h"
#include "lib/window.bpf.h"
#include "hist.h"
#include "tally.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct tally_key);
	__type(value, u32);
} tally_slots SEC(".maps");

/* Slot numbers not taken yet; user space fills it. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__type(value, u32);
} tally_free SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct hist);
} tallies SEC(".maps");

/* The slot of @key, taken if it has none yet (then *@fresh is set); TALLY_NONE if all are taken. */
static __always_inline u32 tally__slot(const struct tally_key *key, bool *fresh)
{
	u32 *found = bpf_map_lookup_elem(&tally_slots, key);
	u32 slot;

	if (likely(found))
		return *found;
	if (bpf_map_pop_elem(&tally_free, &slot)) {
		loss__count(LOSS_MAP_FULL);
		return TALLY_NONE;
	}
	if (!bpf_map_update_elem(&tally_slots, key, &slot, BPF_NOEXIST)) {
		*fresh = true;
		return slot;
	}
	/* Another CPU was faster with the same key, or the map took no more. */
	bpf_map_push_elem(&tally_free, &slot, 0);
	found = bpf_map_lookup_elem(&tally_slots, key);
	if (found)
		return *found;
	loss__count(LOSS_MAP_FULL);
	return TALLY_NONE;
}

/* The row of a thread's waits for a CPU; @row is the thread's own. */
static __always_inline u64 tally__cpu_row(u64 row)
{
	return CONFIG(by) == BY_CPU ? TALLY_ROW_CPU | bpf_get_smp_processor_id() : row;
}

/* The histogram of @slot in @epoch; NULL: nothing is tallied. */
static __always_inline struct hist *tally__hist(u32 slot, u32 epoch)
{
	u32 index = slot + (CONFIG(banks) > 1 ? (epoch & 1) * CONFIG(slots) : 0);

	if (slot == TALLY_NONE || !epoch || epoch > window.last)
		return NULL;
	return bpf_map_lookup_elem(&tallies, &index);
}

/* In place of a weight: one wait, and nobody else adds to this tally meanwhile. */
#define TALLY_ALONE (~0ULL)

/* Commands that never say so go without the code: TALLY_OWN is not defined. */
#ifdef TALLY_OWN
static __always_inline bool tally__alone(u64 weight)
{
	return weight == TALLY_ALONE;
}

static __always_inline u64 tally__weight(bool alone)
{
	return alone ? TALLY_ALONE : 1;
}
#else
static __always_inline bool tally__alone(u64 weight)
{
	return false;
}

static __always_inline u64 tally__weight(bool alone)
{
	return 1;
}
#endif

static __always_inline void tally__raise(u32 *count, u64 weight)
{
	if (tally__alone(weight))
		++*count;
	else
		__sync_fetch_and_add(count, weight);
}

static __always_inline void tally__bucket(struct hist *hist, u64 v, u64 weight)
{
	u64 bucket = (u64)hist__index(v);

	/* Or clang 14 tests one register and uses another: no bound for the verifier. */
	barrier_var(bucket);
	if (unlikely(bucket >= HIST_BUCKETS)) {
		tally__raise(&hist->zero, weight);
		return;
	}
	barrier_var(bucket);
	tally__raise(&hist->bucket[bucket], weight);
}

/* Counts one value of @ns; its sum and maximum are kept elsewhere. Global: see below. */
__noinline __attribute__((unused)) int tally__count(u32 slot, u32 epoch, u64 ns)
{
	struct hist *hist = tally__hist(slot, epoch);

	if (hist)
		tally__bucket(hist, ns, 1);
	return 0;
}

/*
 * Adds @weight waits that ended: each @total ns long since the run's start, @inside of them in
 * @epoch.
 */
static __always_inline void tally__put(u32 slot, u32 epoch, u64 inside, u64 total, u64 weight)
{
	struct hist *hist = tally__hist(slot, epoch);

	if (!hist)
		return;
	if (tally__alone(weight))
		hist->sum += inside;
	else
		__sync_fetch_and_add(&hist->sum, inside * weight);
	compat__max(&hist->max, total);
	tally__bucket(hist, total, weight);
}

/* A global function of scalars, which the verifier looks at once and not once per caller. */
__noinline int tally__add_weighted(u32 slot, u32 epoch, u64 inside, u64 total, u64 weight)
{
	tally__put(slot, epoch, inside, total, weight);
	return 0;
}

static __always_inline void tally__add(u32 slot, u32 epoch, u64 inside, u64 total)
{
	tally__add_weighted(slot, epoch, inside, total, 1);
}

/* A wait of a thread ended, in a hook of its own; @alone: no other thread is of the tally's row. */
static __always_inline void tally__add_own(bool alone, u32 slot, u32 epoch, u64 inside, u64 total)
{
	tally__add_weighted(slot, epoch, inside, total, tally__weight(alone));
}

#endif
