/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Who a row is of: the process, thread, command or cgroup; the same columns in every command. */
#ifndef DWELL_IDENT_H
#define DWELL_IDENT_H

#include "core/session.h"

struct ident {
	uint32_t pid;
	uint32_t tid;
	const char *comm; /* NULL where a row is of no thread's (--by cpu) */
	const char *cgroup;
};

/* The row of tallies and accounts with id @row. All zero if nobody has accounted for it. */
enum dwell_exit ident__set(struct session *s, uint64_t row, struct ident *id);

/* "demo (2450)", or the command or cgroup alone where rows are by that; NULL without memory. */
const char *ident__label(struct session *s, const struct ident *id);

/* The columns of @member, a struct ident, in rows of @row_type. */
/* clang-format off */
#define IDENT_COLUMNS(row_type, member)                                                           \
	{.name = "PID", .key = "pid", .type = COL_U32,                                            \
	 .offset = offsetof(row_type, member.pid), .only = ONLY(PROCESS) | ONLY(THREAD)},         \
	{.name = "TID", .key = "tid", .type = COL_U32,                                            \
	 .offset = offsetof(row_type, member.tid), .only = ONLY(THREAD)},                         \
	{.name = "COMMAND", .key = "comm", .type = COL_STR, .max_columns = 15,                    \
	 .offset = offsetof(row_type, member.comm),                                               \
	 .only = ONLY(PROCESS) | ONLY(THREAD) | ONLY(COMM)},                                      \
	{.name = "CGROUP", .type = COL_STR, .max_columns = 40,                                    \
	 .offset = offsetof(row_type, member.cgroup), .only = ONLY(CGROUP)},                      \
	{.key = "cgroup", .type = COL_STR, .offset = offsetof(row_type, member.cgroup),           \
	 .only = ONLY(PROCESS) | ONLY(THREAD) | ONLY(COMM) | ONLY(CGROUP)}
/* clang-format on */

#endif
