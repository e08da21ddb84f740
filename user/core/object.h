/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The kernel side of a run: loading, attaching, and the memory that both sides share. */
#ifndef DWELL_OBJECT_H
#define DWELL_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include <bpf/libbpf.h>

#include "base/err.h"
#include "config.h"
#include "core/features.h"
#include "core/tool.h"
#include "hist.h"

enum object_attach {
	ATTACH_AUTO, /* tp_btf, and raw tracepoints where that cannot be loaded */
	ATTACH_TP_BTF,
	ATTACH_RAW_TP,
};

/* How big the maps are to be, in entries. */
struct object_sizes {
	uint32_t tallies; /* also config.slots */
	uint32_t names;
	uint32_t stacks;
	uint32_t threads;    /* raw tracepoints only: clocks */
	uint32_t ring_bytes; /* a power of two */
};

#define OBJECT_LINKS 16

struct object {
	struct bpf_object *obj;
	struct bpf_link *link[OBJECT_LINKS];
	unsigned int links;
	bool raw;              /* which variant it is */
	bool has[NR_FEATURES]; /* this kernel */
	bool blind_to_klock; /* there is no telling here, but for the kernel's lack of a feature */
	volatile struct window *window;
	struct hist *tallies; /* banks * slots of them */
	size_t tallies_bytes;
};

/*
 * Loads @from with @config, in the first variant that this kernel takes. @btf: a file to use
 * instead of the kernel's own BTF, or NULL. Without privilege or support: EXIT_UNSUPPORTED.
 */
enum dwell_exit object__load(struct object *o, const struct tool_object *from,
			     enum object_attach how, const char *btf, struct config *config,
			     const struct object_sizes *sizes, const struct option_list *targets);

/* Attaches every program but the iterators. From here on events are seen. */
enum dwell_exit object__attach(struct object *o);

/* The descriptor of a map; a map that is not there is a bug: asserts. */
int object__map_fd(const struct object *o, const char *name);
bool object__has_map(const struct object *o, const char *name);

/*
 * Runs iterator @name over all tasks and passes what it writes, in records of @size bytes, to @fn,
 * which returns 0 to go on. @fn may be NULL.
 */
enum dwell_exit object__iterate(struct object *o, const char *name, size_t size,
				enum dwell_exit (*fn)(const void *rec, void *arg), void *arg);

/* Detaches everything and frees it; @o may be all zero. */
void object__free(struct object *o);

#endif
