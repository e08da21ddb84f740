/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Uprobes by uprobe_multi, and what a hit of one costs on this machine. */
#ifndef DWELL_UPROBE_H
#define DWELL_UPROBE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Program @prog at @offset of the file @path, with @cookie; if @returns, where the function there
 * returns. A descriptor that holds it, or -errno; from Linux 6.6 on (FEATURE_UPROBE_MULTI).
 */
int uprobe__multi(int prog, const char *path, uint64_t offset, uint64_t cookie, bool returns);

/*
 * What a hit costs beside the run of its program, ns: measured on a function of dwell's own, at an
 * instruction that the kernel emulates or at one that it single-steps; if @returns, what a probe
 * where the function returns costs for each call. 0: not known here (before Linux 6.6, not x86-64,
 * not permitted).
 */
uint64_t uprobe__hit_ns(bool emulated, bool returns);

#endif
