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
#include "core/shared.h"
#include "core/tool.h"
#include "hist.h"
#include "tally.h"

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
	uint32_t requests; /* block requests under way: a power of two */
	uint32_t threads;
	uint32_t clocks;     /* threads that have one at once */
	uint32_t ring_bytes; /* a power of two */
};

#define OBJECT_LINKS 16
#define OBJECT_PARTS 8

/* enum bpf_attach_type: BPF_TRACE_UPROBE_MULTI, which older headers do not have */
#define OBJECT_UPROBE_MULTI 48

struct object {
	struct loader *loader;
	struct bpf_object *obj;
	struct bpf_object *part[OBJECT_PARTS]; /* by tool_object.parts; NULL: not loaded */
	const char *btf;                       /* a file with the kernel's types, or NULL */
	int types_fd; /* those that the object opened last asks for; 0: none was yet */
	struct bpf_link *link[OBJECT_LINKS];
	unsigned int links;
	bool raw;              /* which variant it is */
	bool has[NR_FEATURES]; /* this kernel */
	bool blind_to_klock;  /* there is no telling here, but for the kernel's lack of a feature */
	uint32_t run_queue;   /* features__run_queue(), if locks of the kernel are looked at */
	uint32_t peek;        /* patch__prepare() */
	struct config config; /* what is written into programs: patch__write() */
	bool bio_ends;        /* this kernel tells of bios' ends… */
	bool rq_merge;        /* …of requests that are merged… */
	bool rq_get;          /* …and of bios that get one */
	const char *uring_submit; /* its tracepoint of io_uring's submissions; NULL: none to use */
	volatile struct window *window;
	struct shared tallies; /* banks * slots of struct hist */
	struct shared states;  /* as many of struct tally_states, where the object has them */
};

/*
 * Loads @from with @config, in the first variant that this kernel takes. @btf: a file to use
 * instead of the kernel's own BTF, or NULL. Without privilege or support: EXIT_UNSUPPORTED.
 */
enum dwell_exit object__load(struct object *o, const struct tool_object *from,
			     enum object_attach how, const char *btf, struct config *config,
			     const struct object_sizes *sizes, const struct option_list *targets);

/*
 * Loads number @part of the loaded object @from's parts, if that was not done yet. 0 or -errno
 * (-EPERM: not permitted; others: the kernel does not take it). Its uprobes
 * are for uprobe_multi where the kernel has that.
 */
int object__load_part(struct object *o, const struct tool_object *from, unsigned int part);

/* The programs of the object and of its loaded parts: that after @before, or NULL. */
struct bpf_program *object__next_program(const struct object *o, struct bpf_program *before);

/*
 * Attaches every program but iterators, what the parts have, and what LOCK_CAUSES of @config leaves
 * for later. From here on events are seen.
 */
enum dwell_exit object__attach(struct object *o, const struct config *config);

/* With LOCK_CAUSES: from here on it is seen who has locks. Once is enough. */
enum dwell_exit object__follow_holders(struct object *o);

/* The descriptor of a map; a map that is not there is a bug: asserts. */
int object__map_fd(const struct object *o, const char *name);
bool object__has_map(const struct object *o, const char *name);

/* Opens array @name, of @n elements of @size bytes, for shared__at(). 0 or -errno. */
int object__share(const struct object *o, const char *name, size_t n, size_t size,
		  struct shared *shared);

/* The same, and maps all of it at shared->at. */
int object__share_all(const struct object *o, const char *name, size_t n, size_t size,
		      struct shared *shared);

/*
 * Runs iterator @name over all tasks and passes what it writes, in records of @size bytes, to @fn,
 * which returns 0 to go on. @fn may be NULL.
 */
enum dwell_exit object__iterate(struct object *o, const char *name, size_t size,
				enum dwell_exit (*fn)(const void *rec, void *arg), void *arg);

/* Detaches everything and frees it; @o may be all zero. */
void object__free(struct object *o);

#endif
