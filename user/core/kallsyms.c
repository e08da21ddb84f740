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

/* Many kernels list functions only: what is this far above a variable is another thing. */
#define VARIABLE_MAX 4096

struct kallsyms {
	struct symtab table;
	struct symtab variables;
	bool want_variables;
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

static bool is_variable(const struct line *l)
{
	return memchr("bBdDrRV", l->type, 7);
}

static int add_line(void *arg, const char *s, const char *end)
{
	struct kallsyms *k = arg;
	struct line l;
	uint32_t name = k->bytes;
	int err = parse_line(s, end, &l);
	bool variable = !err && k->want_variables && l.addr && is_variable(&l);

	if (err || !(variable || is_wanted(&l)))
		return err;
	k->seen_address |= l.addr != 0;
	err = reserve(k, l.name_len + l.module_len + 2);
	if (err)
		return err;
	append(k, l.name, l.name_len);
	append(k, l.module, l.module_len);
	if (variable)
		return symtab__add(&k->variables, l.addr, VARIABLE_MAX, SYM_NO_SIZE, name);
	return symtab__add(&k->table, l.addr, FUNCTION_MAX, rank_of(l.type), name);
}

/* Is handed each line, of @arg; 0 to go on, else to stop with that: -errno, or GROUP_FOUND. */
typedef int (*line_fn)(void *arg, const char *s, const char *end);

/* Takes the whole lines off the first *@len bytes of @buf. */
static int take_lines(line_fn fn, void *arg, char *buf, size_t *len)
{
	char *s = buf, *end = buf + *len, *newline;
	int err = 0;

	while (!err && (newline = memchr(s, '\n', end - s))) {
		err = fn(arg, s, newline);
		s = newline + 1;
	}
	*len = end - s;
	memmove(buf, s, *len);
	return err;
}

static int read_lines(line_fn fn, void *arg, int fd, char *buf)
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
		err = take_lines(fn, arg, buf, &len);
		if (!err && len == READ_BYTES)
			return -EINVAL;
	}
	return err;
}

static int read_file(const char *path, line_fn fn, void *arg)
{
	char *buf = malloc(READ_BYTES);
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	if (!buf)
		err = -ENOMEM;
	else if (fd < 0)
		err = -errno;
	else
		err = read_lines(fn, arg, fd, buf);
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

struct kallsyms *kallsyms__load(const char *path, bool variables, int *err)
{
	struct kallsyms *k = calloc(1, sizeof(*k));

	if (k)
		k->want_variables = variables;
	*err = k ? read_file(path, add_line, k) : -ENOMEM;
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
	symtab__sort(&k->variables);
	return k;
}

/* Labels behind the last function of a section; kept so that it doesn't seem to reach further. */
static bool is_end_label(const char *name)
{
	return strcmp(name, "_etext") == 0 || strcmp(name, "_einittext") == 0;
}

/* The name in @table of what holds @addr, *@offset bytes behind its start; NULL: nothing does. */
static const char *find_name(const struct kallsyms *k, const struct symtab *table, uint64_t addr,
			     uint64_t *offset)
{
	const struct sym_row *best = NULL;
	const char *name = NULL;
	size_t first, n = symtab__find(table, addr, &first);

	for (size_t i = first; n > 0; n--, i++) {
		const struct sym_row *row = &table->rows[i];
		const char *other = k->names + row->name;

		if (best && !symtab__better(other, row->rank, name, best->rank))
			continue;
		best = row;
		name = other;
	}
	if (best)
		*offset = addr - best->addr;
	return name;
}

const char *kallsyms__variable(const struct kallsyms *k, uint64_t addr, uint64_t *offset)
{
	return find_name(k, &k->variables, addr, offset);
}

const char *kallsyms__find(const struct kallsyms *k, uint64_t addr, uint64_t *offset,
			   const char **module)
{
	const char *name = find_name(k, &k->table, addr, offset);

	if (!name || is_end_label(name))
		return NULL;
	*module = name + strlen(name) + 1;
	if (**module == '\0')
		*module = NULL;
	return name;
}

/* Functions of a prefix that lie together, as far as lines were seen. */
struct group {
	const char *prefix;
	uint64_t gap;
	/* The group that lines are added to; of a module, all of its functions are one: */
	char module[64]; /* "" for the kernel proper */
	uint64_t first, last, end;
	size_t n;  /* of them, those with the prefix */
	bool open; /* the last one's end is where the next function begins */
	/* The largest one: */
	uint64_t from, to;
	size_t most;
};

#define GROUP_ENOUGH 50 /* functions: what lies far away is smaller, and is not waited for */
#define GROUP_FOUND  1
#define MODULE_LAST  4096 /* bytes of a module's last function */

/* The last function of the group ends where there is one @next, or earlier. */
static void group__close(struct group *g, uint64_t next)
{
	uint64_t max = *g->module ? MODULE_LAST : FUNCTION_MAX;

	g->open = false;
	g->end = next > g->last && next - g->last < max ? next : g->last + max;
	if (!g->n || g->n < g->most)
		return;
	g->most = g->n;
	g->from = g->first;
	g->to = g->end;
}

/* Modules' functions are in no order. */
static void group__in_module(struct group *g, const struct line *l)
{
	size_t len = l->module_len < sizeof(g->module) ? l->module_len : sizeof(g->module) - 1;

	if (strlen(g->module) != len || memcmp(g->module, l->module, len)) {
		if (g->open)
			group__close(g, 0);
		memcpy(g->module, l->module, len);
		g->module[len] = '\0';
		g->first = g->last = l->addr;
		g->n = 0;
		g->open = true;
	}
	if (l->addr < g->first)
		g->first = l->addr;
	if (l->addr > g->last)
		g->last = l->addr;
	g->n += has_prefix(l, g->prefix);
}

static int group__line(void *arg, const char *s, const char *end)
{
	struct group *g = arg;
	struct line l;
	int err = parse_line(s, end, &l);

	if (err || !is_wanted(&l) || !l.addr)
		return err;
	if (l.module_len) {
		group__in_module(g, &l);
		return 0;
	}
	if (g->open && l.addr != g->last)
		group__close(g, l.addr);
	if (!has_prefix(&l, g->prefix))
		return g->n >= GROUP_ENOUGH && l.addr > g->end + g->gap ? GROUP_FOUND : 0;
	if (!g->n || l.addr < g->last || l.addr - g->end > g->gap) {
		g->first = l.addr;
		g->n = 0;
	}
	g->n++;
	g->last = g->end = l.addr;
	g->open = true;
	return 0;
}

bool kallsyms__range(const char *path, const char *prefix, uint64_t gap, uint64_t *from,
		     uint64_t *to)
{
	struct group g = {.prefix = prefix, .gap = gap};
	int err = read_file(path, group__line, &g);

	if (err < 0)
		return false;
	if (g.open)
		group__close(&g, 0);
	*from = g.from;
	*to = g.to;
	return g.most > 0;
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
	symtab__free(&k->variables);
	free(k->names);
	free(k);
}
