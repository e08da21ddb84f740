/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Walking the user stack of the current thread, from the registers with which it entered the
 * kernel, by the tables that user space made (include/unwind_table.h).
 *
 * A step is a global function of scalars, which the verifier looks at once: so a stack of 127
 * frames is a plain loop on every kernel. What a walk remembers is in a per-CPU record.
 */
#ifndef DWELL_UNWIND_BPF_H
#define DWELL_UNWIND_BPF_H

#include "lib/filter.bpf.h"
#include "lib/loss.bpf.h"
#include "stack.h"
#include "unwind_table.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, UNWIND_SPACES);
	__type(key, u32); /* tgid */
	__type(value, struct unwind_space);
} unwind_spaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNWIND_RANGES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct unwind_range);
} unwind_ranges SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNWIND_RULES);
	__type(key, u32);
	__type(value, struct unwind_rule);
} unwind_rules SEC(".maps");

struct unwind_chunk {
	u32 word[UNWIND_CHUNK_WORDS];
};

/* Chunks are made when they are needed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, UNWIND_CHUNKS);
	__uint(key_size, sizeof(u32));
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(max_entries, 1);
			__uint(map_flags, BPF_F_MMAPABLE);
			__uint(key_size, sizeof(u32));
			/* clang 14 does not say what a type is that only an inner map names */
			__uint(value_size, sizeof(struct unwind_chunk));
		});
} unwind_chunks SEC(".maps");

/* arch/x86/include/asm/ptrace.h: the order is the ABI's */
struct unwind_saved {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs,
		flags, sp, ss;
};

#define UNWIND_USER_CS 0x33 /* __USER_CS: 64-bit code */

#define UNWIND_BACK 64 /* rows of a function that are looked at for its begin, … */
#define UNWIND_FEW  8  /* …at a time */

/* Words that a frame's saved registers are usually in: those right below its CFA. */
#define UNWIND_WINDOW 8

/*
 * All that a walk went by: another one that finds the same in the same tables takes the same way,
 * and need not be made (memo.bpf.h). Of the registers, the instruction pointer always counts, and
 * rbp where a frame was found by it; a walk that needed any other one is not remembered. Of the
 * stack's words, return addresses, and each rbp that was saved there and that a frame was found by.
 * Where the stack is does not count: rbp and addresses are seen from its pointer.
 */
#define MEMO_WORDS 48
#define MEMO_UNFIT (MEMO_WORDS + 1) /* memo.n: a walk that cannot be remembered */
#define MEMO_RBP   1                /* in memo.at[]: the word is rbp, not a return address */

#define MEMO_REGISTER 1 /* walk.rbp_at: rbp is what it was at the begin */

struct memo {
	u64 ip, sp, bp;
	u32 id;     /* of the stack */
	u32 serial; /* of the tables: struct unwind_space */
	u32 n;      /* words */
	u32 by_rbp;
	u32 at[MEMO_WORDS]; /* where the words are: bytes above sp, with MEMO_RBP */
	u64 word[MEMO_WORDS];
};

struct walk {
	u64 reg[32];  /* by DWARF's numbers; a power of two: an index is masked */
	u32 busy;     /* of this CPU: a walk may be interrupted by another one */
	u32 exact;    /* the frame was interrupted: its address is not behind a call */
	u32 blind;    /* code was met that no table is known for yet */
	u32 first, n; /* the process's ranges */
	u32 whole;    /* the function's first address is asked for, in `start` */
	u64 start;
	u64 interrupted;           /* it was not in a system call */
	u64 rbp_at;                /* where rbp was saved, MEMO_REGISTER; 0: that is noted */
	struct unwind_range range; /* the one that was used last */
	union {
		u64 window[UNWIND_WINDOW];
		u64 context[17];
		struct unwind_saved saved;
	};
	struct memo memo;
	struct stack stack;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct walk);
} walks SEC(".maps");

static __always_inline struct walk *walk__get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&walks, &zero);
}

/* Finds the range of @pc, into walk.range. */
__noinline int unwind__find_range(u64 pc)
{
	struct walk *w = walk__get();
	struct unwind_range *range;
	u32 low, high, mid;
	u64 beyond;

	if (!w)
		return 0;
	low = w->first + 1;
	high = low + w->n;
	for (u32 i = 0; i < 17 && low < high; i++) {
		mid = (low + high) / 2;
		range = bpf_map_lookup_elem(&unwind_ranges, &mid);
		if (!range)
			return 0;
		/* All ones if it is beyond. No branch, of which the verifier goes both ways. */
		beyond = (s64)(pc - range->start) >> 63;
		barrier_var(beyond);
		low ^= (low ^ (mid + 1)) & ~beyond;
		high ^= (high ^ mid) & beyond;
	}
	mid = low - 1;
	if (mid <= w->first)
		return 0;
	range = bpf_map_lookup_elem(&unwind_ranges, &mid);
	if (!range || pc >= range->end)
		return 0;
	w->range = *range;
	return 1;
}

/*
 * Where the function begins that the row at @at of @chunk is of, into walk.start: that is not far,
 * or else it stays unknown. A global function of scalars, which the verifier looks at once.
 */
__noinline int unwind__find_start(u32 number, u64 at)
{
	void *inner = bpf_map_lookup_elem(&unwind_chunks, &number);
	struct walk *w = walk__get();
	struct unwind_chunk *chunk;
	u64 rows, word;
	u32 zero = 0;

	if (!w || !inner)
		return 0;
	chunk = bpf_map_lookup_elem(inner, &zero);
	if (!chunk)
		return 0;
	rows = w->range.rows;
	for (u32 i = 0; i < UNWIND_BACK / UNWIND_FEW; i++) {
		/* All ones once it is found. No branch for each: the verifier goes both ways. */
		u64 found = 0;

#pragma unroll
		for (u32 j = 0; j < UNWIND_FEW; j++) {
			word = chunk->word[(at + 1) & (UNWIND_CHUNK_WORDS - 1)];
			found |= -(word / UNWIND_FIRST) | (s64)(at - rows - 1) >> 63;
			barrier_var(found);
			at -= 2 & ~found;
		}
		if (found)
			break;
	}
	w->start = w->range.base + chunk->word[at & (UNWIND_CHUNK_WORDS - 1)];
	return 0;
}

/* The number of the rule for @pc, which is in walk.range; 0 (UNWIND_NONE's) if there is none. */
__noinline int unwind__find_rule(u64 pc)
{
	struct walk *w = walk__get();
	struct unwind_chunk *chunk;
	u64 off, block, at, low, high;
	u32 zero = 0;
	void *inner;

	if (!w)
		return 0;
	inner = bpf_map_lookup_elem(&unwind_chunks, &w->range.chunk);
	if (!inner)
		return 0;
	chunk = bpf_map_lookup_elem(inner, &zero);
	if (!chunk)
		return 0;
	off = pc - w->range.base;
	block = off >> UNWIND_BLOCK_SHIFT;
	if (block >= w->range.blocks)
		return 0;
	at = w->range.index + block;
	low = chunk->word[at & (UNWIND_CHUNK_WORDS - 1)];
	high = chunk->word[(at + 1) & (UNWIND_CHUNK_WORDS - 1)];
	at = w->range.rows;
	for (u32 i = 0; i < 12 && low < high; i++) {
		u64 mid = (low + high + 1) / 2;
		u64 row = chunk->word[(at + 2 * mid) & (UNWIND_CHUNK_WORDS - 1)];
		u64 beyond = (s64)(off - row) >> 63; /* as above */

		barrier_var(beyond);
		low ^= (low ^ mid) & ~beyond;
		high ^= (high ^ (mid - 1)) & beyond;
	}
	at += 2 * low;
	if (unlikely(w->whole))
		unwind__find_start(w->range.chunk, at);
	return chunk->word[(at + 1) & (UNWIND_CHUNK_WORDS - 1)] & ~UNWIND_FIRST;
}

static __always_inline int unwind__end(struct walk *w, u32 why)
{
	/* What could not be read once may be readable the next time. */
	if (why == STACK_UNREADABLE)
		w->memo.n = MEMO_UNFIT;
	w->stack.end = why;
	return 1;
}

/* Goes to the caller, whose stack pointer and place in the code are these. */
static __always_inline int unwind__to(struct walk *w, u64 cfa, u64 ra, bool exact)
{
	if (!ra)
		return unwind__end(w, STACK_COMPLETE);
	w->reg[UNWIND_RSP] = cfa;
	w->reg[UNWIND_PC] = ra;
	w->exact = exact;
	return 0;
}

/* The walk went by this word. */
static __always_inline void unwind__note(struct walk *w, u64 at, u64 word, u32 flag)
{
	u64 n = w->memo.n;

	if (!CONFIG(memo))
		return;
	at -= w->memo.sp;
	if (n >= MEMO_WORDS || at & 7 || at >> 32) {
		w->memo.n = MEMO_UNFIT;
		return;
	}
	w->memo.at[n] = at | flag;
	w->memo.word[n] = word;
	w->memo.n = n + 1;
}

/* The walk goes by rbp. */
static __always_inline void unwind__note_rbp(struct walk *w)
{
	if (w->rbp_at == MEMO_REGISTER)
		w->memo.by_rbp = 1;
	else if (w->rbp_at)
		unwind__note(w, w->rbp_at, w->reg[UNWIND_RBP], MEMO_RBP);
	w->rbp_at = 0;
}

static __always_inline void unwind__unfit(struct walk *w)
{
	if (CONFIG(memo))
		w->memo.n = MEMO_UNFIT;
}

/* Code without a table: a frame pointer, if there is one. */
static __always_inline int unwind__by_pointer(struct walk *w)
{
	u64 bp = w->reg[UNWIND_RBP];

	unwind__note_rbp(w);
	if (bp < w->reg[UNWIND_RSP] || bp & 7)
		return unwind__end(w, STACK_NO_FRAME);
	if (bpf_probe_read_user(w->window, 16, (void *)bp))
		return unwind__end(w, STACK_UNREADABLE);
	unwind__note(w, bp + 8, w->window[1], 0);
	w->reg[UNWIND_RBP] = w->window[0];
	w->rbp_at = bp;
	return unwind__to(w, bp + 16, w->window[1], false);
}

static __always_inline int unwind__signal(struct walk *w, s32 offset)
{
	u64 *c = w->context;

	unwind__unfit(w);
	if (bpf_probe_read_user(c, sizeof(w->context), (void *)(w->reg[UNWIND_RSP] + offset)))
		return unwind__end(w, STACK_UNREADABLE);
	for (u32 i = 0; i < 8; i++)
		w->reg[8 + i] = c[i];
	w->reg[5] = c[8];
	w->reg[4] = c[9];
	w->reg[UNWIND_RBP] = c[10];
	w->reg[UNWIND_RBX] = c[11];
	w->reg[1] = c[12];
	w->reg[0] = c[13];
	w->reg[2] = c[14];
	return unwind__to(w, c[15], c[16], true);
}

/* The word at @base + @off; the window has those right below @cfa. */
static __always_inline bool unwind__word(struct walk *w, bool window, u64 cfa, u64 at, u64 *word)
{
	u64 below = cfa - at;

	if (likely(window && below - 1 < 8 * UNWIND_WINDOW && !(below & 7))) {
		*word = w->window[(UNWIND_WINDOW - below / 8) & (UNWIND_WINDOW - 1)];
		return true;
	}
	return !bpf_probe_read_user(word, sizeof(*word), (void *)at);
}

/* Takes the registers that the frame has saved, and goes to its caller. */
static __always_inline int unwind__restore(struct walk *w, const struct unwind_rule *rule, u64 cfa,
					   u64 base)
{
	u64 ra, value;
	bool window;

	window = !bpf_probe_read_user(w->window, sizeof(w->window),
				      (void *)(cfa - sizeof(w->window)));
	if (!unwind__word(w, window, cfa, cfa + rule->ra, &ra))
		return unwind__end(w, STACK_UNREADABLE);
	unwind__note(w, cfa + rule->ra, ra, 0);
#pragma unroll
	for (u32 i = 0; i < UNWIND_SAVED; i++) {
		const u32 reg = i == 0 ? UNWIND_RBX : i == 1 ? UNWIND_RBP : UNWIND_R12 + i - 2;

		if (rule->saved[i] == UNWIND_SAME)
			continue;
		if (!unwind__word(w, window, cfa, base + rule->saved[i], &value))
			return unwind__end(w, STACK_UNREADABLE);
		if (reg == UNWIND_RBP)
			w->rbp_at = base + rule->saved[i];
		w->reg[reg] = value;
	}
	return unwind__to(w, cfa, ra, false);
}

static __always_inline int unwind__by_rule(struct walk *w, const struct unwind_rule *rule)
{
	u64 base = w->reg[rule->reg & 31], cfa = base + rule->offset;

	switch (rule->kind) {
	case UNWIND_END:
		return unwind__end(w, STACK_COMPLETE);
	case UNWIND_SIGNAL:
		return unwind__signal(w, rule->offset);
	case UNWIND_REG:
		if (rule->reg == UNWIND_RBP)
			unwind__note_rbp(w);
		else if (rule->reg != UNWIND_RSP)
			unwind__unfit(w);
		break;
	case UNWIND_DEREF:
		unwind__unfit(w);
		if (bpf_probe_read_user(&cfa, sizeof(cfa), (void *)cfa))
			return unwind__end(w, STACK_UNREADABLE);
		break;
	case UNWIND_PLT:
		cfa = base + 8 + ((w->reg[UNWIND_PC] & 15) >= (u64)rule->offset ? 8 : 0);
		break;
	default:
		return unwind__end(w, STACK_NO_RULE);
	}
	if (cfa <= w->reg[UNWIND_RSP])
		return unwind__end(w, STACK_ASTRAY);
	return unwind__restore(w, rule, cfa, rule->kind == UNWIND_DEREF ? base : cfa);
}

/*
 * Keeps frame @depth, and goes to its caller: 0, or 1 and stack.end says why there is no caller.
 * Global functions, so that little is left for each pass of unwind__walk()'s loop: see above.
 */
__noinline int unwind__go(void)
{
	struct walk *w = walk__get();
	struct unwind_rule *rule;
	u32 number;
	u64 pc;

	if (!w)
		return 1;
	pc = w->reg[UNWIND_PC] - !w->exact;
	if (pc - w->range.start >= w->range.end - w->range.start && !unwind__find_range(pc)) {
		w->blind = 1;
		return unwind__by_pointer(w);
	}
	if (w->range.chunk == UNWIND_NO_TABLE)
		return unwind__by_pointer(w);
	number = unwind__find_rule(pc);
	rule = bpf_map_lookup_elem(&unwind_rules, &number);
	if (!rule)
		return unwind__end(w, STACK_NO_RULE);
	return unwind__by_rule(w, rule);
}

__noinline int unwind__step(u64 depth)
{
	struct walk *w = walk__get();
	int end;

	if (!w || depth >= STACK_FRAMES)
		return 1;
	w->stack.ip[depth] = w->reg[UNWIND_PC];
	end = unwind__go();
	if (unlikely(!end && w->whole)) {
		w->whole = 0;
		if (w->start)
			w->stack.ip[0] = w->start;
	}
	return end;
}

static __always_inline void unwind__registers(struct walk *w)
{
	struct unwind_saved *s = &w->saved;

	w->reg[0] = s->ax;
	w->reg[1] = s->dx;
	w->reg[2] = s->cx;
	w->reg[3] = s->bx;
	w->reg[4] = s->si;
	w->reg[5] = s->di;
	w->reg[6] = s->bp;
	w->reg[7] = s->sp;
	w->reg[8] = s->r8;
	w->reg[9] = s->r9;
	w->reg[10] = s->r10;
	w->reg[11] = s->r11;
	w->reg[12] = s->r12;
	w->reg[13] = s->r13;
	w->reg[14] = s->r14;
	w->reg[15] = s->r15;
	w->reg[16] = s->ip;
	w->interrupted = (s64)s->orig_ax < 0;
}

/* The process's tables; none if they are of a program that it was before, or have been replaced. */
static __always_inline void unwind__enter(struct walk *w, u32 tgid, u64 mm)
{
	struct unwind_space *space = bpf_map_lookup_elem(&unwind_spaces, &tgid);
	struct unwind_range *header;

	w->n = 0;
	w->first = 0;
	w->blind = 0;
	w->exact = 1;
	w->range.start = w->range.end = 0;
	w->stack.space = 0;
	if (!space || (space->mm && space->mm != mm))
		return;
	header = bpf_map_lookup_elem(&unwind_ranges, &space->first);
	if (!header || header->start != space->serial)
		return;
	w->first = space->first;
	w->n = space->n;
	w->stack.space = space->serial;
}

/* The walk from the registers in this CPU's record. A global function: see above. */
__noinline int unwind__walk(void)
{
	struct walk *w = walk__get();
	u32 i;

	if (!w)
		return 0;

	/*
	 * An interrupted thread may be at any instruction: it is counted for its function, or each
	 * of its stacks would be another one.
	 */
	w->whole = !CONFIG(addresses) && w->interrupted;
	w->start = 0;
	w->stack.end = STACK_DEEP;
	w->memo.ip = w->reg[UNWIND_PC];
	w->memo.sp = w->reg[UNWIND_RSP];
	w->memo.bp = w->reg[UNWIND_RBP];
	w->memo.by_rbp = 0;
	w->rbp_at = MEMO_REGISTER;
	w->memo.n = w->interrupted ? MEMO_UNFIT : 0;
	for (i = 0; i < STACK_FRAMES; i++) {
		if (unwind__step(i)) {
			i++;
			break;
		}
	}
	w->stack.n = i;
	/* Frame pointers may have led anywhere. */
	if (unlikely(w->blind))
		w->stack.end = STACK_NOT_COVERED;
	return 0;
}

#endif
