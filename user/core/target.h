/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What is measured: what the user named, checked, and turned into the kernel side's filters. */
#ifndef DWELL_TARGET_H
#define DWELL_TARGET_H

#include <stdbool.h>

#include "base/err.h"
#include "base/options.h"
#include "config.h"

struct target {
	/* as given; at most one kind */
	struct option_list pids;
	struct option_list tids;
	const char *comm;
	const char *cgroup;
	bool all;
	char **program; /* argv behind "--", or NULL */
	/* set by target__resolve() */
	char text[160];         /* "pid 4242 (postgres)" */
	struct option_list ids; /* FILTER_TGIDS, FILTER_TIDS */
};

/*
 * Checks @t and fills in the filter fields of @config. More than one kind: EXIT_USAGE. A process,
 * thread or cgroup that does not exist: EXIT_FAIL. @program_pid: the process behind "--", or 0.
 */
enum dwell_exit target__resolve(struct target *t, int program_pid, struct config *config);

#endif
