// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* query: statements as spans on the thread that runs them, by fingerprint. */
#include "lib/cause.bpf.h"
#include "lib/emit.bpf.h"
#include "lib/span.bpf.h"
#include "query.h"
#include "sqlscan.h"

#define SPAN_QUERY     1
#define QUERY_RECENT   8  /* texts whose fingerprint a session remembers: a power of two */
#define QUERY_PART     64 /* characters that are looked at in one go */
#define QUERY_ANCESTRY 8  /* generations up to a process that was asked for */
#define QUERY_READS    4  /* tries to read a clock that is being turned */

enum query_flags {
	QUERY_ASKED = 1,  /* whether this session is measured was found out… */
	QUERY_WANTED = 2, /* …and it is */
	QUERY_OPEN = 4,
	QUERY_DONE = 8, /* its result went out: what comes next is another statement */
	QUERY_FAILED = 16,
};

struct query_recent {
	u64 raw; /* hash of the text as it stands */
	u64 fingerprint;
};

/* A thread that runs statements. The text is here, since a per-CPU buffer can be pre-empted. */
struct query_session {
	struct span_stack spans;
	u32 flags;
	u32 db;   /* of the open statement: tally_key.aux */
	u64 born; /* raw tracepoints only: whose it is */
	u64 fingerprint;
	u64 rows;
	struct span_result ended;
	u64 scan_hash; /* while the text is scanned */
	u64 scan_state;
	struct query_recent recent[QUERY_RECENT];
	struct query_text text;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, u64);
	__type(value, struct query_text);
} query_texts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct query_sum);
} query_sums SEC(".maps");

/* User space has the table, and fills it in before the load. */
const volatile struct sqlscan sqlscan SEC(".rodata.sqlscan");

#ifndef DWELL_RAW
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct query_session);
} query_sessions SEC(".maps");

static __always_inline struct query_session *session__get(struct task_struct *task, bool create)
{
	return bpf_task_storage_get(&query_sessions, task, NULL,
				    create ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
}

static __always_inline struct task_struct *session__current(void)
{
	return bpf_get_current_task_btf();
}

#else
/* The oldest make room: by the task's address, which a later thread may have, too. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, struct query_session);
} query_sessions SEC(".maps");

/* Too big for the stack, and all zero. */
static struct query_session session_zero;

static __always_inline struct query_session *session__get(struct task_struct *task, bool create)
{
	u64 key = (u64)task, born = BPF_CORE_READ(task, start_boottime);
	struct query_session *s = bpf_map_lookup_elem(&query_sessions, &key);

	if (s && s->born == born)
		return s;
	if (!create)
		return NULL;
	bpf_map_update_elem(&query_sessions, &key, &session_zero, BPF_ANY);
	s = bpf_map_lookup_elem(&query_sessions, &key);
	if (s)
		s->born = born;
	return s;
}

static __always_inline struct task_struct *session__current(void)
{
	return (void *)bpf_get_current_task();
}
#endif

/* ---- who is measured ----------------------------------------------------------------------- */

/* A server's process was named, or one that it descends from; asked once for each session. */
static __noinline bool query__asked_for(struct task_struct *task)
{
	struct task_struct *up = task;
	u32 id = FIELD(task, pid);

	if (config.filter & FILTER_TIDS)
		return bpf_map_lookup_elem(&targets, &id);
	if (!(config.filter & (FILTER_TGID | FILTER_TGIDS)))
		return true;
	for (int i = 0; i < QUERY_ANCESTRY; i++) {
		id = BPF_CORE_READ(up, tgid);
		if ((config.filter & FILTER_TGID) && id == config.tgid)
			return true;
		if ((config.filter & FILTER_TGIDS) && bpf_map_lookup_elem(&targets, &id))
			return true;
		if (id <= 1)
			return false;
		up = BPF_CORE_READ(up, real_parent);
	}
	return false;
}

/* The clock of the thread that runs, which gets one with its first statement. */
static __always_inline struct clock *query__clock(struct task_struct *task)
{
	struct clock *clk = clock__get(task);

	if (likely(clk && clk->row))
		return clk;
	clk = clock__create(task);
	if (!clk)
		return NULL;
	if (clk->state == STATE_NONE && !clk->seq)
		clock__start(clk, filter__holds(task) ? STATE_CPU : STATE_NONE, TALLY_NONE,
			     bpf_ktime_get_ns());
	clk->row = emit__row(task);
	return clk;
}

static __always_inline bool query__wanted(struct query_session *s, struct task_struct *task)
{
	if (unlikely(!(s->flags & QUERY_ASKED))) {
		s->flags |= QUERY_ASKED;
		if (query__asked_for(task))
			s->flags |= QUERY_WANTED;
	}
	return s->flags & QUERY_WANTED;
}

/* ---- texts --------------------------------------------------------------------------------- */

/*
 * From here on, what is long is a global function of scalars, which the verifier looks at once
 * rather than on each way to it; what it works on it finds by the thread that runs.
 */

/* Of the text as it stands, eight bytes at a time; they are zero behind its end. */
__noinline u64 query__raw_hash(void)
{
	struct query_session *s = session__get(session__current(), false);
	u64 hash = SQLSCAN_SEED, len;

	if (!s)
		return 0;
	len = s->text.len;
	for (u64 at = 0; at < QUERY_TEXT; at += 8) {
		if (at >= len)
			break;
		hash = (hash ^ *(u64 *)&s->text.text[at]) * SQLSCAN_PRIME;
		hash ^= hash >> 32;
	}
	return hash;
}

/* Some characters from @at on, with the hash and the state in the session; 1 at the text's end. */
__noinline int query__scan_part(u64 at)
{
	struct query_session *s = session__get(session__current(), false);
	u64 hash, state;

	if (!s)
		return 1;
	hash = s->scan_hash;
	state = s->scan_state;
	for (u64 i = 0; i < QUERY_PART; i++, at++) {
		u8 c = s->text.text[at & (QUERY_TEXT - 1)];

		if (!c)
			break;
		hash = sqlscan__step((const struct sqlscan *)&sqlscan, &state, hash, c);
	}
	s->scan_hash = hash;
	s->scan_state = state;
	return at >= s->text.len;
}

__noinline u64 query__scan(u64 raw)
{
	struct query_session *s = session__get(session__current(), false);
	u64 hash;

	if (!s)
		return 0;
	s->scan_hash = SQLSCAN_SEED;
	s->scan_state = SS_PLAIN;
	for (u64 at = 0; at < QUERY_TEXT; at += QUERY_PART) {
		if (query__scan_part(at))
			break;
	}
	hash = sqlscan__finish(s->scan_state, s->scan_hash);
	if (unlikely(sqlscan__open(s->scan_state) && !s->text.truncated))
		hash ^= raw;
	return hash;
}

/* Reads the statement's text, and sets its fingerprint. */
static __always_inline void query__text(struct query_session *s, const char *from)
{
	struct query_text *text = &s->text;
	struct query_recent *recent;
	long len = bpf_probe_read_user_str(text->text, QUERY_TEXT, from);
	u64 raw, end;

	if (len <= 0) {
		s->fingerprint = 0;
		s->db |= QUERY_NO_TEXT;
		return;
	}
	end = len - 1;
	text->len = end;
	text->truncated = len == QUERY_TEXT;
	barrier_var(end);
	*(u64 *)&text->text[end & (QUERY_TEXT - 1)] = 0;
	raw = query__raw_hash();
	recent = &s->recent[(raw >> 40) & (QUERY_RECENT - 1)];
	if (unlikely(recent->raw != raw)) {
		recent->raw = raw;
		recent->fingerprint = query__scan(raw);
		if (!bpf_map_lookup_elem(&query_texts, &recent->fingerprint) &&
		    bpf_map_update_elem(&query_texts, &recent->fingerprint, text, BPF_ANY))
			loss__count(LOSS_NAME_FULL);
	}
	s->fingerprint = recent->fingerprint;
	s->db &= ~QUERY_NO_TEXT;
}

/* ---- statements ---------------------------------------------------------------------------- */

__noinline int query__begin(u32 db)
{
	struct task_struct *task = session__current();
	struct query_session *s = session__get(task, false);
	struct clock *clk = clock__get(task);
	u32 seq;

	if (!s || !clk)
		return 0;
	seq = *(volatile u32 *)&clk->seq;
	if (!span__begin(&s->spans, clk, SPAN_QUERY, bpf_ktime_get_ns()))
		return 0;
	/* A switch came in between: the reading is not of one moment. It is made again, once. */
	if (unlikely(seq != *(volatile u32 *)&clk->seq)) {
		s->spans.depth--;
		if (!span__begin(&s->spans, clk, SPAN_QUERY, bpf_ktime_get_ns()))
			return 0;
	}
	s->flags |= QUERY_OPEN;
	s->flags &= ~(QUERY_DONE | QUERY_FAILED);
	s->rows = 0;
	s->db = db;
	return 0;
}

static __always_inline void query__sum(const struct query_session *s, u32 slot, u32 epoch)
{
	u32 index = slot + (config.banks > 1 ? (epoch & 1) * config.slots : 0);
	struct query_sum *sum;

	if (slot == TALLY_NONE || !epoch || epoch > window.last)
		return;
	sum = bpf_map_lookup_elem(&query_sums, &index);
	if (!sum)
		return;
	if (s->flags & QUERY_FAILED)
		__sync_fetch_and_add(&sum->errors, 1);
	if (s->rows)
		__sync_fetch_and_add(&sum->rows, s->rows);
	for (u32 i = 0; i < NR_STATES; i++) {
		if (s->ended.ns[i])
			__sync_fetch_and_add(&sum->ns[i], s->ended.ns[i]);
	}
}

/* Adds the statement that ended, which s->ended tells of. */
__noinline int query__tally(void)
{
	struct task_struct *task = session__current();
	struct query_session *s = session__get(task, false);
	struct clock *clk = clock__get(task);
	u32 epoch = window.epoch, slot;
	struct tally_key key = {};
	bool fresh = false;

	if (!s || !clk || s->ended.latency < config.min_ns)
		return 0;
	key.row = s->fingerprint;
	key.id = config.by == BY_PROCESS ? 0 : clk->row;
	key.aux = s->db;
	key.syscall = SYSCALL_NONE;
	if (!(s->flags & (QUERY_DONE | QUERY_FAILED)))
		key.aux |= QUERY_UNRUN;
	slot = tally__slot(&key, &fresh);
	query__sum(s, slot, epoch);
	tally__add(slot, epoch, s->ended.latency, s->ended.latency);
	return 0;
}

__noinline int query__end(void)
{
	struct task_struct *task = session__current();
	struct query_session *s = session__get(task, false);
	struct clock *clk = clock__get(task);
	u32 seq, depth;

	if (!s || !clk)
		return 0;
	s->flags &= ~QUERY_OPEN;
	depth = s->spans.depth;
	seq = *(volatile u32 *)&clk->seq;
	if (!span__end(&s->spans, clk, SPAN_QUERY, bpf_ktime_get_ns(), &s->ended))
		return 0;
	if (unlikely(seq != *(volatile u32 *)&clk->seq)) {
		s->spans.depth = depth;
		if (!span__end(&s->spans, clk, SPAN_QUERY, bpf_ktime_get_ns(), &s->ended))
			return 0;
	}
	return query__tally();
}

/* ---- PostgreSQL ---------------------------------------------------------------------------- */

static __always_inline void probe__event(void)
{
	struct cpu_stat *stat = cpu_stat__get();

	if (likely(stat))
		stat->events[PROG_PROBE]++;
}

/*
 * void pgstat_report_activity(BackendState state, const char *cmd_str): a text with every message
 * that makes the session run, none when it is idle. The state's number is not looked at, since it
 * differs between versions. Several messages (Parse, Bind, Execute) are one statement, until a
 * result was sent: then the next one is the next statement of a pipeline.
 */
SEC("uprobe")
int BPF_KPROBE(pg_activity, int state, const char *text)
{
	struct task_struct *task = session__current();
	struct query_session *s = session__get(task, text != NULL);
	struct clock *clk;

	probe__event();
	if (!s) {
		if (text)
			loss__count(LOSS_THREAD);
		return 0;
	}
	if (!query__wanted(s, task))
		return 0;
	clk = query__clock(task);
	if (!clk || clk->state == STATE_NONE)
		return 0;
	if ((s->flags & QUERY_OPEN) && (!text || (s->flags & QUERY_DONE)))
		query__end();
	if (!text)
		return 0;
	if (!(s->flags & QUERY_OPEN))
		query__begin(DB_POSTGRESQL);
	query__text(s, text);
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
	struct query_session *s = session__get(session__current(), false);

	probe__event();
	if (s && (s->flags & QUERY_OPEN))
		s->flags |= QUERY_FAILED;
	return 0;
}

/* ---- the clocks ---------------------------------------------------------------------------- */

#include "lib/quiet.bpf.h"
