// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdlib.h>
#include <string.h>

#include "base/hist.h"
#include "core/causes.h"
#include "core/names.h"

#define CAUSES_NAMED 64 /* a row's first few have variables' names */

const struct column report_cause_columns[] = {
	{.key = "state", .type = COL_STR, .offset = offsetof(struct report_cause, state)},
	{.key = "kind", .type = COL_STR, .offset = offsetof(struct report_cause, kind)},
	{.key = "name", .type = COL_STR, .offset = offsetof(struct report_cause, name)},
	{.key = "count", .type = COL_COUNT, .offset = offsetof(struct report_cause, count)},
	{.key = "total_ns", .type = COL_NS, .offset = offsetof(struct report_cause, total_ns)},
	{.key = "p99_ns", .type = COL_NS, .offset = offsetof(struct report_cause, p99_ns)},
	{.key = "max_ns", .type = COL_NS, .offset = offsetof(struct report_cause, max_ns)},
	COLUMN_END,
};

const struct column culprit_columns[] = {
	{.key = "pid", .type = COL_U64, .offset = offsetof(struct culprit, pid)},
	{.key = "comm", .type = COL_STR, .offset = offsetof(struct culprit, comm)},
	{.key = "total_ns", .type = COL_NS, .offset = offsetof(struct culprit, total_ns)},
	COLUMN_END,
};

static int causes__compare_keys(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;

	return memcmp(&x->key, &y->key, sizeof(x->key));
}

/* The key begins with the row: a row's tallies then stand together. */
void causes__prepare(struct session *s)
{
	qsort(s->tallies.items, s->tallies.n, sizeof(*s->tallies.items), causes__compare_keys);
}

static const struct tally *causes__first(const struct session *s, uint64_t row)
{
	const struct tally *items = s->tallies.items;
	size_t low = 0, high = s->tallies.n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(&items[mid].key.row, &row, sizeof(row)) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return items + low;
}

static int causes__longest_first(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;

	if (x->hist->sum != y->hist->sum)
		return x->hist->sum < y->hist->sum ? 1 : -1;
	return causes__compare_keys(a, b);
}

/* User addresses and thread ids mean something in one process only. */
static bool causes__private(const struct tally_key *key)
{
	switch (key->kind) {
	case CAUSE_MUTEX:
	case CAUSE_PI:
	case CAUSE_ROBUST:
	case CAUSE_RWLOCK:
	case CAUSE_COND:
	case CAUSE_SEM:
	case CAUSE_BARRIER:
	case CAUSE_FUTEX:
		return true;
	}
	return false;
}

/* Is every row of one process? */
static bool causes__of_processes(const struct session *s)
{
	return s->config.by == BY_PROCESS || s->config.by == BY_THREAD;
}

/* What an address in a tally of @row belongs to: the process, where rows are of one. */
static uint64_t causes__owner(const struct session *s, uint64_t row)
{
	const struct account *account = accounts__find(session__accounts(s), row);

	return causes__of_processes(s) && account ? account->tgid : row;
}

/*
 * Adds up what is the same in several rows; @n tallies in, the number left out. A key's row is then
 * causes__owner() of its address, or 0.
 */
static enum dwell_exit causes__merge(struct session *s, struct tally *t, size_t *n)
{
	size_t out = 0;

	for (size_t i = 0; i < *n; i++) {
		t[i].key.row = causes__private(&t[i].key) ? causes__owner(s, t[i].key.row) : 0;
	}
	qsort(t, *n, sizeof(*t), causes__compare_keys);
	for (size_t i = 0; i < *n; i++) {
		struct hist *sum;

		if (!out || causes__compare_keys(&t[out - 1], &t[i])) {
			t[out++] = t[i];
			continue;
		}
		sum = arena__alloc(&s->arena, sizeof(*sum));
		if (!sum)
			return err__fail("no memory for the report");
		*sum = *t[out - 1].hist;
		hist__merge(sum, t[i].hist);
		t[out - 1].hist = sum;
		t[out - 1].count += t[i].count;
	}
	*n = out;
	return EXIT_OK;
}

/* The row's tallies as a copy to sort; those without a kind (runq's own) are no causes. */
static struct tally *causes__copy(struct session *s, uint64_t row, size_t *n)
{
	const struct tally *from = row ? causes__first(s, row) : s->tallies.items;
	const struct tally *end = s->tallies.items + s->tallies.n;
	struct tally *copy = arena__array(&s->arena, (size_t)(end - from) + 1, sizeof(*copy));

	*n = 0;
	for (; copy && from < end && (!row || from->key.row == row); from++) {
		if (from->key.kind != CAUSE_NONE)
			copy[(*n)++] = *from;
	}
	return copy;
}

/*
 * "mutex orders 0x55d0… held by…" from "mutex 0x55d0… held by…", if a variable of process @tgid is
 * there; else @name.
 */
static const char *causes__variable(struct session *s, const struct tally_key *key, uint32_t tgid,
				    const char *name)
{
	char variable[256], module[256];
	const char *address;

	if (!tgid || !name || !causes__private(key))
		return name;
	address = strstr(name, " 0x");
	if (!address || datasyms__user(s->datasyms, tgid, key->id, variable, sizeof(variable),
				       module, sizeof(module)))
		return name;
	return arena__printf(&s->arena, "%.*s %s%s", (int)(address - name), name, variable,
			     address);
}

enum dwell_exit causes__of(struct session *s, uint64_t row, uint32_t tgid, struct table_list *out)
{
	size_t n;
	struct tally *t = causes__copy(s, row, &n);
	struct report_cause *causes = arena__array(&s->arena, n + 1, sizeof(*causes));
	enum dwell_exit status = EXIT_OK;

	if (!t || !causes)
		return err__fail("no memory for the report");
	if (!row)
		status = causes__merge(s, t, &n);
	if (status)
		return status;
	qsort(t, n, sizeof(*t), causes__longest_first);
	for (size_t i = 0; i < n; i++) {
		uint64_t owner = row ? tgid : causes__of_processes(s) ? t[i].key.row : 0;
		const char *name = names__cause(&s->object, session__accounts(s), &t[i].key,
						(uint32_t)owner, &s->arena);

		/* Each look-up reads symbols: for those that are seen. */
		if (i < CAUSES_NAMED)
			name = causes__variable(s, &t[i].key, (uint32_t)owner, name);
		if (!name)
			return err__fail("no memory for the report");
		causes[i] = (struct report_cause){
			.state_id = (enum dwell_state)t[i].key.state,
			.state = names__state((enum dwell_state)t[i].key.state),
			.kind = names__kind((enum cause_kind)t[i].key.kind),
			.name = name,
			.count = t[i].count,
			.total_ns = t[i].hist->sum,
			.p99_ns = hist__quantile(t[i].hist, 0.99),
			.max_ns = t[i].hist->max,
		};
	}
	*out = (struct table_list){causes, n};
	return EXIT_OK;
}

static int causes__by_task(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;

	if (x->key.id != y->key.id)
		return x->key.id < y->key.id ? -1 : 1;
	return x->key.id2 < y->key.id2 ? -1 : x->key.id2 > y->key.id2;
}

static int causes__culprit_longest(const void *a, const void *b)
{
	const struct culprit *x = a, *y = b;

	return x->total_ns < y->total_ns ? 1 : x->total_ns > y->total_ns ? -1 : 0;
}

enum dwell_exit causes__culprits(struct session *s, uint64_t row, struct table_list *out)
{
	size_t n, used = 0;
	struct tally *t = causes__copy(s, row, &n);
	struct culprit *culprits = arena__array(&s->arena, n + 1, sizeof(*culprits));

	if (!t || !culprits)
		return err__fail("no memory for the report");
	/* One line for a task, whether it was waited for after a wake-up or a preemption. */
	qsort(t, n, sizeof(*t), causes__by_task);
	for (size_t i = 0; i < n; i++) {
		if (used && !causes__by_task(&t[i - 1], &t[i])) {
			culprits[used - 1].total_ns += t[i].hist->sum;
			continue;
		}
		culprits[used].pid = t[i].key.id;
		culprits[used].comm =
			names__task(&s->object, session__accounts(s), &t[i].key, &s->arena);
		if (!culprits[used].comm)
			return err__fail("no memory for the report");
		culprits[used++].total_ns = t[i].hist->sum;
	}
	qsort(culprits, used, sizeof(*culprits), causes__culprit_longest);
	*out = (struct table_list){culprits, used};
	return EXIT_OK;
}
