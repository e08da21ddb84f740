/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * N+1: one statement returns N rows, and the program then runs another one for each of them.
 *
 * A session remembers its last few different statements, and how often each came since the one that
 * it followed first. What came often after one that returned several rows is added up; user space,
 * which sees all bursts of a pair together, judges whether the numbers agree.
 */
#ifndef DWELL_BURST_BPF_H
#define DWELL_BURST_BPF_H

#include "lib/loss.bpf.h"
#include "query.h"

#define BURST_SLOTS 8 /* a power of two */
#define BURST_NONE  0xff
#define BURST_GAP   (50ULL * 1000 * 1000) /* ns from one statement's end to the next one's begin */

struct burst_slot {
	u64 rows;        /* of the last execution */
	u64 source;      /* fingerprint, and… */
	u64 source_rows; /* …rows of the statement that it followed */
	u64 all_rows;    /* of the executions since then, and… */
	u64 exec_ns;     /* …their times, with… */
	u64 gap_ns;      /* …the time before each of them */
	u32 n;           /* how many they are */
	u32 after;       /* slot of the statement that it followed, or BURST_NONE */
};

struct burst {
	u64 end; /* of the last statement */
	u32 last;
	u32 next;
	u64 fingerprint[BURST_SLOTS]; /* apart, as they are looked through each time */
	struct burst_slot slot[BURST_SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct query_burst_key);
	__type(value, struct query_burst);
} query_bursts SEC(".maps");

static const struct query_burst query_burst_empty;

static __always_inline struct burst_slot *burst__slot(struct burst *b, u64 at)
{
	/* Says the bound in a way that clang 14 does not optimise away. */
	barrier_var(at);
	return &b->slot[at & (BURST_SLOTS - 1)];
}

static __always_inline u64 *burst__fingerprint(struct burst *b, u64 at)
{
	barrier_var(at);
	return &b->fingerprint[at & (BURST_SLOTS - 1)];
}

static __always_inline void burst__forget(struct burst *b)
{
	b->last = BURST_NONE;
	for (u32 i = 0; i < BURST_SLOTS; i++) {
		b->fingerprint[i] = 0;
		b->slot[i].n = 0;
	}
}

static __always_inline u32 burst__find(const struct burst *b, u64 fingerprint)
{
	u32 at = BURST_NONE;

	for (u32 i = 0; i < BURST_SLOTS; i++) {
		if (b->fingerprint[i] == fingerprint)
			at = i;
	}
	return at;
}

/* The oldest makes room, but not the one before this. */
static __always_inline u32 burst__take(struct burst *b, u64 fingerprint)
{
	u32 at = b->next++ & (BURST_SLOTS - 1);
	struct burst_slot *slot;

	if (at == b->last)
		at = b->next++ & (BURST_SLOTS - 1);
	slot = burst__slot(b, at);
	*burst__fingerprint(b, at) = fingerprint;
	slot->n = 0;
	for (u32 i = 0; i < BURST_SLOTS; i++) {
		if (b->slot[i].after == at)
			b->slot[i].after = BURST_NONE;
	}
	return at;
}

/*
 * The statement in slot @at comes again, after others: those that came several times for each of it
 * begin anew. Those that alternate with it do not: they belong to what was before both.
 */
static __always_inline void burst__again(struct burst *b, u32 at)
{
	struct burst_slot *slot = burst__slot(b, at);
	bool source = false;

	for (u32 i = 0; i < BURST_SLOTS; i++) {
		struct burst_slot *other = &b->slot[i];

		if (other->after != at || i == at || other->n <= slot->n + 1 ||
		    other->n < 2 * slot->n)
			continue;
		other->n = 0;
		source = true;
	}
	if (source)
		slot->n = 0;
}

/* What the repeated statement followed: of two that alternate, the one before both. */
static __always_inline void burst__source(struct burst *b, struct burst_slot *slot)
{
	struct burst_slot *from;
	u32 at = slot->after;

	for (int i = 0; i < 3; i++) {
		if (at >= BURST_SLOTS)
			break;
		from = burst__slot(b, at);
		slot->source = *burst__fingerprint(b, at);
		slot->source_rows = from->rows;
		if (from->n + 1 < slot->n)
			return;
		at = from->after;
		slot->source = 0;
	}
	slot->source = 0;
}

static __always_inline struct query_burst *burst__sum(u64 source, u64 repeated, u32 epoch, u32 db)
{
	struct query_burst_key key = {
		.source = source,
		.repeated = repeated,
		.bank = CONFIG(banks) > 1 ? epoch & 1 : 0,
		.db = db,
	};
	struct query_burst *sum = bpf_map_lookup_elem(&query_bursts, &key);

	if (likely(sum))
		return sum;
	bpf_map_update_elem(&query_bursts, &key, &query_burst_empty, BPF_NOEXIST);
	sum = bpf_map_lookup_elem(&query_bursts, &key);
	if (!sum)
		loss__count(LOSS_ROW_FULL);
	return sum;
}

/*
 * By how much the number of bursts that fit changes as this one has become @n long: it fits from
 * half of the source's @rows on (there may be nothing to look for, or it is known already), and no
 * longer once there are more. One more than its rows is let pass, which the program needs itself.
 */
static __always_inline s64 burst__fits(u64 n, u64 rows)
{
	u64 least = (rows + 1) / 2;

	if (n == (least > QUERY_BURST_MIN ? least : QUERY_BURST_MIN))
		return 1;
	return n == rows + 2 ? -1 : 0;
}

/* The executions in the last one's slot that no sum has yet: all of them, or the last one. */
static __always_inline void burst__count(struct burst *b, u32 epoch, u32 db)
{
	struct burst_slot *slot = burst__slot(b, b->last);
	bool first = slot->n == QUERY_BURST_MIN;
	struct query_burst *sum;
	s64 fits;

	if (slot->n < QUERY_BURST_MIN)
		return;
	if (first)
		burst__source(b, slot);
	if (!slot->source || slot->source_rows < QUERY_BURST_MIN)
		return;
	sum = burst__sum(slot->source, *burst__fingerprint(b, b->last), epoch, db);
	if (!sum)
		return;
	if (first) {
		__sync_fetch_and_add(&sum->bursts, 1);
		__sync_fetch_and_add(&sum->source_rows, slot->source_rows);
	}
	fits = burst__fits(slot->n, slot->source_rows);
	if (fits)
		__sync_fetch_and_add(&sum->fit, fits);
	__sync_fetch_and_add(&sum->repeats, first ? slot->n : 1);
	__sync_fetch_and_add(&sum->rows, slot->all_rows);
	__sync_fetch_and_add(&sum->exec_ns, slot->exec_ns);
	__sync_fetch_and_add(&sum->gap_ns, slot->gap_ns);
	slot->all_rows = slot->exec_ns = slot->gap_ns = 0;
}

/* A statement of the session ended, in @epoch; @gap: ns since the one before it. */
static __always_inline void burst__add(struct burst *b, u64 fingerprint, u64 gap, u64 ns, u64 rows)
{
	struct burst_slot *slot;
	u32 at;

	if (gap > BURST_GAP)
		burst__forget(b);
	at = burst__find(b, fingerprint);
	if (at == BURST_NONE)
		at = burst__take(b, fingerprint);
	else if (at != b->last)
		burst__again(b, at);
	slot = burst__slot(b, at);
	if (!slot->n) {
		slot->after = at == b->last ? BURST_NONE : b->last;
		slot->all_rows = slot->exec_ns = slot->gap_ns = 0;
	}
	slot->n++;
	slot->rows = rows;
	slot->all_rows += rows;
	slot->exec_ns += ns;
	slot->gap_ns += gap;
	b->last = at;
}

#endif
