// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* PostgreSQL 13 and later: one process per session. */
#define QUERY_KNOWS_NAMES
#define QUERY_COUNTS true
#include "lib/pidns.bpf.h"
#include "lib/query.bpf.h"
#include "probe.h"

/*
 * What the server has by name in its own memory, from pg_activity's probe on; 0: it has no such.
 * The order is that of postgresql_data[] in core/engines.c.
 */
enum pg_datum {
	PG_BUFFER_USAGE,
	PG_WAL_USAGE,
	PG_WAIT_EVENT_INFO,
	PG_MY_PROC,
	PG_MY_PROC_PORT,
	PG_DATA,
};

/* By the number of the program, which is the probe's cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PROBE_FILES);
	__type(key, u32);
	__type(value, struct probe_data);
} probe_data SEC(".maps");

#define PG_TEXT 0 /* query_session.own: address of the last statement's text */

static __always_inline u64 pg__read_u64(u64 from)
{
	u64 value = 0;

	bpf_probe_read_user(&value, sizeof(value), (void *)from);
	return value;
}

/* ---- what the server counts ---------------------------------------------------------------- */

/* src/include/executor/instrument.h, the same from 13 to 18: as far as it is looked at. */
struct pg_buffer_usage {
	u64 shared_hit, shared_read, shared_dirtied, shared_written;
	u64 local_hit, local_read;
};

struct pg_wal_usage {
	u64 records, full_page_images, bytes;
};

static __always_inline void pg__counters(const struct query_session *s, struct query_counters *c)
{
	struct pg_buffer_usage buffers = {};

	bpf_probe_read_user(&buffers, sizeof(buffers), (void *)s->counters_at);
	c->buffers_hit = buffers.shared_hit + buffers.local_hit;
	c->buffers_read = buffers.shared_read + buffers.local_read;
	c->wal_bytes = pg__read_u64(s->counters2_at + offsetof(struct pg_wal_usage, bytes));
}

/* What the statement that ends has added since the one before. */
static __always_inline void pg__take_counters(struct query_session *s)
{
	struct query_counters now;

	if (!(s->flags & QUERY_MEASURED))
		return;
	pg__counters(s, &now);
	s->taken.buffers_hit = now.buffers_hit - s->counters.buffers_hit;
	s->taken.buffers_read = now.buffers_read - s->counters.buffers_read;
	s->taken.wal_bytes = now.wal_bytes - s->counters.wal_bytes;
	s->counters = now;
}

/* ---- sessions ------------------------------------------------------------------------------ */

/* Where this process has the server's data: @ip is that of pg_activity's probe. */
__noinline int pg__find_data(u64 ip, u32 file)
{
	struct query_session *s = session__get(session__current(), false);
	struct probe_data *d = bpf_map_lookup_elem(&probe_data, &file);
	struct query_proc_key key = {};
	u64 port = 0;

	if (!s || !d || !d->delta[PG_MY_PROC])
		return 0; /* this kernel does not tell the file, or the server has no such */
	/* What cannot be read is no sign of a background process: its statements would be lost. */
	if (d->delta[PG_MY_PROC_PORT] && !(s->flags & QUERY_WORKER) &&
	    !bpf_probe_read_user(&port, sizeof(port), (void *)(ip + d->delta[PG_MY_PROC_PORT])) &&
	    !port)
		s->flags |= QUERY_BACKGROUND;
	if (d->delta[PG_BUFFER_USAGE] && d->delta[PG_WAL_USAGE]) {
		s->counters_at = ip + d->delta[PG_BUFFER_USAGE];
		s->counters2_at = ip + d->delta[PG_WAL_USAGE];
		pg__counters(s, &s->counters);
		s->flags |= QUERY_MEASURED;
	}
	/* 13 has none: there it is in the PGPROC, and nobody tells where. */
	if (d->delta[PG_WAIT_EVENT_INFO])
		s->waits_at = pg__read_u64(ip + d->delta[PG_WAIT_EVENT_INFO]);
	if (!s->number)
		return 0;
	s->proc = key.proc = pg__read_u64(ip + d->delta[PG_MY_PROC]);
	key.server = s->server;
	bpf_map_update_elem(&query_procs, &key, &s->number, BPF_ANY);
	return 0;
}

#define PG_TITLE 128 /* of the process, as far as it is looked at */

/*
 * The process's title is "postgres: USER DATABASE HOST STATE", with "CLUSTER: " before the user if
 * the server has a name. Are user and database those that were asked for? (A name with a blank in
 * it is not known.)
 */
__noinline int pg__names_match(void)
{
	struct task_struct *task = session__current();
	u64 hash = CONFIG_NAME_SEED, user = 0, name = 0;
	char title[PG_TITLE] = {};
	u32 words = 0;
	char before = 0;

	bpf_probe_read_user(title, sizeof(title) - 1, (void *)BPF_CORE_READ(task, mm, arg_start));
	for (u32 i = 0; i < PG_TITLE; i++) {
		char c = title[i];

		if (c != ' ' && c) {
			hash = config__name_hash(hash, c);
			before = c;
			continue;
		}
		/* "postgres:", "CLUSTER:" */
		if (before != ':')
			words++;
		if (words == 1 && !user)
			user = hash;
		if (words == 2 && !name)
			name = hash;
		if (!c || words == 2)
			break;
		hash = CONFIG_NAME_SEED;
	}
	return (!CONFIG(db_user) || CONFIG(db_user) == user) &&
	       (!CONFIG(db_name) || CONFIG(db_name) == name);
}

/* A session is seen for the first time, in pg_activity. */
__noinline int pg__greet(u64 ip, u32 file)
{
	struct task_struct *task = session__current();
	struct query_session *s = session__get(task, false);
	u64 age = bpf_ktime_get_boot_ns() - BPF_CORE_READ(task, start_boottime);

	if (!s)
		return 0;
	s->server = BPF_CORE_READ(task, real_parent, tgid);
	if ((CONFIG(db_name) || CONFIG(db_user)) && !(s->flags & QUERY_WORKER) &&
	    !pg__names_match()) {
		s->flags &= ~QUERY_WANTED;
		return 0;
	}
	query__enlist(s, task, DB_POSTGRESQL);
	pg__find_data(ip, file);
	if (s->flags & (QUERY_WORKER | QUERY_BACKGROUND))
		return 0;
	/* It was begun within the run, and is ready now for its first statement. */
	if (window.epoch && bpf_ktime_get_ns() - age >= window.run_start)
		query__time(QUERY_SETUP, DB_POSTGRESQL, age);
	return 0;
}

/* ---- locks --------------------------------------------------------------------------------- */

/* src/include/storage/lock.h, the same from 13 to 18: as far as it is looked at. */
struct pg_locallock {
	u32 tag_field[3];
	u16 tag_field4;
	u8 tag_type;
	u8 tag_method;
	u32 mode;
	u32 hash;
	u64 lock;
};

struct pg_lock {
	u32 tag[4];
	u32 grant_mask, wait_mask;
	u64 prev, next; /* of the list of pg_proclock.link_prev */
};

struct pg_proclock {
	u64 lock;
	u64 proc;
	u64 leader;
	u32 hold_mask, release_mask;
	u64 link_prev, link_next;
};

#define PG_HOLDERS 16 /* of one lock that are looked at */
#define PG_CHAIN   4  /* who waits for whom who waits… */
#define PG_MODES   8

#define MODE(n) (1 << (n))
/* LockConflicts[] of src/backend/storage/lmgr/lock.c */
static const u32 pg_conflicts[PG_MODES + 1] = {
	[1] = MODE(8),
	[2] = MODE(7) | MODE(8),
	[3] = MODE(5) | MODE(6) | MODE(7) | MODE(8),
	[4] = MODE(4) | MODE(5) | MODE(6) | MODE(7) | MODE(8),
	[5] = MODE(3) | MODE(4) | MODE(6) | MODE(7) | MODE(8),
	[6] = MODE(3) | MODE(4) | MODE(5) | MODE(6) | MODE(7) | MODE(8),
	[7] = MODE(2) | MODE(3) | MODE(4) | MODE(5) | MODE(6) | MODE(7) | MODE(8),
	[8] = MODE(1) | MODE(2) | MODE(3) | MODE(4) | MODE(5) | MODE(6) | MODE(7) | MODE(8),
};

/* What a session's wait for a lock has found out about it. */
struct pg_holder {
	u64 proc; /* the holder's PGPROC; 0: nobody has what is asked for */
	u32 number;
	u32 pid;
};

/* The first session that has the lock in a way that excludes @mode. */
static __always_inline u64 pg__lock_holder(u64 lock, u64 own, u32 mode)
{
	u32 conflicts = mode <= PG_MODES ? pg_conflicts[mode & 15] : 0;
	u64 head = lock + offsetof(struct pg_lock, prev);
	u64 link = pg__read_u64(lock + offsetof(struct pg_lock, next));
	struct pg_proclock p;

	for (int i = 0; i < PG_HOLDERS; i++) {
		if (!link || link == head)
			break;
		if (bpf_probe_read_user(&p, sizeof(p),
					(void *)(link - offsetof(struct pg_proclock, link_prev))))
			break;
		if ((p.hold_mask & conflicts) && p.proc != own)
			return p.proc;
		link = p.link_next;
	}
	return 0;
}

#define PG_PROC_HEAD 32  /* words of a PGPROC among which its pid is */
#define PG_SIBLINGS  256 /* processes of a server that are looked at */

/*
 * The machine's pid of the process that is @inner in this one's namespace: a child of the same
 * postmaster. 0: there is none, or there are too many.
 */
static __always_inline u32 pg__outer_pid(struct task_struct *task, u32 inner)
{
	struct task_struct *server = BPF_CORE_READ(task, real_parent), *child;
	u64 head = (u64)server + bpf_core_field_offset(struct task_struct, children);
	u64 link = (u64)BPF_CORE_READ(server, children.next);
	struct upid upid;

	for (int i = 0; i < PG_SIBLINGS; i++) {
		if (!link || link == head)
			break;
		child = (void *)(link - bpf_core_field_offset(struct task_struct, sibling));
		pidns__read(child, &upid);
		if (upid.nr == inner)
			return BPF_CORE_READ(child, tgid);
		link = (u64)BPF_CORE_READ(child, sibling.next);
	}
	return 0;
}

/*
 * The pid of a session that ran nothing since the probes are there. Where it lies in a PGPROC
 * differs between versions: where this process has its own, others have theirs.
 */
__noinline u32 pg__pid_of(u64 proc, u64 own)
{
	struct task_struct *task = session__current();
	u32 mine[PG_PROC_HEAD], pid, level;
	u64 at = PG_PROC_HEAD;
	struct upid self;

	level = pidns__read(task, &self);
	pid = self.nr;
	if (bpf_probe_read_user(mine, sizeof(mine), (void *)own))
		return 0;
	for (u64 i = 0; i < PG_PROC_HEAD; i++) {
		if (mine[i] == pid) {
			at = i;
			break;
		}
	}
	pid = 0;
	if (at < PG_PROC_HEAD)
		bpf_probe_read_user(&pid, sizeof(pid), (void *)(proc + at * sizeof(pid)));
	return level && pid ? pg__outer_pid(task, pid) : pid;
}

/* From @number on, who waits for nobody: of a queue, its head's holder. */
static __always_inline u32 pg__root(u32 number)
{
	struct query_txn *t;
	u32 at;

	for (int i = 0; i < PG_CHAIN; i++) {
		at = number - 1;
		t = bpf_map_lookup_elem(&query_txns, &at);
		if (!t || !t->waits_for)
			break;
		number = t->waits_for;
	}
	return number;
}

static __always_inline void pg__set_holder(struct query_session *s, struct query_wait *w, u64 proc)
{
	struct query_proc_key key = {.proc = proc, .server = s->server};
	struct query_txn *t, *own = query__txn(s);
	u32 *number = proc ? bpf_map_lookup_elem(&query_procs, &key) : NULL, at;

	if (!number) {
		w->holder.pid = proc ? pg__pid_of(proc, s->proc) : 0;
		return;
	}
	if (own)
		own->waits_for = *number;
	at = pg__root(*number) - 1;
	t = bpf_map_lookup_elem(&query_txns, &at);
	if (t)
		bpf_probe_read_kernel(&w->holder, sizeof(w->holder), t);
}

static const struct query_wait query_wait_empty;
static const struct query_block query_block_empty;

__noinline int pg__wait_begins(u64 locallock)
{
	struct task_struct *task = session__current();
	struct query_session *s = session__get(task, false);
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct clock *clk = clock__get(task);
	struct pg_locallock lock = {};
	struct query_wait *w;

	if (!s || !clk || bpf_probe_read_user(&lock, sizeof(lock), (void *)locallock))
		return 0;
	if (bpf_map_update_elem(&query_waits, &pid, &query_wait_empty, BPF_ANY)) {
		loss__count(LOSS_HOLDER);
		return 0;
	}
	w = bpf_map_lookup_elem(&query_waits, &pid);
	if (!w)
		return 0;
	w->since = bpf_ktime_get_ns();
	w->fingerprint = s->fingerprint;
	w->kind = lock.tag_type;
	w->mode = lock.mode;
	w->waits = clk->span_waits.count;
	pg__set_holder(s, w, pg__lock_holder(lock.lock, s->proc, lock.mode));
	s->flags |= QUERY_WAITS;
	return 0;
}

static __always_inline struct query_block *pg__block(const struct query_wait *w)
{
	struct query_block_key key = {
		.fingerprint = w->fingerprint,
		.holder = w->holder.pid,
		.kind = w->kind,
		.bank = CONFIG(banks) > 1 ? window.epoch & 1 : 0,
		.db = DB_POSTGRESQL,
	};
	struct query_block *sum = bpf_map_lookup_elem(&query_blocks, &key);

	if (sum)
		return sum;
	bpf_map_update_elem(&query_blocks, &key, &query_block_empty, BPF_NOEXIST);
	sum = bpf_map_lookup_elem(&query_blocks, &key);
	if (!sum)
		loss__count(LOSS_ROW_FULL);
	return sum;
}

__noinline int pg__wait_ended(void)
{
	struct task_struct *task = session__current();
	struct query_session *s = session__get(task, false);
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct query_wait *w = bpf_map_lookup_elem(&query_waits, &pid);
	struct clock *clk = clock__get(task);
	struct query_block *sum;
	struct query_txn *own;
	u64 ns;

	if (!s || !w)
		return 0;
	s->flags &= ~QUERY_WAITS;
	own = query__txn(s);
	if (own)
		own->waits_for = 0;
	/* 17 comes here with NOWAIT and SKIP LOCKED, too, which do not wait. */
	if (clk && clk->span_waits.count != w->waits && window.epoch &&
	    window.epoch <= window.last) {
		ns = clock__span(clock__later(w->since, window.run_start), bpf_ktime_get_ns());
		sum = pg__block(w);
		if (sum) {
			__sync_fetch_and_add(&sum->count, 1);
			__sync_fetch_and_add(&sum->ns, ns);
			compat__max(&sum->max, ns);
			sum->statements = w->holder.statements;
			sum->mode = w->mode;
			__builtin_memcpy(sum->statement, w->holder.statement,
					 sizeof(sum->statement));
		}
	}
	bpf_map_delete_elem(&query_waits, &pid);
	return 0;
}

static __always_inline void pg__wait_ends(const struct query_session *s)
{
	if (unlikely(s->flags & QUERY_WAITS))
		pg__wait_ended();
}

/* ProcSleep(LOCALLOCK *locallock, …): the lock is another session's. */
SEC("uprobe")
int BPF_KPROBE(pg_lock_wait, u64 locallock)
{
	struct query_session *s = query__session(false);

	probe__event();
	if (s && !(s->flags & QUERY_BACKGROUND))
		pg__wait_begins(locallock);
	return 0;
}

/* …and it has it, or gives up; an error ends the wait with its statement. */
SEC("uretprobe")
int BPF_KRETPROBE(pg_lock_got)
{
	struct query_session *s = session__get(session__current(), false);

	probe__event();
	if (s)
		pg__wait_ends(s);
	return 0;
}

/* ---- statements ---------------------------------------------------------------------------- */

/*
 * BackendState: its numbers differ between versions, but their order does not. That of "running"
 * is told by the calls with a text; the one behind it is "idle in transaction", the next one a call
 * of a function, which has no text, and then comes that of a failed transaction.
 */
static __always_inline bool pg__in_transaction(const struct query_session *s, u32 state)
{
	return s->running && (state == s->running + 1 || state == s->running + 3);
}

static __always_inline void pg__idles(struct query_session *s, u32 state, u64 now)
{
	if (pg__in_transaction(s, state))
		query__txn_idles(s, now);
	else if (s->running && state == s->running + 2)
		query__txn_runs(s, now);
	else
		query__txn_ends(s, DB_POSTGRESQL, now);
}

/*
 * Does the open statement go on, with the text that was read already? It is copied from the message
 * before Bind and Execute come, and stays in its place until another one is prepared.
 */
static __always_inline bool pg__goes_on(const struct query_session *s, u64 text)
{
	return text && s->own[PG_TEXT] == text &&
	       (s->flags & (QUERY_OPEN | QUERY_DONE)) == QUERY_OPEN;
}

/*
 * void pgstat_report_activity(BackendState state, const char *cmd_str): a text with every message
 * that makes the session run, none when it is idle. Several messages (Parse, Bind, Execute) are one
 * statement, until a result was sent: then the next one is the next statement of a pipeline.
 */
SEC("uprobe")
int BPF_KPROBE(pg_activity, u32 state, const char *text)
{
	struct task_struct *task = session__current();
	struct query_session *s = session__get(task, false);
	struct clock *clk;
	u64 now;

	probe__event();
	if (s && pg__goes_on(s, (u64)text))
		return 0;
	now = bpf_ktime_get_ns();
	if (!s)
		s = query__new(task);
	clk = s ? query__measured(s, task) : NULL;
	if (!clk)
		return 0;
	if (unlikely(!s->server))
		pg__greet(PT_REGS_IP(ctx), compat__cookie(ctx));
	if ((s->flags & QUERY_BACKGROUND) || !(s->flags & QUERY_WANTED))
		return 0;
	if ((s->flags & QUERY_OPEN) && (!text || (s->flags & QUERY_DONE))) {
		pg__wait_ends(s);
		pg__take_counters(s);
		query__end(s, clk, now);
	}
	if (!text) {
		pg__idles(s, state, now);
		return 0;
	}
	s->running = state;
	if (!(s->flags & QUERY_OPEN)) {
		query__txn_runs(s, now);
		query__begin(s, clk, DB_POSTGRESQL, now);
	}
	s->own[PG_TEXT] = (u64)text;
	query__text(s, text, QUERY_TEXT);
	return 0;
}

/* struct QueryCompletion: the number of rows lies behind the command's tag. */
#define PG_COMPLETION_ROWS 8

/* void EndCommand(const QueryCompletion *qc, …): once for each command that succeeded. */
SEC("uprobe")
int BPF_KPROBE(pg_end_command, const void *completion)
{
	struct query_session *s = session__get(session__current(), false);
	u64 rows = 0;

	probe__event();
	if (!s || !(s->flags & QUERY_OPEN))
		return 0;
	if (!bpf_probe_read_user(&rows, sizeof(rows), completion + PG_COMPLETION_ROWS))
		s->rows += rows;
	s->flags |= QUERY_DONE;
	return 0;
}

/* void AbortCurrentTransaction(void): once for each statement that failed. */
SEC("uprobe")
int BPF_KPROBE(pg_abort)
{
	return query__fails();
}

/*
 * bool BecomeLockGroupMember(PGPROC *leader, int pid): a parallel worker begins. What it runs is
 * its leader's statement, whose text it has, too.
 */
SEC("uprobe")
int BPF_KPROBE(pg_worker)
{
	struct query_session *s;

	probe__event();
	s = query__session(true);
	if (s)
		s->flags |= QUERY_WORKER;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
