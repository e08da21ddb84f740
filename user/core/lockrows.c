// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/hist.h"
#include "base/str.h"
#include "core/datasyms.h"
#include "core/features.h"
#include "core/frames.h"
#include "core/holders.h"
#include "core/lockrows.h"
#include "core/names.h"

const struct column lockrows_holder_columns[] = {
	HOLDER_COLUMNS,
	{.key = "stack", .type = COL_STRV, .offset = offsetof(struct holder, stack)},
	COLUMN_END,
};

#define AT(field) .offset = offsetof(struct lockrow_waiter, field)
const struct column lockrows_waiter_columns[] = {
	{.key = "tid", .type = COL_U32, AT(tid)},
	{.key = "comm", .type = COL_STR, AT(comm)},
	{.key = "count", .type = COL_COUNT, AT(count)},
	{.key = "total_ns", .type = COL_NS, AT(total_ns)},
	COLUMN_END,
};
#undef AT

/* ---- rows ---------------------------------------------------------------------------------- */

static bool lockrows__is_event(const struct tally_key *key)
{
	return key->kind == CAUSE_COND || key->kind == CAUSE_SEM || key->kind == CAUSE_BARRIER ||
	       key->kind == CAUSE_JOIN || key->kind == CAUSE_FUTEX;
}

static bool lockrows__is_kernel(const struct tally_key *key)
{
	return key->kind == CAUSE_KLOCK;
}

/* Is it a tally of a lock? */
static bool lockrows__is_lock(const struct tally_key *key)
{
	return lockrows__is_kernel(key) || key->state == STATE_LOCK ||
	       (key->state == STATE_SYNC && lockrows__is_event(key));
}

/* What a kernel lock is, whoever waited and however he did. */
static uint32_t lockrows__klock_group(uint32_t aux)
{
	return CAUSE_KLOCK | (aux & (LCB_F_SPIN | LCB_F_MUTEX | LCB_F_RT | LCB_F_PERCPU)) << 8;
}

/*
 * The lock that the futex word @key->id is part of: rwlocks wait for two of theirs (see
 * cause.bpf.h).
 */
static uint64_t lockrows__addr(const struct tally_key *key)
{
	return key->kind == CAUSE_RWLOCK ? key->id - (key->id & 4 ? 12 : 8) : key->id;
}

#define GROUP_BY_STACK (1U << 31) /* lock_row.group, whose id is then of the caller's name */

/* A condition variable of CPython's runtime that is waited for is its global lock. */
static bool lockrows__is_gil(struct lockrows *r, const struct tally_key *key)
{
	const struct account *account = accounts__find(session__accounts(r->s), key->row);
	char name[256], module[256];

	return key->kind == CAUSE_COND && account &&
	       !datasyms__user(r->s->datasyms, account->tgid, key->id, name, sizeof(name), module,
			       sizeof(module)) &&
	       !strncmp(name, "_PyRuntime", strlen("_PyRuntime"));
}

/*
 * A word that nothing but the stack @stack tells to be a lock: all that one function waits for are
 * one row, since such words often are the waiting thread's own. False if it is no lock.
 */
static bool lockrows__place_by_stack(struct lockrows *r, const struct tally_key *key,
				     uint64_t stack, struct lockrow *row)
{
	const char **names = frames__names(r->s, 0, stack, NULL);
	const char *caller = frames__caller((const char *const *)names);
	unsigned int hash = 0;

	row->by_stack = frames__lock((const char *const *)names);
	if (frames__idle_goroutines((const char *const *)names))
		r->go = accounts__find(session__accounts(r->s), key->row);
	if (lockrows__is_gil(r, key)) {
		row->by_stack = "GIL";
		caller = NULL;
	}
	if (!row->by_stack)
		return false;
	if (caller)
		HASH_FNV(caller, strlen(caller), hash);
	row->id = hash;
	row->group = GROUP_BY_STACK;
	return true;
}

/* The same, of tally @t with a key of its own (include/lock.h). */
static bool lockrows__place_word(struct lockrows *r, const struct tally *t, struct lockrow *row)
{
	const struct tally_key *key = &t->key, *lock = key;

	if (key->id2 < r->s->config.slots && r->parts.keys[key->id2].state != STATE_NONE)
		lock = &r->parts.keys[key->id2];
	row->key = lock;
	if (!lockrows__place_by_stack(r, lock, (uint64_t)key->aux << 32 | STACK_NONE, row)) {
		row->group = lock->kind;
		if (!r->events || !lockrows__is_event(lock))
			return false;
	}
	if (r->by == LOCK_BY_TASK)
		row->id = row->group = 0;
	return true;
}

/* Which row the tally belongs to; false if to none. */
static bool lockrows__place(struct lockrows *r, const struct tally *t, struct lockrow *row)
{
	const struct tally_key *key = &t->key;
	struct lockrow other;

	*row = (struct lockrow){.key = key, .owner = key->row, .id = key->id, .group = key->kind};
	if (key->kind == CAUSE_NONE && key->state == STATE_SYNC && r->by != LOCK_BY_CALLER)
		return lockrows__place_word(r, t, row);
	switch (r->by) {
	case LOCK_BY_LOCK:
		if (!lockrows__is_lock(key))
			return false;
		if (lockrows__is_kernel(key)) {
			row->group = lockrows__klock_group(key->aux);
			row->owner = 0;
		} else {
			row->id = lockrows__addr(key);
		}
		return true;
	case LOCK_BY_CALLER:
		other = *row;
		return key->kind == CAUSE_NONE &&
		       (key->state != STATE_SYNC || r->events ||
			lockrows__place_by_stack(r, key, key->id, &other));
	case LOCK_BY_TASK:
		row->id = row->group = 0;
		return lockrows__is_lock(key);
	case LOCK_BY_HOLDER:
		row->owner = 0;
		return key->kind == CAUSE_TASK;
	}
	return false;
}

static int lockrows__compare(const void *a, const void *b)
{
	const struct lockrow *x = a, *y = b;

	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->group < y->group ? -1 : x->group > y->group;
}

static enum dwell_exit lockrows__add(struct lockrows *r, struct lockrow *row, const struct tally *t)
{
	size_t n;
	const struct lockpart *parts = lockparts__of(&r->parts, t->slot, &n);
	struct lockpart *all;

	if (!row->hist)
		row->hist = arena__alloc(&r->s->arena, sizeof(*row->hist));
	all = arena__array(&r->s->arena, row->nparts + n + 1, sizeof(*all));
	if (!row->hist || !all)
		return err__fail("no memory for the report");
	if (row->nparts)
		memcpy(all, row->parts, row->nparts * sizeof(*all));
	if (n)
		memcpy(all + row->nparts, parts, n * sizeof(*all));
	row->parts = all;
	row->nparts += n;
	hist__merge(row->hist, t->hist);
	row->count += t->count;
	row->total_ns += t->hist->sum;
	return EXIT_OK;
}

struct lock_item {
	struct lockrow row;
	const struct tally *tally;
};

/* One row for all tallies that belong together. */
static enum dwell_exit lockrows__group(struct lockrows *r)
{
	const struct tallies *tallies = &r->s->tallies;
	struct lock_item *items = arena__array(&r->s->arena, tallies->n + 1, sizeof(*items));
	enum dwell_exit status = EXIT_OK;
	size_t n = 0;

	r->rows = arena__array(&r->s->arena, tallies->n + 1, sizeof(*r->rows));
	if (!items || !r->rows)
		return err__fail("no memory for the report");
	for (size_t i = 0; i < tallies->n; i++) {
		items[n].tally = &tallies->items[i];
		if (lockrows__place(r, items[n].tally, &items[n].row))
			n++;
	}
	qsort(items, n, sizeof(*items), lockrows__compare);
	for (size_t i = 0; !status && i < n; i++) {
		if (!r->n || lockrows__compare(&r->rows[r->n - 1], &items[i].row))
			r->rows[r->n++] = items[i].row;
		status = lockrows__add(r, &r->rows[r->n - 1], items[i].tally);
	}
	for (size_t i = 0; i < r->n; i++) {
		r->rows[i].nparts = lockparts__merge(r->rows[i].parts, r->rows[i].nparts);
		r->rows[i].mean_ns = r->rows[i].total_ns / (r->rows[i].count ?: 1);
	}
	return status;
}

/* ---- names --------------------------------------------------------------------------------- */

/* The part of kind @kind with the longest time, or NULL. */
static const struct lockpart *lockrows__longest(const struct lockrow *row, enum lockpart_kind kind)
{
	const struct lockpart *longest = NULL;

	for (size_t i = 0; i < row->nparts; i++) {
		if (row->parts[i].part == kind &&
		    (!longest || row->parts[i].val.ns > longest->val.ns))
			longest = &row->parts[i];
	}
	return longest;
}

/*
 * Is it the lock of a CPU's run queue? Told by where in the CPU's area its address is, or else by
 * who spins for it.
 */
static bool lockrows__is_run_queue(const struct lockrows *r, const struct lockrow *row,
				   const struct tally_key *key)
{
	const struct frame *frames = row ? row->wait_frames.items : NULL;
	uint32_t at = r->s->object.run_queue;

	if (!(key->aux & LCB_F_SPIN) || (key->aux & LCB_F_MUTEX))
		return false;
	if (FEATURES_CPU_AREA && at)
		return at == (key->id & (FEATURES_CPU_AREA - 1));
	for (size_t i = 0; row && i < row->wait_frames.n; i++) {
		const char *symbol = frames[i].symbol ?: "";

		if (!strcmp(symbol, "raw_spin_rq_lock_nested") || !strcmp(symbol, "task_rq_lock") ||
		    !strcmp(symbol, "__task_rq_lock"))
			return true;
	}
	return false;
}

static const char *lockrows__kernel_name(struct lockrows *r, const struct lockrow *row,
					 const struct tally_key *key)
{
	const char *class = names__klock_class(key->aux);
	char name[256];

	if (class)
		return class;
	if (!stacks__kernel_variable(r->s->stacks, key->id, name, sizeof(name)))
		return arena__printf(&r->s->arena, "%s", name);
	return lockrows__is_run_queue(r, row, key) ? "run queue" : NULL;
}

/* What the lock is called by itself, or NULL: a variable, the kernel's name for it, a file. */
static const char *lockrows__own_name(struct lockrows *r, const struct lockrow *row,
				      const struct tally_key *key, char *module, size_t module_size)
{
	const struct account *account = accounts__find(session__accounts(r->s), key->row);
	char name[256];

	if (lockrows__is_kernel(key))
		return lockrows__kernel_name(r, row, key);
	if (key->kind == CAUSE_FLOCK || key->kind == CAUSE_JOIN)
		return names__cause(&r->s->object, session__accounts(r->s), key, 0, &r->s->arena);
	if (!account || datasyms__user(r->s->datasyms, account->tgid, lockrows__addr(key), name,
				       sizeof(name), module, module_size))
		return NULL;
	return arena__printf(&r->s->arena, "%s", name);
}

const char *lockrows__name(struct lockrows *r, const struct lockrow *row,
			   const struct tally_key *key)
{
	char module[256] = "";
	const char *name = lockrows__own_name(r, row, key, module, sizeof(module));
	const char *caller = row ? row->caller : NULL;

	if (name)
		return name;
	if (!caller && *module)
		caller = module;
	return arena__printf(&r->s->arena, caller ? "0x%llx in %s" : "0x%llx",
			     (unsigned long long)lockrows__addr(key), caller);
}

const char *lockrows__kind(const struct tally_key *key)
{
	const char *type = lockrows__is_kernel(key) ? names__klock_type(key->aux) : NULL;

	if (!type)
		return names__kind((enum cause_kind)key->kind);
	/* The column `space` says that it is of the kernel. */
	return strncmp(type, "kernel ", 7) ? type : type + 7;
}

/*
 * The stack of kind @kind with the longest time that names a caller; else that with the longest
 * time. *@stack is NULL if there is none; its frames come in @frames.
 */
static enum dwell_exit lockrows__stack(struct lockrows *r, const struct lockrow *row,
				       enum lockpart_kind kind, const char ***stack,
				       struct table_list *frames)
{
	const struct lockpart *longest = lockrows__longest(row, kind);
	uint64_t ns = 0;

	*stack = NULL;
	for (size_t i = 0; i < row->nparts; i++) {
		const struct lockpart *p = &row->parts[i];
		struct table_list list = {0};
		const char **names;

		if (p->part != kind || (p->val.ns <= ns && p != longest))
			continue;
		names = frames__names(r->s, row->who.pid, p->id, &list);
		if (!names)
			return err__fail("no memory for the report");
		if (frames__caller((const char *const *)names))
			ns = p->val.ns;
		else if (p != longest || *stack)
			continue;
		*stack = names;
		*frames = list;
	}
	return EXIT_OK;
}

static enum dwell_exit lockrows__stacks(struct lockrows *r, struct lockrow *row)
{
	enum dwell_exit status =
		lockrows__stack(r, row, LOCKPART_WAIT_STACK, &row->wait_stack, &row->wait_frames);

	status = status
			 ?: lockrows__stack(r, row, LOCKPART_RELEASE_STACK, &row->release_stack,
					    &row->release_frames);
	if (status)
		return status;
	row->caller = frames__caller((const char *const *)row->wait_stack);
	row->releaser = frames__caller((const char *const *)row->release_stack);
	return EXIT_OK;
}

/* ---- holders and waiters ------------------------------------------------------------------- */

static int lockrows__compare_waiters(const void *a, const void *b)
{
	const struct lockrow_waiter *x = a, *y = b;

	if (x->total_ns != y->total_ns)
		return x->total_ns < y->total_ns ? 1 : -1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/* What a holder waited for himself. */
static const char *lockrows__doing(void *arg, const struct tally_key *key)
{
	struct lockrows *r = arg;

	if (!lockrows__is_lock(key))
		return names__cause(&r->s->object, session__accounts(r->s), key, 0, &r->s->arena);
	return arena__printf(&r->s->arena, "%s %s", lockrows__kind(key),
			     lockrows__name(r, NULL, key));
}

/* A stack knows its process. */
static const char **lockrows__release_stack(void *arg, uint64_t id)
{
	struct lockrows *r = arg;

	return frames__names(r->s, 0, id, NULL);
}

/* Who waited, and for how long altogether. */
static enum dwell_exit lockrows__waiters(struct lockrows *r, struct lockrow *row, uint64_t *all)
{
	struct lockrow_waiter *waiters =
		arena__array(&r->s->arena, row->nparts + 1, sizeof(*waiters));
	size_t n = 0;

	if (!waiters)
		return err__fail("no memory for the report");
	for (size_t i = 0; i < row->nparts; i++) {
		const struct lockpart *p = &row->parts[i];
		uint32_t tid = p->tid;

		if (p->part == LOCKPART_UNRELEASED)
			row->unreleased = p->val.count;
		if (p->part != LOCKPART_WAITER)
			continue;
		*all += p->val.ns;
		waiters[n++] = (struct lockrow_waiter){tid, holders__comm(r->s, tid, p->val.comm),
						       p->val.count, p->val.ns};
	}
	qsort(waiters, n, sizeof(*waiters), lockrows__compare_waiters);
	row->waiter_list = (struct table_list){waiters, n};
	row->waiters = n;
	return EXIT_OK;
}

static enum dwell_exit lockrows__holders(struct lockrows *r, struct lockrow *row)
{
	const struct holder_names names = {lockrows__doing, lockrows__release_stack, r};
	uint64_t all = 0;
	enum dwell_exit status = lockrows__waiters(r, row, &all);

	return status
		       ?: holders__of(r->s, &r->parts, row->parts, row->nparts, all, &names,
				      &row->holders);
}

/* ---- what a row tells ---------------------------------------------------------------------- */

/* The lock that the row is of, or the one that its waits were longest for. */
static const struct tally_key *lockrows__key(const struct lockrows *r, const struct lockrow *row)
{
	const struct lockpart *part = lockrows__longest(row, LOCKPART_LOCK);
	uint32_t slot = part ? (uint32_t)part->id : UINT32_MAX;

	if (slot < r->s->config.slots && r->parts.keys[slot].state != STATE_NONE)
		return &r->parts.keys[slot];
	return row->key;
}

static enum dwell_exit lockrows__describe(struct lockrows *r, struct lockrow *row)
{
	const struct tally_key *key = lockrows__key(r, row);
	enum dwell_exit status = ident__set(r->s, key->row, &row->who);

	row->key = key;
	row->space = lockrows__is_kernel(key) ? "kernel" : "user";
	row->kind = row->by_stack ?: lockrows__kind(key);
	row->addr = lockrows__addr(key);
	status = status ?: lockrows__stacks(r, row);
	status = status ?: lockrows__holders(r, row);
	if (status)
		return status;
	row->name = lockrows__name(r, row, key);
	/* The word is of the thread that waits, mostly: the lock is known by its place. */
	if (row->group == GROUP_BY_STACK && row->caller)
		row->name = arena__printf(&r->s->arena, "in %s", row->caller);
	switch (r->by) {
	case LOCK_BY_CALLER:
		row->name = row->caller ?: row->name;
		break;
	case LOCK_BY_HOLDER:
		row->name = arena__printf(&r->s->arena, "%s (%llu)",
					  holders__comm(r->s, (uint32_t)row->id, NULL),
					  (unsigned long long)row->id);
		break;
	default:
		break;
	}
	return row->name ? EXIT_OK : err__fail("no memory for the report");
}

enum dwell_exit lockrows__read(struct session *s, bool last, enum lock_by by, bool events,
			       struct lockrows *r)
{
	enum dwell_exit status;

	*r = (struct lockrows){.s = s, .by = by, .events = events};
	status = lockparts__read(s, last, &r->parts);
	status = status ?: lockrows__group(r);
	for (size_t i = 0; !status && i < r->n; i++)
		status = lockrows__describe(r, &r->rows[i]);
	return status;
}
