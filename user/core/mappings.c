// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/mappings.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/time.h"

#define PAGES     16 /* of each CPU's buffer: some 500 mappings */
#define DELAY_NS  (2 * NSEC_PER_MSEC)
#define TGIDS_MAX 256

struct mappings {
	int map; /* libbpf wants one for its buffers */
	struct perf_buffer *buffer;
	uint32_t tgids[TGIDS_MAX];
	uint32_t n; /* above TGIDS_MAX: all */
	uint64_t due;
};

/* include/uapi/linux/perf_event.h describes it in a comment. */
struct mmap_record {
	struct perf_event_header header;
	uint32_t pid, tid;
};

static void mappings__add(struct mappings *m, uint32_t tgid)
{
	if (!m->n)
		m->due = time__now() + DELAY_NS;
	for (uint32_t i = 0; i < m->n && i < TGIDS_MAX; i++) {
		if (m->tgids[i] == tgid)
			return;
	}
	if (m->n < TGIDS_MAX)
		m->tgids[m->n++] = tgid;
	else
		m->n = TGIDS_MAX + 1;
}

static enum bpf_perf_event_ret mappings__on_record(void *arg, int cpu, struct perf_event_header *e)
{
	struct mappings *m = arg;

	(void)cpu;
	if (e->type == PERF_RECORD_MMAP && e->size >= sizeof(struct mmap_record))
		mappings__add(m, ((const struct mmap_record *)e)->pid);
	else if (e->type == PERF_RECORD_LOST)
		mappings__add(m, MAPPINGS_ALL);
	return LIBBPF_PERF_EVENT_CONT;
}

struct mappings *mappings__new(void)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.mmap = 1,
		.watermark = 1,
		.wakeup_watermark = 1,
	};
	struct mappings *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->due = UINT64_MAX;
	m->map = bpf_map_create(BPF_MAP_TYPE_PERF_EVENT_ARRAY, "mappings", sizeof(int), sizeof(int),
				(uint32_t)libbpf_num_possible_cpus(), NULL);
	if (m->map >= 0)
		m->buffer =
			perf_buffer__new_raw(m->map, PAGES, &attr, mappings__on_record, m, NULL);
	if (m->buffer)
		return m;
	if (m->map >= 0)
		close(m->map);
	free(m);
	return NULL;
}

void mappings__free(struct mappings *m)
{
	if (!m)
		return;
	perf_buffer__free(m->buffer);
	close(m->map);
	free(m);
}

int mappings__fd(const struct mappings *m)
{
	return m ? perf_buffer__epoll_fd(m->buffer) : -1;
}

uint64_t mappings__due(const struct mappings *m)
{
	return m && m->n ? m->due : UINT64_MAX;
}

void mappings__read(struct mappings *m)
{
	perf_buffer__consume(m->buffer);
}

void mappings__tell(struct mappings *m, void (*fn)(uint32_t tgid, void *arg), void *arg)
{
	uint32_t n = m->n;

	m->n = 0;
	if (n > TGIDS_MAX)
		fn(MAPPINGS_ALL, arg);
	for (uint32_t i = 0; i < n && n <= TGIDS_MAX; i++)
		fn(m->tgids[i], arg);
}
