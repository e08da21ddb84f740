// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <bpf/bpf.h>

#include "core/lockparts.h"
#include "core/proc.h"
#include "stack.h"

static int lockparts__compare(const void *a, const void *b)
{
	const struct lockpart *x = a, *y = b;

	if (x->slot != y->slot)
		return x->slot < y->slot ? -1 : 1;
	if (x->part != y->part)
		return x->part < y->part ? -1 : 1;
	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* The tally keys by slot. */
static enum dwell_exit lockparts__keys(struct session *s, struct lockparts *parts)
{
	int fd = object__map_fd(&s->object, "tally_slots");
	struct tally_key key, *prev = NULL;
	uint32_t slot;

	parts->keys = arena__array(&s->arena, s->config.slots, sizeof(*parts->keys));
	if (!parts->keys)
		return err__fail("no memory for the report");
	for (uint32_t i = 0; i < s->config.slots && !bpf_map_get_next_key(fd, prev, &key); i++) {
		prev = &key;
		if (!bpf_map_lookup_elem(fd, &key, &slot) && slot < s->config.slots)
			parts->keys[slot] = key;
	}
	return EXIT_OK;
}

#define SPLIT_MOST 3 /* what a part of the map is split into */

/*
 * Room for SPLIT_MOST more. Twice as many again, from the arena: what was there before stays until
 * the report is out.
 */
static bool lockparts__grow(struct session *s, void **items, size_t n, size_t *max, size_t size)
{
	size_t more = *max ? *max * 2 : 256;
	void *grown;

	if (n + SPLIT_MOST <= *max)
		return true;
	grown = arena__array(&s->arena, more, size);
	if (!grown)
		return false;
	if (n)
		memcpy(grown, *items, n * size);
	*items = grown;
	*max = more;
	return true;
}

static void lockparts__add(struct lockparts *parts, uint32_t slot, enum lockpart_kind kind,
			   uint32_t tid, uint64_t id, const struct lock_part *val)
{
	parts->items[parts->n++] = (struct lockpart){id, slot, tid, kind, *val};
}

/* What the map has as one is told by who waited, where, and for which lock. */
static void lockparts__split(struct lockparts *parts, const struct lock_part_key *key,
			     const struct lock_part *val)
{
	struct lock_part seen = {.count = val->count, .ns = val->seen_ns};

	switch ((enum lock_part_kind)key->part) {
	case PART_WAIT:
		lockparts__add(parts, key->slot, LOCKPART_WAITER, key->tid, 0, val);
		if (key->id != STACK_NOT_SEEN)
			lockparts__add(parts, key->slot, LOCKPART_WAIT_STACK, 0, key->id, &seen);
		if (key->of != key->slot)
			lockparts__add(parts, key->slot, LOCKPART_LOCK, 0, key->of, val);
		break;
	case PART_HOLDER:
		lockparts__add(parts, key->slot, LOCKPART_HOLDER, key->tid, 0, val);
		break;
	case PART_DOING:
		lockparts__add(parts, key->slot, LOCKPART_DOING, key->tid, key->id, val);
		break;
	case PART_RELEASE:
		lockparts__add(parts, key->slot, LOCKPART_RELEASE_STACK, 0, key->id, &seen);
		lockparts__add(parts, key->slot, LOCKPART_LET_GO, key->tid, key->id, &seen);
		break;
	case PART_UNRELEASED:
		lockparts__add(parts, key->slot, LOCKPART_UNRELEASED, 0, 0, val);
		break;
	}
}

struct lockparts_collect {
	struct session *s;
	struct lockparts *parts;
	size_t max;
};

/* Those of the epoch's bank leave the map: with intervals it is used again. */
static enum dwell_exit lockparts__parts(struct session *s, struct lockparts *parts)
{
	int fd = object__map_fd(&s->object, "lock_parts");
	uint8_t bank = s->config.banks > 1 ? s->reported & 1 : 0;
	struct lock_part_key key, *keys = NULL, *prev = NULL;
	size_t max = 0, max_keys = 0, n = 0;
	struct lock_part val;

	while (!bpf_map_get_next_key(fd, prev, &key)) {
		prev = &key;
		if (key.bank != bank || bpf_map_lookup_elem(fd, &key, &val))
			continue;
		if (!lockparts__grow(s, (void **)&parts->items, parts->n, &max,
				     sizeof(*parts->items)) ||
		    !lockparts__grow(s, (void **)&keys, n, &max_keys, sizeof(*keys)))
			return err__fail("no memory for the report");
		lockparts__split(parts, &key, &val);
		keys[n++] = key;
	}
	for (size_t i = 0; s->config.banks > 1 && i < n; i++)
		bpf_map_delete_elem(fd, &keys[i]);
	return EXIT_OK;
}

static enum dwell_exit lockparts__on_waiting(const void *rec, void *arg)
{
	struct lockparts_collect *c = arg;

	if (!lockparts__grow(c->s, (void **)&c->parts->waiting, c->parts->nwaiting, &c->max,
			     sizeof(struct lock_waiting)))
		return err__fail("no memory for the report");
	memcpy(&c->parts->waiting[c->parts->nwaiting++], rec, sizeof(struct lock_waiting));
	return EXIT_OK;
}

/*
 * The owner that a glibc mutex of process @tgid says it has (see cause.bpf.h), as a thread of the
 * initial PID namespace; 0 if it can't be read or is no thread of the process.
 */
static uint32_t lockparts__owner(uint32_t tgid, const struct tally_key *key)
{
	uint64_t addr = key->id + (key->kind == CAUSE_ROBUST ? 0 : 8);
	struct iovec to = {&(uint32_t){0}, sizeof(uint32_t)}, from = {(void *)addr, to.iov_len};
	uint32_t tid, of = 0;

	if (key->kind != CAUSE_MUTEX && key->kind != CAUSE_PI && key->kind != CAUSE_ROBUST)
		return 0;
	if (process_vm_readv((pid_t)tgid, &to, 1, &from, 1, 0) != (ssize_t)to.iov_len)
		return 0;
	tid = *(uint32_t *)to.iov_base & 0x3fffffff;
	tid = tid ? proc__outer_tid(tgid, tid) : 0;
	return tid && !proc__tgid(tid, &of) && of == tgid ? tid : 0;
}

/* Nobody saw who had the lock when these waits began: it was before the run. */
static void lockparts__find_holders(struct session *s, struct lockparts *parts)
{
	for (size_t i = 0; i < parts->nwaiting; i++) {
		struct lock_waiting *w = &parts->waiting[i];

		if (!w->holder && w->slot < s->config.slots)
			w->holder = lockparts__owner(w->tgid, &parts->keys[w->slot]);
	}
}

/* A wait that goes on is a part of its lock's slot like those that ended. */
static enum dwell_exit lockparts__add_open(struct session *s, struct lockparts *parts)
{
	struct lockpart *all =
		arena__array(&s->arena, parts->n + 4 * parts->nwaiting + 1, sizeof(*all));

	if (!all)
		return err__fail("no memory for the report");
	if (parts->n)
		memcpy(all, parts->items, parts->n * sizeof(*all));
	parts->items = all;
	for (size_t i = 0; i < parts->nwaiting; i++) {
		const struct lock_waiting *w = &parts->waiting[i];
		struct lock_part val = {.count = 1, .ns = w->ns};
		struct lock_part seen = {.count = 1, .ns = w->ns * w->weight};
		uint32_t slot = w->row_slot;

		if (slot >= s->config.slots || w->ns < s->config.min_ns)
			continue;
		lockparts__add(parts, slot, LOCKPART_WAITER, w->tid, 0, &val);
		if (w->stack != STACK_NOT_SEEN)
			lockparts__add(parts, slot, LOCKPART_WAIT_STACK, 0, w->stack, &seen);
		if (w->holder)
			lockparts__add(parts, slot, LOCKPART_HOLDER, w->holder, 0, &val);
		if (w->slot != slot)
			lockparts__add(parts, slot, LOCKPART_LOCK, 0, w->slot, &val);
	}
	return EXIT_OK;
}

enum dwell_exit lockparts__read(struct session *s, bool open, struct lockparts *parts)
{
	struct lockparts_collect collect = {s, parts, 0};
	enum dwell_exit status;

	*parts = (struct lockparts){0};
	status = lockparts__keys(s, parts);
	/* This first: it adds to the parts what is owed to waits for locks that others wait for. */
	status = status
			 ?: object__iterate(&s->object, "waiting", sizeof(struct lock_waiting),
					    lockparts__on_waiting, &collect);
	status = status ?: lockparts__parts(s, parts);
	if (!status)
		lockparts__find_holders(s, parts);
	if (!status && open)
		status = lockparts__add_open(s, parts);
	if (!status)
		qsort(parts->items, parts->n, sizeof(*parts->items), lockparts__compare);
	return status;
}

const struct lockpart *lockparts__of(const struct lockparts *parts, uint32_t slot, size_t *n)
{
	size_t low = 0, high = parts->n, end;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (parts->items[mid].slot < slot)
			low = mid + 1;
		else
			high = mid;
	}
	for (end = low; end < parts->n && parts->items[end].slot == slot;)
		end++;
	*n = end - low;
	return parts->items + low;
}

size_t lockparts__merge(struct lockpart *items, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++)
		items[i].slot = 0;
	qsort(items, n, sizeof(*items), lockparts__compare);
	for (size_t i = 0; i < n; i++) {
		if (!out || lockparts__compare(&items[out - 1], &items[i])) {
			items[out++] = items[i];
			continue;
		}
		items[out - 1].val.count += items[i].val.count;
		items[out - 1].val.ns += items[i].val.ns;
		if (!items[out - 1].val.comm[0])
			memcpy(items[out - 1].val.comm, items[i].val.comm,
			       sizeof(items[i].val.comm));
		for (int state = 0; state < NR_STATES; state++)
			items[out - 1].val.states[state] += items[i].val.states[state];
	}
	return out;
}
