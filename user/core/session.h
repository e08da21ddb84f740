/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The life of every command: options, target, load, attach, seed; then epochs, each of which ends
 * in a report; then everything is detached.
 */
#ifndef DWELL_SESSION_H
#define DWELL_SESSION_H

#include "core/accounts.h"
#include "core/arena.h"
#include "core/cost.h"
#include "core/datasyms.h"
#include "core/early.h"
#include "core/launch.h"
#include "core/loss.h"
#include "core/mappings.h"
#include "core/mounts.h"
#include "core/object.h"
#include "core/progress.h"
#include "core/sink.h"
#include "core/stacks.h"
#include "core/tallies.h"
#include "core/target.h"
#include "core/tool.h"
#include "core/unwind.h"

/* The options that every command has; those that it does not accept are refused. */
struct run_options {
	struct target target;
	uint64_t duration_ns; /* 0: not given */
	uint64_t interval_ns; /* 0: one report at the end */
	uint64_t min_ns;
	uint32_t rows; /* 0: not given */
	uint32_t by;   /* enum group_by */
	uint32_t max_entries;
	uint32_t attach; /* enum object_attach */
	uint32_t memo;   /* enum memo_use */
	const char *sort;
	const char *btf;
	struct sink_options sink;
	bool user_stacks, kernel_stacks, frame_pointers, addresses, lines, full_frames;
	bool kthreads;
	bool exit_status;
	bool verbose;
};

struct session {
	const struct tool *tool;
	struct run_options run;
	void *tool_options;
	void *state; /* the tool's: see tool.attach */
	struct config config;
	struct object object;
	struct launch launch;
	struct sink sink;
	struct cost cost;
	struct progress progress;
	struct stacks *stacks;
	struct unwind *unwind;     /* where user stacks are walked, or NULL */
	struct mappings *mappings; /* then, where the kernel tells of them; or NULL */
	struct datasyms *datasyms;
	struct ring_buffer *ring;
	struct column columns[TABLE_COLUMNS_MAX]; /* the tool's, as far as --by has them shown */
	int signals;                              /* signalfd */
	sigset_t old_mask;
	uint64_t next_tick; /* of the tool */

	uint32_t epoch;                  /* the one that runs */
	uint64_t run_start, epoch_start; /* CLOCK_MONOTONIC ns */
	char started[40];                /* of the epoch: RFC 3339 */
	struct accounts accounts[2];     /* by the epoch's lowest bit */
	struct early early;              /* without intervals only */
	enum dwell_exit ring_status;

	/* Of the epoch that is reported: for the command's snapshot. */
	uint32_t reported;
	uint64_t reported_ns; /* its length */
	struct tallies tallies;
	struct arena arena;
	struct mounts *mounts; /* see session__mounts() */
	struct loss loss, loss_before;
	uint32_t closed; /* epochs up to here take no more accounts */
	/* Threads, when they were looked at last: */
	uint64_t torn;   /* whose account could not be read */
	uint64_t ending; /* that were exiting */
	uint64_t unseen; /* that were exiting, and could not be looked at */
	/* Threads whose account came, or is to come, after its report: */
	uint64_t late;        /* not told of yet */
	uint64_t written_off; /* told of before they came */
};

/* The accounts of the epoch that is reported. */
const struct accounts *session__accounts(const struct session *s);

/* What is mounted where, as of the report; NULL if that cannot be read. */
const struct mounts *session__mounts(struct session *s);

/*
 * Cuts @n rows down to the session's -n, sorted by --sort, and puts them into @report. Rows are of
 * the tool's row_size, in the arena.
 */
enum dwell_exit session__rows(struct session *s, void *rows, size_t n, struct report *report);

/* Runs command @tool with its arguments; the process's exit status. */
int session__run(const struct tool *tool, int argc, char **argv);

#endif
