/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The program behind "--": made at once, so that it can be watched, and let go when that is so. */
#ifndef DWELL_LAUNCH_H
#define DWELL_LAUNCH_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct launch {
	pid_t pid;
	int pidfd;  /* readable when the program has ended */
	int gate;   /* one byte written here lets it go */
	int failed; /* what exec said comes from here */
	int status; /* as from wait(2), after launch__reap() */
	bool released;
	bool ended;
};

#define LAUNCH_NONE                                                                                \
	(struct launch)                                                                            \
	{                                                                                          \
		.pidfd = -1, .gate = -1, .failed = -1                                              \
	}

/*
 * The file that execvp() would run, and what it would say, as far as can be told before: so that a
 * slip of the pen is answered at once, and not when everything is loaded. 0 or -errno.
 */
int launch__find(const char *file, char path[PATH_MAX]);

/* Forks a child that waits at the gate. */
enum dwell_exit launch__prepare(struct launch *l, char **argv);
/* Lets it execute the program. EXIT_FAIL if that cannot be executed. */
enum dwell_exit launch__release(struct launch *l, char **argv);
/* Takes the exit status of a program that has ended. */
void launch__reap(struct launch *l);
/* What a shell would have as exit status; 0 while it runs. */
int launch__exit_status(const struct launch *l);
/* Kills the child only if it still waits at the gate. */
void launch__free(struct launch *l);

#endif
