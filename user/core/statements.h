/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the numbers of `query` stand for: texts of statements, names of databases and of waits. */
#ifndef DWELL_STATEMENTS_H
#define DWELL_STATEMENTS_H

#include "core/session.h"
#include "query.h"

/* The JSON key of an enum query_db. */
const char *statements__db(uint32_t aux);

/*
 * The normal form of the statement with this fingerprint; @aux: enum query_db, and flags (see
 * tally_key.aux in query.h). *@sample, if asked for, is one such statement with its literals. NULL
 * without memory.
 */
const char *statements__normal(struct session *s, uint64_t fingerprint, uint32_t aux,
			       const char **sample);

/* "cpu 71%, disk 20%": the longest few of @total_ns; "" if none counts. NULL without memory. */
const char *statements__states(struct session *s, const uint64_t states[NR_STATES],
			       uint64_t total_ns);
/* The same of the server's own classes. */
const char *statements__waits(struct session *s, const uint64_t waits[NR_WAITS], uint64_t total_ns);

/* By JSON key, those that are not 0. Items are NULL without memory. */
struct table_list statements__wait_list(struct session *s, const uint64_t waits[NR_WAITS]);

/* The entries of a hash map that are wanted: as many keys as values, in the arena. */
struct statements_map {
	void *keys;
	void *values;
	size_t n;
};

/*
 * Reads them; with intervals those leave the map, since the next epoch but one uses their keys
 * again. EXIT_FAIL without memory.
 */
enum dwell_exit statements__take(struct session *s, const char *map, size_t key_size,
				 size_t value_size, bool (*wanted)(const void *key, uint32_t bank),
				 struct statements_map *out);

#endif
