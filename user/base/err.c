// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "base/err.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define MESSAGE_MAX 4096

/* The only mutable global of dwell: set once by main(), read from any thread. */
static _Atomic int current_level = LOG_NOTE;

void log__set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, level, memory_order_relaxed);
}

enum log_level log__level(void)
{
	return atomic_load_explicit(&current_level, memory_order_relaxed);
}

/*
 * A message is one line: names and paths that others chose can't forge a second one, nor reach the
 * terminal as control sequences. Needs no memory, since it must work when there is none.
 */
static void say(const char *fmt, va_list args)
{
	static const char prefix[] = "dwell: ", cut[] = "…";
	char text[MESSAGE_MAX], line[sizeof(prefix) + sizeof(text) + 1];
	size_t len;
	int n;

	n = vsnprintf(text, sizeof(text), fmt, args);
	if (n < 0)
		str__copy(text, sizeof(text), fmt);
	else if ((size_t)n >= sizeof(text))
		memcpy(text + sizeof(text) - sizeof(cut), cut, sizeof(cut));
	len = strlen(text);
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	memcpy(line, prefix, sizeof(prefix));
	str__printable(line + sizeof(prefix) - 1, sizeof(text), text, 0);
	len = strlen(line);
	line[len++] = '\n';
	fwrite(line, 1, len, stderr); /* a failure has nowhere else to be reported */
}

#define SAY(fmt)                                                                                   \
	do {                                                                                       \
		va_list args;                                                                      \
                                                                                                   \
		va_start(args, fmt);                                                               \
		say(fmt, args);                                                                    \
		va_end(args);                                                                      \
	} while (0)

enum dwell_exit err__fail(const char *fmt, ...)
{
	SAY(fmt);
	return EXIT_FAIL;
}

enum dwell_exit err__usage(const char *fmt, ...)
{
	SAY(fmt);
	return EXIT_USAGE;
}

enum dwell_exit err__unsupported(const char *fmt, ...)
{
	SAY(fmt);
	return EXIT_UNSUPPORTED;
}

void log__note(const char *fmt, ...)
{
	if (log__level() >= LOG_NOTE)
		SAY(fmt);
}

void log__debug(const char *fmt, ...)
{
	if (log__level() >= LOG_DEBUG)
		SAY(fmt);
}
