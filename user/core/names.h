/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What a tally's key means, in words. */
#ifndef DWELL_NAMES_H
#define DWELL_NAMES_H

#include "core/accounts.h"
#include "core/arena.h"
#include "core/object.h"
#include "tally.h"

const char *names__state(enum dwell_state state);      /* "disk" */
const char *names__state_text(enum dwell_state state); /* "waits for the disk" */
bool names__state_idle(enum dwell_state state);
/*
 * "disk 71%, cpu 20%": the longest of @ns (by state, NR_STATES of them), at most @max, from
 * @percent of their sum on; the first always. NULL without memory.
 */
const char *names__states(const uint64_t *ns, unsigned int max, unsigned int percent,
			  struct arena *arena);
const char *names__kind(enum cause_kind kind); /* "file" */

/* What a lock's name ends in if nobody is known to have had it. */
#define NAMES_NO_HOLDER ", holder not known"
/* The path that the kernel side kept under @key; NULL if none, or without memory. */
char *names__path_of(const struct object *o, const struct name_key *key, struct arena *arena);

/*
 * "pread64 /var/lib/x", "mutex 0x55d0… held by 4243 (writer)", "postgres (812)". @tgid: the process
 * that waited, 0 if several. Never NULL but without memory.
 */
const char *names__cause(const struct object *o, const struct accounts *accounts,
			 const struct tally_key *key, uint32_t tgid, struct arena *arena);

/*
 * The path that was kept under @key; if that begins at the root of a file system, with the place
 * where the one on device @dev is mounted before it ("[8:1]" if it is nowhere). NULL if there is
 * none, or without memory.
 */
const char *names__kept_path(const struct object *o, const struct name_key *key, uint32_t dev,
			     struct arena *arena);

/* Which kernel lock it is by tally_key.aux of CAUSE_KLOCK: "mmap_lock"; NULL if not known. */
const char *names__klock_class(uint32_t aux);
const char *names__klock_type(uint32_t aux); /* "kernel rwsem (read)" */

/* The command name behind a key of kind CAUSE_TASK. NULL without memory. */
const char *names__task(const struct object *o, const struct accounts *accounts,
			const struct tally_key *key, struct arena *arena);

/* The path of the cgroup v2 @id, or its id if it is gone. NULL without memory. */
const char *names__cgroup_id(uint64_t id, struct arena *arena);

/* The path of an account's cgroup, or its id if its process is gone. NULL without memory. */
const char *names__cgroup(const struct account *account, struct arena *arena);

#endif
