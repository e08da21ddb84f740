// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * SQLite 3, in whichever process. A statement is open from its first sqlite3_step() until one that
 * does not return a row, or until it is reset or finalised. Several can be open on one thread, in
 * any order: so they are kept by the statement's address, not on the thread's stack of spans.
 */
#include "lib/layout.bpf.h"
#include "lib/query.bpf.h"

#define LITE_ROW  100 /* sqlite3.h: SQLITE_ROW */
#define LITE_DONE 101

/* query_session.own: the step that the thread is in */
#define LITE_STATEMENT 0
#define LITE_SP        1 /* the stack pointer at its begin; 0: none is under way */

/* A return leaves the stack as it was before the call, that is above the return address. */
#ifdef __TARGET_ARCH_x86
#define LITE_CALL 8
#else
#define LITE_CALL 0
#endif

struct lite_key {
	u64 statement;
	u64 born; /* of the process: addresses are its own */
};

struct lite_open {
	struct span span;
	u64 fingerprint;
	u64 rows;
	u64 text; /* its address */
	u64 tid;
	u32 db; /* tally_key.aux */
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct lite_key);
	__type(value, struct lite_open);
} lite_opens SEC(".maps");

static __always_inline struct lite_key lite__key(u64 statement)
{
	struct task_struct *task = session__current();

	return (struct lite_key){statement, BPF_CORE_READ(task, group_leader, start_boottime)};
}

/* Where the statement's text is: struct Vdbe differs from version to version. */
static __always_inline u64 lite__text(void *ctx, u64 statement)
{
	u64 text = 0;

	if (bpf_probe_read_user(&text, sizeof(text), (void *)(statement + layout__get(ctx))))
		return 0;
	return text;
}

/* The statement begins: as a span of the thread, which is then put aside. */
static __always_inline void lite__begin(const struct query_thread *t, const struct lite_key *key,
					u64 text)
{
	struct query_session *s = t->s;
	struct lite_open open = {.text = text, .tid = (u32)bpf_get_current_pid_tgid()};

	s->spans.depth = 0;
	query__begin(s, t->clk, DB_SQLITE, bpf_ktime_get_ns());
	s->spans.depth = 0;
	s->flags &= ~QUERY_OPEN;
	query__text(s, (const char *)text, QUERY_TEXT);
	open.span = s->spans.open[0];
	open.fingerprint = s->fingerprint;
	open.db = s->db;
	if (bpf_map_update_elem(&lite_opens, key, &open, BPF_ANY))
		loss__count(LOSS_MAP_FULL);
}

/* It went to another thread meanwhile, whose clock says nothing of it. */
static __always_inline void lite__moved(const struct query_thread *t, const struct lite_open *open)
{
	struct query_session *s = t->s;
	u64 latency = clock__span(open->span.start, bpf_ktime_get_ns());

	__builtin_memset(&s->ended, 0, sizeof(s->ended));
	s->ended.start = open->span.start;
	s->ended.latency = latency;
	s->ended.ns[STATE_OTHER] = latency;
	s->ended.waited = true;
	query__tally(s, t->clk);
}

/* The open statement ended; with an error, if @failed. */
static __always_inline void lite__end(const struct query_thread *t, const struct lite_key *key,
				      struct lite_open *open, bool failed)
{
	struct query_session *s = t->s;

	s->fingerprint = open->fingerprint;
	s->rows = open->rows;
	s->db = open->db;
	s->flags &= ~(QUERY_DONE | QUERY_FAILED);
	s->flags |= failed ? QUERY_FAILED : QUERY_DONE;
	if (likely(open->tid == (u32)bpf_get_current_pid_tgid())) {
		s->spans.open[0] = open->span;
		s->spans.depth = 1;
		query__end(s, t->clk, bpf_ktime_get_ns());
		s->spans.depth = 0;
	} else {
		lite__moved(t, open);
	}
	bpf_map_delete_elem(&lite_opens, key);
}

/* False also if a statement of another database is open: what that calls belongs to it. */
static __always_inline bool lite__thread(struct query_thread *t, bool create)
{
	return query__thread(t, create) && !(t->s->flags & QUERY_OPEN);
}

/* int sqlite3_step(sqlite3_stmt *) */
SEC("uprobe")
int BPF_KPROBE(lite_step, u64 statement)
{
	u64 sp = PT_REGS_SP(ctx), text;
	struct query_thread t;
	struct lite_open *open;
	struct lite_key key;

	probe__event();
	/* So does what a statement of SQLite calls itself. */
	if (!lite__thread(&t, true) || sp < t.s->own[LITE_SP])
		return 0;
	t.s->own[LITE_STATEMENT] = statement;
	t.s->own[LITE_SP] = sp;
	key = lite__key(statement);
	text = lite__text(ctx, statement);
	open = bpf_map_lookup_elem(&lite_opens, &key);
	if (open && likely(open->text == text))
		return 0;
	/* Of another text at this address, the end was not seen. */
	if (open)
		loss__count(LOSS_SPAN_ORPHAN);
	lite__begin(&t, &key, text);
	return 0;
}

SEC("uretprobe")
int BPF_KRETPROBE(lite_stepped, int result)
{
	struct query_thread t;
	struct lite_open *open;
	struct lite_key key;

	probe__event();
	if (!lite__thread(&t, false) || !t.s->own[LITE_SP] ||
	    PT_REGS_SP(ctx) < t.s->own[LITE_SP] + LITE_CALL)
		return 0;
	t.s->own[LITE_SP] = 0;
	key = lite__key(t.s->own[LITE_STATEMENT]);
	open = bpf_map_lookup_elem(&lite_opens, &key);
	if (!open)
		return 0;
	if (result == LITE_ROW)
		open->rows++;
	else
		lite__end(&t, &key, open, result != LITE_DONE);
	return 0;
}

/* int sqlite3_reset(sqlite3_stmt *), int sqlite3_finalize(sqlite3_stmt *) */
SEC("uprobe")
int BPF_KPROBE(lite_reset, u64 statement)
{
	struct query_thread t;
	struct lite_open *open;
	struct lite_key key;

	probe__event();
	key = lite__key(statement);
	open = bpf_map_lookup_elem(&lite_opens, &key);
	if (likely(!open))
		return 0;
	if (lite__thread(&t, true))
		lite__end(&t, &key, open, false);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
