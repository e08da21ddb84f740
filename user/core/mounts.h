/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What is mounted where, as /proc/PID/mountinfo has it: by path and by device number. */
#ifndef DWELL_MOUNTS_H
#define DWELL_MOUNTS_H

#include <stddef.h>
#include <stdint.h>

struct mount_entry {
	uint32_t dev;       /* as in devices.h; major 0: of no single block device */
	const char *root;   /* what of the file system is mounted: "/", all of it */
	const char *dir;    /* where it is mounted */
	const char *type;   /* "ext4" */
	const char *source; /* "/dev/sda1", "server:/export", "tmpfs" */
};

struct mounts;

/* Reads @path; NULL: this process's. NULL with errno. */
struct mounts *mounts__read(const char *path);

/* The mount that the absolute @path lies in: of those with the longest directory, the last. */
const struct mount_entry *mounts__of_path(const struct mounts *m, const char *path);

/* A mount of the file system with that device number, or NULL. */
const struct mount_entry *mounts__of_dev(const struct mounts *m, uint32_t dev);

void mounts__free(struct mounts *m);

/*
 * The place where the whole file system on device @dev (its s_dev: major << 20 | minor) is mounted;
 * without the slash at its end, so "" for the root. @mountinfo: a file to read instead of
 * /proc/self/mountinfo, or NULL. 0; -ENOENT: it is not, or a part of it only; or -errno.
 */
int mounts__of_device(const char *mountinfo, uint32_t dev, char *path, size_t size);

/*
 * The path of the cgroup v2 with this id below the root of the tree, "/…". 0; -ENOENT: no such
 * cgroup is left, or no cgroup v2 is mounted; or -errno (-EPERM without CAP_DAC_READ_SEARCH).
 */
int mounts__cgroup(uint64_t id, char *path, size_t size);

#endif
