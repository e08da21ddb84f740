/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * System calls as spans. A thread is in one call at a time, so the span lies in its clock; and most
 * calls never leave the CPU, so the clock is read for a span's begin only once the thread does:
 * all that it did in the call until then is `cpu`.
 *
 * A command includes this first, and calls call__left() from sched__left(). What it keeps of each
 * thread's call besides is CALL_EXTRA: members, set before this file is included.
 */
#ifndef DWELL_CALL_BPF_H
#define DWELL_CALL_BPF_H

#include "lib/span_rec.bpf.h"

struct call {
	struct span span; /* start 0: none is open; kind: the call's number, or SYSCALL_NONE */
	u32 left;         /* the thread left the CPU: span.ns are set */
	u32 pad;
#ifdef CALL_EXTRA
	CALL_EXTRA
#endif
};

#define CLOCK_EXTRA struct call call;
#define CLOCK_READS

#include "lib/clock.bpf.h"
#include "lib/span.bpf.h"
#include "lib/tally.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct tally_states);
} tally_states SEC(".maps");

/* The thread leaves the CPU, and its clock was turned just now. */
static __always_inline void call__left(struct clock *clk)
{
	struct call *call = &clk->call;

	if (!call->span.start || call->left)
		return;
	clock__read_all(clk, clk->since, call->span.ns);
	call->left = 1;
}

/*
 * What a tracepoint calls can be preempted (a46023d5616e, 7.0): between two looks, at the time and
 * at the clock, which was turned behind @now then.
 */
static __always_inline bool call__preempted(const struct clock *clk, u64 now)
{
	barrier();
	return unlikely(*(const volatile u64 *)&clk->since > now);
}

/* Current thread @task enters call @nr. */
static __always_inline void call__begin(struct clock *clk, struct task_struct *task, u64 nr)
{
	struct call *call = &clk->call;
	u64 now;

	call->left = 0;
	call->span.kind = nr < NR_SYSCALLS && !compat__is_32bit(task) ? nr : SYSCALL_NONE;
	barrier();
	call->span.start = now = bpf_ktime_get_ns();
	if (!call__preempted(clk, now))
		return;
	/* Whether the hook saw the open call or not: it begins again, behind the switch. */
	call->span.start = 0;
	barrier();
	call->left = 0;
	barrier();
	call->span.start = bpf_ktime_get_ns();
}

/* The states of a call from its begin to @now. */
static __always_inline void call__states(struct clock *clk, u64 now, struct span_result *out)
{
	clock__read_all(clk, now, out->ns);
	for (u32 i = 0; i < NR_STATES; i++)
		out->ns[i] -= clk->call.span.ns[i];
}

/* The open call ends. False if none is, it began before the run, or its states are not known. */
static __always_inline bool call__end(struct clock *clk, struct span_result *out)
{
	struct call *call = &clk->call;
	u64 now = bpf_ktime_get_ns();

	out->start = call->span.start;
	call->span.start = 0;
	if (!out->start || out->start < window.run_start || !window.run_start)
		return false;
	if (call->left) {
		call__states(clk, now, out);
		/* What lies behind its end is of it, too, rather than of its states alone. */
		if (call__preempted(clk, now)) {
			now = bpf_ktime_get_ns();
			call__states(clk, now, out);
			/* And once more? Of this one nothing is known that would add up. */
			if (call__preempted(clk, now)) {
				loss__count(LOSS_TORN);
				return false;
			}
		}
	}
	out->latency = clock__span(out->start, now);
	return true;
}

/* Adds an ended span to tally @slot of @epoch, with its states: see struct tally_states. */
static __always_inline void call__add(struct clock *clk, u32 slot, u32 epoch,
				      const struct span_result *span)
{
	u32 index = slot + (CONFIG(banks) > 1 ? (epoch & 1) * CONFIG(slots) : 0);
	struct tally_states *states;

	tally__put(slot, epoch, span->latency, span->latency, tally__weight(clock__is_alone(clk)));
	if (slot == TALLY_NONE || !epoch || epoch > window.last || likely(!clk->call.left))
		return;
	states = bpf_map_lookup_elem(&tally_states, &index);
	if (!states)
		return;
	for (u32 i = 0; i < NR_STATES; i++) {
		if (i != STATE_CPU && span->ns[i])
			__sync_fetch_and_add(&states->ns[i], span->ns[i]);
	}
}

#endif
