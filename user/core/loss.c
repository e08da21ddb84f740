// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/err.h"
#include "core/loss.h"

static const struct {
	const char *key;
	const char *text;
} reasons[NR_LOSSES] = {
#define X(id, key, text) {key, text},
	DWELL_LOSSES(X)
#undef X
};

int loss__read(int fd, struct cpu_stat *sum)
{
	int cpus = libbpf_num_possible_cpus(), err = 0;
	uint64_t *to = (uint64_t *)sum;
	struct cpu_stat *stats;
	uint32_t zero = 0;

	if (cpus < 0)
		return cpus;
	stats = calloc((size_t)cpus, sizeof(*stats));
	if (!stats)
		return -ENOMEM;
	memset(sum, 0, sizeof(*sum));
	if (bpf_map_lookup_elem(fd, &zero, stats))
		err = -errno;
	for (int cpu = 0; !err && cpu < cpus; cpu++) {
		const uint64_t *from = (const uint64_t *)&stats[cpu];

		for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
			to[i] += from[i];
	}
	free(stats);
	return err;
}

uint64_t loss__events(const struct cpu_stat *sum)
{
	uint64_t events = 0;

	for (int p = 0; p < NR_PROGS; p++)
		events += sum->events[p];
	return events;
}

uint64_t loss__total(const struct loss *loss)
{
	uint64_t total = 0;

	for (int r = 0; r < NR_LOSSES; r++)
		total += loss->count[r];
	return total;
}

void loss__since(struct loss *out, const struct cpu_stat *now, struct loss *before)
{
	for (int r = 0; r < NR_LOSSES; r++) {
		out->count[r] = now->loss[r] - before->count[r];
		before->count[r] = now->loss[r];
	}
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
