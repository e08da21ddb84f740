/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What is written into the programs before libbpf sees them: constants that they are compiled for
 * here and now (CONFIG() in bpf/lib/compat.bpf.h), and, where the kernel can make any address a
 * pointer for programs to follow (bpf_rdonly_cast()), the calls of it: bpf/lib/peek.bpf.h has why,
 * CONFIG_PEEK_CALL what stands in their place.
 */
#ifndef DWELL_CORE_PATCH_H
#define DWELL_CORE_PATCH_H

#include <stddef.h>
#include <stdint.h>

struct btf;
struct config;

/*
 * Says in @config by which types programs may call it. @kernel: the running kernel's own, since
 * their numbers are meant. The number of the function, for patch__write(); 0: programs do not.
 */
uint32_t patch__prepare(const struct btf *kernel, struct config *config);

/*
 * Writes @config's constants and the calls of @function, if it is not 0, into @elf, a file of
 * programs; anything else stays as it is. 0 or -EINVAL: it is no such file, and must not be loaded.
 */
int patch__write(void *elf, size_t size, uint32_t function, const struct config *config);

#endif
