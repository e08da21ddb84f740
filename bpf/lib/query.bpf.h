/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Statements as spans on the thread that runs them, by fingerprint: what all databases share. The
 * clocks run in the object `query`, which has the maps; each database's probes are an object of
 * their own (bpf/query_DB.bpf.c), which is loaded once such a server is seen, and uses those maps.
 */
#ifndef DWELL_QUERY_BPF_H
#define DWELL_QUERY_BPF_H

#include "lib/compat.bpf.h"
#include "lib/span_rec.bpf.h"
#include "query.h"

/*
 * From 6.13 on, programs with a stack of 64 bytes or more get one for each CPU, since none runs
 * twice at once on a CPU: but uprobes' do, where the kernel preempts one for a thread that comes to
 * the same probe; pointers that it had put aside were the other's then, and 7.3 panicked. Not so if
 * a program has a tail call, be it one that is never made.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} no_programs SEC(".maps");

static __always_inline struct pt_regs *query__own_stack(struct pt_regs *ctx)
{
	if (!CONFIG(self))
		bpf_tail_call(ctx, &no_programs, 0);
	return ctx;
}

/* These take the context in libbpf's BPF_KPROBE() and BPF_KRETPROBE(), in each probe once. */
#if !defined(___bpf_kprobe_args0) || !defined(___bpf_kretprobe_args0)
#error "bpf_tracing.h of this libbpf hands over the context in another way: see above"
#endif
#undef ___bpf_kprobe_args0
#undef ___bpf_kretprobe_args0
#define ___bpf_kprobe_args0()    query__own_stack(ctx)
#define ___bpf_kretprobe_args0() query__own_stack(ctx)

/* What a thread waits for in its server's own words, while a statement runs. */
struct clock_waits {
	u64 addr; /* where the server says so, in its memory; 0: nowhere, or nothing runs */
	u8 open;  /* class of the wait that is under way, + 1; 0: none is */
	u8 used;  /* there is time in ns[] */
	u8 turns; /* the clock does: see query__turns() */
	u8 pad[5];
	u64 ns[NR_WAITS];
};

#define CLOCK_EXTRA                                                                                \
	struct clock_waits waits;                                                                  \
	struct span_waits span_waits;

#include "lib/cause.bpf.h"
#include "lib/emit.bpf.h"
#include "lib/hash.bpf.h"
#include "lib/span.bpf.h"
#include "lib/burst.bpf.h"
#include "sqlscan.h"

/* Do servers tell what they count and wait for? The others' programs do without. */
#ifndef QUERY_COUNTS
#define QUERY_COUNTS false
#endif

#define SPAN_QUERY     1
#define QUERY_RECENT   64        /* statements whose tally a session remembers: a power of two */
#define QUERY_KNOWN    (1 << 13) /* texts whose fingerprint is remembered for all sessions */
#define QUERY_PART     64        /* characters that are looked at in one go */
#define QUERY_FOLDED   512       /* a longer text is not looked at without its numbers */
#define QUERY_ANCESTRY 8         /* generations up to a process that was asked for */
#define QUERY_OWN      8

enum query_flags {
	QUERY_ASKED = 1,  /* whether this session is measured was found out… */
	QUERY_WANTED = 2, /* …and it is */
	QUERY_OPEN = 4,
	QUERY_DONE = 8, /* its result went out: what comes next is another statement */
	QUERY_FAILED = 16,
	QUERY_NAMED = 32,       /* the open statement is in its transaction's list */
	QUERY_MEASURED = 64,    /* its buffers are known */
	QUERY_WORKER = 128,     /* works for another session's statement */
	QUERY_BACKGROUND = 256, /* has no client: what it runs is no statement */
	QUERY_WAITS = 1024,     /* for another session's lock: it is in query_waits */
	QUERY_BLOCK = 512,      /* in transaction, between statements, at least once */
};

/* What a server counts for each session. */
struct query_counters {
	u64 buffers_hit;
	u64 buffers_read;
	u64 wal_bytes;
};

/*
 * A text whose fingerprint is known, to be written and read at any time by any CPU: `check` is the
 * fingerprint and the text's key, by XOR. So what is of two that were written at once is of no key.
 */
struct query_known {
	u64 check;
	u64 fingerprint; /* 0: none is known */
};

/* The tally that statements of this kind went to, which keeps its slot for the run. */
struct query_memo {
	u64 fingerprint;
	u64 id;  /* tally_key.id… */
	u32 aux; /* …and .aux */
	u32 slot;
};

/* A thread that runs statements. The text is here, since a per-CPU buffer can be pre-empted. */
struct query_session {
	struct span_stack spans;
	u32 flags;
	u32 db;   /* of the open statement: tally_key.aux */
	u64 born; /* raw tracepoints only: whose it is */
	u64 fingerprint;
	u64 rows;
	u64 end;         /* of the last statement */
	u64 idle_ns;     /* in the transaction that is open */
	u64 waits_at;    /* what clock_waits.addr is while a statement runs */
	u64 counters_at; /* the engine's: where it reads the counters… */
	u64 counters2_at;
	struct query_counters counters; /* …as they were at the end of the last statement, and… */
	struct query_counters taken;    /* …what the statement that ended has added to them */
	u64 proc;                       /* the server's own name for the session, and… */
	u32 server;                     /* …the server's process: keys of query_procs */
	u32 running;                    /* the engine's number for a state in which it works */
	u32 folds;                      /* its last text was told by all but its numbers */
	u32 number;                     /* of query_txns, + 1; 0: it has none */
	struct burst burst;
	struct span_result ended;
	u64 before_ns;      /* see query_sum */
	u64 own[QUERY_OWN]; /* what the database's programs keep from one probe to the next */
	u64 scan_hash;      /* while the text is scanned */
	u64 scan_state;
	struct query_memo memo[QUERY_RECENT];
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
	__uint(max_entries, QUERY_KNOWN);
	__type(key, u32);
	__type(value, struct query_known);
} query_known SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct query_sum);
} query_sums SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct query_live);
} query_live SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, QUERY_SESSIONS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct query_txn);
} query_txns SEC(".maps");

/* The number of a session, + 1, by the server's own name for it. */
struct query_proc_key {
	u64 proc; /* address in the server's shared memory */
	u32 server;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, QUERY_SESSIONS);
	__type(key, struct query_proc_key);
	__type(value, u32);
} query_procs SEC(".maps");

/* Waits for other sessions' locks: those under way, and the sums of those that ended. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, QUERY_SESSIONS);
	__type(key, u32);
	__type(value, struct query_wait);
} query_waits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct query_block_key);
	__type(value, struct query_block);
} query_blocks SEC(".maps");

/* Numbers in query_txns that are free; user space fills it. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, QUERY_SESSIONS);
	__type(value, u32);
} query_numbers SEC(".maps");

/* The database's own dialect: user space has the table, and fills it in before the load. */
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

	if (CONFIG_HAS(filter, FILTER_TIDS))
		return bpf_map_lookup_elem(&targets, &id);
	if (!CONFIG_HAS(filter, FILTER_TGID | FILTER_TGIDS))
		return true;
	for (int i = 0; i < QUERY_ANCESTRY; i++) {
		id = BPF_CORE_READ(up, tgid);
		if (CONFIG_HAS(filter, FILTER_TGID) && id == CONFIG(tgid))
			return true;
		if (CONFIG_HAS(filter, FILTER_TGIDS) && bpf_map_lookup_elem(&targets, &id))
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

	if (likely(clk && clk->row && !clock__is_stale(clk, task)))
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

/* With --db or --user, sessions are left out unless their engine can tell. */
static __always_inline bool query__names_known(void)
{
#ifdef QUERY_KNOWS_NAMES
	return true;
#else
	return !CONFIG(db_name) && !CONFIG(db_user);
#endif
}

static __always_inline bool query__wanted(struct query_session *s, struct task_struct *task)
{
	if (unlikely(!(s->flags & QUERY_ASKED))) {
		s->flags |= QUERY_ASKED;
		if (query__names_known() && query__asked_for(task))
			s->flags |= QUERY_WANTED;
	}
	return s->flags & QUERY_WANTED;
}

/* ---- transactions -------------------------------------------------------------------------- */

/* What others can see of the session; NULL if there are too many sessions. */
static __always_inline struct query_txn *query__txn(const struct query_session *s)
{
	u32 index = s->number - 1;

	return s->number ? bpf_map_lookup_elem(&query_txns, &index) : NULL;
}

/* For query__text(): the statement is one of its transaction. */
static __always_inline void query__name(struct query_session *s)
{
	struct query_txn *t = query__txn(s);
	u64 at;

	if (!t)
		return;
	at = t->statements - (s->flags & QUERY_NAMED ? 1 : 0);
	barrier_var(at);
	t->statement[at & (QUERY_TXN_STATEMENTS - 1)] = s->fingerprint;
	t->statements = at + 1;
	s->flags |= QUERY_NAMED;
}

/* Adds @ns to a tally that is of no statement: @what is of QUERY_NO_STATEMENT. */
__noinline int query__time(u32 what, u32 db, u64 ns)
{
	struct tally_key key = {.aux = what | db, .syscall = SYSCALL_NONE};
	bool fresh = false;
	u32 slot = tally__slot(&key, &fresh);

	tally__add(slot, window.epoch, ns, ns);
	return 0;
}

/* The session takes a statement up: the first in its transaction, or the next one. */
static __always_inline void query__txn_runs(struct query_session *s, u64 now)
{
	struct query_txn *t = query__txn(s);

	if (!t)
		return;
	if (t->idle) {
		s->idle_ns += clock__span(t->idle, now);
		t->idle = 0;
	}
	if (t->since)
		return;
	t->since = now;
	t->statements = 0;
	s->idle_ns = 0;
	s->flags &= ~QUERY_BLOCK;
}

/* It waits for its client, with the transaction open. */
static __always_inline void query__txn_idles(struct query_session *s, u64 now)
{
	struct query_txn *t = query__txn(s);

	if (!t || !t->since)
		return;
	t->idle = now;
	s->flags |= QUERY_BLOCK;
}

/* The transaction is over. Of those that were one message of the client's nothing is told. */
static __always_inline void query__txn_ends(struct query_session *s, u32 db, u64 now)
{
	struct query_txn *t = query__txn(s);

	if (!t || !t->since)
		return;
	if (s->flags & QUERY_BLOCK) {
		query__time(QUERY_TXN, db, clock__span(t->since, now));
		query__time(QUERY_IDLE, db, s->idle_ns);
	}
	t->since = t->idle = 0;
}

/* The session gets its number. */
static __always_inline void query__enlist(struct query_session *s, struct task_struct *task, u32 db)
{
	struct query_txn *t;
	u32 number;

	if (bpf_map_pop_elem(&query_numbers, &number)) {
		loss__count(LOSS_ROW_FULL);
		return;
	}
	s->number = number + 1;
	t = query__txn(s);
	if (!t)
		return;
	t->since = t->idle = 0;
	t->statements = t->waits_for = 0;
	t->pid = FIELD(task, tgid);
	t->db = db;
}

static __always_inline struct query_live *query__live(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&query_live, &zero);
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
		hash = sqlscan__add(hash, *hash__word(s->text.text, at));
	}
	return hash;
}

/* The same of the text without its numbers' digits; 0 if it is too long. */
__noinline u64 query__folded_hash(void)
{
	struct query_session *s = session__get(session__current(), false);
	u64 hash = SQLSCAN_SEED, word = 0, len;

	if (!s || s->text.len > QUERY_FOLDED)
		return 0;
	len = s->text.len;
	for (u64 at = 0; at < QUERY_FOLDED; at += 8) {
		if (at >= len)
			break;
		hash = sqlscan__add(hash, sqlscan__fold(*hash__word(s->text.text, at), &word));
	}
	return hash;
}

/* Are there names in quotes, whose digits are no numbers? */
__noinline u64 query__has_names(void)
{
	struct query_session *s = session__get(session__current(), false);
	u64 len;

	if (!s)
		return 1;
	len = s->text.len;
	for (u64 at = 0; at < QUERY_FOLDED; at += 8) {
		if (at >= len)
			break;
		if (sqlscan__has_name(*hash__word(s->text.text, at)))
			return 1;
	}
	return 0;
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

/* Where the memo of the session's statement is, if it is there. */
static __always_inline struct query_memo *query__memo(struct query_session *s)
{
	u64 at = s->fingerprint >> 40;

	barrier_var(at);
	return &s->memo[at & (QUERY_RECENT - 1)];
}

/*
 * What texts are remembered by: their hash, in the dialect that they are of. A text as it stands
 * may be one without its numbers, too, but only of the latter it is known that no name is in it.
 */
static __always_inline u64 query__key(const struct query_session *s, u64 hash, bool folded)
{
	return hash ^ ((s->db & QUERY_DB) << 1 | folded) * SQLSCAN_PRIME;
}

/* Where text @key is remembered; @other: or there, where what was before it went. */
static __always_inline struct query_known *query__place(u64 key, bool other)
{
	u32 at = ((u32)(key >> 40) ^ other) & (QUERY_KNOWN - 1);

	return bpf_map_lookup_elem(&query_known, &at);
}

static __always_inline u64 query__known_at(u64 key, bool other)
{
	struct query_known *known = query__place(key, other);
	u64 fingerprint;

	if (!known)
		return 0;
	fingerprint = *(volatile u64 *)&known->fingerprint;
	return (*(volatile u64 *)&known->check ^ fingerprint) == key ? fingerprint : 0;
}

/* The fingerprint of text @key, or 0. */
static __always_inline u64 query__recall(u64 key)
{
	u64 fingerprint = query__known_at(key, false);

	return likely(fingerprint) ? fingerprint : query__known_at(key, true);
}

static __always_inline void query__remember(u64 key, u64 fingerprint)
{
	struct query_known *known = query__place(key, false), *before = query__place(key, true);

	if (!known || !before)
		return;
	before->check = known->check;
	before->fingerprint = known->fingerprint;
	known->check = key ^ fingerprint;
	known->fingerprint = fingerprint;
}

/*
 * The fingerprint of the session's text, with the hash @raw, which is not known. Where numbers
 * stand in the text, it differs each time, but in these alone.
 */
static __always_inline u64 query__fingerprint(struct query_session *s, u64 raw)
{
	u64 folded = query__folded_hash(), known;

	known = folded ? query__recall(query__key(s, folded, true)) : 0;
	if (likely(known)) {
		s->folds = true;
		return known;
	}
	s->fingerprint = query__scan(raw);
	if (folded && !sqlscan__open(s->scan_state) && !query__has_names())
		query__remember(query__key(s, folded, true), s->fingerprint);
	query__remember(query__key(s, raw, false), s->fingerprint);
	if (!bpf_map_lookup_elem(&query_texts, &s->fingerprint) &&
	    bpf_map_update_elem(&query_texts, &s->fingerprint, &s->text, BPF_ANY))
		loss__count(LOSS_NAME_FULL);
	return s->fingerprint;
}

/* The fingerprint of the session's text; of its two hashes the one first that told it last. */
static __always_inline u64 query__look_up(struct query_session *s)
{
	u64 hash, known;

	if (s->folds) {
		hash = query__folded_hash();
		known = hash ? query__recall(query__key(s, hash, true)) : 0;
		if (likely(known))
			return known;
	}
	hash = query__raw_hash();
	known = query__recall(query__key(s, hash, false));
	if (unlikely(!known))
		return query__fingerprint(s, hash);
	s->folds = false;
	return known;
}

/* Reads the statement's text, of at most @max bytes and its end, and sets its fingerprint. */
static __always_inline void query__text(struct query_session *s, const char *from, u64 max)
{
	struct query_text *text = &s->text;
	u64 end;
	long len;

	if (max >= QUERY_TEXT)
		max = QUERY_TEXT - 1;
	barrier_var(max);
	len = bpf_probe_read_user_str(text->text, (max & (QUERY_TEXT - 1)) + 1, from);

	if (len <= 0) {
		s->fingerprint = 0;
		s->db |= QUERY_NO_TEXT;
		return;
	}
	end = len - 1;
	text->len = end;
	text->truncated = len == QUERY_TEXT;
	barrier_var(end);
	*hash__word(text->text, end & (QUERY_TEXT - 1)) = 0;
	s->fingerprint = query__look_up(s);
	s->db &= ~QUERY_NO_TEXT;
	query__name(s);
}

/* ---- statements ---------------------------------------------------------------------------- */

/*
 * Is its statement one of those that are counted as active? A library has no sessions, and Redis
 * has one thread for all of them.
 */
static __always_inline bool query__has_sessions(const struct query_session *s)
{
	u32 db = s->db & QUERY_DB;

	return !(s->flags & QUERY_WORKER) && db != DB_SQLITE && db != DB_REDIS;
}

static __always_inline void query__waits_begin(const struct query_session *s, struct clock *clk)
{
	if (clk->waits.used) {
		for (u32 i = 0; i < NR_WAITS; i++)
			clk->waits.ns[i] = 0;
		clk->waits.used = 0;
	}
	clk->waits.addr = s->waits_at;
}

/*
 * Between its statements nobody asks for a session's clock: it stands then, and the scheduler's
 * hooks leave it alone. But where a thread may cease to be measured, or to have its row, they look.
 */
static __always_inline bool query__stands(const struct clock *clk)
{
	return !clk->waits.turns && !CONFIG_HAS(filter, FILTER_CHANGING) && CONFIG(by) != BY_COMM &&
	       CONFIG(by) != BY_CGROUP;
}

/* The current thread's clock, which is in STATE_CPU, goes on at @now. */
static __always_inline void query__turns(struct clock *clk, u64 now)
{
	if (query__stands(clk))
		clock__resume(clk, now);
	barrier();
	clk->waits.turns = 1;
}

static __always_inline bool query__span_begin(struct query_session *s, struct clock *clk, u64 now)
{
	return span__begin(&s->spans, clk, &clk->span_waits, SPAN_QUERY, now);
}

/* Statement of @db begins at @now, on the current thread, whose session and clock these are. */
static __always_inline void query__begin(struct query_session *s, struct clock *clk, u32 db,
					 u64 now)
{
	struct query_live *live;
	u32 seq;

	query__turns(clk, now);
	seq = *(volatile u32 *)&clk->seq;
	if (!query__span_begin(s, clk, now))
		return;
	/* A switch came in between: the reading is not of one moment. It is made again, once. */
	if (unlikely(seq != *(volatile u32 *)&clk->seq)) {
		s->spans.depth--;
		if (!query__span_begin(s, clk, bpf_ktime_get_ns()))
			return;
	}
	s->flags |= QUERY_OPEN;
	s->flags &= ~(QUERY_DONE | QUERY_FAILED | QUERY_NAMED);
	s->rows = 0;
	s->db = db;
	if (QUERY_COUNTS)
		query__waits_begin(s, clk);
	live = query__live();
	if (live && query__has_sessions(s)) {
		__sync_fetch_and_add(&live->active, 1);
		/* Who reads it just after another one may see both: the peak is right then too. */
		if (live->active > live->peak)
			live->peak = live->active;
	}
}

/* What the server itself counted and waited for. */
static __always_inline void query__sum_server(struct query_sum *sum, const struct query_session *s,
					      const struct clock *clk)
{
	__sync_fetch_and_add(&sum->measured, 1);
	if (s->taken.buffers_hit)
		__sync_fetch_and_add(&sum->buffers_hit, s->taken.buffers_hit);
	if (s->taken.buffers_read)
		__sync_fetch_and_add(&sum->buffers_read, s->taken.buffers_read);
	if (s->taken.wal_bytes)
		__sync_fetch_and_add(&sum->wal_bytes, s->taken.wal_bytes);
	if (s->waits_at && unlikely(!sum->tells))
		sum->tells = 1;
	if (!clk->waits.used)
		return;
	for (u32 i = 0; i < NR_WAITS; i++) {
		if (clk->waits.ns[i])
			__sync_fetch_and_add(&sum->waits[i], clk->waits.ns[i]);
	}
}

static __always_inline void query__sum(const struct query_session *s, const struct clock *clk,
				       u32 slot, u32 epoch)
{
	u32 index = slot + (CONFIG(banks) > 1 ? (epoch & 1) * CONFIG(slots) : 0);
	struct query_sum *sum;

	if (slot == TALLY_NONE || !epoch || epoch > window.last)
		return;
	sum = bpf_map_lookup_elem(&query_sums, &index);
	if (!sum)
		return;
	if (s->flags & QUERY_WORKER) {
		__sync_fetch_and_add(&sum->workers, 1);
		__sync_fetch_and_add(&sum->worker_ns, s->ended.latency);
		return;
	}
	if (QUERY_COUNTS && (s->flags & QUERY_MEASURED))
		query__sum_server(sum, s, clk);
	if (s->flags & QUERY_FAILED)
		__sync_fetch_and_add(&sum->errors, 1);
	if (s->rows)
		__sync_fetch_and_add(&sum->rows, s->rows);
	if (s->rows >= QUERY_BURST_MIN)
		__sync_fetch_and_add(&sum->many, 1);
	if (s->before_ns)
		__sync_fetch_and_add(&sum->before_ns, s->before_ns);
	if (likely(!s->ended.waited)) {
		__sync_fetch_and_add(&sum->ns[STATE_CPU], s->ended.latency);
		return;
	}
	for (u32 i = 0; i < NR_STATES; i++) {
		if (s->ended.ns[i])
			__sync_fetch_and_add(&sum->ns[i], s->ended.ns[i]);
	}
}

/* To the ring, where user space keeps the slowest. */
__noinline int query__exemplar(u32 aux)
{
	struct task_struct *task = session__current();
	struct query_session *s = session__get(task, false);
	struct clock *clk = clock__get(task);
	struct query_exemplar *e;

	if (!s || !clk || !window.epoch || window.epoch > window.last)
		return 0;
	e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	if (!e) {
		loss__count(LOSS_SLOW);
		return 0;
	}
	e->fingerprint = s->fingerprint;
	e->start = s->ended.start;
	e->latency = s->ended.latency;
	e->rows = s->rows;
	e->pid = FIELD(task, tgid);
	e->epoch = window.epoch;
	e->db = aux;
	e->failed = (s->flags & QUERY_FAILED) != 0;
	__builtin_memcpy(e->ns, s->ended.ns, sizeof(e->ns));
	__builtin_memcpy(e->waits, clk->waits.ns, sizeof(e->waits));
	/* Now, since the next ones are measured by it. */
	bpf_ringbuf_submit(e, BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* A statement ended, after others of its session. */
__noinline int query__burst(u64 start)
{
	struct query_session *s = session__get(session__current(), false);
	struct burst_slot *slot;

	if (!s)
		return 0;
	burst__add(&s->burst, s->fingerprint, clock__span(s->end, start), s->ended.latency,
		   s->rows);
	slot = burst__slot(&s->burst, s->burst.last);
	if (unlikely(slot->n >= QUERY_BURST_MIN) && window.epoch && window.epoch <= window.last)
		burst__count(&s->burst, window.epoch, s->db & QUERY_DB);
	return 0;
}

/* A kind of statement that the session did not run lately: its tally is found by its key. */
__noinline u32 query__find_slot(u64 id, u32 aux)
{
	struct query_session *s = session__get(session__current(), false);
	struct tally_key key = {.id = id, .aux = aux, .syscall = SYSCALL_NONE};
	bool fresh = false;
	struct query_memo *memo;
	u32 slot;

	if (!s)
		return TALLY_NONE;
	key.row = s->fingerprint;
	slot = tally__slot(&key, &fresh);
	if (slot == TALLY_NONE)
		return slot;
	memo = query__memo(s);
	memo->fingerprint = s->fingerprint;
	memo->id = id;
	memo->aux = aux;
	memo->slot = slot;
	return slot;
}

static __always_inline u32 query__slot(struct query_session *s, u64 id, u32 aux)
{
	const struct query_memo *memo = query__memo(s);

	if (likely(memo->fingerprint == s->fingerprint && memo->id == id && memo->aux == aux))
		return memo->slot;
	return query__find_slot(id, aux);
}

/* Adds the statement that ended, which s->ended tells of. */
static __always_inline void query__tally(struct query_session *s, struct clock *clk)
{
	struct query_live *live = query__live();
	u32 epoch = window.epoch, aux = s->db, slot;

	if (s->ended.latency < CONFIG(min_ns))
		return;
	if (!(s->flags & (QUERY_DONE | QUERY_FAILED | QUERY_WORKER)))
		aux |= QUERY_UNRUN;
	slot = query__slot(s, CONFIG(by) == BY_PROCESS ? 0 : clk->row, aux);
	query__sum(s, clk, slot, epoch);
	if (s->flags & QUERY_WORKER)
		return;
	tally__add(slot, epoch, s->ended.latency, s->ended.latency);
	if (live && unlikely(s->ended.latency > live->floor))
		query__exemplar(aux);
}

static __always_inline bool query__span_end(struct query_session *s, struct clock *clk, u64 now)
{
	return span__end(&s->spans, clk, &clk->span_waits, SPAN_QUERY, now, &s->ended);
}

/* The clock may stand if nothing is open. SQLite's are not all on the stack of spans. */
static __always_inline void query__rests(const struct query_session *s, struct clock *clk)
{
	/* It runs, and is in a wait: the hooks are to see that one of theirs did not come. */
	if (unlikely(clk->state != STATE_CPU))
		return;
	if (!s->spans.depth && (s->db & QUERY_DB) != DB_SQLITE)
		clk->waits.turns = 0;
}

/* The open statement of the current thread, whose session and clock these are, ends at @now. */
static __always_inline void query__end(struct query_session *s, struct clock *clk, u64 now)
{
	struct query_live *live = query__live();
	u32 seq, depth;

	if (live && (s->flags & QUERY_OPEN) && query__has_sessions(s))
		__sync_fetch_and_add(&live->active, -1);
	s->flags &= ~QUERY_OPEN;
	if (QUERY_COUNTS)
		clk->waits.addr = 0;
	depth = s->spans.depth;
	seq = *(volatile u32 *)&clk->seq;
	if (!query__span_end(s, clk, now))
		return;
	if (unlikely(seq != *(volatile u32 *)&clk->seq)) {
		s->spans.depth = depth;
		if (!query__span_end(s, clk, bpf_ktime_get_ns()))
			return;
	}
	query__rests(s, clk);
	query__tally(s, clk);
	if (!(s->flags & QUERY_WORKER) && (s->db & QUERY_DB) != DB_REDIS)
		query__burst(s->ended.start);
	s->end = s->ended.start + s->ended.latency;
}

/* ---- for the databases' probes ------------------------------------------------------------- */

static __always_inline void probe__event(void)
{
	struct cpu_stat *stat = cpu_stat__get();

	if (likely(stat))
		stat->events[PROG_PROBE]++;
}

/* The clock of current thread @task, if the statements of its session @s are to be measured. */
static __always_inline struct clock *query__measured(struct query_session *s,
						     struct task_struct *task)
{
	struct clock *clk;

	if (!query__wanted(s, task))
		return NULL;
	clk = query__clock(task);
	return clk && clk->state != STATE_NONE ? clk : NULL;
}

/* The session that current thread @task gets with its first statement; NULL, and counted: none. */
static __always_inline struct query_session *query__new(struct task_struct *task)
{
	struct query_session *s = session__get(task, true);

	/* Or clang 14 tests again why it is NULL, rather than that it is. */
	barrier_var(s);
	if (!s)
		loss__count(LOSS_THREAD);
	return s;
}

/* At a probe: the current thread, its session if it is to be measured, and its clock. */
struct query_thread {
	struct query_session *s;
	struct clock *clk;
};

/* False if the thread is not measured; @create: it gets a session, if it has none. */
static __always_inline bool query__thread(struct query_thread *t, bool create)
{
	struct task_struct *task = session__current();

	t->s = create ? query__new(task) : session__get(task, false);
	if (!t->s)
		return false;
	t->clk = query__measured(t->s, task);
	return t->clk;
}

/* The same, where the clock is not needed. */
static __always_inline struct query_session *query__session(bool create)
{
	struct query_thread t;

	return query__thread(&t, create) ? t.s : NULL;
}

/* At a probe of errors: the innermost statement that is open fails. */
static __always_inline int query__fails(void)
{
	struct query_session *s = session__get(session__current(), false);

	probe__event();
	if (s && s->spans.depth)
		s->flags |= QUERY_FAILED;
	return 0;
}

#endif
