/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Data that xz packed: dwell's own BPF objects, and symbols in programs (.gnu_debugdata). */
#ifndef DWELL_XZ_H
#define DWELL_XZ_H

#include <stddef.h>

/*
 * Unpacks the @n bytes at @packed into memory that the caller frees: *@data, *@bytes. 0; -EINVAL:
 * not an .xz file, a damaged one, or one of more than @max bytes; -ENOMEM.
 */
int xz__unpack(const void *packed, size_t n, size_t max, void **data, size_t *bytes);

#endif
