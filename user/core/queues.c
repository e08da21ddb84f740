// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/time.h"
#include "core/queues.h"
#include "core/requests.h"

#define SERIES 128 /* points of a queue's depth over time; then every other one goes */

/* A queue's depth over a stretch of time that ends at @at_ns of the report. */
struct queue_point {
	uint64_t at_ns;
	double mean;
	uint64_t max;
};

/* What is known of a device's queue since the report's begin. */
struct queue {
	struct queue_point point[SERIES];
	size_t points;
	struct request_device last; /* at the last point */
	uint64_t last_ns;
	uint64_t first_ns; /* of the report: CLOCK_MONOTONIC */
	uint64_t area;     /* under its depth since then, ns */
	uint64_t max;
};

static uint64_t queues__depth(const struct request_device *d)
{
	return (d->in - d->out) & REQUEST_DEPTH;
}

/* The area under the depth up to now, modulo 2^48: see struct request_device. */
static uint64_t queues__area(const struct request_device *d, uint64_t now)
{
	return queues__depth(d) * now - ((d->in - d->out) >> REQUEST_DEPTH_BITS);
}

/* What the kernel side has of a device's queue, and its greatest depth from now on. */
static struct request_device queues__look(struct request_device *live)
{
	volatile struct request_device *from = live;
	struct request_device d = {.dev = from->dev, .depth = from->depth};

	/* In this order: or what leaves meanwhile would make the depth less than nothing. */
	d.out = from->out;
	d.in = from->in;
	from->depth = 0;
	from->look = (uint32_t)d.in;
	return d;
}

/* Of two points of a queue's depth, one. */
static void queues__halve(struct queue *q)
{
	for (size_t i = 0; i < SERIES / 2; i++) {
		const struct queue_point *a = &q->point[2 * i], *b = &q->point[2 * i + 1];
		uint64_t from = i ? q->point[i - 1].at_ns : 0;
		double all = (double)(b->at_ns - from) ?: 1;

		q->point[i] = (struct queue_point){
			.at_ns = b->at_ns,
			.mean = (a->mean * (double)(a->at_ns - from) +
				 b->mean * (double)(b->at_ns - a->at_ns)) /
				all,
			.max = a->max > b->max ? a->max : b->max,
		};
	}
	q->points = SERIES / 2;
}

/* One more point, up to now. */
static void queues__add_point(const struct session *s, struct queue *q, struct request_device *live)
{
	struct request_device d = queues__look(live);
	uint64_t now = time__now(),
		 area = queues__area(&d, now) - queues__area(&q->last, q->last_ns);
	uint64_t max = d.depth > queues__depth(&d) ? d.depth : queues__depth(&d);

	/* What CPUs add meanwhile has begun a little later than now: never below zero. */
	area = area << REQUEST_DEPTH_BITS >> REQUEST_DEPTH_BITS;
	if (area >> (63 - REQUEST_DEPTH_BITS))
		area = 0;
	if (q->points == SERIES)
		queues__halve(q);
	q->point[q->points++] = (struct queue_point){
		.at_ns = now - s->epoch_start,
		.mean = (double)area / (double)(now - q->last_ns ?: 1),
		.max = max,
	};
	q->area += area;
	q->max = max > q->max ? max : q->max;
	q->last = d;
	q->last_ns = now;
}

void queues__sample(const struct session *s, struct queues *qs)
{
	for (size_t i = 0; i < REQUEST_DEVICES; i++) {
		if (!qs->devices[i].dev)
			continue;
		if (!qs->queue[i]) {
			qs->queue[i] = calloc(1, sizeof(*qs->queue[i]));
			if (!qs->queue[i])
				continue; /* its queue's depth is not shown */
			/* It came up since the last look: its first request was the first. */
			qs->queue[i]->first_ns = qs->queue[i]->last_ns = s->epoch_start;
		}
		queues__add_point(s, qs->queue[i], &qs->devices[i]);
	}
}

int queues__attach(const struct session *s, struct queues *qs)
{
	int err = object__share_all(&s->object, "request_devices", REQUEST_DEVICES,
				    sizeof(*qs->devices), &qs->shared);

	qs->devices = (void *)qs->shared.at;
	return err;
}

void queues__detach(struct queues *qs)
{
	for (size_t i = 0; i < REQUEST_DEVICES; i++)
		free(qs->queue[i]);
	shared__close(&qs->shared);
}

struct queue_row {
	const char *name;
	const char *stacked;
	const char *below;
	const char *alias;
	const char *mean_text;
	double mean;
	uint64_t max;
	uint64_t open;
	struct table_list series; /* struct queue_point */
};

static const struct column point_columns[] = {
	{.key = "at_ns", .type = COL_NS, .offset = offsetof(struct queue_point, at_ns)},
	{.key = "mean", .type = COL_SHARE, .offset = offsetof(struct queue_point, mean)},
	{.key = "max", .type = COL_COUNT, .offset = offsetof(struct queue_point, max)},
	COLUMN_END,
};

#define AT(field) .offset = offsetof(struct queue_row, field)

static const struct column queue_columns[] = {
	{.name = "DEVICE", .key = "dev", .type = COL_STR, AT(name)},
	{.name = "STACKED", .key = "stacked", .type = COL_STR, AT(stacked)},
	{.name = "ON", .key = "below", .type = COL_STR, AT(below)},
	{.key = "alias", .type = COL_STR, AT(alias)},
	{.name = "MEAN DEPTH", .type = COL_STR, AT(mean_text)},
	{.key = "depth_mean", .type = COL_SHARE, AT(mean)},
	{.name = "MAX", .key = "depth_max", .type = COL_COUNT, AT(max)},
	{.name = "NOW", .key = "in_flight", .type = COL_COUNT, AT(open)},
	{.key = "depth",
	 .type = COL_LIST,
	 AT(series),
	 .sub = point_columns,
	 .sub_size = sizeof(struct queue_point)},
	COLUMN_END,
};

#undef AT

static enum dwell_exit queues__no_memory(void)
{
	return err__fail("no memory for the report");
}

/* Once for each device that is gone. */
static void queues__tell_gone(struct queues *qs, size_t at, const char *name, bool there)
{
	if (there || qs->gone_told[at])
		return;
	qs->gone_told[at] = true;
	log__note("%s was removed meanwhile; what it did until then is in the report", name);
}

static bool queues__row(struct session *s, struct queues *qs, size_t at, struct queue_row *row)
{
	struct queue *q = qs->queue[at];
	uint32_t dev = qs->devices[at].dev == UINT32_MAX ? 0 : qs->devices[at].dev;
	struct queue_point *points = arena__array(&s->arena, q->points ?: 1, sizeof(*points));
	struct device d;
	bool there = !devices__read(NULL, dev, &d);

	if (!points)
		return false;
	memcpy(points, q->point, q->points * sizeof(*points));
	*row = (struct queue_row){
		.name = requests__device(s, dev, &d),
		.stacked = devices__kind(d.kind),
		.below = *d.below ? arena__printf(&s->arena, "%s", d.below) : NULL,
		.alias = *d.alias ? arena__printf(&s->arena, "%s", d.alias) : NULL,
		.mean = (double)q->area / (double)(q->last_ns - q->first_ns ?: 1),
		.max = q->max,
		.open = queues__depth(&q->last),
		.series = {points, q->points},
	};
	row->mean_text = arena__printf(&s->arena, "%.2f", row->mean);
	if (!row->name || !row->mean_text)
		return false;
	queues__tell_gone(qs, at, row->name, there || !dev);
	q->points = 0;
	q->area = q->max = 0;
	q->first_ns = q->last_ns;
	return true;
}

enum dwell_exit queues__table(struct session *s, struct queues *qs, struct report_table *table)
{
	struct queue_row *rows = arena__array(&s->arena, REQUEST_DEVICES, sizeof(*rows));
	size_t n = 0;

	queues__sample(s, qs);
	for (size_t i = 0; rows && i < REQUEST_DEVICES; i++) {
		if (qs->queue[i] && !queues__row(s, qs, i, &rows[n++]))
			return queues__no_memory();
	}
	*table = (struct report_table){
		.key = "devices",
		.title = "Queues",
		.columns = queue_columns,
		.rows = {rows, n},
		.row_size = sizeof(*rows),
	};
	return rows ? EXIT_OK : queues__no_memory();
}
