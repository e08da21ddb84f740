/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/*
 * The kernel side's look at a statement: a hash that is the same for statements which differ in
 * literals, letter case, comments or white space only.
 *
 * It may tell apart what is one to a reader (`IN (1)` and `IN (1, 2)`): user space merges those by
 * their full normal form. It must never take two normal forms for one, so where it cannot follow
 * (a quote inside a dollar-quoted string), the text as it stands becomes part of the hash.
 */
#ifndef DWELL_SQLSCAN_H
#define DWELL_SQLSCAN_H

#ifndef __bpf__
#include <linux/types.h>
#endif

enum sqlscan_class {
	SC_OTHER,
	SC_SPACE,
	SC_NEWLINE,
	SC_ALPHA,
	SC_E,
	SC_DIGIT,
	SC_QUOTE,
	SC_DQUOTE,
	SC_DASH,
	SC_SLASH,
	SC_STAR,
	SC_DOLLAR,
	SC_BACKSLASH,
	SC_PLUS,
	SC_DOT,
	SC_BACKTICK,
	SC_HASH,
	SC_NR = 32,
};

enum sqlscan_state {
	SS_PLAIN, /* behind an operator, a parenthesis, a string… */
	SS_SPACE,
	SS_WORD,
	SS_E, /* a word that is "e" so far: E'…' has escapes */
	SS_NUMBER,
	SS_EXPONENT, /* 1e: a sign may follow */
	SS_DASH,
	SS_SLASH,
	SS_DOLLAR,
	SS_DASHES, /* -- where a blank must follow for a comment */
	SS_LINE,   /* -- … */
	SS_BLOCK,  /* a comment as this one */
	SS_STAR,   /* a star inside it */
	SS_STRING, /* '…' */
	SS_ESTRING,
	SS_ESCAPE,
	SS_NAME,    /* "…" */
	SS_DSTRING, /* "…" where it is a string with escapes */
	SS_DESCAPE,
	SS_TICKED, /* `…` */
	SS_NR = 32,
};

/* A transition: the next state, what goes into the hash, and whether the character does. */
#define SQLSCAN_NEXT  0x001f
#define SQLSCAN_CHAR  0x0020 /* the character, in lower case */
#define SQLSCAN_EXACT 0x0040 /* the character as it is */
#define SQLSCAN_PRE   0xff00

#define SQLSCAN_TABLE (SS_NR * SC_NR)

struct sqlscan {
	__u8 class_of[256];
	__u16 step[SQLSCAN_TABLE];
};

#define SQLSCAN_SEED  0x9ae16a3b2f90404fULL
#define SQLSCAN_PRIME 0x9e3779b97f4a7c15ULL

/* One character; @state is replaced. The hash after it. */
static inline __attribute__((always_inline)) __u64 sqlscan__step(const struct sqlscan *scan,
								 __u64 *state, __u64 hash, __u8 c)
{
	__u64 at = (*state & (SS_NR - 1)) * SC_NR + (scan->class_of[c] & (SC_NR - 1));
	__u64 is_upper = ((__u64)(__u8)(c - 'A') - 26) >> 63;
	__u64 step, as_char, as_it_is, take, any, next;

	/* The compiler makes it an OR, of whose bound verifiers up to 6.1 know nothing. */
	asm volatile("" : "+r"(at));
	step = scan->step[at & (SQLSCAN_TABLE - 1)];
	/* Without a branch: verifiers go through all paths, for each character. */
	as_char = -((step / SQLSCAN_CHAR) & 1);
	as_it_is = -((step / SQLSCAN_EXACT) & 1);
	take = (step & SQLSCAN_PRE) | ((c | is_upper << 5) & as_char) | (c & as_it_is);
	any = (take | -take) >> 63;
	next = (hash ^ take) * SQLSCAN_PRIME;
	next ^= next >> 29;
	*state = step & SQLSCAN_NEXT;
	return hash ^ ((hash ^ next) & -any);
}

/* The hash at the end: with a character that was put off, in case it began something. */
static inline __attribute__((always_inline)) __u64 sqlscan__finish(__u64 state, __u64 hash)
{
	if (state == SS_DASH || state == SS_SLASH || state == SS_DOLLAR)
		hash = (hash ^ state) * SQLSCAN_PRIME;
	return hash;
}

/* Is the end in @state one inside something that was never closed? */
static inline __attribute__((always_inline)) int sqlscan__open(__u64 state)
{
	return state >= SS_BLOCK;
}

/* Is the last of eight characters a letter, _, $ or none of ASCII? Some more do no harm. */
static inline __attribute__((always_inline)) __u64 sqlscan__ends_in_word(__u64 x)
{
	__u64 c = x >> 56;

	return (('@' - 1 - c) | ((c ^ '$') - 1)) >> 63;
}

/*
 * Eight characters of a text at once, @x: digits that do not belong to a word are all 0, so that
 * statements which differ in numbers of the same length are equal. @word is 1 if the characters
 * before these end in a word, and is replaced; 0 at the begin. Most of a statement is no number.
 */
static inline __attribute__((always_inline)) __u64 sqlscan__fold(__u64 x, __u64 *word)
{
	const __u64 ones = 0x0101010101010101ULL, high = ones << 7;
	__u64 low = x & ~high, digits, words, run, own;

#define AT_LEAST(c) (low + ones * (0x80 - (c))) /* in each byte's highest bit */
	digits = AT_LEAST('0') & ~AT_LEAST('9' + 1) & ~x & high;
	if (!digits) {
		*word = sqlscan__ends_in_word(x);
		return x;
	}
	/* As sqlscan__ends_in_word(): what is one of these too many keeps its digits. */
	words = (x | AT_LEAST('@') | (AT_LEAST('$') & ~AT_LEAST('$' + 1))) & high;
#undef AT_LEAST
	run = (digits >> 7) * 0xff;
	/* From a digit behind a letter the carry goes through those that follow. */
	own = run & ~(run + (((words >> 7 << 8) | *word) & run));
	*word = (words | own) >> 63;
	return x & ~(run & ~own & (ones * 0x0f));
}

/*
 * Is there a quote of a name among them? What is in it is not to be folded: such a text is not to
 * be remembered by its folded form, in which the quotes still are, so that no other is like it.
 */
static inline __attribute__((always_inline)) int sqlscan__has_name(__u64 x)
{
	const __u64 ones = 0x0101010101010101ULL, high = ones << 7;
	__u64 a = x ^ (ones * '"'), b = x ^ (ones * '`'), c = x ^ (ones * '[');

	return (((a - ones) & ~a) | ((b - ones) & ~b) | ((c - ones) & ~c)) & high ? 1 : 0;
}

/* The hash of a text of eight more characters. */
static inline __attribute__((always_inline)) __u64 sqlscan__add(__u64 hash, __u64 x)
{
	hash = (hash ^ x) * SQLSCAN_PRIME;
	return hash ^ hash >> 32;
}

#endif
