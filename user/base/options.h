/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Options as data: a table says which option fills which field of a struct. GNU argp parses:
 * "-p 1", "-p1", "-abc", "--pid 1", "--pid=1", unambiguous abbreviations of long names, "--".
 */
#ifndef DWELL_OPTIONS_H
#define DWELL_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum option_type {
	OPT_FLAG,     /* bool: true when given */
	OPT_U32,      /* uint32_t in [min, max] */
	OPT_U64,      /* uint64_t in [min, max] */
	OPT_DURATION, /* uint64_t ns in [min, max] */
	OPT_STR,      /* const char *: points into argv */
	OPT_U32_LIST, /* struct option_list */
	OPT_CHOICE,   /* uint32_t: the index in @choices */
};

#define OPTION_LIST_MAX 256

struct option_list {
	uint32_t n;
	uint32_t value[OPTION_LIST_MAX];
};

struct opt {
	int short_name;        /* 'p', or 0: long only */
	const char *long_name; /* "pid" */
	const char *arg; /* "PID[,PID...]", ASCII: --help aligns by bytes; NULL for OPT_FLAG */
	enum option_type type;
	size_t offset;              /* of the field in the struct that is filled */
	uint64_t min, max;          /* max 0: no upper bound */
	const char *const *choices; /* NULL-terminated, OPT_CHOICE */
	const char *help;
	int group; /* argp's, from 1: what stands together in --help; 0: as the option before */
};

/* Ends with an all-zero element. */
#define OPTION_END                                                                                 \
	{                                                                                          \
		0                                                                                  \
	}

/* One table and the struct that it fills. */
struct option_set {
	const struct opt *options;
	void *target;
};

struct options {
	const char *command;           /* "why": messages begin "dwell: why: " */
	const char *summary;           /* for --help */
	const char *examples;          /* lines printed under --help; may be NULL */
	const struct option_set *sets; /* ends with options == NULL */
};

/*
 * Parses argv (argv[0] is the command's name). Operands are allowed only after "--", which ends the
 * options: *@rest is then the index of the first one; otherwise 0. An operand elsewhere, a bad
 * number, an option that is unknown, nothing behind "--": one line on stderr with the option's name
 * and what it takes, and EXIT_USAGE. --help (-h, unless a table has another -h) prints on stdout
 * and sets *@done (the caller leaves with EXIT_OK). Nothing here calls exit().
 *
 * Of an option that is given twice the last counts; an OPT_U32_LIST appends, without duplicates.
 */
enum dwell_exit options__parse(const struct options *o, int argc, char **argv, int *rest,
			       _Bool *done);

#endif
