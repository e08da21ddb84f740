/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Messages and exit statuses.
 *
 * Two conventions hold everywhere in user/:
 *  - a function that returns `int` and is documented "0 or -errno" prints nothing;
 *  - a function that returns `enum dwell_exit` has already said on stderr why it failed, in one
 *    line that begins with "dwell: ". Its value becomes the exit status of the process.
 */
#ifndef DWELL_ERR_H
#define DWELL_ERR_H

enum dwell_exit {
	EXIT_OK = 0,
	EXIT_FAIL = 1,        /* runtime failure */
	EXIT_USAGE = 2,       /* the command line is wrong */
	EXIT_UNSUPPORTED = 3, /* not permitted or not supported here */
	EXIT_THRESHOLD = 99,  /* a threshold of the user's was breached */
};

enum log_level {
	LOG_QUIET = 0, /* errors only */
	LOG_NOTE = 1,  /* the default: errors and notes */
	LOG_DEBUG = 2, /* -v */
};

void log__set_level(enum log_level level);
enum log_level log__level(void);

/* Each prints "dwell: " MESSAGE "\n" on stderr in a single write, and returns what its name says.
 */
enum dwell_exit err__fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), cold));
enum dwell_exit err__usage(const char *fmt, ...) __attribute__((format(printf, 1, 2), cold));
enum dwell_exit err__unsupported(const char *fmt, ...) __attribute__((format(printf, 1, 2), cold));

/* "dwell: MESSAGE"; shown from LOG_NOTE and LOG_DEBUG on. */
void log__note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log__debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
