/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Where reports go, and in which form. Sinks alone print. */
#ifndef DWELL_SINK_H
#define DWELL_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "core/cost.h"
#include "core/loss.h"
#include "core/tool.h"

enum sink_state_frame {
	STATE_FRAME_NONE,
	STATE_FRAME_ROOT,
	STATE_FRAME_LEAF,
};

struct sink_options {
	bool json, jsonl, folded;
	uint32_t state_frame; /* enum sink_state_frame */
	const char *path;     /* -o, or NULL: stdout */
};

struct sink {
	struct sink_options options;
	FILE *out;
	bool owned;         /* a file of -o */
	unsigned int width; /* display columns of text */
};

/* What a report says besides what the command found. */
struct sink_meta {
	const char *target;
	const char *attach; /* "tp_btf" or "raw_tp" */
	const char *started;
	uint64_t duration_ns;
	unsigned int interval; /* 1, 2, …; 0: the only report */
	const struct loss *loss;
	const struct cost *cost;
};

/* Opens the output. EXIT_USAGE if the forms exclude each other, EXIT_FAIL if it can't be opened. */
enum dwell_exit sink__open(struct sink *sink, const struct sink_options *options, bool intervals);

/* Prints one report; output errors show in sink__flush(). */
void sink__print(struct sink *sink, const struct tool *tool, const struct report *report,
		 const struct sink_meta *meta);

/* After each report: EXIT_FAIL if what was printed did not get where it should. */
enum dwell_exit sink__flush(struct sink *sink);
enum dwell_exit sink__close(struct sink *sink);

#endif
