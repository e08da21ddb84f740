/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Programs are loaded side by side: what the kernel's verifier does with them is most of the time
 * until the first event, and libbpf has it do one after the other. And maps that are memory are
 * made so: CONFIG_MEMORY.
 */
#ifndef DWELL_LOADER_H
#define DWELL_LOADER_H

#include <bpf/libbpf.h>

struct btf;
struct loader;

/*
 * Objects that are opened from here on are for loader__load(). At most one loader at a time, since
 * libbpf keeps what it registers for all. NULL with errno.
 */
struct loader *loader__new(void);

/*
 * Loads @obj as bpf_object__load() does. @kernel: the running kernel's own types, or NULL. 0 or
 * -errno; -ENOENT: one of its tracepoints is not among those. With -v the verifier's word on a
 * program that it refuses goes to stderr.
 */
int loader__load(struct loader *l, struct bpf_object *obj, const struct btf *kernel);

/* When all objects of its are closed. NULL is none. */
void loader__free(struct loader *l);

#endif
