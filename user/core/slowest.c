// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "core/frames.h"
#include "core/requests.h"
#include "core/slowest.h"

#define SLOWEST_TEXT 10 /* of them in text */

static void slowest__find_least(struct slowest_epoch *slowest)
{
	slowest->least = 0;
	for (size_t i = 1; i < slowest->n; i++) {
		if (slowest->item[i].total < slowest->item[slowest->least].total)
			slowest->least = i;
	}
}

void slowest__add(struct session *s, struct slowest *all, const struct request_slow *slow)
{
	struct slowest_epoch *slowest = &all->epoch[slow->epoch & 1];

	if (!slow->epoch || slow->epoch <= s->closed)
		return;
	if (slowest->n < SLOWEST)
		slowest->item[slowest->n++] = *slow;
	else if (slow->total > slowest->item[slowest->least].total)
		slowest->item[slowest->least] = *slow;
	slowest__find_least(slowest);
	if (slowest->n == SLOWEST && slow->epoch == s->epoch)
		s->object.window->slow_ns = slowest->item[slowest->least].total + 1;
}

struct slowest_row {
	uint64_t at_ns;
	uint32_t pid, tid;
	char comm[THREAD_COMM + 1];
	const char *dev, *op, *flags;
	uint64_t sector, bytes;
	uint64_t total_ns, queue_ns, device_ns;
	const char *error;
	const char **stack;
	struct table_list frames; /* of the stack */
	const char *from;         /* the stack for people: "pwrite64 < log_flush < main" */
};

#define AT(field) .offset = offsetof(struct slowest_row, field)

static const struct column slow_columns[] = {
	{.name = "AT", .key = "at_ns", .type = COL_NS, AT(at_ns)},
	{.name = "DEVICE", .key = "dev", .type = COL_STR, AT(dev), .max_columns = 16},
	{.name = "PID", .key = "pid", .type = COL_U32, AT(pid)},
	{.key = "tid", .type = COL_U32, AT(tid)},
	{.name = "COMMAND", .key = "comm", .type = COL_CHARS, AT(comm), .max_columns = 15},
	{.name = "OP", .key = "op", .type = COL_STR, AT(op)},
	{.name = "FLAGS", .key = "flags", .type = COL_STR, AT(flags)},
	{.name = "SECTOR", .key = "sector", .type = COL_U64, AT(sector)},
	{.name = "SIZE", .key = "bytes", .type = COL_BYTES, AT(bytes)},
	{.name = "TOTAL", .key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.name = "QUEUE", .key = "queue_ns", .type = COL_NS, AT(queue_ns)},
	{.name = "DEVICE", .key = "device_ns", .type = COL_NS, AT(device_ns)},
	{.key = "error", .type = COL_STR, AT(error)},
	{.key = "stack", .type = COL_STRV, AT(stack)},
	FRAMES_COLUMN("frames", struct slowest_row, frames),
	{.name = "FROM", .type = COL_STR, AT(from)},
	COLUMN_END,
};

#undef AT

static int slowest__compare(const void *a, const void *b)
{
	const struct request_slow *x = a, *y = b;

	return (x->total < y->total) - (x->total > y->total);
}

/* "pwrite64 < log_flush < main": the user's part of a stack, or the kernel's if there is none. */
static const char *slowest__from(struct session *s, const struct request_slow *slow, uint32_t tgid)
{
	uint64_t user = slow->stack >> 32 << 32 | STACK_NONE;
	const char **names = slow->stack >> 32 < STACK_IDS
				     ? frames__names(s, tgid, user, NULL)
				     : frames__names(s, tgid, slow->stack, NULL);
	char text[256] = "";
	size_t len = 0;

	for (; names && *names; names++) {
		if (!str__append(text, sizeof(text), &len, "%s%s", len ? " < " : "", *names))
			break;
	}
	return arena__printf(&s->arena, "%s", text);
}

static bool slowest__row(struct session *s, const struct request_slow *slow,
			 struct slowest_row *row)
{
	bool stacks = s->config.user_stacks || s->config.kernel_stacks;
	struct device d;

	devices__read(NULL, slow->dev, &d);
	*row = (struct slowest_row){
		.at_ns = slow->inserted > s->epoch_start ? slow->inserted - s->epoch_start : 0,
		.pid = slow->tgid,
		.tid = slow->tid,
		.dev = requests__device(s, slow->dev, &d),
		.op = requests__op(slow->op),
		.flags = requests__flags(s, slow->op),
		.sector = slow->sector,
		.bytes = slow->size,
		.total_ns = slow->total,
		.queue_ns = slow->total - slow->device,
		.device_ns = slow->device,
		.error = slow->error ? requests__error((uint32_t)slow->error) : NULL,
		.from = stacks ? slowest__from(s, slow, slow->tgid) : NULL,
	};
	if (stacks)
		row->stack = frames__names(s, slow->tgid, slow->stack, &row->frames);
	memcpy(row->comm, slow->comm, THREAD_COMM);
	return row->dev && row->flags && (!stacks || (row->stack && row->from));
}

enum dwell_exit slowest__table(struct session *s, struct slowest *all, struct report_table *table)
{
	struct slowest_epoch *slowest = &all->epoch[s->reported & 1];
	struct slowest_row *rows = arena__array(&s->arena, SLOWEST, sizeof(*rows));
	bool machine = s->run.sink.json || s->run.sink.jsonl;
	size_t shown = s->run.rows ?: machine ? SLOWEST : SLOWEST_TEXT;

	if (!rows)
		return err__fail("no memory for the report");
	if (shown > slowest->n)
		shown = slowest->n;
	qsort(slowest->item, slowest->n, sizeof(*slowest->item), slowest__compare);
	for (size_t i = 0; i < shown; i++) {
		if (!slowest__row(s, &slowest->item[i], &rows[i]))
			return err__fail("no memory for the report");
	}
	slowest->n = 0;
	*table = (struct report_table){
		.key = "slowest",
		.title = s->config.min_ns ? "The slowest" : NULL,
		.columns = slow_columns,
		.rows = {rows, shown},
		.row_size = sizeof(*rows),
	};
	return EXIT_OK;
}
