/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The accounts of one epoch: what threads handed over, added up by row. */
#ifndef DWELL_ACCOUNTS_H
#define DWELL_ACCOUNTS_H

#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "base/err.h"
#include "config.h"
#include "thread.h"

/* A process, thread, command or cgroup. */
struct account {
	uint64_t row; /* thread_rec.row, also in tally keys */
	uint64_t cgroup;
	uint32_t tgid;
	uint32_t tid;
	uint32_t threads; /* that lived in the epoch, and… */
	uint32_t exited;  /* …that ended in it */
	char comm[THREAD_COMM + 1];
	uint64_t wall_ns; /* of all its threads: the sum of ns[] */
	uint64_t ns[NR_STATES];
	const char *cgroup_path; /* ident__set(): NULL until asked for */
	UT_hash_handle hh;
};

#define ACCOUNTS_NAMES 16384

/* The command name of a thread, kept after its end. */
struct account_name {
	uint32_t tid;
	char comm[THREAD_COMM + 1];
	UT_hash_handle hh;
};

struct accounts {
	struct account *by_row;
	struct account_name *by_tid;
	uint32_t names;  /* kept in by_tid, at most ACCOUNTS_NAMES */
	uint32_t n, max; /* rows kept, and at most */
	uint64_t lost;   /* records whose row found no room */
};

/* Adds one record; 0 or -ENOMEM. */
int accounts__add(struct accounts *a, const struct thread_rec *rec);
struct account *accounts__find(const struct accounts *a, uint64_t row);
/* The command name of a thread that was accounted for, or NULL. */
const char *accounts__comm(const struct accounts *a, uint32_t tid);
void accounts__reset(struct accounts *a);

#endif
