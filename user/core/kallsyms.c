/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
#include "core/kallsyms.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/sym.h"

/* What follows the last function of the kernel or of a module is not a part of it. */
#define FUNCTION_MAX (1U << 20)
#define READ_BYTES   (64U << 10)

struct kallsyms {
	struct symtab table;
	char *names; /* "NAME\0MODULE\0", MODULE empty for the kernel proper */
	size_t bytes, max;
	bool seen_address; /* other than 0 */
};

/* A line, split; @name and @module are not terminated. */
struct line {
	uint64_t addr;
	char type;
	const char *name, *module;
	size_t name_len, module_len;
};

static const char *parse_hex(const char *s, const char *end, uint64_t *value)
{
	const char *start = s;

	for (*value = 0; s < end; s++) {
		unsigned int digit;

		if (*s >= '0' && *s <= '9')
			digit = *s - '0';
		else if (*s >= 'a' && *s <= 'f')
			digit = *s - 'a' + 10;
		else
			break;
		*value = *value << 4 | digit;
	}
	return s > start && s - start <= 16 ? s : NULL;
}

/* "ADDRESS TYPE NAME", or the same and "\tMODULE". */
static int parse_line(const char *s, const char *end, struct line *l)
{
	const char *tab;

	s = parse_hex(s, end, &l->addr);
	if (!s || end - s < 4 || s[0] != ' ' || s[2] != ' ')
		return -EINVAL;
	l->type = s[1];
	l->name = s + 3;
	tab = memchr(l->name, '\t', end - l->name);
	l->name_len = (tab ? tab : end) - l->name;
	l->module = tab ? tab + 1 : end;
	l->module_len = end - l->module;
	return 0;
}

static bool has_prefix(const struct line *l, const char *prefix)
{
	size_t len = strlen(prefix);

	return l->name_len >= len && memcmp(l->name, prefix, len) == 0;
}

/* Every function may have a symbol for the padding before it: half of all symbols, never in a
 * stack. */
static bool is_wanted(const struct line *l)
{
	return memchr("tTwW", l->type, 4) && !has_prefix(l, "__pfx_") && !has_prefix(l, "__cfi_");
}

static uint32_t rank_of(char type)
{
	if (type == 'T')
		return SYM_GLOBAL | SYM_NO_SIZE;
	return (type == 't' ? SYM_LOCAL : SYM_WEAK) | SYM_NO_SIZE;
}

static int reserve(struct kallsyms *k, size_t bytes)
{
	size_t max = k->max ? k->max : READ_BYTES;
	char *names;

	while (max - k->bytes < bytes)
		max += max / 2;
	if (max > UINT32_MAX)
		return -EFBIG;
	if (max == k->max)
		return 0;
	names = realloc(k->names, max);
	if (!names)
		return -ENOMEM;
	k->names = names;
	k->max = max;
	return 0;
}

static void append(struct kallsyms *k, const char *s, size_t len)
{
	memcpy(k->names + k->bytes, s, len);
	k->bytes += len;
	k->names[k->bytes++] = '\0';
}

static int add_line(struct kallsyms *k, const char *s, const char *end)
{
	struct line l;
	uint32_t name = k->bytes;
	int err = parse_line(s, end, &l);

	if (err || !is_wanted(&l))
		return err;
	k->seen_address |= l.addr != 0;
	err = reserve(k, l.name_len + l.module_len + 2);
	if (err)
		return err;
	append(k, l.name, l.name_len);
	append(k, l.module, l.module_len);
	return symtab__add(&k->table, l.addr, FUNCTION_MAX, rank_of(l.type), name);
}

/* Takes the whole lines off the first *@len bytes of @buf. */
static int add_lines(struct kallsyms *k, char *buf, size_t *len)
{
	char *s = buf, *end = buf + *len, *newline;
	int err = 0;

	while (!err && (newline = memchr(s, '\n', end - s))) {
		err = add_line(k, s, newline);
		s = newline + 1;
	}
	*len = end - s;
	memmove(buf, s, *len);
	return err;
}

static int read_lines(struct kallsyms *k, int fd, char *buf)
{
	size_t len = 0;
	int err = 0;

	while (!err) {
		ssize_t got = read(fd, buf + len, READ_BYTES - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return len ? -EINVAL : 0;
		len += got;
		err = add_lines(k, buf, &len);
		if (!err && len == READ_BYTES)
			return -EINVAL;
	}
	return err;
}

static int read_file(struct kallsyms *k, const char *path)
{
	char *buf = malloc(READ_BYTES);
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	if (!buf)
		err = -ENOMEM;
	else if (fd < 0)
		err = -errno;
	else
		err = read_lines(k, fd, buf);
	if (fd >= 0)
		close(fd);
	free(buf);
	return err;
}

static void give_back(struct kallsyms *k)
{
	char *names = realloc(k->names, k->bytes);

	if (names) {
		k->names = names;
		k->max = k->bytes;
	}
}

struct kallsyms *kallsyms__load(const char *path, int *err)
{
	struct kallsyms *k = calloc(1, sizeof(*k));

	*err = k ? read_file(k, path) : -ENOMEM;
	if (!*err && k->table.n == 0)
		*err = -ENODATA;
	if (!*err && !k->seen_address)
		*err = -EPERM;
	if (*err) {
		kallsyms__free(k);
		return NULL;
	}
	give_back(k);
	symtab__sort(&k->table);
	return k;
}

/* Labels behind the last function of a section; kept so that it doesn't seem to reach further. */
static bool is_end_label(const char *name)
{
	return strcmp(name, "_etext") == 0 || strcmp(name, "_einittext") == 0;
}

const char *kallsyms__find(const struct kallsyms *k, uint64_t addr, uint64_t *offset,
			   const char **module)
{
	const struct sym_row *best = NULL;
	const char *name = NULL;
	size_t first, n = symtab__find(&k->table, addr, &first);

	for (size_t i = first; n > 0; n--, i++) {
		const struct sym_row *row = &k->table.rows[i];
		const char *other = k->names + row->name;

		if (best && !symtab__better(other, row->rank, name, best->rank))
			continue;
		best = row;
		name = other;
	}
	if (!best || is_end_label(name))
		return NULL;
	*offset = addr - best->addr;
	*module = name + strlen(name) + 1;
	if (**module == '\0')
		*module = NULL;
	return name;
}

size_t kallsyms__count(const struct kallsyms *k)
{
	return k->table.n;
}

void kallsyms__free(struct kallsyms *k)
{
	if (!k)
		return;
	symtab__free(&k->table);
	free(k->names);
	free(k);
}
