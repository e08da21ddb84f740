/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The functions that a just-in-time compiler tells of in /tmp/perf-PID.map. */
#ifndef DWELL_PERFMAP_H
#define DWELL_PERFMAP_H

#include <stdint.h>

struct perfmap;

/* Reads the map in @fd, which is closed: lines "START SIZE NAME" in hex; others are passed over.
 * NULL if there is nothing in it, or no memory. */
struct perfmap *perfmap__read(int fd);

/* The function that holds @addr, and its first address in *@start; NULL if there is none. Strings
 * live as long as @map, and hold no control characters. */
const char *perfmap__find(const struct perfmap *map, uint64_t addr, uint64_t *start);

void perfmap__free(struct perfmap *map);

#endif
