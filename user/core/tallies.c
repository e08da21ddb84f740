// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/hist.h"
#include "core/tallies.h"

size_t tallies__index(const struct config *config, uint32_t epoch, uint32_t slot)
{
	return slot + (config->banks > 1 ? (size_t)(epoch & 1) * config->slots : 0);
}

struct hist *tallies__hist(struct object *o, const struct config *config, uint32_t epoch,
			   uint32_t slot)
{
	return shared__at(&o->tallies, tallies__index(config, epoch, slot));
}

void tallies__end(struct hist *hist, uint64_t ns)
{
	int bucket = hist__index(ns);

	if (bucket == HIST_ZERO)
		hist->zero++;
	else
		hist->bucket[bucket]++;
	if (ns > hist->max)
		hist->max = ns;
}

int tallies__settle(struct object *o, const struct config *config, const struct thread_rec *rec,
		    bool final)
{
	struct hist *hist;

	if (rec->spill_slot < config->slots) {
		hist = tallies__hist(o, config, rec->epoch, rec->spill_slot);
		if (!hist)
			return -errno;
		hist->sum += rec->spill_ns;
	}
	if (rec->open_slot >= config->slots || (final && rec->open_total_ns < config->min_ns))
		return 0;
	hist = tallies__hist(o, config, rec->epoch, rec->open_slot);
	if (!hist)
		return -errno;
	hist->sum += rec->open_ns;
	if (final)
		tallies__end(hist, rec->open_total_ns);
	return 0;
}

void tallies__sum_none(struct tally_sum *sum)
{
	static const struct hist none;

	*sum = (struct tally_sum){.hist = &none};
}

int tallies__sum_add(struct tally_sum *sum, const struct hist *hist, struct arena *arena)
{
	struct hist *own;

	if (!sum->n++) {
		sum->hist = hist;
		return 0;
	}
	/* From the second tally on it is a copy of its own, which only this function writes to. */
	own = (struct hist *)(uintptr_t)sum->hist;
	if (sum->n == 2) {
		own = arena__alloc(arena, sizeof(*own));
		if (!own)
			return -ENOMEM;
		*own = *sum->hist;
		sum->hist = own;
	}
	hist__merge(own, hist);
	return 0;
}

/* What tally @t, whose key and slot are known, has in @epoch. 0 or -errno. */
static int tallies__fetch(struct object *o, const struct config *config, uint32_t epoch,
			  struct tally *t)
{
	t->states = NULL;
	t->hist = tallies__hist(o, config, epoch, t->slot);
	if (!t->hist)
		return -errno;
	t->count = hist__count(t->hist);
	if (!o->states.at)
		return 0;
	t->states = shared__at(&o->states, tallies__index(config, epoch, t->slot));
	return t->states ? 0 : -errno;
}

int tallies__read(struct object *o, const struct config *config, uint32_t epoch,
		  struct arena *arena, struct tallies *out)
{
	int fd = object__map_fd(o, "tally_slots"), err;
	struct tally_key *prev = NULL, key;
	struct tally *t;

	out->n = 0;
	out->items = arena__array(arena, config->slots, sizeof(*out->items));
	if (!out->items)
		return -ENOMEM;
	while (out->n < config->slots && !bpf_map_get_next_key(fd, prev, &key)) {
		prev = &key;
		t = &out->items[out->n];
		t->key = key;
		if (bpf_map_lookup_elem(fd, &key, &t->slot) || t->slot >= config->slots)
			continue;
		err = tallies__fetch(o, config, epoch, t);
		if (err)
			return err;
		if (t->count || t->hist->sum)
			out->n++;
	}
	return 0;
}

void tallies__add_states(uint64_t to[NR_STATES], const struct tally *t)
{
	uint64_t cpu = t->hist->sum;

	/* Clocks are turned while they are read: of a call, others may come to a little more. */
	for (int i = STATE_NONE + 1; i < NR_STATES; i++) {
		uint64_t ns = i == STATE_CPU ? 0 : t->states->ns[i];

		to[i] += ns;
		cpu -= ns < cpu ? ns : cpu;
	}
	to[STATE_CPU] += cpu;
}

void tallies__clear(const struct tallies *used)
{
	for (size_t i = 0; i < used->n; i++) {
		memset(used->items[i].hist, 0, sizeof(struct hist));
		if (used->items[i].states)
			memset(used->items[i].states, 0, sizeof(struct tally_states));
	}
}
