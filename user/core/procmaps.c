/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
#include "core/procmaps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DELETED " (deleted)"

static bool strip_suffix(char *s, const char *suffix)
{
	size_t len = strlen(s), end = strlen(suffix);

	if (len < end || strcmp(s + len - end, suffix) != 0)
		return false;
	s[len - end] = '\0';
	return true;
}

/* The kernel writes a newline in a path as "\012", and nothing else so. */
static void unescape(char *s)
{
	char *dst = s;

	while (*s) {
		if (strncmp(s, "\\012", 4) == 0) {
			*dst++ = '\n';
			s += 4;
		} else {
			*dst++ = *s++;
		}
	}
	*dst = '\0';
}

static int set_path(struct procmap *m, const char *text)
{
	m->path = strdup(*text ? text : "[anon]");
	if (!m->path)
		return -ENOMEM;
	if (m->inode != 0) {
		m->deleted = strip_suffix(m->path, DELETED);
		unescape(m->path);
	}
	return 0;
}

/* "START-END PERMS OFFSET MAJOR:MINOR INODE   PATH": 1 if it is executable, 0 if not, -errno. */
static int parse_line(char *line, struct procmap *m)
{
	char perms[5];
	int at_path = 0, n;

	n = sscanf(line,
		   "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %" SCNx32 ":%" SCNx32 " %" SCNu64 "%n",
		   &m->start, &m->end, perms, &m->offset, &m->major, &m->minor, &m->inode,
		   &at_path);
	if (n != 7 || at_path == 0 || strlen(perms) != 4 || m->start >= m->end)
		return -EINVAL;
	if (perms[2] != 'x')
		return 0;
	line += at_path;
	line[strcspn(line, "\n")] = '\0';
	line += strspn(line, " ");
	n = set_path(m, line);
	return n < 0 ? n : 1;
}

static int append(struct procmaps *maps, size_t *max, const struct procmap *m)
{
	if (maps->n == *max) {
		size_t more = *max ? *max * 2 : 16;
		struct procmap *map = reallocarray(maps->map, more, sizeof(*map));

		if (!map)
			return -ENOMEM;
		maps->map = map;
		*max = more;
	}
	maps->map[maps->n++] = *m;
	return 0;
}

static int add_line(char *line, struct procmaps *maps, size_t *max)
{
	struct procmap m = {0};
	int err = parse_line(line, &m);

	if (err <= 0)
		return err;
	if (maps->n > 0 && m.start < maps->map[maps->n - 1].end)
		err = -EINVAL;
	else
		err = append(maps, max, &m);
	if (err)
		free(m.path);
	return err;
}

int procmaps__parse(FILE *in, struct procmaps *maps)
{
	char *line = NULL;
	size_t size = 0, max = 0;
	int err = 0;

	*maps = (struct procmaps){0};
	errno = 0;
	while (!err && getline(&line, &size, in) >= 0)
		err = add_line(line, maps, &max);
	if (!err && !feof(in))
		err = errno ? -errno : -EIO;
	free(line);
	if (err)
		procmaps__free(maps);
	return err;
}

int procmaps__load(const char *path, struct procmaps *maps)
{
	FILE *in = fopen(path, "re");
	int err;

	*maps = (struct procmaps){0};
	if (!in)
		return -errno;
	err = procmaps__parse(in, maps);
	fclose(in);
	return err;
}

void procmaps__free(struct procmaps *maps)
{
	for (size_t i = 0; i < maps->n; i++)
		free(maps->map[i].path);
	free(maps->map);
	*maps = (struct procmaps){0};
}

const struct procmap *procmaps__next(const struct procmaps *maps, uint64_t addr)
{
	size_t low = 0, high = maps->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (addr < maps->map[mid].end)
			high = mid;
		else
			low = mid + 1;
	}
	return low < maps->n ? &maps->map[low] : NULL;
}

const struct procmap *procmaps__find(const struct procmaps *maps, uint64_t addr)
{
	const struct procmap *map = procmaps__next(maps, addr);

	return map && map->start <= addr ? map : NULL;
}
