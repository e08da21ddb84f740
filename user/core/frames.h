/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The stacks that the kernel side has kept (include/stack.h), as names of frames. */
#ifndef DWELL_FRAMES_H
#define DWELL_FRAMES_H

#include "core/session.h"
#include "stack.h"

/* At most as many names as frames__names() gives, its end included. */
#define FRAMES_MAX (2 * STACK_FRAMES + 4)

/*
 * The frames of @id (user stack << 32 | kernel stack) of process @tgid, innermost first, kernel
 * before user, ended by NULL; what is missing is told in brackets. NULL without memory.
 */
const char **frames__names(struct session *s, uint32_t tgid, uint64_t id);

/* Adds @count waits with the stacks @id to the report's account of how user stacks end. */
void frames__count(struct session *s, uint64_t id, uint64_t count, struct report *report);

#endif
