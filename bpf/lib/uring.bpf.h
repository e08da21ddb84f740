/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The states of io_uring's requests. A request is no thread; what is known of it are the threads
 * that do it, one after the other:
 *
 *   submitting  the thread that submits it, until that goes on to the next request or is done
 *   under way   nobody: the device works, or is ready and the thread has not been told yet
 *   queued      handed to a worker thread that has not taken it yet
 *   at work     the worker that has it, until it is completed there
 *
 * So each part gets the states of that thread's clock, or one of its own; what could be either of
 * two things is `other`. No hook tells when a device is ready: but where a completion would have
 * woken the thread from the wait that it is in, the device is not.
 *
 * A worker makes no system calls, so the span of such lies idle in its clock: it begins where the
 * worker has ended a request or goes to sleep without one, and so holds one request at its end.
 */
#ifndef DWELL_URING_BPF_H
#define DWELL_URING_BPF_H

#include "lib/call.bpf.h"
#include "lib/inode.bpf.h"
#include "lib/uring_rec.bpf.h"
#include "lib/worker.bpf.h"
#include "file.h"

/* include/uapi/linux/io_uring.h: of a ring, and of a request (as those of its queue's entry) */
#define IORING_SETUP_IOPOLL        (1U << 0)
#define IORING_SETUP_SQPOLL        (1U << 1)
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#define IOSQE_IO_DRAIN             (1U << 1)
#define IOSQE_IO_LINK              (1U << 2)
#define IOSQE_IO_HARDLINK          (1U << 3)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u64);
	__type(value, struct uring_rec);
} uring_requests SEC(".maps");

/* Works that ended, of requests that have not been completed yet. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, URING_WORKS);
	__type(key, u64);
	__type(value, struct uring_work);
} uring_works SEC(".maps");

/* Adds what the clock has more than in @before to @rec, but for cpu. */
static __noinline int uring__add(struct uring_rec *rec, struct clock *clk, const u64 *before,
				 u64 now)
{
	u64 ns[NR_STATES];

	clock__read_all(clk, now, ns);
#pragma nounroll
	for (u32 i = 0; i < NR_STATES; i++) {
		if (i != STATE_CPU)
			rec->ns[i] += ns[i] - before[i];
	}
	return 0;
}

/* ---- who submits ---------------------------------------------------------------------------- */

/* How long the thread waited so that it would have heard at once of the end of @rec. */
static __always_inline u64 uring__idle(struct clock *clk, struct uring_thread *u,
				       const struct uring_rec *rec, u64 now)
{
	u64 idle = clock__read(clk, STATE_POLL, now);

	if (!rec->ring)
		return idle;
	if (u->ring != rec->ring)
		return 0;
	return u->idle + (u->waits ? clock__span(u->idle_from, idle) : 0);
}

/* Up to now, @rec was being submitted by the current thread. */
static __always_inline void uring__own(struct clock *clk, struct uring_thread *u,
				       struct uring_rec *rec, u64 now)
{
	u->open = 0;
	if (u->turns != clk->seq)
		uring__add(rec, clk, u->ns, now);
	rec->at = now;
	rec->turns = clk->seq;
	rec->idle = uring__idle(clk, u, rec, now);
}

/* The current thread is done with the request that it submitted last. */
static __always_inline void uring__close(struct clock *clk, struct uring_thread *u, u64 now)
{
	u64 key = u->open;
	struct uring_rec *rec;

	if (!key)
		return;
	rec = bpf_map_lookup_elem(&uring_requests, &key);
	if (rec)
		uring__own(clk, u, rec, now);
	u->open = 0;
}

/* It submits request @key. */
static __always_inline void uring__open(struct clock *clk, struct uring_thread *u, u64 key, u64 now)
{
	u->open = key;
	u->busy = 1;
	if (u->turns == clk->seq)
		return;
	clock__read_all(clk, now, u->ns);
	u->turns = clk->seq;
}

/* It submits no more for now: it waits, or leaves io_uring_enter(). */
static __noinline int uring__end_batch(struct clock *clk, struct uring_thread *u, u64 now)
{
	uring__close(clk, u, now);
	u->batch++;
	u->busy = 0;
	u->linked = 0;
	if (u->waits)
		u->idle += clock__span(u->idle_from, clock__read(clk, STATE_POLL, now));
	u->waits = 0;
	return 0;
}

/* It waits for @events completions of @ring. */
static __always_inline void uring__wait(struct clock *clk, struct uring_thread *u, u64 ring,
					u32 flags, u32 events, u64 now)
{
	uring__end_batch(clk, u, now);
	if (!(flags & IORING_SETUP_DEFER_TASKRUN) || events != 1)
		return;
	if (u->ring != ring)
		u->idle = 0;
	u->ring = ring;
	u->idle_from = clock__read(clk, STATE_POLL, now);
	u->waits = 1;
}

/* Does what is read or written lie on a block device? */
static __always_inline bool uring__on_disk(struct io_kiocb *req)
{
	struct inode *inode = BPF_CORE_READ(req, file, f_inode);

	return (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFBLK ||
	       BPF_CORE_READ(inode, i_sb, s_bdev);
}

/* Nobody had @rec from rec->at to now, and the current thread is the one that submitted it. */
static __always_inline void uring__under_way(struct clock *clk, struct uring_thread *u,
					     struct uring_rec *rec, struct io_kiocb *req, u64 now)
{
	u64 total = clock__span(rec->at, now), device = 0;

	rec->at = now;
	if (!(rec->flags & URING_ELSEWHERE) && rec->batch == u->batch && rec->turns == clk->seq)
		return; /* all in one go: cpu */
	if (!rec->flags && rec->batch != u->batch && uring__on_disk(req))
		device = clock__span(rec->idle, uring__idle(clk, u, rec, now));
	if (device > total)
		device = total;
	rec->ns[STATE_DISK] += device;
	rec->ns[STATE_OTHER] += total - device;
}

/* Nothing is known from rec->at to now. */
static __always_inline void uring__unknown(struct uring_rec *rec, u64 now)
{
	rec->ns[STATE_OTHER] += clock__span(rec->at, now);
	rec->at = now;
}

/* ---- who works ------------------------------------------------------------------------------ */

/* A worker is born, or found. */
static __always_inline void uring__born(struct clock *clk, struct uring_thread *u,
					struct task_struct *task)
{
	if (!(FIELD(task, flags) & PF_IO_WORKER))
		return;
	u->worker = 1;
	clk->call.span.start = bpf_ktime_get_ns();
	clk->call.left = 1;
}

/* What the worker does from @start on is of another request; it left the CPU at @now, or runs. */
static __noinline int uring__restart(struct clock *clk, u64 start, u64 now)
{
	struct span *span = &clk->call.span;

	span->start = start;
	clock__read_all(clk, now, span->ns);
	clk->call.left = 1;
	return 0;
}

/* What the worker, the current thread, did for the request that it has had. */
static __always_inline void uring__account(struct clock *clk, struct uring_work *work, u64 until,
					   u64 now)
{
	work->from = clk->call.span.start;
	work->until = until;
	if (!clk->call.left)
		return;
	clock__read_all(clk, now, work->ns);
#pragma nounroll
	for (u32 i = 0; i < NR_STATES; i++)
		work->ns[i] -= clk->call.span.ns[i];
}

/* Its end was not told: its completion comes from another thread, which will ask. */
static __noinline int uring__leave(struct clock *clk, u64 key, u64 until, u64 journal_ns)
{
	struct uring_work work = {.journal_ns = journal_ns};

	uring__account(clk, &work, until, clk->since);
	return bpf_map_update_elem(&uring_works, &key, &work, BPF_ANY);
}

/*
 * A worker, the current thread, leaves its CPU: without a request, or with another than when it
 * left it before, and no hook saw that one end. True if its span begins anew.
 */
static __noinline int uring__worker_left(struct clock *clk, struct uring_thread *u, u64 journal_ns)
{
	struct task_struct *task = compat__current();
	u64 work = (u64)worker__request(task), before = u->work, from = clk->since;

	u->work = work;
	if (work && (!before || work == before))
		return 0;
	if (work)
		from -= compat__run_ns(task);
	if (before)
		uring__leave(clk, before, from, journal_ns);
	uring__restart(clk, from, clk->since);
	return 1;
}

/* The same while it runs, and ends request @key: what it did before, it did for another. */
static __always_inline void uring__worker_at(struct clock *clk, struct uring_thread *u, u64 key,
					     u64 now)
{
	if (clk->call.left && u->work && u->work != key)
		uring__restart(clk, now - compat__run_ns(compat__current()), now);
}

/* Takes from *@cut what @ns has, as far as that goes: how much. */
static __always_inline u64 uring__cut(u64 *cut, u64 ns)
{
	u64 less = *cut < ns ? *cut : ns;

	*cut -= less;
	return less;
}

/*
 * A worker did @rec. Without a request it sleeps, in `other`: as long as it did so since the
 * request came, that waited for a thread. If its span began before, it slept until then, or had not
 * got its CPU. If that cannot be, it did something else, which no hook saw, and nothing is known:
 * returns the time that is.
 */
static __noinline u64 uring__add_work(struct uring_rec *rec, const struct uring_work *work)
{
	u64 total = clock__span(rec->at, work->until), before = clock__span(work->from, rec->at);
	u64 slept = work->ns[STATE_OTHER], thread, preempt, runq, waits = 0;

	thread = clock__span(rec->at, work->from) + slept - uring__cut(&before, slept);
	preempt = uring__cut(&before, work->ns[STATE_PREEMPT]);
	runq = uring__cut(&before, work->ns[STATE_RUNQ]);
#pragma nounroll
	for (u32 i = 0; i < NR_STATES; i++)
		waits += i == STATE_CPU ? 0 : work->ns[i];
	if (waits - slept - preempt - runq + thread > total)
		return 0;
#pragma nounroll
	for (u32 i = 0; i < NR_STATES; i++)
		rec->ns[i] += i == STATE_CPU || i == STATE_OTHER ? 0 : work->ns[i];
	rec->ns[STATE_PREEMPT] -= preempt;
	rec->ns[STATE_RUNQ] -= runq;
	rec->ns[rec->flags & URING_QUEUED ? STATE_SYNC : STATE_OTHER] += thread;
	rec->journal_ns = work->journal_ns;
	return total;
}

/* The worker, the current thread, ends @rec. */
static __always_inline void uring__worked(struct clock *clk, struct uring_rec *rec, u64 journal_ns,
					  u64 now)
{
	struct uring_work work = {.journal_ns = journal_ns};

	uring__account(clk, &work, now, now);
	rec->at += uring__add_work(rec, &work);
	uring__unknown(rec, now);
}

/* A worker may have done @rec, of which another thread tells the end. */
static __always_inline void uring__worked_before(struct uring_rec *rec, u64 key, u64 now)
{
	const struct uring_work *work = bpf_map_lookup_elem(&uring_works, &key);

	/* An older one is of another request at the same address. */
	if (work && work->until > rec->at && work->until <= now)
		rec->at += uring__add_work(rec, work);
	if (work)
		bpf_map_delete_elem(&uring_works, &key);
	uring__unknown(rec, now);
}

/* The worker, the current thread, has no request from now on. */
static __always_inline void uring__worker_free(struct clock *clk, struct uring_thread *u, u64 now)
{
	u->work = 0;
	clk->call.left = 0;
	clk->call.span.start = now;
}

/* Up to now: whatever the thread that submitted @rec, the current one, had to do with it. */
static __noinline int uring__submitter(struct clock *clk, struct uring_thread *u,
				       struct uring_rec *rec, u64 key, u64 now)
{
	if (rec->flags & URING_QUEUED)
		uring__worked_before(rec, key, now);
	else if (u->open == key)
		uring__own(clk, u, rec, now);
	else
		uring__under_way(clk, u, rec, (struct io_kiocb *)key, now);
	return 0;
}

#endif
