// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* io: block requests from their insertion to their completion, by who submitted them. */
#include "lib/bio.bpf.h"
#include "lib/stack.bpf.h"
#include "request.h"

#define SCHED_STILL
#include "lib/quiet.bpf.h"

#define PF_EXITING 0x4 /* include/linux/sched.h */
#define OP_FLUSH   2   /* include/linux/blk_types.h: REQ_OP_FLUSH */
#define OP_WRITE   1   /* include/linux/blk_types.h: REQ_OP_WRITE */

#define REQUEST_NEAR   4  /* places at which a request may be kept: so many in a row… */
#define REQUEST_PROBES 12 /* …and the rest in a row elsewhere */
#define REQUEST_NONE   0xffffffffU
#define REQUEST_TELL   32    /* slow requests until user space is woken */
#define REQUEST_HELD   20000 /* ns from its begin to its issue: what takes less was not held back */
#define DEVICE_PROBES  8

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct request_rec);
} requests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct request_end);
} request_ends SEC(".maps");

/* With which stack the request of the entry of the same number was submitted. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} request_stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct request_group);
} request_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REQUEST_DEVICES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct request_device);
} request_devices SEC(".maps");

/* Who asked for what another thread may issue, and with what bio: see io__asked(). */
struct asker {
	u64 row;
	u32 tgid, tid;
	char comm[16];
};

#define ASKERS 1024 /* the oldest makes room */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ASKERS);
	__type(key, u64); /* address of its bio */
	__type(value, struct asker);
} askers SEC(".maps");

/* Else clang makes one load of two, at a place in the context that verifiers do not take. */
#define LATER_ARG(to, ctx, at) asm volatile("%0 = *(u64 *)(%1 + " #at ")" : "=r"(to) : "r"(ctx))

/* The request that block_rq_insert, issue, requeue or merge is about: see config.request_arg. */
static __always_inline struct request *io__request(unsigned long long *ctx)
{
	struct request *rq = (void *)ctx[0];

	if (CONFIG(request_arg))
		LATER_ARG(rq, ctx, 8);
	return rq;
}

/* The bio that is merged: see config.merge_arg. */
static __always_inline struct bio *io__bio(unsigned long long *ctx)
{
	struct bio *bio = (void *)ctx[0];

	if (CONFIG(merge_arg))
		LATER_ARG(bio, ctx, 16);
	return bio;
}

/* ---- where requests are kept --------------------------------------------------------------- */

/* Requests that found no place near where theirs is are somewhere else. */
u32 requests_strayed;

/*
 * The number of the entry where to look for the request at @address. A device's requests lie side
 * by side, each longer than 256 bytes: so do their entries, on as few pages as possible, for each
 * page that is not in the TLB costs more than all the rest. Where devices' requests fall on the
 * same places, there are others anywhere.
 */
static __always_inline u32 io__place(u32 address, u32 probe)
{
	u32 at = address >> 8;

	if (probe >= REQUEST_NEAR)
		at = address * 0x9e3779b1U >> 8;
	return (at + probe) & CONFIG(io_mask);
}

/* Global, of numbers, as is io__claim(): verified once, not in every state of every caller. */
__noinline u32 io__stray(u64 address)
{
	struct request_rec *rec;
	u32 at;

	for (u32 i = REQUEST_NEAR; i < REQUEST_PROBES; i++) {
		at = io__place(address, i);
		rec = bpf_map_lookup_elem(&requests, &at);
		if (rec && rec->request == address)
			return at;
	}
	return REQUEST_NONE;
}

static __always_inline struct request_end *io__end(u32 at)
{
	return bpf_map_lookup_elem(&request_ends, &at);
}

/* An entry that was another's, for a request that begins; REQUEST_NONE if there is no room. */
__noinline u32 io__claim(u64 address)
{
	struct request_rec *rec;
	struct request_end *end;
	u32 at, ended;

	for (u32 i = 0; i < REQUEST_PROBES; i++) {
		at = io__place(address, i);
		rec = bpf_map_lookup_elem(&requests, &at);
		end = io__end(at);
		if (!rec || !end)
			continue;
		ended = end->ended;
		if (rec->begun != ended || !compat__claim(&rec->begun, ended, ended + 1))
			continue;
		rec->request = address;
		if (i >= REQUEST_NEAR)
			requests_strayed = 1;
		return at;
	}
	return REQUEST_NONE;
}

/* By address: requests for which no entry was free where they were inserted. A power of two. */
#define REQUESTS_REFUSED 256

u32 requests_refused[REQUESTS_REFUSED];

static __always_inline u32 *io__refused(const void *rq)
{
	u64 at = compat__low(rq) >> 8;

	barrier_var(at);
	return &requests_refused[at & (REQUESTS_REFUSED - 1)];
}

/* No room for a request that is wanted: told at its end, or here if whose it was is lost there. */
static __always_inline void io__no_room(void)
{
	if (CONFIG(filter))
		loss__count(LOSS_REQUEST);
}

/* Was there no room for @rq, which is issued, where it was inserted? */
static __always_inline bool io__was_refused(const void *rq)
{
	u32 *word = io__refused(rq);

	if (likely(*(volatile u32 *)word != compat__low(rq)))
		return false;
	*(volatile u32 *)word = 0;
	return true;
}

/* The number of @rq's entry, if that is not at its first place; REQUEST_NONE: there is none. */
static __noinline u32 io__elsewhere(const void *rq)
{
	struct request_rec *rec;
	u32 at;

	for (u32 i = 1; i < REQUEST_NEAR; i++) {
		at = io__place(compat__low(rq), i);
		rec = bpf_map_lookup_elem(&requests, &at);
		if (rec && rec->request == (u64)rq)
			return at;
	}
	return likely(!requests_strayed) ? REQUEST_NONE : io__stray(peek__number(rq));
}

/*
 * The entry that was @rq's last, which may be idle, and its number; NULL: there is none. Nearly all
 * are at their first place: the rest is out of the way.
 */
static __always_inline struct request_rec *io__entry(const void *rq, u32 *at)
{
	struct request_rec *rec;

	*at = io__place(compat__low(rq), 0);
	rec = bpf_map_lookup_elem(&requests, at);
	if (likely(rec && rec->request == (u64)rq))
		return rec;
	*at = io__elsewhere(rq);
	return bpf_map_lookup_elem(&requests, at);
}

/* The entry of a request under way, and where its end goes; NULL: nothing is known of it. */
static __always_inline struct request_rec *io__find(const void *rq, u32 *at,
						    struct request_end **end)
{
	struct request_rec *rec = io__entry(rq, at);

	*end = io__end(*at);
	return rec && *end && rec->begun != (*end)->ended ? rec : NULL;
}

/* ---- devices' queues ----------------------------------------------------------------------- */

/* A global function, as io__place() says. */
__noinline u32 io__device(u32 dev)
{
	u32 key = dev ?: ~0U, at;
	struct request_device *d;

	for (u32 i = 0; i < DEVICE_PROBES; i++) {
		at = (key * 0x9e3779b1U + i) & (REQUEST_DEVICES - 1);
		d = bpf_map_lookup_elem(&request_devices, &at);
		if (!d)
			break;
		if (d->dev == key || compat__claim(&d->dev, 0, key) || d->dev == key)
			return at;
	}
	return DEVICE_NONE;
}

static __always_inline void io__enter(u32 device, u64 now)
{
	struct request_device *d = bpf_map_lookup_elem(&request_devices, &device);
	u32 depth, step;
	u64 out;

	if (!d)
		return;
	__sync_fetch_and_add(&d->in, request__load(now));
	if (likely((s32)(((u32) * (volatile u64 *)&d->in - d->look) << REQUEST_DEPTH_BITS) < 0))
		return;
	/* In this order: or what leaves meanwhile would make it less than nothing. */
	out = *(volatile u64 *)&d->out;
	depth = (*(volatile u64 *)&d->in - out) & REQUEST_DEPTH;
	if (depth > d->depth)
		d->depth = depth;
	/* It cannot be greater before so many more have come. */
	step = 1 + d->depth / 8 + (d->depth - depth);
	d->look = (u32)d->in + (step < REQUEST_DEPTH / 2 ? step : REQUEST_DEPTH / 2);
}

/* @n requests left the device's queue at @now. */
static __always_inline void io__leave(u32 device, u64 now, u32 n)
{
	struct request_device *d = bpf_map_lookup_elem(&request_devices, &device);

	if (likely(d))
		__sync_fetch_and_add(&d->out, request__load(now) * n);
}

/* The entry is idle from here on. */
static __always_inline void io__ended(struct request_rec *rec, struct request_end *end, u64 now)
{
	io__leave(rec->device, now, 1);
	/* Or the next one would be taken for this one, that waits. */
	if (unlikely(!rec->issued))
		rec->issued = now;
	if (unlikely(end->bytes | end->error))
		end->bytes = end->error = 0;
	*(volatile u32 *)&end->ended = rec->begun;
}

/*
 * Requests up to number @begun of the entry @rec are over, though the kernel did not hand over
 * their ends: that is noticed here, when another one has it, since @now.
 */
static __noinline void io__unended(const struct request_rec *rec, struct request_end *end,
				   u32 begun, u64 now)
{
	struct cpu_stat *stat = cpu_stat__get();
	u32 n = begun - end->ended;

	if (stat)
		stat->loss[LOSS_MISSED] += n;
	io__leave(rec->device, now, n);
	end->bytes = end->error = 0;
	end->ended = begun;
}

/* ---- which requests, and whose ------------------------------------------------------------- */

static __always_inline u32 io__flags(u32 flags)
{
	const u32 told = 1U << bpf_core_enum_value(enum req_flag_bits, __REQ_SYNC) |
			 1U << bpf_core_enum_value(enum req_flag_bits, __REQ_META) |
			 1U << bpf_core_enum_value(enum req_flag_bits, __REQ_RAHEAD) |
			 1U << bpf_core_enum_value(enum req_flag_bits, __REQ_FUA);
	u32 op = flags & REQUEST_OP;

	if (!(flags & told))
		return op;
	if (flags & (1U << bpf_core_enum_value(enum req_flag_bits, __REQ_SYNC)))
		op |= REQUEST_SYNC;
	if (flags & (1U << bpf_core_enum_value(enum req_flag_bits, __REQ_META)))
		op |= REQUEST_META;
	if (flags & (1U << bpf_core_enum_value(enum req_flag_bits, __REQ_RAHEAD)))
		op |= REQUEST_AHEAD;
	if (flags & (1U << bpf_core_enum_value(enum req_flag_bits, __REQ_FUA)))
		op |= REQUEST_FUA;
	return op;
}

static __always_inline u32 io__dev(struct gendisk *disk)
{
	return disk ? FIELD(disk, major) << 20 | FIELD(disk, first_minor) : 0;
}

/* The options --op and --dev; a partition is a range of its disk. */
static __always_inline bool io__wanted(u32 flags, u32 dev, u64 sector)
{
	if (CONFIG(io_ops) && !(CONFIG(io_ops) >> (flags & 63) & 1))
		return false;
	if (CONFIG(io_dev) && dev != CONFIG(io_dev))
		return false;
	return !CONFIG(io_end) || (sector >= CONFIG(io_first) && sector < CONFIG(io_end));
}

/* The clock of the thread that runs; the first request makes it, where any thread is watched. */
static __always_inline struct clock *io__clock(struct task_struct *task, u64 now)
{
	struct clock *clk = clock__get(task);

	if (likely(clk && clk->row && !clock__is_stale(clk, task))) {
		sched__check_row(clk, task, now);
		return clk;
	}
	if (!CONFIG(lazy) || (FIELD(task, flags) & PF_EXITING))
		return NULL;
	clk = clock__create(task);
	if (!clk)
		return NULL;
	clk->row = emit__row(task);
	clock__start(clk, STATE_OTHER, TALLY_NONE, now);
	return clk;
}

/*
 * The row that the request of the struct bio at @address belongs to, 0: it is not watched. Who
 * submits is current only until the request is issued: here, never in the interrupt. Global, as is
 * bio__file().
 */
__noinline u64 io__owner(u64 address, u64 now)
{
	struct task_struct *task = compat__current();
	struct bio *bio = (void *)address;
	struct clock *clk = NULL;
	u64 cgroup;

	if (FIELD(task, tgid) == CONFIG(self) || !filter__holds(task))
		return 0;
	/* Who needs no name, no ancestry and no mappings needs no clock. */
	if (CONFIG_HAS(filter, FILTER_FIXED) || (CONFIG(by) != BY_ALL && CONFIG(by) != BY_FILE) ||
	    CONFIG(user_stacks)) {
		clk = filter__maybe(task) ? io__clock(task, now) : NULL;
		if (!clk && CONFIG_HAS(filter, FILTER_FIXED))
			return 0;
	}
	if (CONFIG(by) == BY_ALL)
		return 1;
	if (CONFIG(by) == BY_FILE)
		return bio__file(address);
	if (CONFIG(by) == BY_CGROUP && (FIELD(task, flags) & PF_KTHREAD)) {
		cgroup = bio__cgroup(bio);
		if (cgroup)
			return cgroup;
	}
	return clk ? clk->row : emit__row(task);
}

static __always_inline u64 io__row(struct task_struct *task, struct bio *bio, u64 now)
{
	if (CONFIG(by) == BY_ALL && !CONFIG(filter) && !CONFIG(user_stacks))
		return FIELD(task, tgid) != CONFIG(self);
	return io__owner(peek__number(bio), now);
}

static __always_inline bool io__flushes(u32 flags)
{
	return flags & (1U << bpf_core_enum_value(enum req_flag_bits, __REQ_PREFLUSH) |
			1U << bpf_core_enum_value(enum req_flag_bits, __REQ_FUA));
}

/*
 * Flushes, and writes that wait for one, are sent by a thread of the kernel's, later: one flush for
 * all who wait. It is that one's who asked first, which on_rq_get() has seen: the address of his
 * bio; 0: not known, or it is the thread's own. So it is with what was @held back. Global, as is
 * bio__file().
 */
__noinline u64 io__asked(u64 address, u32 op, u32 held)
{
	struct request *rq = (void *)address, *first = op == OP_FLUSH ? compat__flushed(rq) : rq;
	struct bio *bio = NULL;
	u64 key;

	/* Its only bio; the first is NULL once its data are written, and a second flush is due. */
	if (first)
		bio = held ? BPF_CORE_READ(first, bio) : BPF_CORE_READ(first, biotail);
	key = peek__number(bio);
	if (!bio || (!held && !io__flushes(BPF_CORE_READ(bio, bi_opf))))
		return 0;
	return bpf_map_lookup_elem(&askers, &key) ? key : 0;
}

static __always_inline u64 io__asker_row(u64 bio)
{
	struct asker *asker = bpf_map_lookup_elem(&askers, &bio);

	return asker ? asker->row : 0;
}

static __always_inline void io__asker_name(u64 bio, struct request_rec *rec)
{
	struct asker *asker = bpf_map_lookup_elem(&askers, &bio);

	if (!asker)
		return;
	rec->tgid = asker->tgid;
	rec->tid = asker->tid;
	__builtin_memcpy(rec->comm, asker->comm, sizeof(rec->comm));
}

static __always_inline void io__name(struct gendisk *disk, u32 dev)
{
	struct name_key key = {.id = dev, .kind = NAME_DEVICE};

	if (disk)
		name__bytes(&key, disk->disk_name, sizeof(disk->disk_name));
}

static __always_inline struct request_group *io__group(u32 slot)
{
	return bpf_map_lookup_elem(&request_groups, &slot);
}

/* The slot of requests and of their group, whose other slots are taken with the first. */
static __noinline u32 io__slot(struct tally_key *key, struct gendisk *disk)
{
	struct request_group *group;
	bool fresh;
	u32 slot;

	key->state = REQUEST_DIRECT;
	slot = tally__slot(key, &fresh);
	group = io__group(slot);
	if (!group || group->ready)
		return slot;
	/* CPUs that come here at once find out the same. */
	group->row = key->row;
	group->dev = key->id;
	group->error = key->id2;
	group->op = key->aux;
	group->device = io__device(key->id);
	key->state = REQUEST_QUEUED;
	group->slot_queued = tally__slot(key, &fresh);
	key->state = REQUEST_QUEUE;
	group->slot_queue = tally__slot(key, &fresh);
	key->state = REQUEST_DEVICE;
	group->slot_device = tally__slot(key, &fresh);
	io__name(disk, key->id);
	compat__wmb();
	*(volatile u32 *)&group->ready = 1;
	return slot;
}

/* The counts of @group in the epoch that runs; NULL: nothing is counted now. */
static __always_inline struct request_counts *io__counts(struct request_group *group)
{
	u32 epoch = window.epoch;

	if (!group || !epoch || epoch > window.last)
		return NULL;
	return CONFIG(banks) > 1 && (epoch & 1) ? &group->counts[1] : &group->counts[0];
}

#define COUNT(group, what, n)                                                                      \
	do {                                                                                       \
		struct request_counts *counts = io__counts(group);                                 \
                                                                                                   \
		if (counts)                                                                        \
			__sync_fetch_and_add(&counts->what, n);                                    \
	} while (0)

/* ---- a request's life ---------------------------------------------------------------------- */

/* The stack with which the request of entry @at is submitted: for the list of the slowest. */
static __noinline void io__stack(void *ctx, u32 at, struct task_struct *task, u64 asked)
{
	struct clock *clk;
	u64 ids;

	if (asked) {
		ids = STACK_NOT_SEEN; /* this thread's says nothing of who asked */
		bpf_map_update_elem(&request_stacks, &at, &ids, BPF_ANY);
		return;
	}
	ids = stack__ids(ctx, 0);
	bpf_map_update_elem(&request_stacks, &at, &ids, BPF_ANY);
	clk = CONFIG(user_stacks) ? clock__get(task) : NULL;
	if (clk)
		emit__seen(clk, task);
}

/* A request that the driver gave back is inserted again. */
static __always_inline struct request_rec *io__again(struct request_rec *rec)
{
	rec->requeued = REQUEUED_BEFORE;
	return rec;
}

/* The entry @at goes to a request of another device: what the last one had is settled before. */
static __noinline void io__move(struct request_rec *rec, u32 at, u32 before, u32 device, u64 now)
{
	struct request_end *end = io__end(at);

	if (end && before != end->ended)
		io__unended(rec, end, before, now);
	rec->device = device;
}

/* The group of @rec: mostly that of the request that had the entry before. NULL: no room. */
static __always_inline struct request_group *io__sort(struct request_rec *rec, u64 row, u32 dev,
						      u32 op, struct gendisk *disk)
{
	struct request_group *group = io__group(rec->slot);
	struct tally_key key = {.row = row, .id = dev, .aux = op};

	if (likely(group && group->row == row && group->dev == dev && group->op == op &&
		   !group->error && group->ready))
		return group;
	rec->slot = io__slot(&key, disk);
	return io__group(rec->slot);
}

/* What is to be known of a request, or of a bio, before there is an entry for it. */
struct io_fresh {
	const void *address;
	struct gendisk *disk;
	u64 now, row, sector;
	u64 since; /* it is there: now, or earlier */
	u64 asked; /* see io__asked() */
	u32 dev, op, size;
	bool queued; /* it is in the queue; else it is with the driver already */
};

/* Whose it is, and what of it is told apart; false: it is not wanted. */
static __always_inline bool io__classify(struct io_fresh *fresh, struct task_struct *task,
					 struct bio *bio)
{
	fresh->row = fresh->asked ? io__asker_row(fresh->asked) : io__row(task, bio, fresh->now);
	if (!fresh->row)
		return false;
	if ((fresh->op & REQUEST_OP) == OP_WRITE && (FIELD(task, flags) & PF_KTHREAD) &&
	    bio__writes_back(peek__number(bio), fresh->op))
		fresh->op |= REQUEST_WRITEBACK;
	return true;
}

/*
 * The entry of what begins; NULL without room for it. What is shared between CPUs is written before
 * what is not: an atomic instruction waits for all that was written before it.
 */
static __always_inline struct request_rec *io__add(void *ctx, const struct io_fresh *fresh,
						   struct task_struct *task)
{
	u32 at, begun, device, sequential;
	struct request_group *group;
	struct request_rec *rec;

	/* Perhaps found before: but then verifiers look at all that follows once for each place. */
	rec = io__entry(fresh->address, &at);
	if (unlikely(!rec)) {
		at = io__claim(peek__number(fresh->address));
		if (at == REQUEST_NONE) {
			/* Counted where it is issued; one that is merged has no end of its own. */
			if (!fresh->queued)
				io__no_room();
			else
				*(volatile u32 *)io__refused(fresh->address) =
					compat__low(fresh->address);
			return NULL;
		}
		at &= CONFIG(
			io_mask); /* for verifiers, who find one state for both branches then */
		rec = bpf_map_lookup_elem(&requests, &at);
		if (!rec)
			return NULL;
		begun = rec->begun;
	} else if (unlikely(!rec->issued && rec->requeued)) {
		return io__again(rec);
	} else {
		/* If the last one has not ended, who completes this one notices. */
		begun = rec->begun + 1;
	}
	group = io__sort(rec, fresh->row, fresh->dev, fresh->op, fresh->disk);
	device = group ? group->device : REQUEST_NOWHERE;
	if (CONFIG(user_stacks) || CONFIG(kernel_stacks))
		io__stack(ctx, at, task, fresh->asked);
	sequential = 0;
	if (likely(group)) {
		io__enter(device, fresh->now);
		sequential = fresh->size && group->next == fresh->sector;
		group->next = fresh->sector + (fresh->size >> 9);
	}
	if (unlikely(rec->device != device))
		io__move(rec, at, begun - 1, device, fresh->now);
	/* Who takes it from us right now lets us miss our end, which is counted. */
	rec->inserted = fresh->since;
	rec->issued = 0;
	rec->size = fresh->size;
	rec->requeued = 0;
	rec->begun = begun;
	rec->sequential = sequential;
	rec->tgid = FIELD(task, tgid);
	rec->tid = FIELD(task, pid);
	compat__comm(task, (u64 *)rec->comm);
	if (unlikely(fresh->asked))
		io__asker_name(fresh->asked, rec);
	return rec;
}

/*
 * Since when there is a request that nobody saw come. One that was in a queue when the run began
 * was there for an unknown time; one that was @held back, since it was made.
 */
static __always_inline u64 io__since(const struct request *rq, u64 now, bool *held)
{
	u64 start = FIELD(rq, start_time_ns);

	if (likely(!start || start + REQUEST_HELD > now))
		return now;
	if (start < window.run_start)
		return start;
	*held = compat__holds_back(FIELD(rq, q));
	return *held ? start : now;
}

/* A request that nothing was known of. */
static __always_inline struct request_rec *io__begin(void *ctx, struct request *rq, u64 now,
						     bool queued)
{
	struct task_struct *task = compat__current();
	struct gendisk *disk = compat__disk(rq);
	/* Before all branches: for each load of a pointer verifiers search the kernel's types. */
	struct bio *bio = FIELD(rq, bio);
	u32 flags = FIELD(rq, cmd_flags);
	bool held = false;
	struct io_fresh fresh = {
		.address = rq,
		.disk = disk,
		.now = now,
		.since = queued ? now : io__since(rq, now, &held),
		.sector = FIELD(rq, __sector),
		.dev = io__dev(disk),
		.op = io__flags(flags),
		.size = FIELD(rq, __data_len),
		.queued = queued,
	};

	if (!io__wanted(flags, fresh.dev, fresh.sector))
		return NULL;
	if (CONFIG_ASKERS(&config) && (held || (FIELD(task, flags) & PF_KTHREAD)))
		fresh.asked = io__asked(peek__number(rq), fresh.op & REQUEST_OP, held);
	return io__classify(&fresh, task, bio) ? io__add(ctx, &fresh, task) : NULL;
}

/* The first that is seen of a request, in the thread that asks for it. */
SEC_TP_OPTIONAL("block_getrq")
int BPF_PROG(on_rq_get)
{
	struct bio *bio = (void *)ctx[0];
	struct task_struct *task;
	struct gendisk *disk;
	struct asker asker;
	u64 key;

	if (CONFIG(merge_arg))
		LATER_ARG(bio, ctx, 8);
	if (!bio)
		return 0;
	disk = compat__bio_disk(bio);
	if (likely(!io__flushes(FIELD(bio, bi_opf)) &&
		   (!disk || !compat__holds_back(FIELD(disk, queue)))))
		return 0;
	cpu__event(PROG_REQUEST);
	task = compat__current();
	asker.row = io__row(task, bio, bpf_ktime_get_ns());
	key = peek__number(bio);
	if (!asker.row) {
		/* Or this would be taken for who had the bio's address before. */
		bpf_map_delete_elem(&askers, &key);
		return 0;
	}
	asker.tgid = FIELD(task, tgid);
	asker.tid = FIELD(task, pid);
	compat__comm(task, (u64 *)asker.comm);
	bpf_map_update_elem(&askers, &key, &asker, BPF_ANY);
	return 0;
}

SEC_TP("block_rq_insert")
int BPF_PROG(on_rq_insert)
{
	cpu__event(PROG_REQUEST);
	io__begin(ctx, io__request(ctx), bpf_ktime_get_ns(), true);
	return 0;
}

SEC_TP("block_rq_issue")
int BPF_PROG(on_rq_issue)
{
	struct request *rq = io__request(ctx);
	u64 now = bpf_ktime_get_ns();
	struct request_end *end;
	struct request_rec *rec;
	u32 at, size;

	cpu__event(PROG_REQUEST);
	rec = io__entry(rq, &at);
	/* Its time in the queue would be missing. */
	if (!rec && io__was_refused(rq)) {
		io__no_room();
		return 0;
	}
	/* One that never was in a queue, or at the address of one whose end was not seen. */
	if (!rec || rec->issued)
		rec = io__begin(ctx, rq, now, false);
	if (!rec)
		return 0;
	/* Bios may have been merged into it, and what is completed in parts is less and less. */
	size = FIELD(rq, __data_len);
	if (unlikely(rec->requeued)) {
		end = io__end(at);
		size += end ? end->bytes : 0;
		rec->requeued = 0;
	}
	rec->issued = now;
	rec->size = size;
	return 0;
}

SEC_TP("block_rq_requeue")
int BPF_PROG(on_rq_requeue)
{
	struct request_end *end;
	struct request_rec *rec;
	u32 at;

	cpu__event(PROG_REQUEST);
	rec = io__find(io__request(ctx), &at, &end);
	if (!rec)
		return 0;
	/* In the queue again; it may be inserted, or issued at once. */
	rec->requeued = REQUEUED_BACK;
	rec->issued = 0;
	COUNT(io__group(rec->slot), requeues, 1);
	return 0;
}

/* Two requests became one: that in front; this is the other, which ends here. */
SEC_TP_OPTIONAL("block_rq_merge")
int BPF_PROG(on_rq_merge)
{
	struct request_end *end;
	struct request_rec *rec;
	u32 at;

	cpu__event(PROG_REQUEST);
	rec = io__find(io__request(ctx), &at, &end);
	if (!rec)
		return 0;
	COUNT(io__group(rec->slot), rq_merges, 1);
	io__ended(rec, end, bpf_ktime_get_ns());
	return 0;
}

static __always_inline int io__bio_merge(struct bio *bio)
{
	struct gendisk *disk = compat__bio_disk(bio);
	u32 flags = FIELD(bio, bi_opf);
	struct tally_key key = {.id = io__dev(disk), .aux = io__flags(flags)};

	cpu__event(PROG_REQUEST);
	if (!io__wanted(flags, key.id, CONFIG(io_first)))
		return 0;
	key.row = io__row(compat__current(), bio, bpf_ktime_get_ns());
	if (!key.row)
		return 0;
	if ((key.aux & REQUEST_OP) == OP_WRITE && (FIELD(compat__current(), flags) & PF_KTHREAD) &&
	    bio__writes_back(peek__number(bio), key.aux))
		key.aux |= REQUEST_WRITEBACK;
	COUNT(io__group(io__slot(&key, disk)), bio_merges, 1);
	return 0;
}

SEC_TP("block_bio_backmerge")
int BPF_PROG(on_bio_backmerge)
{
	return io__bio_merge(io__bio(ctx));
}

SEC_TP("block_bio_frontmerge")
int BPF_PROG(on_bio_frontmerge)
{
	return io__bio_merge(io__bio(ctx));
}

/* ---- its end ------------------------------------------------------------------------------- */

/*
 * A request that ends, and of which nothing is known: it was under way when the run began, and
 * whose it is, is not known; or it found no room.
 */
static __always_inline void io__unknown(struct request *rq)
{
	struct gendisk *disk = compat__disk(rq);
	u32 flags = FIELD(rq, cmd_flags);
	struct tally_key key = {
		.row = CONFIG(by) == BY_ALL ? 1 : 0,
		.id = io__dev(disk),
		.aux = io__flags(flags),
	};

	if (!window.epoch || CONFIG(filter) || !io__wanted(flags, key.id, FIELD(rq, __sector)))
		return;
	/* A write that asked for a flush ends once more when that is over, without a length. */
	if ((key.aux & REQUEST_OP) == OP_WRITE && !FIELD(rq, __data_len))
		return;
	if (FIELD(rq, start_time_ns) > window.run_start)
		loss__count(LOSS_REQUEST);
	else
		COUNT(io__group(io__slot(&key, disk)), before, 1);
}

/* A bio of a device without requests that ends, and of which nothing is known: as io__unknown(). */
static __always_inline void io__unknown_bio(struct bio *bio)
{
	struct gendisk *disk = compat__bio_disk(bio);
	struct tally_key key = {.row = CONFIG(by) == BY_ALL ? 1 : 0};
	u32 flags = FIELD(bio, bi_opf);

	if (!window.epoch || CONFIG(filter) || !disk || compat__makes_requests(disk))
		return;
	key.id = io__dev(disk);
	key.aux = io__flags(flags);
	/* Those that are dwell's own, or were counted as lost, are not meant. */
	if (!io__wanted(flags, key.id, CONFIG(io_first)) || io__was_refused(bio))
		return;
	COUNT(io__group(io__slot(&key, disk)), before, 1);
}

/* What took long, in all and in the device, and where it is kept. */
struct io_slow {
	u64 total, device, sector;
	u64 at;
};

static __noinline void io__tell(const struct io_slow *what, const struct request_rec *rec,
				const struct request_group *group)
{
	struct request_slow *slow = bpf_ringbuf_reserve(&ring, sizeof(*slow), 0);
	u64 *stack = NULL;
	u32 at = what->at;

	if (!slow) {
		loss__count(LOSS_SLOW);
		return;
	}
	slow->inserted = rec->inserted;
	slow->total = what->total;
	slow->device = what->device;
	slow->sector = what->sector;
	slow->dev = group->dev;
	slow->op = group->op;
	slow->tgid = rec->tgid;
	slow->tid = rec->tid;
	__builtin_memcpy(slow->comm, rec->comm, sizeof(slow->comm));
	slow->size = rec->size;
	slow->error = group->error;
	slow->epoch = window.epoch;
	slow->pad = 0;
	if (CONFIG(user_stacks) || CONFIG(kernel_stacks))
		stack = bpf_map_lookup_elem(&request_stacks, &at);
	slow->stack = stack ? *stack : STACK_NOT_SEEN;
	/* Whoever reads raises the limit: the sooner, the fewer are told of. */
	bpf_ringbuf_submit(slow, bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >
						 REQUEST_TELL * sizeof(*slow)
					 ? BPF_RB_FORCE_WAKEUP
					 : BPF_RB_NO_WAKEUP);
}

static __always_inline u32 io__size_class(u32 bytes)
{
	u32 sectors = bytes >> 9, class = 0;

	/* The highest bit, in five steps. */
	if (sectors >> 8) {
		class += 8;
		sectors >>= 8;
	}
	if (sectors >> 4) {
		class += 4;
		sectors >>= 4;
	}
	if (sectors >> 2) {
		class += 2;
		sectors >>= 2;
	}
	class += sectors >> 1 & 1;
	return bytes >> 25 ? REQUEST_SIZES - 1 : class;
}

/* A request of @group that took @total ns, of which @device in the device, for @bytes. */
static __always_inline void io__count(const struct request_rec *rec, struct request_group *group,
				      u64 total, u64 device, u32 bytes)
{
	struct request_counts *counts = io__counts(group);
	u64 class = io__size_class(rec->size);

	if (!counts)
		return;
	__sync_fetch_and_add(&counts->device_ns, device);
	compat__max(&counts->max_ns, total);
	compat__max(&counts->device_max_ns, device);
	if (total != device) {
		__sync_fetch_and_add(&counts->queue_ns, total - device);
		compat__max(&counts->queue_max_ns, total - device);
	}
	if (bytes)
		__sync_fetch_and_add(&counts->bytes, bytes);
	class += rec->sequential ? REQUEST_SIZES : 0;
	barrier_var(class);
	__sync_fetch_and_add(&counts->sizes[0][class & (2 * REQUEST_SIZES - 1)], 1);
}

/* One that ends: a request, or a bio. The functions are told which, as a constant. */
struct io_over {
	struct request *rq;
	struct bio *bio;
	struct request_rec *rec;
	struct request_end *end;
	u32 at;
};

/* Where it began: what was completed before, in parts, is not a request's begin any more. */
static __always_inline u64 io__sector(const struct io_over *over, bool is_bio)
{
	struct request *rq = over->rq;

	if (is_bio)
		return over->rec->issued & ~REQUEST_BIO;
	return FIELD(rq, __sector) - (over->end->bytes >> 9);
}

static __always_inline void io__done(const struct io_over *over, bool is_bio, s32 error, u32 bytes,
				     u64 now)
{
	const struct request_rec *rec = over->rec;
	u64 total = clock__span(rec->inserted, now), device = 0;
	u32 epoch = window.epoch, slot = rec->slot;
	struct request_group *group = io__group(slot);

	if (unlikely(!group))
		return;
	/* One that is ended without the driver has been in the queue only. */
	if (is_bio)
		device = total;
	else if (rec->issued)
		device = clock__span(rec->issued, now);
	if (unlikely(rec->inserted < window.run_start)) {
		COUNT(group, before, 1);
		return;
	}
	if (total < CONFIG(min_ns))
		return;
	if (unlikely(error)) {
		struct tally_key key = {
			.row = group->row, .id = group->dev, .id2 = (u32)error, .aux = group->op};

		slot = io__slot(&key,
				is_bio ? compat__bio_disk(over->bio) : compat__disk(over->rq));
		group = io__group(slot);
		if (!group)
			return;
	}
	io__count(rec, group, total, device, error ? 0 : bytes);
	if (total == device) {
		tally__count(slot, epoch, total);
	} else {
		tally__count(group->slot_queued, epoch, total);
		tally__count(group->slot_queue, epoch, total - device);
		tally__count(group->slot_device, epoch, device);
	}
	if (unlikely(total >= window.slow_ns)) {
		struct io_slow slow = {
			.total = total,
			.device = device,
			.sector = io__sector(over, is_bio),
			.at = over->at,
		};

		io__tell(&slow, rec, group);
	}
}

SEC_TP("block_rq_complete")
int BPF_PROG(on_rq_complete, struct request *rq, int error, unsigned int bytes)
{
	struct io_over over = {.rq = rq};
	struct request_rec *rec;
	struct request_end *end;
	u64 now;

	cpu__event(PROG_REQUEST);
	rec = over.rec = io__find(rq, &over.at, &over.end);
	if (!rec) {
		/* The length is that before this completion. */
		if (bytes >= FIELD(rq, __data_len))
			io__unknown(rq);
		return 0;
	}
	end = over.end;
	if (unlikely(rec->begun != end->ended + 1))
		io__unended(rec, end, rec->begun - 1, rec->inserted);
	/* A part of it: what is left comes later. */
	if (unlikely(end->bytes + bytes < rec->size)) {
		end->bytes += bytes;
		end->error = error ?: end->error;
		COUNT(io__group(rec->slot), partial, 1);
		return 0;
	}
	now = bpf_ktime_get_ns();
	io__done(&over, false, error ?: end->error, end->bytes + bytes, now);
	io__ended(rec, end, now);
	return 0;
}

/* ---- devices without requests -------------------------------------------------------------- */

/* @bio is not followed; as it ends, it is not one from before the run. */
static __always_inline void io__no_bio(const struct bio *bio, bool wanted)
{
	if (CONFIG(filter))
		return; /* then nothing is said of such, and losses are counted */
	*(volatile u32 *)io__refused(bio) = compat__low(bio);
	if (wanted)
		loss__count(LOSS_REQUEST);
}

/*
 * Device-mapper, md, zram and others get bios, and have no queue: such a bio is what a request is
 * elsewhere, from when it is handed to them until all of it is done. What they pass on is told by
 * the devices below.
 */
SEC_TP_OPTIONAL("block_bio_queue")
int BPF_PROG(on_bio_queue)
{
	struct task_struct *task = compat__current();
	struct bio *bio = (void *)ctx[0];
	struct gendisk *disk;
	struct io_fresh fresh = {};
	struct request_rec *rec;
	u32 flags;

	if (CONFIG(bio_arg))
		LATER_ARG(bio, ctx, 8);
	cpu__event(PROG_REQUEST);
	disk = compat__bio_disk(bio);
	if (!disk || compat__makes_requests(disk))
		return 0;
	flags = FIELD(bio, bi_opf);
	fresh.sector = FIELD(bio, bi_iter.bi_sector);
	fresh.dev = io__dev(disk);
	if (!io__wanted(flags, fresh.dev, fresh.sector))
		return 0;
	fresh.address = bio;
	fresh.disk = disk;
	fresh.now = fresh.since = bpf_ktime_get_ns();
	fresh.op = io__flags(flags);
	fresh.size = FIELD(bio, bi_iter.bi_size);
	/* One without data only flushes. */
	if ((fresh.op & REQUEST_OP) == OP_WRITE && !fresh.size)
		fresh.op = (fresh.op & ~REQUEST_OP) | OP_FLUSH;
	if (!io__classify(&fresh, task, bio)) {
		io__no_bio(bio, false);
		return 0;
	}
	rec = io__add(ctx, &fresh, task);
	if (rec)
		rec->issued = REQUEST_BIO | fresh.sector;
	else
		io__no_bio(bio, true);
	return 0;
}

SEC_TP_OPTIONAL("block_bio_complete")
int BPF_PROG(on_bio_complete, void *q, struct bio *bio)
{
	struct io_over over = {.bio = bio};
	struct request_rec *rec;
	struct request_end *end;
	u64 now;

	cpu__event(PROG_REQUEST);
	/* By its address alone: md may have sent it on to another device. */
	rec = over.rec = io__find(bio, &over.at, &over.end);
	if (!rec || !(rec->issued & REQUEST_BIO)) {
		io__unknown_bio(bio);
		return 0;
	}
	end = over.end;
	if (unlikely(rec->begun != end->ended + 1))
		io__unended(rec, end, rec->begun - 1, rec->inserted);
	now = bpf_ktime_get_ns();
	io__done(&over, true, FIELD(bio, bi_status), rec->size, now);
	io__ended(rec, end, now);
	return 0;
}
