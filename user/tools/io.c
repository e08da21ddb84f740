// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* io: block requests by device and operation: how long in the queue, how long in the device. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>

#include "base/hist.h"
#include "base/str.h"
#include "base/time.h"
#include "core/devices.h"
#include "core/ident.h"
#include "core/names.h"
#include "core/queues.h"
#include "core/requests.h"
#include "core/session.h"
#include "core/slowest.h"
#include "io.btf.skel.h"
#include "io.raw.skel.h"
#include "request.h"

#define OPEN_ROWS 64 /* rows that have requests under way only */

/* ---- options -------------------------------------------------------------------------------- */

struct io_options {
	const char *dev;
	const char *op;
	bool hist;
	/* what they mean: */
	struct device device;
	uint64_t ops;
};

static const struct opt io_options[] = {
	{0, "dev", "DEVICE", OPT_STR, offsetof(struct io_options, dev), 0, 0, NULL,
	 "Only this disk or partition: sda, /dev/sda1, 8:1", 3},
	{0, "op", "OP[,OP...]", OPT_STR, offsetof(struct io_options, op), 0, 0, NULL,
	 "Only these operations: read, write, flush, discard, write_zeroes, secure_erase, driver",
	 3},
	{0, "hist", NULL, OPT_FLAG, offsetof(struct io_options, hist), 0, 0, NULL,
	 "Print the histogram of each row, too", 4},
	OPTION_END};

static enum dwell_exit io__parse_ops(struct io_options *o)
{
	for (const char *at = o->op; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		size_t len = strcspn(at, ",");
		uint64_t found = requests__ops(at, len);

		if (!found)
			return err__usage(
				"io: there is no operation '%.*s': --op takes read, write, "
				"flush, discard, write_zeroes, secure_erase, driver",
				(int)len, at);
		o->ops |= found;
	}
	return EXIT_OK;
}

static enum dwell_exit io__parsed(void *options)
{
	struct io_options *o = options;
	int err = o->dev ? devices__find(NULL, o->dev, &o->device) : 0;

	if (err == -ENOTBLK)
		return err__usage("io: %s is not a block device", o->dev);
	if (err)
		return err__usage("io: there is no block device '%s' (lsblk lists them)", o->dev);
	return io__parse_ops(o);
}

static void io__configure(const void *options, struct config *config)
{
	const struct io_options *o = options;

	/* Write-back and other work that the kernel does by itself is I/O like any other. */
	config->kthreads = 1;
	/* Whose descendants are to be known must be watched from their birth; others not. */
	config->lazy = !(config->filter & FILTER_FIXED);
	/* They cost a look at each bio, of all devices. */
	config->io_bios = o->dev ? !o->device.requests : devices__any_without_requests(NULL);
	config->io_ops = o->ops;
	config->io_dev = o->device.disk;
	if (o->device.dev != o->device.disk) {
		config->io_first = o->device.first;
		config->io_end = o->device.first + o->device.sectors;
	}
}

/* ---- while it runs -------------------------------------------------------------------------- */

/* What the command keeps while it runs. */
struct io_run {
	/* By the number of their place, and by slot: struct request_rec, _end, _group. */
	struct shared requests, ends, groups;
	struct queues queues;
	struct slowest slowest;
};

static enum dwell_exit io__attach(struct session *s, const void *options)
{
	struct io_run *run = calloc(1, sizeof(*run));
	size_t places = s->config.io_mask + 1UL;
	int err;

	(void)options;
	s->state = run;
	if (!run)
		return err__fail("no memory");
	err = object__share(&s->object, "requests", places, sizeof(struct request_rec),
			    &run->requests);
	if (!err)
		err = object__share(&s->object, "request_ends", places, sizeof(struct request_end),
				    &run->ends);
	if (!err)
		err = object__share(&s->object, "request_groups", s->config.slots,
				    sizeof(struct request_group), &run->groups);
	if (!err)
		err = queues__attach(s, &run->queues);
	return err ? err__fail("the requests cannot be mapped: %s", strerror(-err)) : EXIT_OK;
}

static void io__detach(struct session *s)
{
	struct io_run *run = s->state;

	if (!run)
		return;
	queues__detach(&run->queues);
	shared__close(&run->requests);
	shared__close(&run->ends);
	shared__close(&run->groups);
	free(run);
	s->state = NULL;
}

static void io__tick(struct session *s, const void *options)
{
	struct io_run *run = s->state;

	(void)options;
	queues__sample(s, &run->queues);
}

static bool io__record(struct session *s, const void *data, size_t size)
{
	struct io_run *run = s->state;

	if (size != sizeof(struct request_slow))
		return false;
	slowest__add(s, &run->slowest, data);
	return true;
}

/* ---- rows ----------------------------------------------------------------------------------- */

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
	const char *name;    /* of the device */
	const char *stacked; /* "loop", "dm"…: passes on what it gets; NULL: the bottom */
	const char *below;   /* what it stands on, or NULL */
	const char *on;      /* for the text: "loop0 (on vda)" */
	const char *file;    /* with --by file; NULL: not known */
	const char *title;
	const char *op;    /* "write" */
	const char *flags; /* "sync, meta" */
	uint64_t count;
	uint64_t iops;
	uint64_t bytes_per_s;
	struct request_counts counts;
	double sequential;
	struct table_list sizes;  /* struct table_count */
	struct table_list errnos; /* the same */
	uint64_t errors;
	uint64_t open;   /* under way at the end */
	uint64_t oldest; /* of these: how long, ns */
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
	{.name = "DEVICE", .type = COL_STR, AT(on), .max_columns = 24},
	{.key = "dev", .type = COL_STR, AT(name)},
	{.key = "stacked", .type = COL_STR, AT(stacked)},
	{.key = "below", .type = COL_STR, AT(below)},
	IDENT_COLUMNS(struct io_row, id),
	{.key = "file", .type = COL_STR, AT(file), .only = ONLY(FILE)},
	{.name = "OP", .key = "op", .type = COL_STR, AT(op)},
	{.name = "FLAGS", .key = "flags", .type = COL_STR, AT(flags)},
	{.name = "COUNT", .key = "count", .type = COL_COUNT, AT(count)},
	{.name = "IOPS", .key = "iops", .type = COL_COUNT, AT(iops)},
	{.name = "BYTES", .key = "bytes", .type = COL_BYTES, AT(counts.bytes)},
	{.key = "bytes_per_s", .type = COL_BYTES, AT(bytes_per_s)},
	{.key = "sizes", .type = COL_COUNTS, AT(sizes)},
	{.name = "SEQ", .key = "sequential", .type = COL_SHARE, AT(sequential)},
	{.name = "ERRORS", .key = "errors", .type = COL_COUNT, AT(errors)},
	{.key = "error_codes", .type = COL_COUNTS, AT(errnos)},
	{.key = "requeues", .type = COL_COUNT, AT(counts.requeues)},
	{.key = "partial", .type = COL_COUNT, AT(counts.partial)},
	{.key = "bio_merges", .type = COL_COUNT, AT(counts.bio_merges)},
	{.key = "request_merges", .type = COL_COUNT, AT(counts.rq_merges)},
	{.key = "in_flight_start", .type = COL_COUNT, AT(counts.before)},
	{.name = "OPEN", .key = "in_flight_end", .type = COL_COUNT, AT(open)},
	{.key = "oldest_in_flight_ns", .type = COL_NS, AT(oldest)},
	{.name = "TOTAL", .key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.key = "mean_ns", .type = COL_NS, AT(mean_ns)},
	{.name = "", .key = "hist", .type = COL_HIST, AT(hist)},
	{.name = "QUEUE P50", .type = COL_NS, AT(queue.p50_ns)},
	{.name = "QUEUE P99", .type = COL_NS, AT(queue.p99_ns)},
	{.name = "DEVICE P50", .type = COL_NS, AT(device.p50_ns)},
	{.name = "DEVICE P99", .type = COL_NS, AT(device.p99_ns)},
	{.key = "queue", .type = COL_OBJECT, AT(queue), .sub = part_columns},
	{.key = "device", .type = COL_OBJECT, AT(device), .sub = part_columns},
	{.name = "FILE", .type = COL_STR, AT(file), .only = ONLY(FILE)},
	COLUMN_END,
};

#undef AT

static enum dwell_exit io__no_memory(void)
{
	return err__fail("no memory for the report");
}

/* The row's device, and whether it is a stacked one. False without memory. */
static bool io__set_device(struct session *s, struct io_row *row)
{
	struct device d;

	devices__read(NULL, row->dev, &d);
	row->name = row->on = requests__device(s, row->dev, &d);
	row->stacked = devices__kind(d.kind);
	if (*d.below) {
		row->below = arena__printf(&s->arena, "%s", d.below);
		row->on = arena__printf(&s->arena, "%s (on %s)", row->name, d.below);
		if (!row->below)
			return false;
	}
	return row->name && row->on;
}

/* What is read or written: a path, "[vda]" for the device without a file; NULL: not known. */
static const char *io__file(struct session *s, uint64_t who)
{
	struct name_key key = {.id = who, .kind = NAME_ROW_FILE};
	const char *path;
	struct device d;

	if (who == ROW_NO_FILE || !who)
		return NULL;
	if (who & ROW_BLOCK) {
		uint32_t dev = (uint32_t)who;

		devices__read(NULL, dev, &d);
		return arena__printf(&s->arena, "[%s]", requests__device(s, dev, &d));
	}
	path = names__kept_path(&s->object, &key, (uint32_t)(who >> 32), &s->arena);
	return path ?: arena__printf(&s->arena, "(a file without a name)");
}

static enum dwell_exit io__set_owner(struct session *s, struct io_row *row)
{
	enum dwell_exit status = EXIT_OK;

	if (s->config.by == BY_FILE)
		row->file = io__file(s, row->row);
	else
		status = ident__set(s, row->row, &row->id);
	/* Charged for write-back, without a thread that was seen. */
	if (!status && s->config.by == BY_CGROUP && row->row && !row->id.cgroup)
		row->id.cgroup = names__cgroup_id(row->row, &s->arena);
	return status;
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
		.op = requests__op(aux),
		.flags = requests__flags(s, aux),
		.hist = io__hist(s),
		.queue.hist = io__hist(s),
		.device.hist = io__hist(s),
	};
	if (!io__set_device(s, row) || !row->flags || !row->hist || !row->queue.hist ||
	    !row->device.hist)
		return io__no_memory();
	row->title = arena__printf(&s->arena, "%s %s%s%s", row->name, row->op,
				   *row->flags ? " " : "", row->flags);
	return row->title ? io__set_owner(s, row) : io__no_memory();
}

struct io_rows {
	struct io_row *items;
	size_t n, max;
};

/* The row of these requests, made if there is none; NULL without memory, which was said. */
static struct io_row *io__row(struct session *s, struct io_rows *rows, uint64_t who, uint32_t dev,
			      uint32_t aux)
{
	for (size_t i = 0; i < rows->n; i++) {
		struct io_row *row = &rows->items[i];

		if (row->row == who && row->dev == dev && row->aux == aux)
			return row;
	}
	if (io__new_row(s, &rows->items[rows->n], who, dev, aux))
		return NULL;
	return &rows->items[rows->n++];
}

#define ERRNOS 16 /* different errors of a row that are told apart */

static bool io__add_error(struct session *s, struct io_row *row, uint32_t error, uint64_t n)
{
	struct table_count *codes = (struct table_count *)(uintptr_t)row->errnos.items;
	const char *name = requests__error(error);
	size_t i;

	if (!codes)
		codes = arena__array(&s->arena, ERRNOS, sizeof(*codes));
	if (!codes)
		return false;
	for (i = 0; i < row->errnos.n && strcmp(codes[i].key, name); i++)
		;
	if (i < ERRNOS) {
		codes[i].key = name;
		codes[i].n += n;
		row->errnos = (struct table_list){codes, i < row->errnos.n ? row->errnos.n : i + 1};
	}
	row->errors += n;
	return true;
}

static void io__more(struct hist *hist, uint64_t ns, uint64_t max)
{
	hist->sum += ns;
	if (max > hist->max)
		hist->max = max;
}

/* Adds the counts of an epoch, and clears them for the epoch after next. */
static void io__add_counts(struct io_row *row, struct request_counts *counts)
{
	struct request_counts *to = &row->counts;

	to->bytes += counts->bytes;
	to->requeues += counts->requeues;
	to->partial += counts->partial;
	to->bio_merges += counts->bio_merges;
	to->rq_merges += counts->rq_merges;
	to->before += counts->before;
	io__more(row->hist, counts->queue_ns + counts->device_ns, counts->max_ns);
	io__more(row->queue.hist, counts->queue_ns, counts->queue_max_ns);
	io__more(row->device.hist, counts->device_ns, counts->device_max_ns);
	for (size_t i = 0; i < REQUEST_SIZES; i++) {
		to->sizes[0][i] += counts->sizes[0][i];
		to->sizes[1][i] += counts->sizes[1][i];
	}
	memset(counts, 0, sizeof(*counts));
}

/* The tally in @slot; an empty one without room for it, which was counted. NULL with errno. */
static const struct hist *io__tally(struct session *s, uint32_t slot)
{
	static const struct hist none;

	return slot < s->config.slots ? tallies__hist(&s->object, &s->config, s->reported, slot)
				      : &none;
}

/* Adds what the group in @slot has of the epoch that is reported. */
static enum dwell_exit io__add(struct session *s, struct io_rows *rows, const struct tally_key *key,
			       uint32_t slot)
{
	struct request_group *group = shared__at(&((struct io_run *)s->state)->groups, slot);
	const struct hist *direct = io__tally(s, slot), *queued, *queue, *device;
	static const struct request_counts none;
	struct request_counts *counts;
	struct io_row *row;
	uint64_t n;

	queued = group ? io__tally(s, group->slot_queued) : NULL;
	queue = group ? io__tally(s, group->slot_queue) : NULL;
	device = group ? io__tally(s, group->slot_device) : NULL;
	if (!direct || !queued || !queue || !device)
		return io__no_memory();
	counts = &group->counts[s->config.banks > 1 ? s->reported & 1 : 0];
	n = hist__count(direct) + hist__count(queued);
	if (!n && !memcmp(counts, &none, sizeof(none)))
		return EXIT_OK;
	row = io__row(s, rows, key->row, (uint32_t)key->id, key->aux);
	if (!row)
		return EXIT_FAIL;
	row->count += n;
	hist__merge(row->hist, direct);
	hist__merge(row->hist, queued);
	hist__merge(row->queue.hist, queue);
	hist__merge(row->device.hist, device);
	/* Those that were in no queue: all of their time was the device's. */
	hist__merge(row->device.hist, direct);
	row->queue.hist->zero += hist__count(direct);
	io__add_counts(row, counts);
	if (key->id2 && !io__add_error(s, row, (uint32_t)key->id2, n))
		return io__no_memory();
	return EXIT_OK;
}

/* Every group that was ever seen: those without a request in this epoch may have had merges. */
static enum dwell_exit io__add_all(struct session *s, struct io_rows *rows)
{
	int fd = object__map_fd(&s->object, "tally_slots");
	enum dwell_exit status = EXIT_OK;
	struct tally_key key, *prev = NULL;
	uint32_t slot;

	for (; !status && !bpf_map_get_next_key(fd, prev, &key); prev = &key) {
		if (key.state == REQUEST_DIRECT && !bpf_map_lookup_elem(fd, &key, &slot) &&
		    slot < s->config.slots && rows->n < rows->max)
			status = io__add(s, rows, &key, slot);
	}
	return status;
}

/*
 * Requests that are still under way, and those before them whose end the kernel did not hand over:
 * that is noticed when theirs comes.
 */
static enum dwell_exit io__open(struct session *s, struct io_rows *rows)
{
	struct io_run *run = s->state;
	const volatile struct request_rec *requests = (const void *)run->requests.at;
	const volatile struct request_end *ends = (const void *)run->ends.at;
	const struct request_group *group;
	uint64_t now = time__now();
	struct io_row *row;

	if (shared__map_all(&run->requests) || shared__map_all(&run->ends))
		return io__no_memory();
	for (size_t i = 0; i <= s->config.io_mask && rows->n < rows->max; i++) {
		struct request_rec rec = requests[i];
		/* Less than none, if it was read while more came and went. */
		int32_t open = (int32_t)(rec.begun - ends[i].ended);

		if (open <= 0 || rec.slot >= s->config.slots)
			continue;
		group = shared__at(&run->groups, rec.slot);
		if (!group)
			return io__no_memory();
		if (!group->row)
			continue;
		row = io__row(s, rows, group->row, group->dev, group->op);
		if (!row)
			return EXIT_FAIL;
		row->open += (uint64_t)open;
		if (now > rec.inserted && now - rec.inserted > row->oldest)
			row->oldest = now - rec.inserted;
	}
	return EXIT_OK;
}

static void io__sum_part(struct io_part *part)
{
	part->total_ns = part->hist->sum;
	part->p50_ns = hist__quantile(part->hist, 0.5);
	part->p99_ns = hist__quantile(part->hist, 0.99);
}

static uint64_t io__per_second(const struct session *s, uint64_t n)
{
	return (uint64_t)((double)n * 1e9 / (double)(s->reported_ns ?: 1) + 0.5);
}

/* The sizes that occurred: each class is from its key on up to the next. */
static bool io__sizes(struct session *s, struct io_row *row)
{
	struct table_count *sizes = arena__array(&s->arena, REQUEST_SIZES, sizeof(*sizes));
	uint64_t n, sequential = 0;
	char text[16];

	for (unsigned int i = 0; sizes && i < REQUEST_SIZES; i++) {
		sequential += row->counts.sizes[1][i];
		n = (uint64_t)row->counts.sizes[0][i] + row->counts.sizes[1][i];
		if (!n)
			continue;
		str__bytes(text, sizeof(text), UINT64_C(512) << i);
		sizes[row->sizes.n] = (struct table_count){arena__printf(&s->arena, "%s", text), n};
		if (!sizes[row->sizes.n++].key)
			return false;
	}
	row->sizes.items = sizes;
	row->sequential = (double)sequential / (double)(row->count ?: 1);
	return sizes != NULL;
}

static enum dwell_exit io__sum(struct session *s, struct io_row *row)
{
	io__sum_part(&row->queue);
	io__sum_part(&row->device);
	row->total_ns = row->hist->sum;
	row->mean_ns = row->total_ns / (row->count ?: 1);
	row->iops = io__per_second(s, row->count);
	row->bytes_per_s = io__per_second(s, row->counts.bytes);
	return io__sizes(s, row) ? EXIT_OK : io__no_memory();
}

/* ---- the report ----------------------------------------------------------------------------- */

static enum dwell_exit io__snapshot(struct session *s, const void *options, struct report *report)
{
	const struct io_options *o = options;
	struct io_rows rows = {.max = s->config.slots + OPEN_ROWS};
	struct io_run *run = s->state;
	struct hist *all = io__hist(s);
	enum dwell_exit status;

	rows.items = arena__array(&s->arena, rows.max, sizeof(*rows.items));
	if (!rows.items || !all)
		return io__no_memory();
	status = io__add_all(s, &rows);
	if (!status)
		status = io__open(s, &rows);
	for (size_t i = 0; !status && i < rows.n; i++) {
		status = io__sum(s, &rows.items[i]);
		hist__merge(all, rows.items[i].hist);
	}
	if (!status)
		status = queues__table(s, &run->queues, &report->tables[0]);
	if (!status)
		status = slowest__table(s, &run->slowest, &report->tables[1]);
	report->hist = all;
	report->hist_title = "Block requests, from insertion to completion";
	report->row_hists = o->hist;
	return status ?: session__rows(s, rows.items, rows.n, report);
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
	.examples = "  dwell io                         the whole machine, 5 seconds\n"
		    "  dwell io --by process --op write who writes, write-back included\n"
		    "  dwell io --by file --dev sda1    which files of this partition\n"
		    "  dwell io -i 1                    every second\n"
		    "  dwell io --min 10ms -- make      slow requests of a command, one by one\n",
	.object = &io_object,
	.shape = SHAPE_HISTOGRAM,
	.accepts =
		ACCEPTS_BY_ALL | ACCEPTS_BY_FILE | ACCEPTS_STACKS | STACKS_OF_SLOW | WITHOUT_CLOCKS,
	.options = io_options,
	.options_size = sizeof(struct io_options),
	.columns = io_columns,
	.row_size = sizeof(struct io_row),
	.sort = "total_ns",
	.by = BY_ALL,
	.title_offset = offsetof(struct io_row, title),
	.hist_offset = offsetof(struct io_row, hist),
	.parsed = io__parsed,
	.configure = io__configure,
	.attach = io__attach,
	.tick = io__tick,
	.detach = io__detach,
	.record = io__record,
	.snapshot = io__snapshot,
};
