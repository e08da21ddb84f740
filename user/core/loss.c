// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <assert.h>
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

/* Where CPU @cpu's counters are in @values, of which each has @size bytes. */
static const uint64_t *loss__of_cpu(const char *values, size_t size, int cpu)
{
	return (const uint64_t *)(values + size * (size_t)cpu);
}

int loss__read(int fd, struct cpu_stat *sum)
{
	int cpus = libbpf_num_possible_cpus(), err = 0;
	struct bpf_map_info info = {0};
	uint32_t zero = 0, len = sizeof(info);
	uint64_t *to = (uint64_t *)sum;
	size_t size;
	char *values;

	if (cpus < 0)
		return cpus;
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	/* Behind the counters is what the command keeps for a CPU; the kernel pads each. */
	size = (info.value_size + 7U) & ~7U;
	assert(size >= sizeof(*sum));
	values = calloc((size_t)cpus, size);
	if (!values)
		return -ENOMEM;
	memset(sum, 0, sizeof(*sum));
	if (bpf_map_lookup_elem(fd, &zero, values))
		err = -errno;
	for (int cpu = 0; !err && cpu < cpus; cpu++) {
		for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
			to[i] += loss__of_cpu(values, size, cpu)[i];
	}
	free(values);
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
