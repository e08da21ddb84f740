// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "core/devices.h"
#include "core/mounts.h"

#define FIELDS 10 /* of a line, up to the mount's options and one optional field more */

struct mounts {
	struct mount_entry *items;
	char **lines; /* the strings' memory */
	size_t n, max;
};

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Blanks, tabs, newlines and backslashes are written as "\040". */
static void unescape(char *s)
{
	char *out = s;

	while (*s) {
		if (s[0] == '\\' && is_octal(s[1]) && is_octal(s[2]) && is_octal(s[3])) {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

/*
 * "36 35 98:0 /root /dir rw,noatime master:1 - ext3 /dev/root rw,errors=continue": optional fields
 * before the dash (proc_pid_mountinfo(5)). False if it is none.
 */
static bool parse(char *line, struct mount_entry *out)
{
	char *field[FIELDS] = {NULL}, *save = NULL, *tail = strstr(line, " - "), *type, *source;
	unsigned int major, minor, n = 0;

	if (!tail)
		return false;
	*tail = '\0';
	for (char *f = strtok_r(line, " ", &save); f && n < FIELDS; f = strtok_r(NULL, " ", &save))
		field[n++] = f;
	type = strtok_r(tail + 3, " \n", &save);
	source = strtok_r(NULL, " \n", &save);
	if (n < 6 || !type || !source || sscanf(field[2], "%u:%u", &major, &minor) != 2)
		return false;
	unescape(field[3]);
	unescape(field[4]);
	unescape(source);
	*out = (struct mount_entry){DEVICE_NUMBER(major, minor), field[3], field[4], type, source};
	return true;
}

static int add(struct mounts *m, char *line)
{
	struct mount_entry entry;

	if (!parse(line, &entry)) {
		free(line);
		return 0;
	}
	if (m->n == m->max) {
		size_t max = m->max ? 2 * m->max : 64;
		struct mount_entry *items = realloc(m->items, max * sizeof(*items));
		char **lines = items ? realloc(m->lines, max * sizeof(*lines)) : NULL;

		m->items = items ?: m->items;
		m->lines = lines ?: m->lines;
		if (!lines) {
			free(line);
			return -ENOMEM;
		}
		m->max = max;
	}
	m->items[m->n] = entry;
	m->lines[m->n++] = line;
	return 0;
}

struct mounts *mounts__read(const char *path)
{
	struct mounts *m = calloc(1, sizeof(*m));
	FILE *file = m ? fopen(path ?: "/proc/self/mountinfo", "re") : NULL;
	char *line = NULL;
	size_t size = 0;
	int err = 0;

	if (!file) {
		free(m);
		return NULL;
	}
	while (!err && getline(&line, &size, file) > 0) {
		err = add(m, line);
		line = NULL;
		size = 0;
	}
	free(line);
	fclose(file);
	if (!err)
		return m;
	mounts__free(m);
	errno = -err;
	return NULL;
}

const struct mount_entry *mounts__of_path(const struct mounts *m, const char *path)
{
	const struct mount_entry *best = NULL;
	size_t longest = 0, len;

	for (size_t i = 0; i < m->n; i++) {
		len = strlen(m->items[i].dir);
		if (len < longest || strncmp(path, m->items[i].dir, len) ||
		    (len > 1 && path[len] && path[len] != '/'))
			continue;
		best = &m->items[i];
		longest = len;
	}
	return best;
}

const struct mount_entry *mounts__of_dev(const struct mounts *m, uint32_t dev)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->items[i].dev == dev)
			return &m->items[i];
	}
	return NULL;
}

void mounts__free(struct mounts *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++)
		free(m->lines[i]);
	free(m->lines);
	free(m->items);
	free(m);
}

/* The first mount of a whole file system of this device, or else of this type. */
static int mounts__find(const char *mountinfo, uint32_t dev, const char *type, char *path,
			size_t size)
{
	struct mounts *m = mounts__read(mountinfo);
	int err = -ENOENT;

	if (!m)
		return -errno;
	for (size_t i = 0; err == -ENOENT && i < m->n; i++) {
		const struct mount_entry *e = &m->items[i];

		if (strcmp(e->root, "/") || (type ? strcmp(e->type, type) : (int)(e->dev != dev)))
			continue;
		err = str__copy(path, size, strcmp(e->dir, "/") ? e->dir : "") ? 0 : -ENAMETOOLONG;
	}
	mounts__free(m);
	return err;
}

int mounts__of_device(const char *mountinfo, uint32_t dev, char *path, size_t size)
{
	return mounts__find(mountinfo, dev, NULL, path, size);
}

/* Handles of kernfs are the node's id: include/linux/exportfs.h, FILEID_KERNFS. */
#define HANDLE_KERNFS 0xfe

int mounts__cgroup(uint64_t id, char *path, size_t size)
{
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + sizeof(id)];
	} at = {.handle = {sizeof(id), HANDLE_KERNFS}};
	char mount[PATH_MAX], link[64], full[PATH_MAX];
	int err = mounts__find(NULL, 0, "cgroup2", mount, sizeof(mount)), root, fd;
	ssize_t n;

	if (err)
		return err;
	root = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* O_PATH would not do on 6.1 */
	if (root < 0)
		return -errno;
	memcpy(at.bytes + offsetof(struct file_handle, f_handle), &id, sizeof(id));
	fd = open_by_handle_at(root, &at.handle, O_PATH | O_CLOEXEC);
	err = fd < 0 ? -errno : 0;
	close(root);
	if (err)
		return err == -ESTALE ? -ENOENT : err;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, full, sizeof(full) - 1);
	err = n < 0 ? -errno : 0;
	close(fd);
	if (err)
		return err;
	full[n] = '\0';
	if (strncmp(full, mount, strlen(mount)))
		return -ENOENT;
	return str__copy(path, size, full[strlen(mount)] ? full + strlen(mount) : "/")
		       ? 0
		       : -ENAMETOOLONG;
}
