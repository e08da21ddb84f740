/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What user space does with the histograms of include/hist.h. */
#ifndef DWELL_BASE_HIST_H
#define DWELL_BASE_HIST_H

#include <stdint.h>
#include <stdio.h>

#include "../../include/hist.h"
#include "base/json.h"

/* The number of values recorded: the zero bucket and all others. */
uint64_t hist__count(const struct hist *h);

/* Exact: the layout is one and the same everywhere. Counts saturate rather than wrap. */
void hist__merge(struct hist *dst, const struct hist *src);

/*
 * The @q-quantile (0 < q <= 1) in ns, by nearest rank: the geometric middle of the bucket that the
 * rank falls in, to the nearest ns, and never above h->max. Within HIST_ERROR (2.2 %) and that
 * rounding of the exact one for values from HIST_MIN_NS to 2^HIST_MAX_LOG2 s; 0 if the rank falls
 * in the zero bucket or the histogram is empty. (Interpolating inside the bucket would double the
 * error: a constant's rank says nothing of where in the bucket it lies.)
 */
uint64_t hist__quantile(const struct hist *h, double q);

/* Bounds in ns of bucket @i (0 <= i < HIST_BUCKETS): value v is in it if lower <= v < upper. */
double hist__lower(unsigned int i);
double hist__upper(unsigned int i);

#define HIST_ROWS 24

/* One line of the text form: @count values in [lower, upper) ns. */
struct hist_row {
	double lower, upper;
	uint64_t count;
};

/*
 * Folds the used range into at most HIST_ROWS rows of equal width in octaves (1/2, 1, 2, … octave:
 * the finest that fits); empty rows inside the range are kept. Values of the zero bucket get a row
 * of their own, from 0 to HIST_MIN_NS, in front. The number of rows.
 */
unsigned int hist__fold(const struct hist *h, struct hist_row rows[HIST_ROWS]);

/*
 * Prints the folded rows with bars, then one line "count … p50 … p95 … p99 … p99.9 … max …".
 * @title may be NULL. @columns is the width to keep within, 0: no limit (the last line is
 * wrapped if it must be).
 */
void hist__print(FILE *out, const struct hist *h, const char *title, unsigned int columns);

/* {"scale":4,"zero":0,"buckets":[[index,count],…]}: index as in OTLP (of seconds); see hist.h. */
void hist__json(struct json *j, const struct hist *h);

#endif
