// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>

#include <bpf/bpf.h>

#include "core/loss.h"

static const struct {
	const char *key;
	const char *text;
} reasons[NR_LOSSES] = {
#define X(id, key, text) {key, text},
	DWELL_LOSSES(X)
#undef X
};

int loss__read(const struct object *o, struct loss *loss, uint64_t events[NR_PROGS])
{
	int cpus = libbpf_num_possible_cpus(), err = 0;
	struct cpu_stat *stats;
	uint32_t zero = 0;

	if (cpus < 0)
		return cpus;
	stats = calloc((size_t)cpus, sizeof(*stats));
	if (!stats)
		return -ENOMEM;
	for (int p = 0; p < NR_PROGS; p++)
		events[p] = 0;
	for (int r = 0; r < NR_LOSSES; r++)
		loss->count[r] = 0;
	if (bpf_map_lookup_elem(object__map_fd(o, "cpu_stats"), &zero, stats)) {
		err = -errno;
	} else {
		for (int cpu = 0; cpu < cpus; cpu++) {
			for (int p = 0; p < NR_PROGS; p++)
				events[p] += stats[cpu].events[p];
			for (int r = 0; r < NR_LOSSES; r++)
				loss->count[r] += stats[cpu].loss[r];
		}
	}
	free(stats);
	return err;
}

uint64_t loss__total(const struct loss *loss)
{
	uint64_t total = 0;

	for (int r = 0; r < NR_LOSSES; r++)
		total += loss->count[r];
	return total;
}

void loss__since(struct loss *out, const struct loss *now, const struct loss *before)
{
	for (int r = 0; r < NR_LOSSES; r++)
		out->count[r] = now->count[r] - before->count[r];
}

void loss__json(struct json *j, const struct loss *loss)
{
	json__object_begin(j);
	json__kv_u64(j, "total", loss__total(loss));
	json__key(j, "reasons");
	json__object_begin(j);
	for (int r = 0; r < NR_LOSSES; r++)
		json__kv_u64(j, reasons[r].key, loss->count[r]);
	json__object_end(j);
	json__object_end(j);
}

void loss__footer(const struct loss *loss)
{
	for (int r = 0; r < NR_LOSSES; r++) {
		if (loss->count[r])
			log__note("LOST %llu: %s", (unsigned long long)loss->count[r],
				  reasons[r].text);
	}
}
