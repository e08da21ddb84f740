// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/hist.h"
#include "core/tallies.h"

struct hist *tallies__bank(const struct object *o, const struct config *config, uint32_t epoch)
{
	return o->tallies + (config->banks > 1 ? (size_t)(epoch & 1) * config->slots : 0);
}

void tallies__settle(struct hist *bank, const struct config *config, const struct thread_rec *rec,
		     bool final)
{
	struct hist *hist;
	int bucket;

	if (rec->spill_slot < config->slots)
		bank[rec->spill_slot].sum += rec->spill_ns;
	if (rec->open_slot >= config->slots || (final && rec->open_total_ns < config->min_ns))
		return;
	hist = &bank[rec->open_slot];
	hist->sum += rec->open_ns;
	if (!final)
		return;
	bucket = hist__index(rec->open_total_ns);
	if (bucket == HIST_ZERO)
		hist->zero++;
	else
		hist->bucket[bucket]++;
	if (rec->open_total_ns > hist->max)
		hist->max = rec->open_total_ns;
}

int tallies__read(const struct object *o, struct hist *bank, uint32_t slots, struct arena *arena,
		  struct tallies *out)
{
	int fd = object__map_fd(o, "tally_slots");
	struct tally_key key, *prev = NULL;
	struct tally *t;
	uint32_t slot;

	out->n = 0;
	out->items = arena__array(arena, slots, sizeof(*out->items));
	if (!out->items)
		return -ENOMEM;
	while (out->n < slots && !bpf_map_get_next_key(fd, prev, &key)) {
		prev = &key;
		if (bpf_map_lookup_elem(fd, &key, &slot) || slot >= slots)
			continue;
		t = &out->items[out->n];
		t->key = key;
		t->hist = &bank[slot];
		t->states = o->states ? &o->states[t->hist - o->tallies] : NULL;
		t->count = hist__count(t->hist);
		if (t->count || t->hist->sum)
			out->n++;
	}
	return 0;
}

void tallies__clear(const struct tallies *used)
{
	for (size_t i = 0; i < used->n; i++) {
		memset(used->items[i].hist, 0, sizeof(struct hist));
		if (used->items[i].states)
			memset(used->items[i].states, 0, sizeof(struct tally_states));
	}
}
