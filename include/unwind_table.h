/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/*
 * Unwind tables as both sides see them: what user space makes of .eh_frame, and the kernel side
 * walks user stacks by.
 *
 * A process has a run of ranges in `unwind_ranges`: a header, then one range per mapping of code,
 * ascending. A range has rows in a chunk: for each place in the code from which another rule
 * holds. Rows are found through an index by blocks of code, then by binary search. Rules are few,
 * and shared by everything.
 */
#ifndef DWELL_UNWIND_TABLE_H
#define DWELL_UNWIND_TABLE_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* How to get from a frame to its caller's. Append only. */
enum unwind_kind {
	UNWIND_NONE,  /* no rule is known for this code */
	UNWIND_END,   /* the outermost frame */
	UNWIND_REG,   /* the caller's stack pointer (CFA) = register + offset */
	UNWIND_DEREF, /* CFA = the word at register + offset; registers are saved by the register */
	UNWIND_PLT,   /* CFA = rsp + 8, and 8 more from byte `offset` of a slot of 16 on */
	UNWIND_SIGNAL, /* a signal's frame: all registers are at rsp + offset */
};

/* Registers by DWARF's numbers for x86-64. */
#define UNWIND_RBX  3
#define UNWIND_RBP  6
#define UNWIND_RSP  7
#define UNWIND_R12  12
#define UNWIND_PC   16
#define UNWIND_REGS 17

#define UNWIND_SAVED 6        /* rbx, rbp, r12 to r15 */
#define UNWIND_SAME  (-32768) /* in saved[]: the register still has the caller's value */

struct unwind_rule {
	__u8 kind; /* enum unwind_kind */
	__u8 reg;  /* what offset is from */
	__s16 ra;  /* where the return address is, bytes from the CFA */
	__s32 offset;
	__s16 saved
		[UNWIND_SAVED]; /* where registers are: bytes from the CFA (UNWIND_DEREF: @reg) */
};

_Static_assert(sizeof(struct unwind_rule) == 20, "no hidden padding: it is hashed");

#define UNWIND_FIRST (1U << 31) /* in unwind_row.rule: a function begins */
#define UNWIND_RULES 16384      /* distinct rules that are kept */

struct unwind_row {
	__u32 pc; /* bytes from the range's base */
	__u32 rule;
};

/* Rows and their indexes are in chunks of 32-bit words. */
#define UNWIND_CHUNK_WORDS (1U << 18)
#define UNWIND_CHUNKS      128 /* 128 MiB */
#define UNWIND_BLOCK_SHIFT 8   /* an index has a word per 256 bytes of code */

/* The code [start, end) of a process. */
struct unwind_range {
	__u64 start, end;
	__u64 base;  /* the address that rows count from */
	__u32 chunk; /* UNWIND_NO_TABLE: frame pointers */
	__u32 index; /* word in the chunk: per block, the last row that begins at or before it */
	__u32 rows;  /* word in the chunk of the first row */
	__u32 blocks;
};

#define UNWIND_NO_TABLE 0xffffffffU
#define UNWIND_RANGES   65536 /* of all processes together */

/* What a process's id leads to: its ranges, and of which address space they are. */
struct unwind_space {
	__u64 mm;     /* 0: not known yet */
	__u64 code;   /* pages of code that were mapped then; 0: it is to be looked at */
	__u32 first;  /* the header's place in unwind_ranges; its `start` is the serial number */
	__u32 n;      /* ranges behind the header */
	__u32 serial; /* of the layout: the same for processes that have the same mappings */
	__u32 pad;
};

#define UNWIND_SPACES 16384

#endif
