// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* lock: which locks are waited for, who had them, and what he did meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "base/hist.h"
#include "base/str.h"
#include "base/time.h"
#include "core/datasyms.h"
#include "core/frames.h"
#include "core/ident.h"
#include "core/lockparts.h"
#include "core/names.h"
#include "core/proc.h"
#include "core/session.h"
#include "lock.btf.skel.h"
#include "lock.raw.skel.h"
#include "stack.h"

#define HOLDERS_SHOWN 3 /* in text */
#define STATES_SHOWN  4 /* of a holder, in text */
#define FRAMES_SHOWN  8
#define DETAILS_SHARE 0.01 /* of the longest row's time: less is in the table only */
#define DOING_SHARE   0.05 /* of the time with the lock: a shorter wait is not told */
#define CHAIN_DEPTH   8
#define CHAIN_SHARE   0.25 /* of a hold: from there on what the holder waited for is followed */

struct lock_options {
	bool user, kernel, events, hist;
	uint32_t by; /* enum lock_by */
};

struct lock_holder {
	uint32_t tid;
	uint32_t pid;
	const char *comm;
	double share;
	uint64_t count;
	uint64_t total_ns;
	uint64_t states[NR_STATES];
	uint64_t unknown_ns; /* of total_ns: what it did then is not known */
	const char *doing;   /* what it was blocked on, mostly; or NULL */
	uint64_t doing_ns;
};

struct lock_waiter {
	uint32_t tid;
	const char *comm;
	uint64_t count;
	uint64_t total_ns;
};

struct lock_row {
	/* what makes it a row */
	uint64_t owner; /* the tally's row, 0 for what belongs to no process */
	uint64_t id;
	uint32_t group; /* the kind, or what stands for it */
	uint32_t pad;

	const struct tally_key *key; /* of the lock with the longest waits */
	struct lockpart *parts;
	size_t nparts;

	struct ident who;
	const char *space;
	const char *kind;
	const char *name;
	uint64_t addr;
	uint64_t count, total_ns, mean_ns, waiters, unreleased;
	struct hist *hist;
	struct table_list holders, waiter_list;
	const char *holder; /* text: the first few */
	const char **wait_stack, **release_stack, **chain, **folded, **details;
	const char *caller, *releaser;
	const char *title;
	struct hist *shown_hist;
};

#define AT(field) .offset = offsetof(struct lock_holder, field)
static const struct column holder_columns[] = {
	{.key = "tid", .type = COL_U32, AT(tid)},
	{.key = "comm", .type = COL_STR, AT(comm)},
	{.key = "share", .type = COL_SHARE, AT(share)},
	{.key = "count", .type = COL_COUNT, AT(count)},
	{.key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.key = "states", .type = COL_STATES, AT(states)},
	{.key = "unknown_ns", .type = COL_NS, AT(unknown_ns)},
	{.key = "doing", .type = COL_STR, AT(doing)},
	COLUMN_END,
};
#undef AT

#define AT(field) .offset = offsetof(struct lock_waiter, field)
static const struct column waiter_columns[] = {
	{.key = "tid", .type = COL_U32, AT(tid)},
	{.key = "comm", .type = COL_STR, AT(comm)},
	{.key = "count", .type = COL_COUNT, AT(count)},
	{.key = "total_ns", .type = COL_NS, AT(total_ns)},
	COLUMN_END,
};
#undef AT

#define AT(field) .offset = offsetof(struct lock_row, field)
static const struct column lock_columns[] = {
	{.key = "space", .type = COL_STR, AT(space)},
	{.name = "KIND", .key = "kind", .type = COL_STR, AT(kind)},
	{.name = "PID", .key = "pid", .type = COL_U32, AT(who.pid)},
	{.name = "COMMAND", .key = "comm", .type = COL_STR, .max_columns = 15, AT(who.comm)},
	{.name = "NAME", .key = "name", .type = COL_STR, .max_columns = 48, AT(name)},
	{.key = "addr", .type = COL_HEX, AT(addr)},
	{.name = "WAITERS", .key = "waiters", .type = COL_COUNT, AT(waiters)},
	{.name = "WAITS", .key = "count", .type = COL_COUNT, AT(count)},
	{.name = "TOTAL", .key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.key = "mean_ns", .type = COL_NS, AT(mean_ns)},
	{.name = "", .key = "hist", .type = COL_HIST, AT(hist)},
	{.key = "unreleased", .type = COL_COUNT, AT(unreleased)},
	{.key = "caller", .type = COL_STR, AT(caller)},
	{.key = "holders",
	 .type = COL_LIST,
	 AT(holders),
	 .sub = holder_columns,
	 .sub_size = sizeof(struct lock_holder)},
	{.key = "waiter_threads",
	 .type = COL_LIST,
	 AT(waiter_list),
	 .sub = waiter_columns,
	 .sub_size = sizeof(struct lock_waiter)},
	{.key = "wait_stack", .type = COL_STRV, AT(wait_stack)},
	{.key = "release_stack", .type = COL_STRV, AT(release_stack)},
	{.key = "chain", .type = COL_STRV, AT(chain)},
	{.name = "HELD BY", .type = COL_STR, AT(holder)},
	COLUMN_END,
};
#undef AT

static const char *const lock_by_choices[] = {"lock", "caller", "task", "holder", NULL};

#define AT(field) offsetof(struct lock_options, field)
/* clang-format off */
static const struct opt lock_option_table[] = {
	{0, "by", "WHAT", OPT_CHOICE, AT(by), 0, 0, lock_by_choices,
	 "One row per lock (default), caller, task or holder", 3},
	{0, "user", NULL, OPT_FLAG, AT(user), 0, 0, NULL,
	 "Locks of user space (default: both)", 6},
	{0, "kernel", NULL, OPT_FLAG, AT(kernel), 0, 0, NULL,
	 "Locks of the kernel (default: both)", 6},
	{0, "events", NULL, OPT_FLAG, AT(events), 0, 0, NULL,
	 "Also waits for events: condition variables, semaphores, barriers, joins", 6},
	{0, "hist", NULL, OPT_FLAG, AT(hist), 0, 0, NULL,
	 "A histogram for each row", 6},
	OPTION_END
};
/* clang-format on */
#undef AT

static void lock__configure(const void *arg, struct config *config)
{
	const struct lock_options *options = arg;
	bool both = !options->user && !options->kernel;

	config->lock_what = (options->user || both ? LOCK_USER : 0) |
			    (options->kernel || both ? LOCK_KERNEL : 0) |
			    (options->events ? LOCK_EVENTS : 0);
	config->lock_by = options->by;
	config->by = options->by == LOCK_BY_TASK ? BY_THREAD : BY_PROCESS;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static bool lock__is_event(const struct tally_key *key)
{
	return key->kind == CAUSE_COND || key->kind == CAUSE_SEM || key->kind == CAUSE_BARRIER ||
	       key->kind == CAUSE_JOIN || key->kind == CAUSE_FUTEX;
}

static bool lock__is_kernel(const struct tally_key *key)
{
	return key->kind == CAUSE_KLOCK;
}

/* Is it a tally of a lock? */
static bool lock__is_lock(const struct tally_key *key)
{
	return lock__is_kernel(key) || key->state == STATE_LOCK ||
	       (key->state == STATE_SYNC && lock__is_event(key));
}

/* What a kernel lock is, whoever waited and however he did. */
static uint32_t lock__klock_group(uint32_t aux)
{
	return CAUSE_KLOCK | (aux & (LCB_F_SPIN | LCB_F_MUTEX | LCB_F_RT | LCB_F_PERCPU)) << 8;
}

/*
 * The lock that the futex word @key->id is part of: rwlocks wait for two of theirs (see
 * cause.bpf.h).
 */
static uint64_t lock__addr(const struct tally_key *key)
{
	return key->kind == CAUSE_RWLOCK ? key->id - (key->id & 4 ? 12 : 8) : key->id;
}

/* Which row the tally belongs to; false if to none. */
static bool lock__place(const struct lock_options *options, const struct tally *t,
			struct lock_row *row)
{
	const struct tally_key *key = &t->key;

	*row = (struct lock_row){.key = key, .owner = key->row, .id = key->id, .group = key->kind};
	switch ((enum lock_by)options->by) {
	case LOCK_BY_LOCK:
		if (!lock__is_lock(key))
			return false;
		if (lock__is_kernel(key)) {
			row->group = lock__klock_group(key->aux);
			row->owner = 0;
		} else {
			row->id = lock__addr(key);
		}
		return true;
	case LOCK_BY_CALLER:
		return key->kind == CAUSE_NONE;
	case LOCK_BY_TASK:
		row->id = row->group = 0;
		return lock__is_lock(key);
	case LOCK_BY_HOLDER:
		row->owner = 0;
		return key->kind == CAUSE_TASK;
	}
	return false;
}

static int lock__compare(const void *a, const void *b)
{
	const struct lock_row *x = a, *y = b;

	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->group < y->group ? -1 : x->group > y->group;
}

struct lock_report {
	struct session *s;
	const struct lock_options *options;
	struct lockparts parts;
	struct lock_row *rows;
	size_t n;
};

/* The slot of a tally: parts know it by that. */
static uint32_t lock__slot(const struct session *s, const struct tally *t)
{
	return (uint32_t)(t->hist - tallies__bank(&s->object, &s->config, s->reported));
}

static enum dwell_exit lock__add(struct lock_report *r, struct lock_row *row, const struct tally *t)
{
	size_t n;
	const struct lockpart *parts = lockparts__of(&r->parts, lock__slot(r->s, t), &n);
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
	struct lock_row row;
	const struct tally *tally;
};

/* One row for all tallies that belong together. */
static enum dwell_exit lock__group(struct lock_report *r)
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
		if (lock__place(r->options, items[n].tally, &items[n].row))
			n++;
	}
	qsort(items, n, sizeof(*items), lock__compare);
	for (size_t i = 0; !status && i < n; i++) {
		if (!r->n || lock__compare(&r->rows[r->n - 1], &items[i].row))
			r->rows[r->n++] = items[i].row;
		status = lock__add(r, &r->rows[r->n - 1], items[i].tally);
	}
	for (size_t i = 0; i < r->n; i++) {
		r->rows[i].nparts = lockparts__merge(r->rows[i].parts, r->rows[i].nparts);
		r->rows[i].mean_ns = r->rows[i].total_ns / (r->rows[i].count ?: 1);
	}
	return status;
}

/* ---- names --------------------------------------------------------------------------------- */

/* @kept: the name that the kernel side kept, or NULL. */
static const char *lock__comm(struct session *s, uint32_t tid, const __u64 *kept)
{
	const char *known = accounts__comm(session__accounts(s), tid);
	char comm[THREAD_COMM + 1] = "";

	if (known)
		return known;
	if (kept && kept[0])
		memcpy(comm, kept, THREAD_COMM);
	else
		proc__comm(tid, comm);
	return arena__printf(&s->arena, "%s", comm);
}

/* The part of kind @kind with the longest time, or NULL. */
static const struct lockpart *lock__longest(const struct lock_row *row, enum lock_part_kind kind)
{
	const struct lockpart *longest = NULL;

	for (size_t i = 0; i < row->nparts; i++) {
		if (row->parts[i].part == kind &&
		    (!longest || row->parts[i].val.ns > longest->val.ns))
			longest = &row->parts[i];
	}
	return longest;
}

/* "run queue", told by who spins for it: its address is another for each CPU. */
static bool lock__is_run_queue(const struct lock_row *row)
{
	for (const char **frame = row->wait_stack; frame && *frame; frame++) {
		if (!strcmp(*frame, "raw_spin_rq_lock_nested") || !strcmp(*frame, "task_rq_lock") ||
		    !strcmp(*frame, "__task_rq_lock"))
			return true;
	}
	return false;
}

static const char *lock__kernel_name(struct lock_report *r, const struct lock_row *row,
				     const struct tally_key *key)
{
	const char *class = names__klock_class(key->aux);
	char name[256];

	if (class)
		return class;
	if (!datasyms__kernel(r->s->datasyms, key->id, name, sizeof(name)))
		return arena__printf(&r->s->arena, "%s", name);
	return row && lock__is_run_queue(row) ? "run queue" : NULL;
}

/* What the lock is called by itself, or NULL: a variable, the kernel's name for it, a file. */
static const char *lock__own_name(struct lock_report *r, const struct lock_row *row,
				  const struct tally_key *key, char *module, size_t module_size)
{
	const struct account *account = accounts__find(session__accounts(r->s), key->row);
	char name[256];

	if (lock__is_kernel(key))
		return lock__kernel_name(r, row, key);
	if (key->kind == CAUSE_FLOCK || key->kind == CAUSE_JOIN)
		return names__cause(&r->s->object, session__accounts(r->s), key, 0, &r->s->arena);
	if (!account || datasyms__user(r->s->datasyms, account->tgid, lock__addr(key), name,
				       sizeof(name), module, module_size))
		return NULL;
	return arena__printf(&r->s->arena, "%s", name);
}

/*
 * "orders", "mmap_lock"; without a name "0x7ffd… in checkout", by who waited, or by the module that
 * it lies in. @row: NULL if there is none. NULL without memory.
 */
static const char *lock__name(struct lock_report *r, const struct lock_row *row,
			      const struct tally_key *key)
{
	char module[256] = "";
	const char *name = lock__own_name(r, row, key, module, sizeof(module));
	const char *caller = row ? row->caller : NULL;

	if (name)
		return name;
	if (!caller && *module)
		caller = module;
	return arena__printf(&r->s->arena, caller ? "0x%llx in %s" : "0x%llx",
			     (unsigned long long)lock__addr(key), caller);
}

static const char *lock__kind(const struct tally_key *key)
{
	const char *type = lock__is_kernel(key) ? names__klock_type(key->aux) : NULL;

	if (!type)
		return names__kind((enum cause_kind)key->kind);
	/* The column `space` says that it is of the kernel. */
	return strncmp(type, "kernel ", 7) ? type : type + 7;
}

static enum dwell_exit lock__stacks(struct lock_report *r, struct lock_row *row)
{
	const struct lockpart *wait = lock__longest(row, PART_WAIT_STACK);
	const struct lockpart *release = lock__longest(row, PART_RELEASE_STACK);
	uint32_t tgid = row->who.pid;

	if (wait)
		row->wait_stack = frames__names(r->s, tgid, wait->id);
	if (release)
		row->release_stack = frames__names(r->s, tgid, release->id);
	if ((wait && !row->wait_stack) || (release && !row->release_stack))
		return err__fail("no memory for the report");
	row->caller = frames__caller((const char *const *)row->wait_stack);
	row->releaser = frames__caller((const char *const *)row->release_stack);
	return EXIT_OK;
}

/* ---- holders and waiters ------------------------------------------------------------------- */

static int lock__compare_holders(const void *a, const void *b)
{
	const struct lock_holder *x = a, *y = b;

	if (x->total_ns != y->total_ns)
		return x->total_ns < y->total_ns ? 1 : -1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static int lock__compare_waiters(const void *a, const void *b)
{
	const struct lock_waiter *x = a, *y = b;

	if (x->total_ns != y->total_ns)
		return x->total_ns < y->total_ns ? 1 : -1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/* What the holder was blocked on longest. */
static void lock__doing(struct lock_report *r, const struct lock_row *row, struct lock_holder *h)
{
	struct session *s = r->s;
	const struct tally_key *key;

	for (size_t i = 0; i < row->nparts; i++) {
		const struct lockpart *p = &row->parts[i];
		uint32_t slot = (uint32_t)p->id;

		if (p->part != PART_DOING || p->id >> 32 != h->tid || p->val.ns <= h->doing_ns ||
		    slot >= s->config.slots || r->parts.keys[slot].state == STATE_NONE)
			continue;
		key = &r->parts.keys[slot];
		h->doing_ns = p->val.ns;
		if ((double)h->doing_ns < DOING_SHARE * (double)h->total_ns)
			continue;
		h->doing = lock__is_lock(key) ? arena__printf(&s->arena, "%s %s", lock__kind(key),
							      lock__name(r, NULL, key))
					      : names__cause(&s->object, session__accounts(s), key,
							     0, &s->arena);
	}
}

static enum dwell_exit lock__holders(struct lock_report *r, struct lock_row *row)
{
	struct lock_holder *holders = arena__array(&r->s->arena, row->nparts + 1, sizeof(*holders));
	struct lock_waiter *waiters = arena__array(&r->s->arena, row->nparts + 1, sizeof(*waiters));
	size_t nholders = 0, nwaiters = 0;
	uint64_t all = 0;

	if (!holders || !waiters)
		return err__fail("no memory for the report");
	for (size_t i = 0; i < row->nparts; i++) {
		const struct lockpart *p = &row->parts[i];
		uint32_t tid = (uint32_t)p->id;

		if (p->part == PART_WAITER) {
			all += p->val.ns;
			waiters[nwaiters++] = (struct lock_waiter){
				tid, lock__comm(r->s, tid, p->val.comm), p->val.count, p->val.ns};
		} else if (p->part == PART_HOLDER) {
			struct lock_holder *h = &holders[nholders++];
			uint64_t known = 0;

			*h = (struct lock_holder){.tid = tid,
						  .comm = lock__comm(r->s, tid, p->val.comm),
						  .count = p->val.count,
						  .total_ns = p->val.ns};
			memcpy(h->states, p->val.states, sizeof(h->states));
			for (int state = 0; state < NR_STATES; state++)
				known += h->states[state];
			h->unknown_ns = h->total_ns > known ? h->total_ns - known : 0;
			lock__doing(r, row, h);
		} else if (p->part == PART_UNRELEASED) {
			row->unreleased = p->val.count;
		}
	}
	for (size_t i = 0; i < nholders; i++)
		holders[i].share = all ? (double)holders[i].total_ns / (double)all : 0;
	qsort(holders, nholders, sizeof(*holders), lock__compare_holders);
	qsort(waiters, nwaiters, sizeof(*waiters), lock__compare_waiters);
	row->holders = (struct table_list){holders, nholders};
	row->waiter_list = (struct table_list){waiters, nwaiters};
	row->waiters = nwaiters;
	return EXIT_OK;
}

/* "ledger 94 %, checkout-1 3 %" */
static const char *lock__holder_text(struct session *s, const struct lock_row *row)
{
	const struct lock_holder *h = row->holders.items;
	char text[160] = "";
	size_t len = 0;

	for (size_t i = 0; i < row->holders.n && i < HOLDERS_SHOWN; i++) {
		if (i && h[i].share < 0.05)
			break;
		str__append(text, sizeof(text), &len, "%s%s %.0f %%", i ? ", " : "", h[i].comm,
			    100 * h[i].share);
	}
	return arena__printf(&s->arena, "%s", len ? text : "-");
}

/* ---- chains -------------------------------------------------------------------------------- */

static enum dwell_state lock__main_state(const struct lock_holder *h)
{
	enum dwell_state longest = STATE_NONE;

	for (int i = STATE_NONE + 1; i < NR_STATES; i++) {
		if (h->states[i] > h->states[longest])
			longest = (enum dwell_state)i;
	}
	return longest;
}

/* The lock that thread @tid waited for longest. */
static const struct lock_row *lock__waited_by(const struct lock_report *r, uint32_t tid)
{
	const struct lock_row *best = NULL;
	uint64_t ns = 0;

	for (size_t i = 0; i < r->n; i++) {
		for (size_t p = 0; p < r->rows[i].nparts; p++) {
			const struct lockpart *part = &r->rows[i].parts[p];

			if (part->part == PART_WAITER && part->id == tid && part->val.ns > ns) {
				ns = part->val.ns;
				best = &r->rows[i];
			}
		}
	}
	return best;
}

static const char *lock__link(struct lock_report *r, const struct lock_row *row)
{
	const struct lock_holder *h = row->holders.items;

	if (!row->holders.n)
		return arena__printf(&r->s->arena, "%s %s", row->kind, row->name);
	return arena__printf(&r->s->arena, "%s %s (%s %u)", row->kind, row->name, h->comm, h->tid);
}

/* Does the holder of @row mostly wait for another lock? */
static bool lock__goes_on(const struct lock_row *row)
{
	const struct lock_holder *h = row->holders.items;
	uint64_t locks;

	if (!row->holders.n)
		return false;
	locks = h->states[STATE_LOCK] + h->states[STATE_KLOCK];
	return (double)locks >= CHAIN_SHARE * (double)h->total_ns && locks;
}

/*
 * Who waits for whom, from the longest waiter of @row on: "query ← mutex A (worker 7) ← mutex B
 * (logger 9) ← fsync /var/log/…", each a string.
 */
static enum dwell_exit lock__chain(struct lock_report *r, struct lock_row *row)
{
	const char **chain = arena__array(&r->s->arena, CHAIN_DEPTH + 4, sizeof(*chain));
	const struct lock_row *at = row, *seen[CHAIN_DEPTH];
	const struct lock_waiter *w = row->waiter_list.items;
	const struct lock_holder *h;
	size_t n = 0, depth;

	if (!chain)
		return err__fail("no memory for the report");
	if (!row->waiter_list.n || !row->holders.n)
		return EXIT_OK;
	row->chain = chain;
	chain[n++] = arena__printf(&r->s->arena, "%s %u", w->comm, w->tid);
	for (depth = 0; at && depth < CHAIN_DEPTH; depth++) {
		for (size_t i = 0; i < depth; i++) {
			if (seen[i] == at) {
				chain[n++] = "… (again: a cycle)";
				return EXIT_OK;
			}
		}
		seen[depth] = at;
		chain[n++] = lock__link(r, at);
		h = at->holders.items;
		if (!at->holders.n)
			return EXIT_OK;
		if (!lock__goes_on(at)) {
			enum dwell_state state = lock__main_state(h);

			if (state == STATE_NONE)
				return EXIT_OK;
			chain[n++] = state == STATE_CPU || state == STATE_RUNQ ||
						     state == STATE_PREEMPT || !h->doing
					     ? names__state(state)
					     : h->doing;
			return EXIT_OK;
		}
		at = lock__waited_by(r, h->tid);
	}
	return EXIT_OK;
}

/* ---- deadlocks ----------------------------------------------------------------------------- */

static const struct lock_waiting *lock__waiting(const struct lock_report *r, uint32_t tid)
{
	for (size_t i = 0; i < r->parts.nwaiting; i++) {
		if (r->parts.waiting[i].tid == tid)
			return &r->parts.waiting[i];
	}
	return NULL;
}

/* The thread that holds what @w waits for, if it waits for a lock too. */
static const struct lock_waiting *lock__next(const struct lock_report *r,
					     const struct lock_waiting *w)
{
	return w && w->holder ? lock__waiting(r, w->holder) : NULL;
}

/* @w is in a cycle of waits, and its lowest thread: each is told once. */
static bool lock__begins_cycle(const struct lock_report *r, const struct lock_waiting *w)
{
	const struct lock_waiting *at = lock__next(r, w);

	for (size_t i = 0; at && i < r->parts.nwaiting; i++, at = lock__next(r, at)) {
		if (at == w)
			return true;
		if (at->tid < w->tid)
			return false;
	}
	return false;
}

/* "ping (7) waits for mutex a, which pong (8) has, and pong waits for mutex b, which ping has" */
static const char *lock__verdict(struct lock_report *r)
{
	char text[900] = "";
	size_t len = 0;

	for (size_t i = 0; i < r->parts.nwaiting; i++) {
		const struct lock_waiting *w = &r->parts.waiting[i], *at = w, *next;

		if (!lock__begins_cycle(r, w))
			continue;
		str__append(text, sizeof(text), &len, "%s", len ? ". Deadlock: " : "Deadlock: ");
		do {
			const struct tally_key *key = &r->parts.keys[at->slot];

			next = lock__next(r, at);
			str__append(text, sizeof(text), &len,
				    "%s%s (%u) waits for %s %s, which %s (%u) has",
				    at == w ? "" : "; ", at->comm, at->tid, lock__kind(key),
				    lock__name(r, NULL, key), next->comm, next->tid);
			at = next;
		} while (at != w);
	}
	return len ? arena__printf(&r->s->arena, "%s.", text) : NULL;
}

/* ---- text ---------------------------------------------------------------------------------- */

/* "disk 71 %, cpu 22 %, runq 7 %" */
static void lock__states_text(const struct lock_holder *h, char *text, size_t size)
{
	uint64_t left[NR_STATES];
	size_t len = 0;

	memcpy(left, h->states, sizeof(left));
	text[0] = '\0';
	for (int i = 0; i < STATES_SHOWN; i++) {
		int longest = 0;
		double share;

		for (int state = STATE_NONE + 1; state < NR_STATES; state++)
			longest = left[state] > left[longest] ? state : longest;
		share = 100.0 * (double)left[longest] / (double)(h->total_ns ?: 1);
		if (!longest || share < 0.5)
			break;
		str__append(text, size, &len, "%s%s %.0f %%", i ? ", " : "",
			    names__state((enum dwell_state)longest), share);
		left[longest] = 0;
	}
	if (100 * h->unknown_ns > h->total_ns)
		str__append(text, size, &len, "%snot known %.0f %%", len ? ", " : "",
			    100.0 * (double)h->unknown_ns / (double)(h->total_ns ?: 1));
}

static bool lock__line(struct session *s, const char **lines, size_t *n, const char *text)
{
	lines[*n] = arena__printf(&s->arena, "%s", text);
	return lines[(*n)++] != NULL;
}

static void lock__stack_lines(struct lock_report *r, const char *const *stack, const char *what,
			      const char **lines, size_t *n)
{
	char text[512];
	size_t shown = 0;

	for (; stack && *stack && shown < FRAMES_SHOWN; stack++, shown++) {
		snprintf(text, sizeof(text), "%-13s%s", shown ? "" : what, *stack);
		lock__line(r->s, lines, n, text);
	}
}

static void lock__chain_line(struct lock_report *r, const struct lock_row *row, const char **lines,
			     size_t *n)
{
	char text[900];
	size_t len = 0;

	/* A waiter and a lock alone say nothing that is not in the lines above. */
	if (!row->chain || !row->chain[0] || !row->chain[1] || !row->chain[2])
		return;
	str__append(text, sizeof(text), &len, "%-13s", "chain");
	for (const char **c = row->chain; *c; c++)
		str__append(text, sizeof(text), &len, "%s%s", c == row->chain ? "" : " ← ", *c);
	lock__line(r->s, lines, n, text);
}

/* @most: ns of the row with most. */
static enum dwell_exit lock__details(struct lock_report *r, struct lock_row *row, uint64_t most)
{
	const char **lines =
		arena__array(&r->s->arena, HOLDERS_SHOWN + 2 * FRAMES_SHOWN + 4, sizeof(*lines));
	const struct lock_holder *h = row->holders.items;
	char text[512], states[160], total[16];
	size_t n = 0;

	if (!lines)
		return err__fail("no memory for the report");
	for (size_t i = 0; i < row->holders.n && i < HOLDERS_SHOWN; i++) {
		lock__states_text(&h[i], states, sizeof(states));
		snprintf(text, sizeof(text), "%-13s%s (%u) %.0f %%%s%s%s%s", i ? "" : "held by",
			 h[i].comm, h[i].tid, 100 * h[i].share, *states ? ": " : "", states,
			 h[i].doing ? "; " : "", h[i].doing ?: "");
		if (!lock__line(r->s, lines, &n, text))
			return err__fail("no memory for the report");
	}
	lock__chain_line(r, row, lines, &n);
	lock__stack_lines(r, (const char *const *)row->wait_stack, "waits in", lines, &n);
	lock__stack_lines(r, (const char *const *)row->release_stack, "released in", lines, &n);
	row->details = lines;
	time__format(total, sizeof(total), row->total_ns);
	/* Small ones are in the table. */
	if ((double)row->total_ns < DETAILS_SHARE * (double)most)
		return EXIT_OK;
	row->title =
		arena__printf(&r->s->arena, "%s%s %s: %s", row->space[0] == 'k' ? "kernel " : "",
			      row->kind, row->name, total);
	if (r->options->hist)
		row->shown_hist = row->hist;
	return row->title ? EXIT_OK : err__fail("no memory for the report");
}

/* "command;outermost;…;innermost;[held by writer]": waiters with the holder below. */
static enum dwell_exit lock__fold(struct lock_report *r, struct lock_row *row)
{
	const char **out = arena__array(&r->s->arena, FRAMES_MAX + 4, sizeof(*out));
	const struct lock_holder *h = row->holders.items;
	size_t n = 0, at = 0;

	if (!out)
		return err__fail("no memory for the report");
	while (row->wait_stack && row->wait_stack[n])
		n++;
	out[at++] = row->who.comm ?: "?";
	while (n)
		out[at++] = row->wait_stack[--n];
	out[at++] = arena__printf(&r->s->arena, "[%s %s]", row->kind, row->name);
	if (row->holders.n)
		out[at++] = arena__printf(&r->s->arena, "[held by %s]", h->comm);
	row->folded = out;
	return EXIT_OK;
}

/* ---- the report ---------------------------------------------------------------------------- */

/* The lock that the row is of, or the one that its waits were longest for. */
static const struct tally_key *lock__key(const struct lock_report *r, const struct lock_row *row)
{
	const struct lockpart *part = lock__longest(row, PART_LOCK);
	uint32_t slot = part ? (uint32_t)part->id : UINT32_MAX;

	if (slot < r->s->config.slots && r->parts.keys[slot].state != STATE_NONE)
		return &r->parts.keys[slot];
	return row->key;
}

static enum dwell_exit lock__describe(struct lock_report *r, struct lock_row *row)
{
	const struct tally_key *key = lock__key(r, row);
	enum dwell_exit status = ident__set(r->s, key->row, &row->who);

	row->key = key;
	row->space = lock__is_kernel(key) ? "kernel" : "user";
	row->kind = lock__kind(key);
	row->addr = lock__addr(key);
	status = status ?: lock__stacks(r, row);
	status = status ?: lock__holders(r, row);
	if (status)
		return status;
	row->name = lock__name(r, row, key);
	switch ((enum lock_by)r->options->by) {
	case LOCK_BY_CALLER:
		row->name = row->caller ?: row->name;
		break;
	case LOCK_BY_HOLDER:
		row->name = arena__printf(&r->s->arena, "%s (%llu)",
					  lock__comm(r->s, (uint32_t)row->id, NULL),
					  (unsigned long long)row->id);
		break;
	default:
		break;
	}
	row->holder = lock__holder_text(r->s, row);
	return row->name && row->holder ? EXIT_OK : err__fail("no memory for the report");
}

static enum dwell_exit lock__snapshot(struct session *s, const void *options, struct report *report)
{
	struct lock_report r = {.s = s, .options = options};
	bool last = s->reported >= s->object.window->last;
	enum dwell_exit status = lockparts__read(s, last, &r.parts);
	uint64_t most = 0;

	status = status ?: lock__group(&r);
	for (size_t i = 0; !status && i < r.n; i++)
		status = lock__describe(&r, &r.rows[i]);
	if (!status)
		report->verdict = lock__verdict(&r);
	status = status ?: session__rows(s, r.rows, r.n, report);
	for (size_t i = 0; !status && i < report->rows.n; i++)
		status = lock__chain(&r, &r.rows[i]);
	for (size_t i = 0; !status && i < report->rows.n; i++)
		most = r.rows[i].total_ns > most ? r.rows[i].total_ns : most;
	for (size_t i = 0; !status && i < report->rows.n; i++) {
		status = lock__details(&r, &r.rows[i], most);
		status = status ?: lock__fold(&r, &r.rows[i]);
	}
	return status;
}

/*
 * The kernel's own locks need its tracepoints (ee042be16cb4, 5.19). The session says so by
 * itself, but a report that can only be empty is refused.
 */
static enum dwell_exit lock__loaded(const struct session *s, const void *arg)
{
	const struct lock_options *options = arg;

	if (s->object.has[FEATURE_CONTENTION] || !options->kernel || options->user)
		return EXIT_OK;
	return err__unsupported("this kernel does not tell of its own locks (Linux 5.19 does): "
				"--user works");
}

static const struct tool_object lock_object = {
	.name = "lock",
	.btf = lock_btf__elf_bytes,
	.raw = lock_raw__elf_bytes,
};

extern const struct tool tool_lock;

const struct tool tool_lock = {
	.name = "lock",
	.summary = "Which locks are waited for, who has them, and what does he do?",
	.examples = "  dwell lock -p 4242                 one process, 5 seconds\n"
		    "  dwell lock --user -i 1 -p 4242     its own locks, every second\n"
		    "  dwell lock --kernel                locks of the kernel, whole machine\n"
		    "  dwell lock --by holder -p 4242     who holds others up\n"
		    "  dwell lock --folded -p 4242 >out   for a flame graph\n",
	.object = &lock_object,
	.shape = SHAPE_DETAILS,
	.accepts = ACCEPTS_STACKS | ACCEPTS_OWN_BY | NAMES_DATA,
	.options = lock_option_table,
	.options_size = sizeof(struct lock_options),
	.columns = lock_columns,
	.row_size = sizeof(struct lock_row),
	.sort = "total_ns",
	.title_offset = offsetof(struct lock_row, title),
	.folded_offset = offsetof(struct lock_row, folded),
	.total_offset = offsetof(struct lock_row, total_ns),
	.details_offset = offsetof(struct lock_row, details),
	.hist_offset = offsetof(struct lock_row, shown_hist),
	.configure = lock__configure,
	.loaded = lock__loaded,
	.snapshot = lock__snapshot,
};
