/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The stacks that the kernel side has kept (include/stack.h), as frames and their names. */
#ifndef DWELL_FRAMES_H
#define DWELL_FRAMES_H

#include "core/session.h"
#include "stack.h"

/* All that is known of a frame, for JSON. */
struct frame {
	const char
		*kind; /* "user", "kernel", "inlined", or "note": no frame, but what is missing */
	const char *symbol; /* NULL: not known, as in all others */
	const char *module; /* "libc.so.6", "[vdso]"; "[kernel]" and its modules, "[ext4]" */
	uint64_t offset;    /* bytes from the symbol's start, or TABLE_UNKNOWN */
	uint64_t address;   /* sym_frame.module_offset, or TABLE_UNKNOWN */
	const char *file;   /* with --lines */
	uint64_t line;      /* 1 and up, or TABLE_UNKNOWN */
};

extern const struct column frame_columns[];

/* The column @name of the frames that are in @field, a struct table_list, of @row. */
#define FRAMES_COLUMN(name, row, field)                                                            \
	{                                                                                          \
		.key = name, .type = COL_LIST, .offset = offsetof(row, field),                     \
		.sub = frame_columns, .sub_size = sizeof(struct frame),                            \
	}

/*
 * The names of the frames of @id (user stack << 32 | kernel stack) of process @tgid, innermost
 * first, kernel before user, ended by NULL; what is missing is told in brackets. NULL without
 * memory. In *@frames, unless that is NULL: for each name its struct frame.
 */
const char **frames__names(struct session *s, uint32_t tgid, uint64_t id,
			   struct table_list *frames);

/* Adds @count waits with the stacks @id to the report's account of how user stacks end. */
void frames__count(struct session *s, uint64_t id, uint64_t count, struct report *report);

/*
 * What kind of a lock @names wait for, told by the function that waits: for locks of runtimes and
 * servers whose futex words, semaphores and condition variables don't say that they are. NULL if it
 * is none of them.
 */
const char *frames__lock(const char *const *names);

/* Is it a thread of Go's that has no goroutine to run? */
bool frames__idle_goroutines(const char *const *names);

/*
 * The innermost frame of @names that asks for a lock and is not part of the lock itself: not of
 * the C library, nor of what C++, Rust, Go, Java and Python lock with. NULL if there is none.
 */
const char *frames__caller(const char *const *names);

#endif
