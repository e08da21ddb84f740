/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Block devices as sysfs tells of them: their names, the disk that a partition is a part of, and
 * what a stacked device (device-mapper, md, loop…) stands on. All of it may be gone a moment later.
 *
 * Devices are numbered as the kernel does it inside (s_dev, bd_dev): major << 20 | minor.
 */
#ifndef DWELL_DEVICES_H
#define DWELL_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#define DEVICE_NUMBER(major, minor) ((uint32_t)(major) << 20 | (uint32_t)(minor))
#define DEVICE_MAJOR(dev)           ((dev) >> 20)
#define DEVICE_MINOR(dev)           ((dev)&0xfffff)

/* X(enumerator, JSON key) - what a device is made of. Append only. */
#define DWELL_DEVICE_KINDS(X)                                                                      \
	X(DEVICE_LOOP, "loop")                                                                     \
	X(DEVICE_DM, "dm")                                                                         \
	X(DEVICE_MD, "md")                                                                         \
	X(DEVICE_STACKED, "stacked") /* on others in another way: bcache… */

enum device_kind {
	DEVICE_BOTTOM = 0, /* passes nothing on to another block device */
#define X(id, ...) id,
	DWELL_DEVICE_KINDS(X)
#undef X
		NR_DEVICE_KINDS,
};

struct device {
	uint32_t dev;
	uint32_t disk;    /* the whole device: @dev itself if it is no partition */
	uint64_t first;   /* of a partition: where on the disk it begins, in sectors of 512 bytes */
	uint64_t sectors; /* its length */
	bool requests; /* a queue of requests; false: its driver gets bios, and so do those below */
	enum device_kind kind;
	char name[64];   /* "sda1", "dm-0" */
	char alias[64];  /* device-mapper's name for it ("vg-root"), or "" */
	char below[128]; /* "sda,sdb1": what it stands on, cut with "…"; a loop device's is that of
			    its file */
};

/* @sysfs: where sysfs is mounted; NULL: /sys. 0; -ENOENT: there is no such block device. */
int devices__read(const char *sysfs, uint32_t dev, struct device *out);

/*
 * By what people call it: "sda1", "/dev/sda1", "/dev/mapper/vg-root", "8:1". 0; -ENOENT;
 * -ENOTBLK: a file, but not a block device's; or what kept the file from being looked at.
 */
int devices__find(const char *sysfs, const char *text, struct device *out);

/* Is there a disk that has no requests of its own, and room for anything? */
bool devices__any_without_requests(const char *sysfs);

/* "loop", "dm"…; NULL for DEVICE_BOTTOM. */
const char *devices__kind(enum device_kind kind);

#endif
