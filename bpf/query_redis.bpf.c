// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * Redis, and Valkey before 8.1: call() executes a command, and tells the slow log of it when it is
 * done, with its arguments. Commands nest (scripts, transactions), and some are never told of; so
 * what is open lies on the stack of spans with the stack pointer at its begin, by which it is seen
 * that call() has returned since.
 *
 * Valkey from 8.1 on tells nobody who could be probed: there call()'s return is the end, and the
 * arguments are read from the client at its begin.
 */
#include "lib/layout.bpf.h"
#include "lib/query.bpf.h"

#define REDIS_WOKEN SPAN_DEPTH /* query_session.own: behind the clients of the open spans */

/*
 * robj: type, encoding and lru are 32 bits, then a reference count, then where the string is. One
 * that is embedded lies behind that, and its own header; from Valkey 9.1 on, in its place.
 */
#define ROBJ_PTR      8
#define ROBJ_EMBEDDED 8   /* its encoding */
#define ROBJ_HEADER   3   /* struct sdshdr8 */
#define ROBJ_SIZE     256 /* at most, with what is embedded */

struct redis_object {
	u64 head;
	u64 ptr;
};

/* Commands of which the second word tells what they do: in lower case, padded with blanks. */
#define X(name) name,
static const volatile char redis_containers[][REDIS_CONTAINER + 1] = {DWELL_REDIS_CONTAINERS(X)};
#undef X

struct redis_word {
	u64 part[REDIS_WORD / 8];
};

/* Where the string of argument @n is; 0 if that cannot be read. */
static __always_inline u64 redis__string(const u64 *argv, u64 n)
{
	struct redis_object object;
	u64 at = 0;

	if (bpf_probe_read_user(&at, sizeof(at), &argv[n]) ||
	    bpf_probe_read_user(&object, sizeof(object), (void *)at))
		return 0;
	if ((object.head >> 4 & 15) == ROBJ_EMBEDDED && object.ptr - at >= ROBJ_SIZE)
		return at + ROBJ_PTR + ROBJ_HEADER;
	return object.ptr;
}

/* A word of @argv, of which case is no part; blanks behind its end. */
static __always_inline bool redis__word(const u64 *argv, u64 n, struct redis_word *word)
{
	u64 text = redis__string(argv, n);

	__builtin_memset(word, 0, sizeof(*word));
	if (!text || bpf_probe_read_user_str(word, sizeof(*word), (void *)text) <= 0)
		return false;
	for (u32 i = 0; i < REDIS_WORD / 8; i++)
		word->part[i] |= 0x2020202020202020ULL;
	return true;
}

static __always_inline u64 redis__hash(u64 hash, const struct redis_word *word)
{
	for (u32 i = 0; i < REDIS_WORD / 8; i++) {
		hash = (hash ^ word->part[i]) * SQLSCAN_PRIME;
		hash ^= hash >> 32;
	}
	return hash;
}

static __always_inline bool redis__is_container(const struct redis_word *word)
{
	for (u32 i = 0; i < sizeof(redis_containers) / sizeof(*redis_containers); i++) {
		u64 a, b;

		__builtin_memcpy(&a, (const void *)&redis_containers[i][0], 8);
		__builtin_memcpy(&b, (const void *)&redis_containers[i][8], 8);
		if (a == word->part[0] && b == word->part[1])
			return true;
	}
	return false;
}

/* One command of this kind is kept, with what begins its first arguments. */
static __always_inline void redis__keep(struct query_session *s, const u64 *argv, u64 argc)
{
	struct query_text *text = &s->text;

	if (bpf_map_lookup_elem(&query_texts, &s->fingerprint))
		return;
	for (u32 i = 0; i < REDIS_CELLS; i++) {
		u64 at = i < argc ? redis__string(argv, i) : 0;
		char *cell = &text->text[i * REDIS_CELL];

		cell[0] = 0;
		if (!at)
			continue;
		/* Numbers are kept as such: where the string would be is no address. */
		if (bpf_probe_read_user_str(cell, REDIS_CELL, (void *)at) < 0)
			cell[0] = 0;
	}
	text->len = argc;
	text->truncated = argc > REDIS_CELLS;
	if (bpf_map_update_elem(&query_texts, &s->fingerprint, text, BPF_ANY))
		loss__count(LOSS_NAME_FULL);
}

static __always_inline void redis__text(struct query_session *s, const u64 *argv, u64 argc)
{
	struct redis_word word;
	u64 shape = argc < REDIS_SHAPES ? argc : REDIS_SHAPES, raw;

	s->db = DB_REDIS;
	s->fingerprint = 0;
	if (!redis__word(argv, 0, &word)) {
		s->db |= QUERY_NO_TEXT;
		return;
	}
	raw = redis__hash(SQLSCAN_SEED ^ shape, &word);
	s->fingerprint = query__recall(query__key(s, raw, false));
	if (likely(s->fingerprint))
		return;
	if (redis__is_container(&word) && argc > 1 && redis__word(argv, 1, &word))
		raw = redis__hash(raw, &word);
	else
		query__remember(query__key(s, raw, false), raw);
	s->fingerprint = raw;
	redis__keep(s, argv, argc);
}

/* The number of the span that begins, with the stack pointer at @sp; SPAN_DEPTH: there are more. */
static __always_inline u64 redis__begin(const struct query_thread *t, u64 sp)
{
	struct query_session *s = t->s;
	u64 at;

	/* Those have returned, and nobody told: what the slow log is not to see, what blocks. */
	for (u32 i = 0; i < SPAN_DEPTH; i++) {
		at = (s->spans.depth - 1) & (SPAN_DEPTH - 1);
		barrier_var(at);
		if (s->spans.depth && s->spans.open[at & (SPAN_DEPTH - 1)].kind <= sp)
			s->spans.depth--;
	}
	at = s->spans.depth;
	s->spans.over = 0;
	query__begin(s, t->clk, DB_REDIS, bpf_ktime_get_ns());
	if (at >= SPAN_DEPTH)
		return SPAN_DEPTH;
	barrier_var(at);
	at &= SPAN_DEPTH - 1;
	s->spans.open[at].kind = sp;
	return at;
}

/* The number of the innermost span; of any, if none is open. */
static __always_inline u64 redis__innermost(const struct query_session *s)
{
	u64 at = (s->spans.depth - 1) & (SPAN_DEPTH - 1);

	barrier_var(at);
	return at & (SPAN_DEPTH - 1);
}

/* The innermost span ends, whose number is @at. */
static __always_inline void redis__end(const struct query_thread *t, u64 at)
{
	struct query_session *s = t->s;
	u64 begin;

	barrier_var(at);
	at &= SPAN_DEPTH - 1;
	begin = s->spans.open[at].start;
	s->before_ns = 0;
	if (s->own[REDIS_WOKEN] && begin > s->own[REDIS_WOKEN])
		s->before_ns = begin - s->own[REDIS_WOKEN];
	s->spans.open[at].kind = SPAN_QUERY;
	s->flags |= QUERY_DONE;
	query__end(s, t->clk, bpf_ktime_get_ns());
	s->flags &= ~QUERY_FAILED; /* of the command that this one was part of */
}

/* void call(client *c, int flags) */
SEC("uprobe")
int BPF_KPROBE(redis_call, u64 client)
{
	struct query_thread t;
	u64 at;

	probe__event();
	if (!query__thread(&t, true))
		return 0;
	at = redis__begin(&t, PT_REGS_SP(ctx));
	if (at < SPAN_DEPTH)
		t.s->own[at & (SPAN_DEPTH - 1)] = client;
	return 0;
}

/* It was blocked, its call() ended long ago: the time is the server's, the states are not known. */
static __always_inline void redis__was_blocked(const struct query_thread *t, u64 us)
{
	struct query_session *s = t->s;

	__builtin_memset(&s->ended, 0, sizeof(s->ended));
	s->ended.latency = us * 1000;
	s->ended.start = bpf_ktime_get_ns() - s->ended.latency;
	s->ended.ns[STATE_OTHER] = s->ended.latency;
	s->ended.waited = true;
	s->flags &= ~QUERY_FAILED;
	s->flags |= QUERY_DONE;
	query__tally(s, t->clk);
}

/* void slowlogPushEntryIfNeeded(client *c, robj **argv, int argc, long long µs) */
SEC("uprobe")
int BPF_KPROBE(redis_done, u64 client, const u64 *argv, int argc, u64 us)
{
	struct query_session *s;
	struct query_thread t;
	u64 at;

	probe__event();
	if (!query__thread(&t, true))
		return 0;
	s = t.s;
	redis__text(s, argv, argc < 0 ? 0 : argc);
	at = redis__innermost(s);
	if (!s->spans.depth || s->own[at] != client) {
		s->before_ns = 0;
		redis__was_blocked(&t, us);
		return 0;
	}
	redis__end(&t, at);
	return 0;
}

/* ---- Valkey 8.1 and later ------------------------------------------------------------------ */

/* struct client, from the member that echoCommand() reads on */
struct valkey_arguments {
	u64 argv;
	u32 argc;
	u32 argv_len;
};

/* A return leaves the stack as it was before the call, that is above the return address. */
#ifdef __TARGET_ARCH_x86
#define REDIS_CALL 8
#else
#define REDIS_CALL 0
#endif

/* void call(client *c, int flags) */
SEC("uprobe")
int BPF_KPROBE(valkey_call, u64 client)
{
	struct valkey_arguments args = {};
	struct query_thread t;
	u64 at;

	probe__event();
	if (!query__thread(&t, true))
		return 0;
	at = redis__begin(&t, PT_REGS_SP(ctx));
	if (at >= SPAN_DEPTH)
		return 0;
	bpf_probe_read_user(&args, sizeof(args), (void *)(client + layout__get(ctx)));
	redis__text(t.s, (const u64 *)args.argv, args.argc);
	/* commands that this one executes have theirs meanwhile */
	t.s->own[at & (SPAN_DEPTH - 1)] = t.s->fingerprint;
	return 0;
}

SEC("uretprobe")
int BPF_KRETPROBE(valkey_called)
{
	u64 sp = PT_REGS_SP(ctx) - REDIS_CALL, at;
	struct query_session *s;
	struct query_thread t;

	probe__event();
	if (!query__thread(&t, false))
		return 0;
	s = t.s;
	at = redis__innermost(s);
	/* It is not this one that returns, if it was too deep to be kept. */
	if (!s->spans.depth || s->spans.open[at].kind != sp)
		return 0;
	s->fingerprint = s->own[at];
	s->db = DB_REDIS | (s->fingerprint ? 0 : QUERY_NO_TEXT);
	redis__end(&t, at);
	return 0;
}

/* ---- both ---------------------------------------------------------------------------------- */

/* void afterErrorReply(client *c, …) */
SEC("uprobe")
int BPF_KPROBE(redis_error)
{
	return query__fails();
}

/* void afterSleep(struct aeEventLoop *): requests are there */
SEC("uprobe")
int BPF_KPROBE(redis_woken)
{
	struct query_session *s = session__get(session__current(), false);

	probe__event();
	if (s)
		s->own[REDIS_WOKEN] = bpf_ktime_get_ns();
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
