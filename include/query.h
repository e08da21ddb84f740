/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* What both sides of `query` share: whose statements there are, their texts and their sums. */
#ifndef DWELL_QUERY_H
#define DWELL_QUERY_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "state.h"

/* X(enumerator, JSON key, the language of its statements: core/fingerprint.h). Append only. */
#define DWELL_QUERY_DBS(X)                                                                         \
	X(DB_POSTGRESQL, "postgresql", SQL_POSTGRESQL)                                             \
	X(DB_SQLITE, "sqlite", SQL_SQLITE)                                                         \
	X(DB_MARIADB, "mariadb", SQL_MYSQL)                                                        \
	X(DB_MYSQL, "mysql", SQL_MYSQL)                                                            \
	X(DB_REDIS, "redis", SQL_NONE)

enum query_db {
	DB_NONE = 0,
#define X(id, ...) id,
	DWELL_QUERY_DBS(X)
#undef X
		NR_DBS,
};

/* tally_key.aux: enum query_db, and… */
#define QUERY_DB      0xff
#define QUERY_UNRUN   0x100 /* …it was parsed or described only: nothing was executed */
#define QUERY_NO_TEXT 0x200 /* …its text could not be read */
/* Tallies that are of no statement: */
#define QUERY_TXN          0x1000 /* from a transaction's first statement to its end */
#define QUERY_IDLE         0x2000 /* the time in it without a statement */
#define QUERY_SETUP        0x4000 /* from the fork of a session's process until it is ready */
#define QUERY_NO_STATEMENT (QUERY_TXN | QUERY_IDLE | QUERY_SETUP)

/* Bytes of a statement's text that are looked at, its end included. */
#define QUERY_TEXT 2048

/* Map `query_texts`: one text for each fingerprint (tally_key.row), with its literals. */
struct query_text {
	__u32 len; /* without the end */
	__u32 truncated;
	char text[QUERY_TEXT + 8];
};

/*
 * PostgreSQL's classes of waits, by the number in bits 24 to 31 of a wait event; X(number, JSON
 * key). src/include/utils/wait_event.h of 13, wait_classes.h of 17: none has changed its number. In
 * class 0 it blocks, but does not say why.
 */
#define DWELL_QUERY_WAITS(X)                                                                       \
	X(0, "none")                                                                               \
	X(1, "lwlock")                                                                             \
	X(3, "lock")                                                                               \
	X(4, "buffer_pin")                                                                         \
	X(5, "activity")                                                                           \
	X(6, "client")                                                                             \
	X(7, "extension")                                                                          \
	X(8, "ipc")                                                                                \
	X(9, "timeout")                                                                            \
	X(10, "io")                                                                                \
	X(11, "injection_point") /* from 17 on */

#define NR_WAITS  16 /* a power of two, so that an index can be masked for the verifier */
#define WAIT_LOCK 3

/*
 * Of Redis' commands, the text is the begins of the first arguments, each in a cell of its own and
 * terminated, and its `len` the number of all. Commands differ by their first word, by their second
 * where that tells what they do, and by the number of arguments up to REDIS_SHAPES.
 */
#define REDIS_CELL   128
#define REDIS_CELLS  8
#define REDIS_SHAPES 5
#define REDIS_WORD   24 /* bytes of a word that are looked at */

/* X(the name in lower case, padded to REDIS_CONTAINER bytes with blanks) */
#define REDIS_CONTAINER 16
#define DWELL_REDIS_CONTAINERS(X)                                                                  \
	X("acl             ")                                                                      \
	X("client          ")                                                                      \
	X("cluster         ")                                                                      \
	X("command         ")                                                                      \
	X("config          ")                                                                      \
	X("debug           ")                                                                      \
	X("function        ")                                                                      \
	X("latency         ")                                                                      \
	X("memory          ")                                                                      \
	X("module          ")                                                                      \
	X("object          ")                                                                      \
	X("pubsub          ")                                                                      \
	X("script          ")                                                                      \
	X("slowlog         ")                                                                      \
	X("xgroup          ")                                                                      \
	X("xinfo           ")

#define QUERY_BURST_MIN 5 /* repeats, and rows of the source: less is no burst */

/*
 * Map `query_sums`, at the index of the tally: of statements that ended in the epoch. What most
 * statements add to is in the first 64 bytes, which are one line of the cache.
 */
struct query_sum {
	__u64 rows;
	__u64 measured; /* statements of which the next three are known */
	__u64 buffers_hit;
	__u64 buffers_read;
	__u64 wal_bytes;
	__u64 before_ns; /* from when the server woke up for requests to the statements' begin */
	__u64 ns[NR_STATES]; /* adds up to the tally's sum */
	__u64 errors;
	__u64 many;    /* statements that gave QUERY_BURST_MIN rows or more */
	__u64 workers; /* parallel workers that ended, which count as no statements… */
	__u64 worker_ns;
	__u64 tells;           /* is not 0 if waits[] is known */
	__u64 waits[NR_WAITS]; /* ns blocked, by the server's own class: part of ns[] */
	__u64 pad[(8 - (11 + NR_STATES + NR_WAITS) % 8) % 8];
};

_Static_assert(sizeof(struct query_sum) % 64 == 0, "one after the other");

/* In the ring: a statement that ended, and was among the slowest. */
struct query_exemplar {
	__u64 fingerprint;
	__u64 start; /* CLOCK_MONOTONIC ns */
	__u64 latency;
	__u64 rows;
	__u32 pid;
	__u32 epoch;
	__u32 db; /* tally_key.aux */
	__u32 failed;
	__u64 ns[NR_STATES];
	__u64 waits[NR_WAITS];
};

/* Map `query_bursts`, by the pair of statements. */
struct query_burst_key {
	__u64 source;
	__u64 repeated;
	__u32 bank; /* the epoch's lowest bit with intervals, else 0 */
	__u32 db;
};

struct query_burst {
	__u64 bursts;
	__s64 fit; /* of them: about as long as the source had rows, never longer */
	__u64 repeats;
	__u64 source_rows; /* of the statement before each burst */
	__u64 rows;        /* of the repeats */
	__u64 exec_ns;
	__u64 gap_ns; /* before each repeat: what the client and the way to it take */
};

#define QUERY_SESSIONS 4096 /* whose transactions are followed at once */

#define QUERY_TXN_STATEMENTS 8 /* kept of each transaction: the last; a power of two */

/* Map `query_txns`: what a session has under way, by its number. */
struct query_txn {
	__u64 since; /* begin of the transaction, CLOCK_MONOTONIC ns; 0: none */
	__u64 idle;  /* it is idle in the transaction since; 0: it is not */
	__u64 statement
		[QUERY_TXN_STATEMENTS]; /* fingerprints; the one before `statements` is last */
	__u32 statements;
	__u32 pid;       /* 0: the number is free */
	__u32 waits_for; /* number of the session that has what it waits for, + 1; 0: unknown */
	__u32 db;
};

/* Map `query_waits`: a session that waits for another one's lock, by its pid. */
struct query_wait {
	__u64 since;
	__u64 fingerprint;       /* of the statement that waits */
	struct query_txn holder; /* as it was when the wait began; .pid is 0 if it is not known */
	__u32 kind;              /* PostgreSQL's LockTagType */
	__u32 mode;              /* …and LOCKMODE that it wants */
	__u64 waits;             /* of the session's thread, for whatever, when it began */
};

/* Map `query_blocks`: waits that ended, by statement and holder. */
struct query_block_key {
	__u64 fingerprint;
	__u32 holder; /* pid; 0: unknown */
	__u32 bank;
	__u32 kind;
	__u32 db;
};

struct query_block {
	__u64 count;
	__u64 ns;
	__u64 max;
	__u64 statement[QUERY_TXN_STATEMENTS]; /* of the holder when the last wait began */
	__u32 statements;
	__u32 mode;
};

/* Map `query_live`: what is shared while the run goes on. */
struct query_live {
	__u64 floor;  /* ns: only statements that took longer are exemplars. User space raises it */
	__s64 active; /* sessions that run a statement now, and… */
	__s64 peak;   /* …the most of them at once; user space resets it */
};

#endif
