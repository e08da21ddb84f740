// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* io: block requests by device and operation: how long in the queue, how long in the device. */
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/hist.h"
#include "base/str.h"
#include "core/ident.h"
#include "core/session.h"
#include "io.btf.skel.h"
#include "io.raw.skel.h"
#include "request.h"

/* A part of the requests' time. */
struct io_part {
	uint64_t total_ns;
	uint64_t p50_ns; /* for the text: the histogram has it too */
	uint64_t p99_ns;
	struct hist *hist;
};

struct io_row {
	uint64_t row;
	struct ident id;
	uint32_t dev;
	uint32_t aux;
	const char *name;
	const char *op;    /* "write" */
	const char *flags; /* "sync, meta" */
	uint64_t count;
	uint64_t bytes;
	uint64_t errors;
	uint64_t requeues;
	uint64_t before; /* under way at the start, and ended */
	uint64_t open;   /* under way at the end */
	uint64_t total_ns;
	uint64_t mean_ns;
	struct hist *hist;
	struct io_part queue, device;
};

#define AT(field) .offset = offsetof(struct io_row, field)

static const struct column part_columns[] = {
	{.key = "total_ns", .type = COL_NS, .offset = offsetof(struct io_part, total_ns)},
	{.key = "hist", .type = COL_HIST, .offset = offsetof(struct io_part, hist)},
	COLUMN_END,
};

static const struct column io_columns[] = {
	{.name = "DEVICE", .key = "dev", .type = COL_STR, AT(name), .max_columns = 16},
	IDENT_COLUMNS(struct io_row, id),
	{.name = "OP", .key = "op", .type = COL_STR, AT(op)},
	{.name = "FLAGS", .key = "flags", .type = COL_STR, AT(flags)},
	{.name = "COUNT", .key = "count", .type = COL_COUNT, AT(count)},
	{.name = "BYTES", .key = "bytes", .type = COL_BYTES, AT(bytes)},
	{.key = "errors", .type = COL_COUNT, AT(errors)},
	{.key = "requeues", .type = COL_COUNT, AT(requeues)},
	{.key = "in_flight_start", .type = COL_COUNT, AT(before)},
	{.name = "OPEN", .key = "in_flight_end", .type = COL_COUNT, AT(open)},
	{.name = "TOTAL", .key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.key = "mean_ns", .type = COL_NS, AT(mean_ns)},
	{.name = "", .key = "hist", .type = COL_HIST, AT(hist)},
	{.name = "QUEUE P50", .type = COL_NS, AT(queue.p50_ns)},
	{.name = "QUEUE P99", .type = COL_NS, AT(queue.p99_ns)},
	{.name = "DEVICE P50", .type = COL_NS, AT(device.p50_ns)},
	{.name = "DEVICE P99", .type = COL_NS, AT(device.p99_ns)},
	{.key = "queue", .type = COL_OBJECT, AT(queue), .sub = part_columns},
	{.key = "device", .type = COL_OBJECT, AT(device), .sub = part_columns},
	COLUMN_END,
};

#undef AT

/* include/linux/blk_types.h: enum req_op */
static const char *io__op(uint32_t aux)
{
	switch (aux & REQUEST_OP) {
	case 0:
		return "read";
	case 1:
		return "write";
	case 2:
		return "flush";
	case 3:
		return "discard";
	case 5:
		return "secure_erase";
	case 9:
		return "write_zeroes";
	case 34:
	case 35:
		return "driver";
	}
	return "other";
}

static const char *io__flags(struct session *s, uint32_t aux)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} flags[] = {
		{REQUEST_SYNC, "sync"},
		{REQUEST_META, "meta"},
		{REQUEST_AHEAD, "ahead"},
		{REQUEST_FUA, "fua"},
	};
	char text[32] = "";
	size_t len = 0;

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (aux & flags[i].bit)
			str__append(text, sizeof(text), &len, "%s%s", len ? "," : "",
				    flags[i].name);
	}
	return arena__printf(&s->arena, "%s", text);
}

/* "sda"; "8:0" if the name was not kept. */
static const char *io__device(struct session *s, uint32_t dev)
{
	struct name_key key = {.id = dev, .kind = NAME_DEVICE};
	struct name name;

	if (bpf_map_lookup_elem(object__map_fd(&s->object, "names"), &key, &name))
		return arena__printf(&s->arena, "%u:%u", dev >> 20, dev & 0xfffff);
	name.text[sizeof(name.text) - 1] = '\0';
	return arena__printf(&s->arena, "%s", name.text);
}

static struct hist *io__hist(struct session *s)
{
	return arena__alloc(&s->arena, sizeof(struct hist));
}

static enum dwell_exit io__new_row(struct session *s, struct io_row *row, uint64_t who,
				   uint32_t dev, uint32_t aux)
{
	*row = (struct io_row){
		.row = who,
		.dev = dev,
		.aux = aux,
		.name = io__device(s, dev),
		.op = io__op(aux),
		.flags = io__flags(s, aux),
		.hist = io__hist(s),
		.queue.hist = io__hist(s),
		.device.hist = io__hist(s),
	};
	if (!row->name || !row->flags || !row->hist || !row->queue.hist || !row->device.hist)
		return err__fail("no memory for the report");
	return ident__set(s, who, &row->id);
}

/* The row of these requests, made if there is none; NULL without memory, which was said. */
static struct io_row *io__row(struct session *s, struct io_row *rows, size_t *n, uint64_t who,
			      uint32_t dev, uint32_t aux)
{
	for (size_t i = 0; i < *n; i++) {
		if (rows[i].row == who && rows[i].dev == dev && rows[i].aux == aux)
			return &rows[i];
	}
	if (io__new_row(s, &rows[*n], who, dev, aux))
		return NULL;
	return &rows[(*n)++];
}

static void io__add(struct io_row *row, const struct tally *t)
{
	switch ((enum request_part)t->key.state) {
	case REQUEST_TOTAL:
		hist__merge(row->hist, t->hist);
		row->count += t->count;
		row->errors += t->key.id2 ? t->count : 0;
		break;
	case REQUEST_QUEUE:
		hist__merge(row->queue.hist, t->hist);
		break;
	case REQUEST_DEVICE:
		hist__merge(row->device.hist, t->hist);
		break;
	case REQUEST_BYTES:
		row->bytes += t->hist->sum;
		break;
	case REQUEST_AGAIN:
		row->requeues += t->count;
		break;
	case REQUEST_BEFORE:
		row->before += t->count;
		break;
	}
}

static void io__sum_part(struct io_part *part)
{
	part->total_ns = part->hist->sum;
	part->p50_ns = hist__quantile(part->hist, 0.5);
	part->p99_ns = hist__quantile(part->hist, 0.99);
}

static void io__sum(struct io_row *row)
{
	row->total_ns = row->hist->sum;
	row->mean_ns = row->total_ns / (row->count ?: 1);
	io__sum_part(&row->queue);
	io__sum_part(&row->device);
}

/* Requests that are still under way; @max more rows at most. */
static enum dwell_exit io__open(struct session *s, struct io_row *rows, size_t *n, size_t max)
{
	int fd = object__map_fd(&s->object, "requests");
	uint64_t key, *prev = NULL;
	struct request_rec rec;
	struct io_row *row;

	for (max += *n; *n < max && !bpf_map_get_next_key(fd, prev, &key); prev = &key) {
		if (bpf_map_lookup_elem(fd, &key, &rec) || !rec.row)
			continue;
		row = io__row(s, rows, n, rec.row, rec.dev, rec.op);
		if (!row)
			return EXIT_FAIL;
		row->open++;
	}
	return EXIT_OK;
}

#define OPEN_ROWS 64 /* rows that have requests under way only */

static enum dwell_exit io__snapshot(struct session *s, const void *options, struct report *report)
{
	struct io_row *rows = arena__array(&s->arena, s->tallies.n + OPEN_ROWS, sizeof(*rows));
	struct hist *all = io__hist(s);
	enum dwell_exit status;
	struct io_row *row;
	size_t n = 0;

	(void)options;
	if (!rows || !all)
		return err__fail("no memory for the report");
	for (size_t i = 0; i < s->tallies.n; i++) {
		const struct tally *t = &s->tallies.items[i];

		row = io__row(s, rows, &n, t->key.row, (uint32_t)t->key.id, t->key.aux);
		if (!row)
			return EXIT_FAIL;
		io__add(row, t);
		if (t->key.state == REQUEST_TOTAL)
			hist__merge(all, t->hist);
	}
	status = io__open(s, rows, &n, OPEN_ROWS);
	for (size_t i = 0; i < n; i++)
		io__sum(&rows[i]);
	report->hist = all;
	report->hist_title = "Block requests, from insertion to completion";
	return status ?: session__rows(s, rows, n, report);
}

/* Write-back and other work that the kernel does by itself is I/O like any other. */
static void io__configure(const void *options, struct config *config)
{
	(void)options;
	config->kthreads = 1;
}

static const struct tool_object io_object = {
	.name = "io",
	.btf = io_btf__elf_bytes,
	.raw = io_raw__elf_bytes,
};

extern const struct tool tool_io;

const struct tool tool_io = {
	.name = "io",
	.summary = "How long do block requests take, in the queue and in the device?",
	.examples = "  dwell io                     the whole machine, 5 seconds\n"
		    "  dwell io --by process        who submitted them\n"
		    "  dwell io -i 1                every second\n"
		    "  dwell io --min 10ms -- make  slow requests of a command\n",
	.object = &io_object,
	.shape = SHAPE_HISTOGRAM,
	.accepts = ACCEPTS_BY_ALL,
	.columns = io_columns,
	.row_size = sizeof(struct io_row),
	.sort = "total_ns",
	.by = BY_ALL,
	.configure = io__configure,
	.snapshot = io__snapshot,
};
