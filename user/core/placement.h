/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Where in a function a uprobe is cheap: on an instruction that the kernel emulates a hit costs
 * well under 1 µs, on one that it must single-step some 20 µs (arch/x86/kernel/uprobes.c).
 */
#ifndef DWELL_PLACEMENT_H
#define DWELL_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a function that are worth handing over. */
#define PLACEMENT_CODE 4096

struct placement {
	uint32_t offset; /* from the function's begin, bytes */
	bool emulated;   /* false: no such place was found, and it is the begin */
};

/*
 * The first instruction of the x86-64 function @code (@size bytes of it, hostile perhaps) that is
 * emulated, is come by on every call and only once, and finds the first @args (at most 6) arguments
 * in their registers; if @returns, with the return address on top of the stack, which a probe on
 * the return replaces.
 */
struct placement placement__find(const uint8_t *code, size_t size, unsigned int args, bool returns);

#endif
