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

enum sql_dialect {
	SQL_POSTGRESQL,
	SQL_MYSQL, /* MariaDB's, too: as they are without ANSI_QUOTES and NO_BACKSLASH_ESCAPES */
	SQL_SQLITE,
	NR_DIALECTS,
	SQL_NONE = NR_DIALECTS, /* Redis' commands: fingerprint__command() */
};

/*
 * Writes the normal form of @sql to @dst (at most @size bytes, its end included; cut at a token if
 * it is longer, with "…" behind it). @truncated: @sql is the begin of a longer statement; its last
 * token is left out, for it may be part of a literal, and "…" follows.
 *
 * Numbers, strings of all kinds and parameters become "?", lists of only these "(?+)", whatever
 * their length, and several such rows behind VALUES or in a list one; unquoted words are in lower
 * case. The names of savepoints, cursors and prepared statements in what is about these are "?",
 * for programs make them up; ASC goes, and so does OFFSET behind LIMIT.
 */
void fingerprint__sql(enum sql_dialect dialect, char *dst, size_t size, const char *sql,
		      bool truncated);

/*
 * The same for a command of Redis of @argc words, which are in @text as query.h has it: "GET ?",
 * "CONFIG GET ?", and from REDIS_SHAPES words on "MSET ?+". With @literals: as it was sent, as far
 * as it was kept.
 */
void fingerprint__command(char *dst, size_t size, const char *text, unsigned int argc,
			  bool literals);

/* The table of the kernel side's scanner: sqlscan.h. */
void fingerprint__scan_table(enum sql_dialect dialect, struct sqlscan *scan);

#endif
