/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Why no probe is hit: were the probed programs busy, and are the probes in their memory? */
#ifndef DWELL_SILENCE_H
#define DWELL_SILENCE_H

#include <stddef.h>
#include <stdint.h>

#include "core/probes.h"

#define SILENCE_PROCESSES 256 /* that are looked at */

/* Processes whose programs are probed, and the CPU time that they have had. */
struct silence {
	struct {
		uint32_t pid;
		uint64_t cpu_ns;
	} process[SILENCE_PROCESSES];
	size_t n;
};

/* Looks who there is. Without /proc there is nobody. */
void silence__look(struct silence *s, const struct probes *p);

/* The likely reason why no probe was hit since @before was looked at, as a clause. */
void silence__reason(const struct silence *before, const struct probes *p, char *text, size_t size);

#endif
