/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What is kept of a path: apart from lib/path.bpf.h, since a clock may hold it. */
#ifndef DWELL_PATH_REC_BPF_H
#define DWELL_PATH_REC_BPF_H

#include "lib/compat.bpf.h"
#include "tally.h"

/* The path that a call gave. */
struct path_text {
	u32 len; /* without the end */
	u32 cut; /* it is longer */
	char text[NAME_SIZE + 8];
};

#endif
