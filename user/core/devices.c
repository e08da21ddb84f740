// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/str.h"
#include "core/devices.h"
#include "core/proc.h"

static const char *const kinds[NR_DEVICE_KINDS] = {
#define X(id, key) [id] = key,
	DWELL_DEVICE_KINDS(X)
#undef X
};

/* A device's directory in sysfs. */
struct devices_dir {
	char path[PATH_MAX];
};

const char *devices__kind(enum device_kind kind)
{
	return kind < NR_DEVICE_KINDS ? kinds[kind] : NULL;
}

/* The first line of the file @name of a device, without its end; false if there is none. */
static bool devices__line(const struct devices_dir *dir, const char *name, char *buf, size_t size)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", dir->path, name);
	if (proc__slurp(path, buf, size) <= 0)
		return false;
	buf[strcspn(buf, "\n")] = '\0';
	return true;
}

static bool devices__has(const struct devices_dir *dir, const char *name)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", dir->path, name);
	return !access(path, F_OK);
}

static uint64_t devices__number(const struct devices_dir *dir, const char *name)
{
	char text[32];

	return devices__line(dir, name, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

/* "8:1" as the file `dev` and people write it. */
static bool devices__parse(const char *text, uint32_t *dev)
{
	unsigned int maj, min;
	char rest;

	if (sscanf(text, "%u:%u%c", &maj, &min, &rest) != 2 || maj > 0xfff || min > 0xfffff)
		return false;
	*dev = DEVICE_NUMBER(maj, min);
	return true;
}

/* The last name of a device's directory, which has '!' for '/' (cciss!c0d0). */
static void devices__name(const struct devices_dir *dir, char *name, size_t size)
{
	const char *last = strrchr(dir->path, '/');

	str__copy(name, size, last ? last + 1 : dir->path);
	for (char *c = name; *c; c++) {
		if (*c == '!')
			*c = '/';
	}
}

/* Appends to a list "a,b"; what has no room is told by "…". */
static void devices__add(char *list, size_t size, const char *name)
{
	size_t len = strlen(list);

	if (len + strlen(name) + strlen(",") + strlen(",…") < size)
		str__append(list, size, &len, "%s%s", len ? "," : "", name);
	else if (!strstr(list, "…"))
		str__append(list, size, &len, "%s", ",…");
}

static int devices__by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

#define SLAVES_MAX 64

static void devices__slaves(const struct devices_dir *dir, struct device *out)
{
	char path[PATH_MAX + 32], *names[SLAVES_MAX];
	const struct dirent *entry;
	size_t n = 0;
	DIR *slaves;

	snprintf(path, sizeof(path), "%s/slaves", dir->path);
	slaves = opendir(path);
	if (!slaves)
		return;
	while (n < SLAVES_MAX && (entry = readdir(slaves))) {
		if (entry->d_name[0] == '.')
			continue;
		names[n] = strdup(entry->d_name);
		n += names[n] != NULL;
	}
	closedir(slaves);
	qsort(names, n, sizeof(*names), devices__by_name);
	for (size_t i = 0; i < n; i++) {
		devices__add(out->below, sizeof(out->below), names[i]);
		free(names[i]);
	}
}

/* The device that a loop device's file is on. A file that is gone is on none that can be told. */
static void devices__backing(const char *sysfs, const struct devices_dir *dir, struct device *out)
{
	struct device under;
	char file[PATH_MAX];
	struct stat st;

	if (!devices__line(dir, "loop/backing_file", file, sizeof(file)) || stat(file, &st))
		return;
	if (S_ISBLK(st.st_mode))
		st.st_dev = st.st_rdev;
	if (!devices__read(sysfs, DEVICE_NUMBER(major(st.st_dev), minor(st.st_dev)), &under))
		devices__add(out->below, sizeof(out->below), under.name);
}

static enum device_kind devices__kind_of(const struct devices_dir *disk, const struct device *out)
{
	char name[64];

	devices__name(disk, name, sizeof(name));
	/* A loop device that has no file has no directory `loop` either. */
	if (!strncmp(name, "loop", strlen("loop")))
		return DEVICE_LOOP;
	if (devices__has(disk, "dm"))
		return DEVICE_DM;
	if (devices__has(disk, "md"))
		return DEVICE_MD;
	return *out->below ? DEVICE_STACKED : DEVICE_BOTTOM;
}

/* What there is to say of the device in @dir; @disk is the whole one's, perhaps the same. */
static void devices__describe(const char *sysfs, const struct devices_dir *dir,
			      const struct devices_dir *disk, struct device *out)
{
	char text[32];

	devices__name(dir, out->name, sizeof(out->name));
	out->sectors = devices__number(dir, "size");
	if (dir != disk) {
		out->first = devices__number(dir, "start");
		if (devices__line(disk, "dev", text, sizeof(text)))
			devices__parse(text, &out->disk);
	}
	out->requests = devices__has(disk, "mq");
	devices__slaves(disk, out);
	out->kind = devices__kind_of(disk, out);
	if (out->kind == DEVICE_LOOP)
		devices__backing(sysfs, disk, out);
	if (out->kind == DEVICE_DM)
		devices__line(disk, "dm/name", out->alias, sizeof(out->alias));
}

int devices__read(const char *sysfs, uint32_t dev, struct device *out)
{
	struct devices_dir dir, disk;
	char link[PATH_MAX], *last;

	*out = (struct device){.dev = dev, .disk = dev};
	snprintf(link, sizeof(link), "%s/dev/block/%u:%u", sysfs ?: "/sys", DEVICE_MAJOR(dev),
		 DEVICE_MINOR(dev));
	if (!realpath(link, dir.path))
		return -ENOENT;
	disk = dir;
	last = strrchr(disk.path, '/');
	/* A partition's directory is in its disk's. */
	if (last && devices__has(&dir, "partition")) {
		*last = '\0';
		devices__describe(sysfs, &dir, &disk, out);
	} else {
		devices__describe(sysfs, &dir, &dir, out);
	}
	return 0;
}

/* By name: all devices, partitions too, are in one directory. */
static int devices__find_name(const char *sysfs, const char *name, struct device *out)
{
	struct devices_dir dir;
	char text[32];
	uint32_t dev;

	snprintf(dir.path, sizeof(dir.path), "%s/class/block/%s", sysfs ?: "/sys", name);
	for (char *c = dir.path + strlen(dir.path) - strlen(name); *c; c++) {
		if (*c == '/')
			*c = '!';
	}
	if (!devices__line(&dir, "dev", text, sizeof(text)) || !devices__parse(text, &dev))
		return -ENOENT;
	return devices__read(sysfs, dev, out);
}

int devices__find(const char *sysfs, const char *text, struct device *out)
{
	struct stat st;
	uint32_t dev;

	if (devices__parse(text, &dev))
		return devices__read(sysfs, dev, out);
	if (*text != '/')
		return *text ? devices__find_name(sysfs, text, out) : -ENOENT;
	if (stat(text, &st))
		return -errno;
	if (!S_ISBLK(st.st_mode))
		return -ENOTBLK;
	return devices__read(sysfs, DEVICE_NUMBER(major(st.st_rdev), minor(st.st_rdev)), out);
}

bool devices__any_without_requests(const char *sysfs)
{
	struct devices_dir dir;
	const struct dirent *entry;
	char path[PATH_MAX - 257];
	bool found = false;
	DIR *disks;

	snprintf(path, sizeof(path), "%s/block", sysfs ?: "/sys");
	disks = opendir(path);
	while (disks && !found && (entry = readdir(disks))) {
		snprintf(dir.path, sizeof(dir.path), "%s/%s", path, entry->d_name);
		found = entry->d_name[0] != '.' && !devices__has(&dir, "mq") &&
			devices__number(&dir, "size");
	}
	if (disks)
		closedir(disks);
	return found;
}
