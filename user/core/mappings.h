/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Who maps code while dwell runs, told by the kernel (PERF_RECORD_MMAP): dlopen(), exec, a JIT.
 * That code was unmapped is not told, and need not be: nothing runs there until code is mapped
 * again.
 */
#ifndef DWELL_MAPPINGS_H
#define DWELL_MAPPINGS_H

#include <stdint.h>

struct mappings;

#define MAPPINGS_ALL 0 /* in place of a process: too many at once, any may have mapped code */

/*
 * Watches the whole machine. NULL with errno set if the kernel does not allow it: then a process's
 * new code is noticed by its amount only (thread_seen.code).
 */
struct mappings *mappings__new(void);
void mappings__free(struct mappings *m);

/* To be waited for (POLLIN); then mappings__read(). -1 if @m is NULL. */
int mappings__fd(const struct mappings *m);
/* When mappings__tell() is due, CLOCK_MONOTONIC ns; UINT64_MAX if nothing is to be told. */
uint64_t mappings__due(const struct mappings *m);

/* Takes note of what the kernel has told. */
void mappings__read(struct mappings *m);
/*
 * Calls @fn for each process that has mapped code since, once; a moment after the first, since
 * programs come with many libraries.
 */
void mappings__tell(struct mappings *m, void (*fn)(uint32_t tgid, void *arg), void *arg);

#endif
