// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdlib.h>
#include <string.h>

#include "base/hist.h"
#include "core/causes.h"
#include "core/devices.h"
#include "core/holders.h"
#include "core/names.h"

#define CAUSES_NAMED 64 /* a row's first few have variables' names */

const struct column report_cause_columns[] = {
	{.key = "state", .type = COL_STR, .offset = offsetof(struct report_cause, state)},
	{.key = "kind", .type = COL_STR, .offset = offsetof(struct report_cause, kind)},
	{.key = "name", .type = COL_STR, .offset = offsetof(struct report_cause, name)},
	{.key = "device", .type = COL_STR, .offset = offsetof(struct report_cause, device)},
	{.key = "count", .type = COL_COUNT, .offset = offsetof(struct report_cause, count)},
	{.key = "total_ns", .type = COL_NS, .offset = offsetof(struct report_cause, total_ns)},
	{.key = "p99_ns", .type = COL_NS, .offset = offsetof(struct report_cause, p99_ns)},
	{.key = "max_ns", .type = COL_NS, .offset = offsetof(struct report_cause, max_ns)},
	{.key = "doing", .type = COL_STR, .offset = offsetof(struct report_cause, doing)},
	{.key = "holders",
	 .type = COL_LIST,
	 .offset = offsetof(struct report_cause, holders),
	 .sub = holder_columns,
	 .sub_size = sizeof(struct holder)},
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

/* What a key is where rows are added up: its row is causes__owner() of its address, or 0. */
static struct tally_key causes__merged(const struct session *s, const struct tally_key *key)
{
	struct tally_key merged = *key;

	merged.row = causes__private(key) ? causes__owner(s, key->row) : 0;
	return merged;
}

/*
 * Adds up what is the same in several rows; @n tallies in, the number left out. Keys are then
 * causes__merged().
 */
static enum dwell_exit causes__merge(struct session *s, struct tally *t, size_t *n)
{
	size_t out = 0;

	for (size_t i = 0; i < *n; i++) {
		t[i].key = causes__merged(s, &t[i].key);
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
	const struct tally *all = s->tallies.items + s->tallies.n, *end;
	const struct tally *from = row ? causes__first(s, row) : s->tallies.items;
	struct tally *copy;

	for (end = from; end < all && (!row || end->key.row == row); end++)
		;
	copy = arena__array(&s->arena, (size_t)(end - from) + 1, sizeof(*copy));
	*n = 0;
	for (; copy && from < end; from++) {
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

/* The mount that a file or a path that is waited for lies in, or NULL. */
static const struct mount_entry *causes__mount(struct session *s, const struct tally_key *key)
{
	struct name_key at = {.id = key->id, .id2 = key->id2, .kind = key->kind};
	const struct mounts *mounts = session__mounts(s);
	const char *path;

	if (!mounts)
		return NULL;
	if (key->kind == CAUSE_FILE)
		return mounts__of_dev(mounts, (uint32_t)key->id2);
	path = names__path_of(&s->object, &at, &s->arena);
	return path ? mounts__of_path(mounts, path) : NULL;
}

/*
 * What a wait for the disk or a file system is on: its block device, or what else is mounted there.
 * NULL if that is not known.
 */
static const char *causes__device(struct session *s, const struct tally_key *key)
{
	const struct mount_entry *mount;
	struct device device;
	uint32_t dev;

	if ((key->state != STATE_DISK && key->state != STATE_FS) ||
	    (key->kind != CAUSE_FILE && key->kind != CAUSE_PATH))
		return NULL;
	mount = causes__mount(s, key);
	dev = mount ? mount->dev : key->kind == CAUSE_FILE ? (uint32_t)key->id2 : 0;
	if (DEVICE_MAJOR(dev) && !devices__read(NULL, dev, &device))
		return arena__printf(&s->arena, "%s", *device.alias ? device.alias : device.name);
	/* A device's own file, which names it. */
	if (!mount || !strcmp(mount->type, "devtmpfs"))
		return NULL;
	return arena__printf(&s->arena, "%s",
			     strncmp(mount->source, "/dev/", 5) ? mount->source
								: mount->source + 5);
}

/* A path that could not be read leaves the call alone. */
static const char *causes__kind(const struct tally_key *key)
{
	if (key->kind == CAUSE_PATH && !key->id)
		return names__kind(CAUSE_SYSCALL);
	return names__kind((enum cause_kind)key->kind);
}

/* "fsync /var/lib/x on sda1" */
static const char *causes__on(struct session *s, const char *name, const char *device)
{
	return name && device ? arena__printf(&s->arena, "%s on %s", name, device) : name;
}

/* ---- holders of locks ---- */

/* Which causes are told. */
struct causes_wanted {
	struct session *s;
	uint64_t row; /* 0: of all rows together */
	uint32_t tgid;
	const struct lockparts *parts;
};

/* @variable: with the name of the variable that a lock is. */
static const char *causes__name(const struct causes_wanted *w, const struct tally_key *key,
				bool variable)
{
	struct session *s = w->s;
	uint32_t owner = w->tgid;
	const char *name;

	if (!w->row)
		owner = causes__of_processes(s) ? (uint32_t)key->row : 0;
	name = names__cause(&s->object, session__accounts(s), key, owner, &s->arena);
	return variable ? causes__variable(s, key, owner, name) : name;
}

/* What a holder was blocked on. */
static const char *causes__doing(void *arg, const struct tally_key *key)
{
	const struct causes_wanted *w = arg;
	struct tally_key merged = causes__merged(w->s, key);

	return causes__name(w, w->row ? key : &merged, true);
}

/* The parts of all tallies that cause @key was made of. */
static struct lockpart *causes__parts(const struct causes_wanted *w, const struct tally_key *key,
				      size_t *n)
{
	const struct tallies *all = &w->s->tallies;
	struct lockpart *parts = arena__array(&w->s->arena, w->parts->n + 1, sizeof(*parts));

	*n = 0;
	for (size_t i = 0; parts && i < all->n; i++) {
		struct tally_key of = all->items[i].key;
		const struct lockpart *found;
		size_t more;

		if (of.kind != key->kind || of.id != key->id)
			continue;
		if (!w->row)
			of = causes__merged(w->s, &of);
		if (memcmp(&of, key, sizeof(of)))
			continue;
		found = lockparts__of(w->parts, all->items[i].slot, &more);
		if (more)
			memcpy(parts + *n, found, more * sizeof(*parts));
		*n += more;
	}
	if (parts)
		*n = lockparts__merge(parts, *n);
	return parts;
}

/* "rwlock 0x55d0…" or "mutex 0x55d0…, holder not known" from before: now it is known. */
static const char *causes__held_by(struct session *s, const char *name, const struct holder *h)
{
	const char *end = strstr(name, NAMES_NO_HOLDER);

	return arena__printf(&s->arena, "%.*s held by %u (%s)",
			     (int)(end ? (size_t)(end - name) : strlen(name)), name, h->tid,
			     h->comm);
}

/* Who had the lock that @cause is, by @key: its holders and what the first of them did. */
static enum dwell_exit causes__holders(struct causes_wanted *w, const struct tally_key *key,
				       struct report_cause *cause)
{
	const struct holder_names names = {.cause = causes__doing, .arg = w};
	char doing[320];
	const struct holder *h;
	enum dwell_exit status;
	struct lockpart *parts;
	uint64_t waited = 0;
	size_t n;

	if (!w->parts || !w->parts->n || (key->state != STATE_LOCK && key->state != STATE_KLOCK))
		return EXIT_OK;
	parts = causes__parts(w, key, &n);
	if (!parts)
		return err__fail("no memory for the report");
	for (size_t i = 0; i < n; i++)
		waited += parts[i].part == LOCKPART_WAITER ? parts[i].val.ns : 0;
	status = holders__of(w->s, w->parts, parts, n, waited, &names, &cause->holders);
	h = cause->holders.items;
	if (status || !cause->holders.n)
		return status;
	holders__doing_text(h, doing, sizeof(doing));
	if (*doing)
		cause->doing = arena__printf(&w->s->arena, "%s", doing);
	if (!key->id2 || key->kind == CAUSE_FLOCK)
		cause->name = causes__held_by(w->s, cause->name, h);
	return cause->name ? EXIT_OK : err__fail("no memory for the report");
}

enum dwell_exit causes__of(struct session *s, uint64_t row, uint32_t tgid,
			   const struct lockparts *parts, struct table_list *out)
{
	struct causes_wanted wanted = {s, row, tgid, parts};
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
	for (size_t i = 0; !status && i < n; i++) {
		const char *device = causes__device(s, &t[i].key);
		/* Each look-up reads symbols: for those that are seen. */
		const char *name = causes__name(&wanted, &t[i].key, i < CAUSES_NAMED);

		name = causes__on(s, name, device);
		if (!name)
			return err__fail("no memory for the report");
		causes[i] = (struct report_cause){
			.state_id = (enum dwell_state)t[i].key.state,
			.state = names__state((enum dwell_state)t[i].key.state),
			.kind = causes__kind(&t[i].key),
			.name = name,
			.device = device,
			.count = t[i].count,
			.total_ns = t[i].hist->sum,
			.p99_ns = hist__quantile(t[i].hist, 0.99),
			.max_ns = t[i].hist->max,
		};
		if (i < CAUSES_NAMED)
			status = causes__holders(&wanted, &t[i].key, &causes[i]);
	}
	*out = (struct table_list){causes, n};
	return status;
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
