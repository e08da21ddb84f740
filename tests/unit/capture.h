/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What a function prints on a descriptor or a FILE, as a string. */
#ifndef TESTS_CAPTURE_H
#define TESTS_CAPTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CAPTURE_MAX 65536

struct capture {
	int fd, saved;
	FILE *file;
	char text[CAPTURE_MAX];
};

static inline void capture__begin(struct capture *c, int fd)
{
	fflush(NULL);
	c->fd = fd;
	c->saved = dup(fd);
	c->file = tmpfile();
	if (c->saved < 0 || !c->file || dup2(fileno(c->file), fd) < 0)
		abort();
}

static inline const char *capture__end(struct capture *c)
{
	size_t len;

	fflush(NULL);
	if (dup2(c->saved, c->fd) < 0)
		abort();
	close(c->saved);
	rewind(c->file);
	len = fread(c->text, 1, sizeof(c->text) - 1, c->file);
	c->text[len] = '\0';
	fclose(c->file);
	return c->text;
}

#endif
