/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The normal form of an SQL statement: what is left when literals, letter case, comments and white
 * space are taken out. No literal of the statement is in it.
 */
#ifndef DWELL_FINGERPRINT_H
#define DWELL_FINGERPRINT_H

#include <stdbool.h>
#include <stddef.h>

#include "../../include/sqlscan.h"

/*
 * Writes the normal form of @sql to @dst (at most @size bytes, its end included; cut at a token if
 * it is longer, with "…" behind it). @truncated: @sql is the begin of a longer statement; its last
 * token is left out, for it may be part of a literal, and "…" follows.
 *
 * Numbers, strings of all kinds and parameters become "?", lists of only these "(?+)", whatever
 * their length, and several such rows behind VALUES one; unquoted words are in lower case.
 */
void fingerprint__sql(char *dst, size_t size, const char *sql, bool truncated);

/* The table of the kernel side's scanner: sqlscan.h. */
void fingerprint__scan_table(struct sqlscan *scan);

#endif
