// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* io: block requests from their insertion to their completion, by who submitted them. */
#include "lib/cause.bpf.h"
#include "lib/name.bpf.h"
#include "request.h"

#include "lib/quiet.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u64);
	__type(value, struct request_rec);
} requests SEC(".maps");

/* The request that block_rq_insert, issue, requeue or merge is about: see config.request_arg. */
static __always_inline struct request *io__request(unsigned long long *ctx)
{
	return config.request_arg ? (void *)ctx[1] : (void *)ctx[0];
}

/* Who submits is current only until the request is issued: here, never in the interrupt. */
static __always_inline u64 io__owner(void)
{
	struct task_struct *task = compat__current();
	struct clock *clk;

	if (!filter__maybe(task))
		return 0;
	clk = clock__get(task);
	return clk && clk->state != STATE_NONE ? clk->row : 0;
}

static __always_inline u32 io__op(struct request *rq)
{
	u32 flags = FIELD(rq, cmd_flags), op = flags & REQUEST_OP;

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
	return BPF_CORE_READ(disk, major) << 20 | BPF_CORE_READ(disk, first_minor);
}

/* A request that nothing was known of. */
static __always_inline struct request_rec *io__new(struct request *rq, u64 now)
{
	u64 key = (u64)rq;
	struct request_rec rec = {
		.row = io__owner(),
		.inserted = now,
		.dev = io__dev(compat__disk(rq)),
		.op = io__op(rq),
	};

	if (bpf_map_update_elem(&requests, &key, &rec, BPF_ANY)) {
		loss__count(LOSS_REQUEST);
		return NULL;
	}
	return bpf_map_lookup_elem(&requests, &key);
}

static __always_inline struct request_rec *io__find(struct request *rq)
{
	u64 key = (u64)rq;

	return bpf_map_lookup_elem(&requests, &key);
}

/* The address is another request's now: the kernel did not hand over the end of this one. */
static __always_inline void io__unended(const struct request_rec *rec)
{
	if (rec && rec->row)
		loss__count(LOSS_MISSED);
}

SEC_TP("block_rq_insert")
int BPF_PROG(on_rq_insert)
{
	struct request *rq = io__request(ctx);
	struct request_rec *rec = io__find(rq);

	sched__event(PROG_REQUEST);
	if (rec && rec->requeued) {
		rec->requeued = 0;
		return 0;
	}
	io__unended(rec);
	io__new(rq, bpf_ktime_get_ns());
	return 0;
}

SEC_TP("block_rq_issue")
int BPF_PROG(on_rq_issue)
{
	struct request *rq = io__request(ctx);
	struct request_rec *rec = io__find(rq);
	u64 now = bpf_ktime_get_ns();

	sched__event(PROG_REQUEST);
	if (rec && rec->issued && !rec->requeued) {
		io__unended(rec);
		rec = NULL;
	}
	/* One that never was in a queue. */
	if (!rec)
		rec = io__new(rq, now);
	if (rec) {
		rec->issued = now;
		rec->requeued = 0;
	}
	return 0;
}

static __always_inline void io__tally(struct tally_key *key, u32 part, u32 epoch, u64 value)
{
	bool fresh = false;

	key->state = part;
	tally__add(tally__slot(key, &fresh), epoch, value, value);
}

SEC_TP("block_rq_requeue")
int BPF_PROG(on_rq_requeue)
{
	struct request_rec *rec = io__find(io__request(ctx));
	struct tally_key key = {};

	sched__event(PROG_REQUEST);
	if (!rec)
		return 0;
	rec->requeued = 1;
	if (!rec->row)
		return 0;
	key.row = rec->row;
	key.id = rec->dev;
	key.aux = rec->op;
	io__tally(&key, REQUEST_AGAIN, window.epoch, 0);
	return 0;
}

/* Two requests became one: that in front; this is the other, which ends here. */
SEC_TP_OPTIONAL("block_rq_merge")
int BPF_PROG(on_rq_merge)
{
	u64 key = (u64)io__request(ctx);

	sched__event(PROG_REQUEST);
	bpf_map_delete_elem(&requests, &key);
	return 0;
}

static __always_inline void io__name(struct gendisk *disk, u32 dev)
{
	struct name_key key = {.id = dev, .kind = NAME_DEVICE};

	name__bytes(&key, disk->disk_name, sizeof(disk->disk_name));
}

/* A request that was under way when the run began: whose it is, is not known. */
static __always_inline void io__before(struct request *rq)
{
	struct gendisk *disk = compat__disk(rq);
	struct tally_key key = {
		.row = config.by == BY_ALL ? 1 : 0,
		.id = io__dev(disk),
		.aux = io__op(rq),
	};

	if (config.filter)
		return;
	io__name(disk, key.id);
	io__tally(&key, REQUEST_BEFORE, window.epoch, 0);
}

static __always_inline void io__done(struct request *rq, const struct request_rec *rec, u64 now)
{
	struct tally_key key = {
		.row = rec->row,
		.id = rec->dev,
		.id2 = rec->error,
		.aux = rec->op,
	};
	u64 total = clock__span(rec->inserted, now), device = clock__span(rec->issued, now);
	u32 epoch = window.epoch, slot;
	bool fresh = false;

	if (rec->inserted < window.run_start) {
		io__before(rq);
		return;
	}
	if (!rec->row || total < config.min_ns)
		return;
	key.state = REQUEST_TOTAL;
	slot = tally__slot(&key, &fresh);
	if (fresh)
		io__name(compat__disk(rq), rec->dev);
	tally__add(slot, epoch, total, total);
	io__tally(&key, REQUEST_QUEUE, epoch, total - device);
	io__tally(&key, REQUEST_DEVICE, epoch, device);
	io__tally(&key, REQUEST_BYTES, epoch, rec->bytes);
}

SEC_TP("block_rq_complete")
int BPF_PROG(on_rq_complete, struct request *rq, int error, unsigned int bytes)
{
	struct request_rec *rec = io__find(rq);
	u64 key = (u64)rq;

	sched__event(PROG_REQUEST);
	if (rec) {
		rec->bytes += bytes;
		rec->error = error ?: rec->error;
	}
	/* A part of it: what is left comes later. The length is that before this completion. */
	if (bytes < FIELD(rq, __data_len))
		return 0;
	if (!rec) {
		io__before(rq);
		return 0;
	}
	io__done(rq, rec, bpf_ktime_get_ns());
	bpf_map_delete_elem(&requests, &key);
	return 0;
}
