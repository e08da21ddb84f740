/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* Why something that should be in a report is not. Every reason is in every report. */
#ifndef DWELL_LOSS_H
#define DWELL_LOSS_H

/* X(enumerator, JSON key, what it means for the reader) */
#define DWELL_LOSSES(X)                                                                            \
	X(LOSS_MAP_FULL, "map_full", "waits without a cause: too many causes (--max-entries)")     \
	X(LOSS_NAME_FULL, "name_full", "names of files or sockets not kept (--max-entries)")       \
	X(LOSS_THREAD, "thread", "threads that could not be watched: no room for their clock")     \
	X(LOSS_RING_FULL, "ring_full", "threads that ended and could not be reported")             \
	X(LOSS_LATE, "late", "threads that ended just when the report was made")                   \
	X(LOSS_TORN, "torn", "threads that changed state too often to be read")                    \
	X(LOSS_STACK_FULL, "stack_full", "stacks not kept (--max-entries)")                        \
	X(LOSS_STACK_FAULT, "stack_fault", "stacks that could not be read")                        \
	X(LOSS_SPAN_DEPTH, "span_depth", "spans nested deeper than is kept")                       \
	X(LOSS_SPAN_ORPHAN, "span_orphan", "span ends without a begin")                            \
	X(LOSS_MISSED, "missed", "events that the kernel did not hand over")                       \
	X(LOSS_ROW_FULL, "row_full", "rows not kept (--max-entries)")                              \
	X(LOSS_HOLDER, "holder", "waits whose holder could not be followed")                       \
	X(LOSS_REQUEST, "request", "block requests not followed (--max-entries)")                  \
	X(LOSS_SLOW, "slow", "slow requests and statements not listed one by one")

enum loss_reason {
#define X(id, ...) id,
	DWELL_LOSSES(X)
#undef X
		NR_LOSSES,
};

#endif
