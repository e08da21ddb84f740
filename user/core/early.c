// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Without memory an entry is not added, and HASH_ADD says so by a NULL `hh.tbl`. */
#define HASH_NONFATAL_OOM 1

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hist.h"
#include "cause.h"
#include "core/early.h"

static struct early_tally *early__find(const struct early *e, const struct early_key *key)
{
	struct early_tally *tally = NULL;

	HASH_FIND(hh, e->by_key, key, sizeof(*key), tally);
	return tally;
}

static struct early_tally *early__new(struct early *e, const struct early_key *key)
{
	struct early_tally *tally = calloc(1, sizeof(*tally));

	if (!tally)
		return NULL;
	tally->key = *key;
	HASH_ADD(hh, e->by_key, key, sizeof(tally->key), tally);
	if (!tally->hh.tbl) {
		free(tally);
		return NULL;
	}
	e->n++;
	return tally;
}

/* @ns of a wait of @row in @state; if it @ended, the wait was @total ns long. 0 or -ENOMEM. */
static int early__wait(struct early *e, uint64_t row, uint32_t state, uint64_t ns, bool ended,
		       uint64_t total)
{
	const struct early_key key = {row, state};
	struct early_tally *tally = early__find(e, &key);

	if (!tally && e->n >= e->max) {
		e->lost++;
		return 0;
	}
	if (!tally)
		tally = early__new(e, &key);
	if (!tally)
		return -ENOMEM;
	tally->hist.sum += ns;
	if (ended)
		tallies__end(&tally->hist, total);
	return 0;
}

int early__add(struct early *e, const struct thread_rec *rec, uint64_t min_ns, bool final)
{
	int err = 0;

	for (int i = 0; !err && i < THREAD_EARLY; i++) {
		uint64_t wait = rec->early[i], ns = EARLY_WAIT_NS(wait);

		if (wait)
			err = early__wait(e, rec->row, EARLY_WAIT_STATE(wait), ns, true, ns);
	}
	if (!err && TALLY_IS_EARLY(rec->spill_slot))
		err = early__wait(e, rec->row, TALLY_EARLY_STATE(rec->spill_slot), rec->spill_ns,
				  false, 0);
	if (err || !TALLY_IS_EARLY(rec->open_slot) || (final && rec->open_total_ns < min_ns))
		return err;
	return early__wait(e, rec->row, TALLY_EARLY_STATE(rec->open_slot), rec->open_ns, final,
			   rec->open_total_ns);
}

static struct tally early__tally(struct early_tally *from)
{
	return (struct tally){
		.key = {.row = from->key.row,
			.state = (uint8_t)from->key.state,
			.syscall = SYSCALL_NONE},
		.slot = TALLY_NONE,
		.count = hist__count(&from->hist),
		.hist = &from->hist,
	};
}

int early__merge(struct early *e, struct arena *arena, struct tallies *tallies)
{
	struct early_tally *tally;
	struct tally *items, *t;

	if (!e->n)
		return 0;
	items = arena__array(arena, tallies->n + e->n, sizeof(*items));
	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < tallies->n; i++) {
		struct early_key key = {tallies->items[i].key.row, tallies->items[i].key.state};

		t = &items[i];
		*t = tallies->items[i];
		tally = t->key.kind == CAUSE_NONE ? early__find(e, &key) : NULL;
		if (!tally)
			continue;
		hist__merge(t->hist, &tally->hist);
		t->count = hist__count(t->hist);
		tally->merged = true;
	}
	for (tally = e->by_key; tally; tally = tally->hh.next) {
		if (!tally->merged)
			items[tallies->n++] = early__tally(tally);
	}
	tallies->items = items;
	return 0;
}

void early__reset(struct early *e)
{
	struct early_tally *tally, *next;

	for (tally = e->by_key; tally; tally = next) {
		next = tally->hh.next;
		HASH_DELETE(hh, e->by_key, tally);
		free(tally);
	}
	e->n = 0;
	e->lost = 0;
}
