/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* What both sides of `query` share: whose statements there are, their texts and their sums. */
#ifndef DWELL_QUERY_H
#define DWELL_QUERY_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "state.h"

/* X(enumerator, JSON key). Append only. */
#define DWELL_QUERY_DBS(X) X(DB_POSTGRESQL, "postgresql")

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

/* Bytes of a statement's text that are looked at, its end included. */
#define QUERY_TEXT 2048

/* Map `query_texts`: one text for each fingerprint (tally_key.row), with its literals. */
struct query_text {
	__u32 len; /* without the end */
	__u32 truncated;
	char text[QUERY_TEXT + 8];
};

/* Map `query_sums`, at the index of the tally: of statements that ended in the epoch. */
struct query_sum {
	__u64 errors;
	__u64 rows;
	__u64 ns[NR_STATES]; /* adds up to the tally's sum */
};

#endif
