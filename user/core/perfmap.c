// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/perfmap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "core/sym.h"

#define BYTES_MAX (256ULL << 20) /* of a map; what is behind is not read */
#define NAME_MAX_ 512            /* bytes of a name, its end included; what is longer is cut */

struct perfmap {
	struct symtab table;
	char *names;
	size_t bytes, max;
};

static int perfmap__add(struct perfmap *map, uint64_t start, uint64_t size, const char *name)
{
	char text[NAME_MAX_];
	size_t len;

	str__printable(text, sizeof(text), name, 0);
	len = strlen(text) + 1;
	if (map->max - map->bytes < len) {
		size_t max = map->max ? map->max * 2 : 65536;
		char *names = max <= UINT32_MAX ? realloc(map->names, max) : NULL;

		if (!names)
			return -ENOMEM;
		map->names = names;
		map->max = max;
	}
	memcpy(map->names + map->bytes, text, len);
	map->bytes += len;
	return symtab__add(&map->table, start, size, SYM_LOCAL, (uint32_t)(map->bytes - len));
}

struct perfmap *perfmap__read(int fd)
{
	struct perfmap *map = calloc(1, sizeof(*map));
	FILE *in = map ? fdopen(fd, "r") : NULL;
	uint64_t start, size, read_bytes = 0;
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	int name, err = 0;

	if (!in) {
		close(fd);
		free(map);
		return NULL;
	}
	while (!err && read_bytes < BYTES_MAX && (len = getline(&line, &room, in)) > 0) {
		read_bytes += (uint64_t)len;
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		name = 0;
		if (sscanf(line, "%" SCNx64 " %" SCNx64 " %n", &start, &size, &name) == 2 && name &&
		    line[name])
			err = perfmap__add(map, start, size, line + name);
	}
	free(line);
	fclose(in);
	if (!map->table.n) {
		perfmap__free(map);
		return NULL;
	}
	symtab__sort(&map->table);
	return map;
}

/* Code that was replaced leaves its line: of several that begin at one address, the last is it. */
const char *perfmap__find(const struct perfmap *map, uint64_t addr, uint64_t *start)
{
	size_t first, n = symtab__find(&map->table, addr, &first);
	const struct sym_row *row;

	if (!n)
		return NULL;
	row = &map->table.rows[first + n - 1];
	*start = row->addr;
	return map->names + row->name;
}

void perfmap__free(struct perfmap *map)
{
	if (!map)
		return;
	symtab__free(&map->table);
	free(map->names);
	free(map);
}
