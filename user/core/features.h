/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What kernels differ in as far as commands differ by it, asked of BTF, never of a version number.
 * The table in KERNELS.md is made of these (tests/vm/features).
 */
#ifndef DWELL_CORE_FEATURES_H
#define DWELL_CORE_FEATURES_H

#include <stdbool.h>

struct btf;

enum feature {
	FEATURE_TASK_STORAGE,
	FEATURE_TASK_REGS,
	FEATURE_SWITCH_STATE,
	FEATURE_CONTENTION,
	FEATURE_COOKIE,
	FEATURE_UPROBE_MULTI,
	FEATURE_PEEK,
	NR_FEATURES,
};

struct feature_text {
	const char *name;
	const char *without; /* what dwell does on a kernel that lacks it */
};

extern const struct feature_text feature_texts[NR_FEATURES];

bool features__has(const struct btf *btf, enum feature feature);

/* Number of arguments that tracepoint @name hands over; 0 if this kernel has no such tracepoint. */
unsigned int features__tracepoint_args(const struct btf *btf, const char *name);

/* Bytes that the kernel leaves free above the saved registers, at the top of a task's stack. */
unsigned int features__stack_padding(const struct btf *btf);

/*
 * Where in each CPU's area of the kernel's own variables its run queue lies, whose first member is
 * its lock: bytes; 0 if that is not told.
 */
unsigned int features__run_queue(const struct btf *btf);

/*
 * Areas of CPUs begin at multiples of this: pcpu_embed_first_chunk() divides PMD_SIZE by a power of
 * two, but not below what the kernel's variables take, which is 128 KiB and more. 0: at multiples
 * of less than that, so that an address does not tell.
 */
#if defined(__x86_64__)
#define FEATURES_CPU_AREA (1U << 18)
#else
#define FEATURES_CPU_AREA 0
#endif

#endif
