/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Where the kernel can make any address a pointer for programs to follow (bpf_rdonly_cast()), the
 * calls of it: bpf/lib/peek.bpf.h has why, CONFIG_PEEK_CALL what stands in their place.
 */
#ifndef DWELL_CORE_PEEK_H
#define DWELL_CORE_PEEK_H

#include <stddef.h>
#include <stdint.h>

struct btf;
struct config;

/*
 * Says in @config that programs may call it. @kernel: the running kernel's own types, since their
 * numbers are meant. The number of the function, for peek__write(); 0: programs do not.
 */
uint32_t peek__prepare(const struct btf *kernel, struct config *config);

/* Writes the calls of @function into @elf, a file of programs; anything else stays as it is. */
void peek__write(void *elf, size_t size, uint32_t function);

#endif
