// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * query: the clocks that statements are measured by, with what the server says it waits for, and
 * the maps that all databases share.
 */
#define QUERY_COUNTS true
#include "lib/query.bpf.h"

/* Blocked within a statement: why, in the server's own words? */
static __always_inline void waits__begin(struct clock *clk)
{
	u32 info = 0;

	if (likely(!clk->waits.addr) || clk->state == STATE_PREEMPT)
		return;
	bpf_probe_read_user(&info, sizeof(info), (void *)clk->waits.addr);
	clk->waits.open = ((info >> 24) & (NR_WAITS - 1)) + 1;
}

static __always_inline void waits__end(struct clock *clk, const struct segment *seg)
{
	u64 class;

	if (likely(!clk->waits.open))
		return;
	class = clk->waits.open - 1;
	barrier_var(class);
	clk->waits.ns[class & (NR_WAITS - 1)] += seg->total;
	clk->waits.used = 1;
	clk->waits.open = 0;
}

/* A wait ended, for a CPU too. */
static __always_inline void statement__waited(struct clock *clk, const struct segment *seg)
{
	waits__end(clk, seg);
	span__waited(&clk->span_waits, clk, seg);
}

#define QUIET_LEFT(ctx, clk)  waits__begin(clk)
#define QUIET_WOKEN(clk, seg) statement__waited(clk, seg)
#define SCHED_OWN_PROGRAMS
#include "lib/quiet.bpf.h"

/* The clock of @task if it is to be turned, now or, where the thread ends, for good; or NULL. */
static __always_inline struct clock *statement__clock(struct task_struct *task, bool dead)
{
	struct clock *clk = filter__maybe(task) ? clock__get(task) : NULL;

	return clk && (dead || !query__stands(clk)) ? clk : NULL;
}

SEC_TP("sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	u32 task_state = CONFIG(switch_has_state) ? (u32)ctx[3] : compat__task_state(prev);
	struct cpu *cpu = cpu__event(PROG_SWITCH);
	struct clock *clk;

	clk = statement__clock(prev, task_state & TASK_DEAD);
	if (clk)
		sched__leaves(ctx, clk, prev, sched__goes_to_sleep(prev, preempt, task_state),
			      task_state, bpf_ktime_get_ns());
	clk = statement__clock(next, false);
	if (clk)
		sched__gets(cpu, clk, next, bpf_ktime_get_ns());
	return 0;
}

SEC_TP("sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task)
{
	struct clock *clk;

	cpu__event(PROG_WAKEUP);
	clk = statement__clock(task, false);
	if (clk)
		sched__wakes(task, clk);
	return 0;
}

/* A session goes: a statement that is still open ends here, and so do a parallel worker's. */
SEC_TP("sched_process_exit")
int on_session_exit(void *ctx)
{
	struct task_struct *task = session__current();
	struct query_session *s = session__get(task, false);
	struct clock *clk = clock__get(task);
	struct query_proc_key key = {};
	u32 number, pid = bpf_get_current_pid_tgid() >> 32;
	struct query_txn *t;

	if (!s)
		return 0;
	if (clk && (s->flags & QUERY_OPEN)) {
		if (!(s->flags & QUERY_DONE))
			s->flags |= QUERY_FAILED;
		query__end(s, clk, bpf_ktime_get_ns());
	}
	if (s->flags & QUERY_WAITS)
		bpf_map_delete_elem(&query_waits, &pid);
	key.proc = s->proc;
	key.server = s->server;
	if (s->proc)
		bpf_map_delete_elem(&query_procs, &key);
	t = query__txn(s);
	if (!t)
		return 0;
	t->pid = 0;
	t->since = 0;
	number = s->number - 1;
	s->number = 0;
	bpf_map_push_elem(&query_numbers, &number, 0);
	return 0;
}
