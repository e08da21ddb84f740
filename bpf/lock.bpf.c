// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* lock: waits for user-space and kernel locks, who had them, and what he did meanwhile. */
#include "lib/holder.bpf.h"
#include "lib/cause.bpf.h"
#include "lib/emit.bpf.h"
#include "lib/klock.bpf.h"
#include "lib/stack.bpf.h"
#include "lock.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct lock_part_key);
	__type(value, struct lock_part);
} lock_parts SEC(".maps");

static const struct lock_part lock_part_empty;

/* futex(2) operations that wake; include/uapi/linux/futex.h */
#define FUTEX_WAKE           1
#define FUTEX_REQUEUE        3
#define FUTEX_CMP_REQUEUE    4
#define FUTEX_WAKE_OP        5
#define FUTEX_UNLOCK_PI      7
#define FUTEX_WAKE_BITSET    10
#define FUTEX_CMP_REQUEUE_PI 12
#define FUTEX_WAKES                                                                                \
	(1U << FUTEX_WAKE | 1U << FUTEX_REQUEUE | 1U << FUTEX_CMP_REQUEUE | 1U << FUTEX_WAKE_OP |  \
	 1U << FUTEX_UNLOCK_PI | 1U << FUTEX_WAKE_BITSET | 1U << FUTEX_CMP_REQUEUE_PI)
#define SYS_FUTEX_WAKE    454 /* the same number everywhere; 6.7 */
#define SYS_FUTEX_REQUEUE 456
#define PF_EXITING        0x4

/* ---- parts ---- */

static __always_inline struct lock_part *part__get(u32 slot, u32 part, u64 id)
{
	struct lock_part_key key = {
		.id = id,
		.slot = slot,
		.part = part,
		.bank = config.banks > 1 ? window.epoch & 1 : 0,
	};
	struct lock_part *found = bpf_map_lookup_elem(&lock_parts, &key);

	if (likely(found))
		return found;
	bpf_map_update_elem(&lock_parts, &key, &lock_part_empty, BPF_NOEXIST);
	found = bpf_map_lookup_elem(&lock_parts, &key);
	if (!found)
		loss__count(LOSS_ROW_FULL);
	return found;
}

#define PART(slot, part) ((u64)(part) << 32 | (slot))

/*
 * Adds a wait to part @at, a PART(), with id @id. @comm0, @comm1: the thread's command name, or
 * 0. A global function of scalars, which the verifier looks at once and not once per caller.
 */
__noinline int part__add(u64 at, u64 id, u64 ns, u64 comm0, u64 comm1)
{
	struct lock_part *p = part__get(at, at >> 32, id);

	if (!p)
		return 0;
	__sync_fetch_and_add(&p->count, 1);
	__sync_fetch_and_add(&p->ns, ns);
	if (comm0) {
		p->comm[0] = comm0;
		p->comm[1] = comm1;
	}
	return 0;
}

/* What the wait in the scratch space has whatever rows are of: @slot is the row's. */
__noinline int lock__charge(u32 slot, u64 ns)
{
	struct holder_scratch *s = holder__scratch();

	if (!s)
		return 0;
	part__add(PART(slot, PART_WAITER), s->wait.tid, ns, s->wait.comm[0], s->wait.comm[1]);
	if (s->wait.stack != STACK_NOT_SEEN)
		part__add(PART(slot, PART_WAIT_STACK), s->wait.stack, ns, 0, 0);
	if (slot != s->wait.slot)
		part__add(PART(slot, PART_LOCK), s->wait.slot, ns, 0, 0);
	return 0;
}

/*
 * @ns of the wait in the scratch space were @tid's. With --by holder its row is a tally of such
 * parts of waits. The slot that the part belongs to.
 */
static __always_inline u32 lock__charge_holder(const struct holder_scratch *s, u32 tid, u64 ns,
					       const u64 comm[2])
{
	struct tally_key key = {
		.row = s->row, .id = tid, .kind = CAUSE_TASK, .syscall = SYSCALL_NONE};
	bool fresh = false;
	u32 slot = s->slot;

	if (config.lock_by == LOCK_BY_HOLDER) {
		slot = tally__slot(&key, &fresh);
		tally__add(slot, window.epoch, ns, ns);
		lock__charge(slot, ns);
	}
	part__add(PART(slot, PART_HOLDER), tid, ns, comm[0], comm[1]);
	return slot;
}

/*
 * What the holder did in its part of the wait, from the scratch space, to the part of row @slot: a
 * global function of scalars, which the verifier looks at once. @cause: slot of its last wait's
 * cause, which was a wait in @state.
 */
__noinline int lock__charge_states(u32 slot, u32 tid, u32 cause, u32 state)
{
	struct lock_part *p = part__get(slot, PART_HOLDER, tid);
	struct holder_scratch *s;
	u64 doing, i = state & STATE_MASK;
	u32 zero = 0;

	s = bpf_map_lookup_elem(&holder_scratches, &zero);
	if (!p || !s)
		return 0;
#pragma unroll
	for (int k = 1; k < NR_STATES; k++)
		__sync_fetch_and_add(&p->states[k], s->spent[k]);
	barrier_var(i);
	doing = s->spent[i & STATE_MASK];
	if (doing && cause != TALLY_NONE)
		part__add(PART(slot, PART_DOING), (u64)tid << 32 | cause, doing, 0, 0);
	return 0;
}

/*
 * Hold @at of the lock has the wait in the scratch space from @from to @to. A global function of
 * scalars for the verifier's sake: it would go through all of it for each of the holds.
 */
__noinline int lock__charge_hold(u64 row, u64 addr, u32 at, u64 from, u64 to)
{
	struct lock_key key = {.row = row, .addr = addr};
	struct lock_log *log = bpf_map_lookup_elem(&lock_logs, &key);
	struct holder_scratch *s = holder__scratch();
	struct lock_hold *hold;
	bool whole;
	u32 slot;

	if (!log || !s)
		return 0;
	hold = lock_log__hold(log, at);
	whole = from == hold->since;
	slot = lock__charge_holder(s, hold->tid, to - from, hold->comm);
	if (!(hold->states & HOLD_END))
		return 0;
	if (whole && (hold->states & HOLD_BEGIN))
		hold__spent(s, hold->begin, hold->end);
	else if (!whole && s->wait.snap_of == hold->tid)
		hold__spent(s, s->wait.snap, hold->end);
	else
		return 0;
	lock__charge_states(slot, hold->tid, hold->doing, hold->doing_state);
	return 0;
}

/* Divides the wait from @since to @now among the holds that it overlaps. */
static __noinline void lock__charge_holds(struct lock_log *log, u64 row, u64 addr, u64 since,
					  u64 now)
{
	u32 at = log->at;
	u64 end = now, from;

	for (int i = 0; i < LOCK_HOLDS; i++, at--) {
		struct lock_hold *hold = lock_log__hold(log, at);

		if (!hold->since)
			return;
		if (hold->until && hold->until < end)
			end = hold->until;
		from = clock__later(hold->since, since);
		if (from < end && hold->tid)
			lock__charge_hold(row, addr, at & (LOCK_HOLDS - 1), from, end);
		if (from == since)
			return;
		end = from;
	}
}

/* ---- a wait begins ---- */

/* The number that the lock has for its owner, in the waiter's PID namespace; 0: it has none. */
static __always_inline u32 lock__owner_word(const struct clock_memo *m)
{
	u32 op = m->word >> WORD_FD_SHIFT, val = m->id2;

	if ((op & FUTEX_CMD_MASK) == FUTEX_WAIT && (val & 0x80000000))
		return val & FUTEX_TID_MASK;
	return (m->id2 >> 32) & FUTEX_TID_MASK;
}

/* The thread that has the lock: what the lock says, if it is a thread that can have it. */
static __always_inline u32 lock__owner(struct clock *clk, struct task_struct *task)
{
	u32 op = clk->memo.word >> WORD_FD_SHIFT, word;
	struct task_struct *owner;
	struct thread_ref *ref;

	if (clk->state == STATE_KLOCK) {
		owner = klock__owner(clk->memo.id, clk->klock_flags);
		return owner ? BPF_CORE_READ(owner, pid) : 0;
	}
	word = lock__owner_word(&clk->memo);
	if (!word)
		return 0;
	ref = thread_ref__get(clk->wait.ns, word);
	if (!ref || ref->tid == clk->wait.tid)
		return 0;
	if ((op & FUTEX_PRIVATE) && ref->tgid != FIELD(task, tgid))
		return 0;
	return ref->tid;
}

static __always_inline bool lock__is_futex(const struct clock *clk)
{
	u32 nr = clk->memo.word & 0xffff;

	return nr < NR_SYSCALLS && config.syscall_class[nr & (NR_SYSCALLS - 1)] == CLASS_FUTEX;
}

static __always_inline u64 lock__log_row(const struct clock *clk)
{
	return clk->state == STATE_KLOCK ? 0 : clk->row;
}

static __noinline void lock__find_holder(struct clock *clk, struct task_struct *task, u64 now)
{
	struct lock_wait *w = &clk->wait;
	struct lock_log *log;
	struct lock_hold *hold;
	struct holder_scratch *s;

	w->holder = lock__owner(clk, task);
	log = lock_log__take(lock__log_row(clk), w->addr, true);
	if (!log)
		return;
	w->log = 1;
	hold = lock_log__waits(log, w->holder, w->tid, now);
	s = holder__read(hold->tid, now);
	w->snap_of = s ? hold->tid : 0;
	if (s)
		hold__copy(w->snap, s->ns);
	lock_log__give(log);
}

/* The slot of the row that a wait belongs to. */
static __always_inline u32 lock__slot(struct clock *clk, u64 stack, u32 state, u32 slot)
{
	struct tally_key key = {
		.row = clk->row, .id = stack, .state = state, .syscall = SYSCALL_NONE};
	bool fresh = false;

	if (config.lock_by == LOCK_BY_HOLDER)
		return TALLY_NONE;
	return config.lock_by == LOCK_BY_CALLER ? tally__slot(&key, &fresh) : slot;
}

static __always_inline bool lock__wanted(u32 state)
{
	return (state == STATE_LOCK && (config.lock_what & LOCK_USER)) ||
	       (state == STATE_KLOCK && (config.lock_what & LOCK_KERNEL)) ||
	       (state == STATE_SYNC && (config.lock_what & LOCK_EVENTS));
}

static __always_inline u64 lock__stack(void *ctx, bool kernel)
{
	u64 user = STACK_NONE, in = STACK_NONE;

	if (config.user_stacks)
		user = stack__id(ctx, BPF_F_USER_STACK);
	if (kernel && config.kernel_stacks)
		in = stack__id(ctx, 0);
	return user << 32 | in;
}

static __always_inline void sched__left(void *ctx, struct clock *clk, struct task_struct *task)
{
	struct lock_wait *w = &clk->wait;

	w->addr = 0;
	compat__comm(task, w->comm);
	if (likely(!lock__wanted(clk->state)))
		return;
	w->addr = clk->memo.id ?: 1;
	w->since = clk->since;
	w->slot = clk->memo.slot;
	w->holder = w->log = w->snap_of = 0;
	w->stack = lock__stack(ctx, clk->state == STATE_KLOCK);
	if (config.user_stacks)
		emit__seen(clk, task);
	clk->slot = lock__slot(clk, w->stack, clk->state, clk->memo.slot);
	if (clk->state == STATE_KLOCK || (clk->state == STATE_LOCK && lock__is_futex(clk)))
		lock__find_holder(clk, task, clk->since);
}

/* What it waited for before anybody looked; not where, nor who had it. */
static __always_inline u32 sched__seeded(struct clock *clk, u32 state)
{
	struct lock_wait *w = &clk->wait;

	if (!lock__wanted(state))
		return TALLY_NONE;
	w->addr = clk->memo.id ?: 1;
	w->since = bpf_ktime_get_ns();
	w->stack = STACK_NOT_SEEN;
	w->slot = clk->memo.slot;
	return lock__slot(clk, w->stack, state, clk->memo.slot);
}

/* ---- and ends ---- */

/* Is @task letting go of a futex, or of all that it has? */
static __always_inline bool lock__wakes_futex(struct task_struct *task)
{
	struct syscall_regs regs;

	if (FIELD(task, flags) & PF_EXITING)
		return true;
	if (FIELD(task, flags) & PF_KTHREAD)
		return false;
	compat__syscall(task, &regs);
	if (regs.nr == SYS_FUTEX_WAKE || regs.nr == SYS_FUTEX_REQUEUE)
		return true;
	if ((u64)regs.nr >= NR_SYSCALLS ||
	    config.syscall_class[regs.nr & (NR_SYSCALLS - 1)] != CLASS_FUTEX)
		return false;
	return FUTEX_WAKES >> (regs.arg[1] & FUTEX_CMD_MASK & 31) & 1;
}

/* The thread of @clk is woken by @waker, the current thread. */
static __always_inline void lock__ends(void *ctx, struct clock *clk, struct task_struct *waker,
				       u64 now)
{
	u64 since = clock__later(clk->wait.since, window.run_start);
	u64 ns = clock__span(since, now), comm[2];
	struct holder_scratch *s = holder__scratch();
	struct lock_log *log = NULL;
	u32 by = FIELD(waker, pid);
	bool released, counts = ns >= config.min_ns;

	if (!s || !window.epoch || window.epoch > window.last)
		return;
	s->wait = clk->wait;
	s->row = clk->row;
	s->slot = clk->slot;
	/* A time-out or a signal wakes too, in whatever context. */
	released = by && by != clk->wait.tid && (!lock__is_futex(clk) || lock__wakes_futex(waker));
	if (counts && config.lock_by != LOCK_BY_HOLDER) {
		lock__charge(clk->slot, ns);
		if (released)
			part__add(PART(clk->slot, PART_RELEASE_STACK),
				  lock__stack(ctx, clk->state == STATE_KLOCK), ns, 0, 0);
		else
			part__add(PART(clk->slot, PART_UNRELEASED), 0, ns, 0, 0);
	}
	if (clk->wait.log)
		log = lock_log__take(lock__log_row(clk), clk->wait.addr, false);
	if (log) {
		if (released)
			lock_log__released(log, by, clk->wait.tid, clk->wait.since, now);
		if (counts)
			lock__charge_holds(log, lock__log_row(clk), clk->wait.addr, since, now);
		lock_log__give(log);
	} else if (released && counts) {
		compat__comm(waker, comm);
		lock__charge_holder(s, by, ns, comm);
	}
}

static __always_inline void sched__woken(struct clock *clk, const struct segment *seg)
{
	clk->wait.addr = 0;
	if (seg->total >= config.min_ns)
		tally__add(seg->slot, seg->epoch, seg->inside, seg->total);
}

static __always_inline void sched__runs(struct clock *clk, const struct segment *seg, u64 now)
{
	/* A wake-up that was not seen: the wait ends here. */
	if (clk->wait.addr)
		sched__woken(clk, seg);
}

static __always_inline void sched__switched(struct task_struct *next, u64 now)
{
}

/* ---- spinning for a kernel lock ---- */

static __always_inline void sched__contends(void *ctx, struct clock *clk, struct task_struct *task,
					    u64 lock, u32 flags);
static __always_inline void sched__contended(struct clock *clk, u64 lock);

#define SCHED_LIFE
static __always_inline void sched__born(struct clock *clk, struct task_struct *task)
{
	holder__born(clk, task);
}

static __always_inline void sched__died(struct clock *clk, struct task_struct *task)
{
	holder__died(clk);
}

#define SCHED_CONTENTION
#define SCHED_CAUSES true
#include "lib/sched.bpf.h"

static __noinline void lock__spun(struct clock *clk, u64 lock, u64 since, u64 stack, u32 flags)
{
	struct tally_key key = {
		.row = clk->row,
		.id = lock,
		.aux = flags,
		.kind = CAUSE_KLOCK,
		.state = STATE_CPU,
		.syscall = SYSCALL_NONE,
	};
	u64 now = bpf_ktime_get_ns(), from = clock__later(since, window.run_start);
	u64 total = clock__span(from, now), inside;
	u32 epoch = window.epoch, slot, of;
	bool fresh = false;

	if (!epoch || epoch > window.last || total < config.min_ns || !clk->row)
		return;
	inside = clock__span(clock__later(from, window__start(epoch)), now);
	of = tally__slot(&key, &fresh);
	slot = lock__slot(clk, stack, STATE_CPU, of);
	if (slot == TALLY_NONE)
		return; /* --by holder: a spinlock has none that could be told */
	tally__add(slot, epoch, inside, total);
	part__add(PART(slot, PART_WAITER), clk->wait.tid, total, clk->wait.comm[0],
		  clk->wait.comm[1]);
	if (stack != STACK_NOT_SEEN)
		part__add(PART(slot, PART_WAIT_STACK), stack, total, 0, 0);
	if (slot != of)
		part__add(PART(slot, PART_LOCK), of, total, 0, 0);
}

#define SPIN_STACKS 8 /* one of so many, since a stack costs more than most spins */

static __always_inline u64 lock__spin_stack(void *ctx)
{
	if (!config.kernel_stacks ||
	    (config.lock_by != LOCK_BY_CALLER && bpf_get_prandom_u32() & (SPIN_STACKS - 1)))
		return STACK_NOT_SEEN;
	return (u64)STACK_NONE << 32 | stack__id(ctx, 0);
}

/* The same lock again: it spun in vain, and now sleeps. */
static __always_inline void sched__contends(void *ctx, struct clock *clk, struct task_struct *task,
					    u64 lock, u32 flags)
{
	struct lock_wait *w = &clk->wait;
	u64 i = w->spins;

	if (!(config.lock_what & LOCK_KERNEL) || clk->state != STATE_CPU)
		return;
	sched__contended(clk, lock);
	if (!(flags & LCB_F_SPIN))
		return;
	i = w->spins & 1;
	barrier_var(i);
	i &= 1;
	w->spin[i].stack = lock__spin_stack(ctx);
	w->spin[i].lock = lock;
	w->spin[i].flags = flags;
	w->spin[i].since = bpf_ktime_get_ns();
	w->spins = i + 1;
}

static __always_inline void sched__contended(struct clock *clk, u64 lock)
{
	struct lock_wait *w = &clk->wait;

	for (int i = 1; i >= 0; i--) {
		if (i >= w->spins || w->spin[i].lock != lock)
			continue;
		w->spins = i;
		lock__spun(clk, lock, w->spin[i].since, w->spin[i].stack, w->spin[i].flags);
		return;
	}
}

/* In the context of who wakes, unlike sched_wakeup. */
SEC_TP("sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	struct task_struct *waker = (void *)bpf_get_current_task();
	struct clock *clk;

	sched__event(PROG_WAKEUP);
	if (!filter__maybe(task))
		return 0;
	clk = clock__get(task);
	if (!clk || !clk->wait.addr || clk->state == STATE_CPU || clk->state == STATE_RUNQ ||
	    clk->state == STATE_PREEMPT || clk->state == STATE_NONE)
		return 0;
#ifndef DWELL_RAW
	waker = bpf_get_current_task_btf();
#endif
	lock__ends(ctx, clk, waker, bpf_ktime_get_ns());
	return 0;
}

/* Who has the lock that a thread waits for, now that it may have changed hands. */
static __always_inline u32 lock__holder_now(struct clock *clk)
{
	struct lock_key key = {.row = lock__log_row(clk), .addr = clk->wait.addr};
	struct lock_log *log = clk->wait.log ? bpf_map_lookup_elem(&lock_logs, &key) : NULL;
	struct lock_hold *hold;

	if (!log)
		return clk->wait.holder;
	hold = lock_log__hold(log, log->at);
	return hold->until ? 0 : hold->tid;
}

/* After the last epoch: who waits now, for what, and who has it. */
SEC("iter/task")
int waiting(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct lock_waiting rec = {};
	struct clock *clk;

	if (!task)
		return 0;
	clk = clock__get(task);
	if (!clk || !clk->row || !clk->wait.addr || !lock__wanted(clk->state))
		return 0;
	rec.addr = clk->wait.addr;
	rec.ns = clock__span(clock__later(clk->wait.since, window.run_start), bpf_ktime_get_ns());
	rec.stack = clk->wait.stack;
	rec.tid = FIELD(task, pid);
	rec.tgid = FIELD(task, tgid);
	rec.holder = lock__holder_now(clk);
	rec.slot = clk->wait.slot;
	bpf_core_read(&rec.comm, sizeof(rec.comm), &task->comm);
	bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
	return 0;
}
