// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/str.h"
#include "base/time.h"
#include "core/cost.h"

static uint64_t cost__self_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

void cost__start(struct cost *c)
{
	memset(c, 0, sizeof(*c));
	c->ns_per_event = -1;
	c->self_ns = cost__self_ns();
	c->start = time__now();
	c->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
}

/* What the kernel has measured so far. */
static void cost__read(struct cost *c, const struct object *o)
{
	struct bpf_program *prog = NULL;

	c->programs = 0;
	c->missed = 0;
	while ((prog = object__next_program(o, prog))) {
		struct bpf_prog_info info = {0};
		uint32_t len = sizeof(info);

		if (!bpf_program__autoload(prog) || bpf_program__fd(prog) < 0 ||
		    bpf_program__expected_attach_type(prog) == BPF_TRACE_ITER)
			continue;
		if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
			continue;
		/*
		 * A contended lock inside an interrupt inside the program for another one: that is
		 * a spinlock, which the program would not have looked at.
		 */
		if (strncmp(bpf_program__name(prog), "on_contention", 13))
			c->missed += info.recursion_misses;
		if (c->programs == COST_PROGRAMS)
			continue;
		c->program[c->programs++] = (struct cost_program){
			.name = bpf_program__name(prog),
			.runs = info.run_cnt,
			.ns = info.run_time_ns,
		};
	}
}

void cost__sampled(struct cost *c, const struct object *o)
{
	if (c->stats_fd < 0)
		return;
	close(c->stats_fd);
	c->stats_fd = -1;
	cost__read(c, o);
}

void cost__peak(struct cost *c)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	c->max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
}

void cost__finish(struct cost *c, const struct object *o, uint64_t events)
{
	uint64_t elapsed = time__now() - c->start;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t runs = 0, ns = 0;

	cost__sampled(c, o);
	cost__read(c, o);
	for (unsigned int i = 0; i < c->programs; i++) {
		runs += c->program[i].runs;
		ns += c->program[i].ns;
	}
	c->events = events;
	c->ns_per_event = runs ? (double)ns / (double)runs : -1;
	c->cpu_ns = cost__self_ns() - c->self_ns;
	if (runs)
		c->cpu_ns += (uint64_t)(c->ns_per_event * (double)events);
	c->cpu_percent = 100.0 * (double)c->cpu_ns / ((double)elapsed * (double)cpus);
	cost__peak(c);
}

void cost__json(struct json *j, const struct cost *c)
{
	json__object_begin(j);
	json__kv_u64(j, "events", c->events);
	json__key(j, "ns_per_event");
	if (c->ns_per_event < 0)
		json__null(j);
	else
		json__double(j, c->ns_per_event, 1);
	json__kv_u64(j, "cpu_ns", c->cpu_ns);
	json__kv_double(j, "cpu_percent", c->cpu_percent, 3);
	json__kv_u64(j, "max_rss_bytes", c->max_rss_bytes);
	json__key(j, "programs");
	json__array_begin(j);
	for (unsigned int i = 0; i < c->programs; i++) {
		const struct cost_program *p = &c->program[i];

		json__object_begin(j);
		json__kv_str(j, "name", p->name);
		json__kv_u64(j, "measured_runs", p->runs);
		json__key(j, "ns_per_event");
		if (p->runs)
			json__double(j, (double)p->ns / (double)p->runs, 1);
		else
			json__null(j);
		json__object_end(j);
	}
	json__array_end(j);
	json__object_end(j);
}

void cost__footer(const struct cost *c)
{
	char events[32], rss[16], each[512] = "";
	size_t len = 0;

	for (unsigned int i = 0; i < c->programs; i++) {
		const struct cost_program *p = &c->program[i];

		if (p->runs)
			str__append(each, sizeof(each), &len, "%s %s %.0f ns", len ? "," : "",
				    p->name, (double)p->ns / (double)p->runs);
	}
	str__count(events, sizeof(events), c->events);
	str__bytes(rss, sizeof(rss), c->max_rss_bytes);
	log__note("cost: %s events (%s per event), %.2f %% of all CPUs, %s", events,
		  len ? each + 1 : "not measured", c->cpu_percent, rss);
}
