// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "base/str.h"
#include "core/holders.h"
#include "core/lockchains.h"
#include "core/names.h"

#define CHAIN_DEPTH 8
#define CHAIN_SHARE 0.25 /* of a hold: from there on what the holder waited for is followed */

/* ---- chains -------------------------------------------------------------------------------- */

static enum dwell_state lockchains__main_state(const struct holder *h)
{
	enum dwell_state longest = STATE_NONE;

	for (int i = STATE_NONE + 1; i < NR_STATES; i++) {
		if (h->states[i] > h->states[longest])
			longest = (enum dwell_state)i;
	}
	return longest;
}

/* The lock that thread @tid waited for longest. */
static const struct lockrow *lockchains__waited_by(const struct lockrows *r, uint32_t tid)
{
	const struct lockrow *best = NULL;
	uint64_t ns = 0;

	for (size_t i = 0; i < r->n; i++) {
		for (size_t p = 0; p < r->rows[i].nparts; p++) {
			const struct lockpart *part = &r->rows[i].parts[p];

			if (part->part == LOCKPART_WAITER && part->tid == tid &&
			    part->val.ns > ns) {
				ns = part->val.ns;
				best = &r->rows[i];
			}
		}
	}
	return best;
}

static const char *lockchains__link(struct lockrows *r, const struct lockrow *row)
{
	const struct holder *h = row->holders.items;

	if (!row->holders.n)
		return arena__printf(&r->s->arena, "%s %s", row->kind, row->name);
	return arena__printf(&r->s->arena, "%s %s (%s %u)", row->kind, row->name, h->comm, h->tid);
}

/* Does the holder of @row mostly wait for another lock? */
static bool lockchains__goes_on(const struct lockrow *row)
{
	const struct holder *h = row->holders.items;
	uint64_t locks;

	if (!row->holders.n)
		return false;
	locks = h->states[STATE_LOCK] + h->states[STATE_KLOCK];
	return (double)locks >= CHAIN_SHARE * (double)h->total_ns && locks;
}

enum dwell_exit lockchains__follow(struct lockrows *r, struct lockrow *row)
{
	const char **chain = arena__array(&r->s->arena, CHAIN_DEPTH + 4, sizeof(*chain));
	const struct lockrow *at = row, *seen[CHAIN_DEPTH];
	const struct lockrow_waiter *w = row->waiter_list.items;
	const struct holder *h;
	size_t n = 0, depth;

	if (!chain)
		return err__fail("no memory for the report");
	if (!row->waiter_list.n || !row->holders.n)
		return EXIT_OK;
	row->chain = chain;
	chain[n++] = arena__printf(&r->s->arena, "%s %u", w->comm, w->tid);
	for (depth = 0; at && depth < CHAIN_DEPTH; depth++) {
		for (size_t i = 0; i < depth; i++) {
			if (seen[i] == at) {
				chain[n++] = "… (again: a cycle)";
				return EXIT_OK;
			}
		}
		seen[depth] = at;
		chain[n++] = lockchains__link(r, at);
		h = at->holders.items;
		if (!at->holders.n)
			return EXIT_OK;
		if (!lockchains__goes_on(at)) {
			enum dwell_state state = lockchains__main_state(h);

			if (state == STATE_NONE)
				return EXIT_OK;
			chain[n++] = state == STATE_CPU || state == STATE_RUNQ ||
						     state == STATE_PREEMPT || !h->doing
					     ? names__state(state)
					     : h->doing;
			return EXIT_OK;
		}
		at = lockchains__waited_by(r, h->tid);
	}
	return EXIT_OK;
}

/* ---- deadlocks ----------------------------------------------------------------------------- */

static const struct lock_waiting *lockchains__waiting(const struct lockrows *r, uint32_t tid)
{
	for (size_t i = 0; i < r->parts.nwaiting; i++) {
		if (r->parts.waiting[i].tid == tid)
			return &r->parts.waiting[i];
	}
	return NULL;
}

/* The thread that holds what @w waits for, if it waits for a lock too. */
static const struct lock_waiting *lockchains__next(const struct lockrows *r,
						   const struct lock_waiting *w)
{
	return w && w->holder ? lockchains__waiting(r, w->holder) : NULL;
}

/* @w is in a cycle of waits, and its lowest thread: each is told once. */
static bool lockchains__begins_cycle(const struct lockrows *r, const struct lock_waiting *w)
{
	const struct lock_waiting *at = lockchains__next(r, w);

	for (size_t i = 0; at && i < r->parts.nwaiting; i++, at = lockchains__next(r, at)) {
		if (at == w)
			return true;
		if (at->tid < w->tid)
			return false;
	}
	return false;
}

const char *lockchains__verdict(struct lockrows *r)
{
	char text[900] = "";
	size_t len = 0;

	for (size_t i = 0; i < r->parts.nwaiting; i++) {
		const struct lock_waiting *w = &r->parts.waiting[i], *at = w, *next;

		if (!lockchains__begins_cycle(r, w))
			continue;
		str__append(text, sizeof(text), &len, "%s", len ? ". Deadlock: " : "Deadlock: ");
		do {
			const struct tally_key *key = &r->parts.keys[at->slot];

			next = lockchains__next(r, at);
			str__append(text, sizeof(text), &len,
				    "%s%s (%u) waits for %s %s, which %s (%u) has",
				    at == w ? "" : "; ", at->comm, at->tid, lockrows__kind(key),
				    lockrows__name(r, NULL, key), next->comm, next->tid);
			at = next;
		} while (at != w);
	}
	return len ? arena__printf(&r->s->arena, "%s.", text) : NULL;
}
