// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/debugfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/xz.h"
#include "core/elffile.h"

#define DEBUG_ROOT    "/usr/lib/debug"
#define EMBEDDED_MAX  (64U << 20)  /* bytes of .gnu_debugdata, decompressed */
#define CRC_BYTES_MAX (1ULL << 30) /* of a debug file that only its checksum vouches for */

int debugfile__regular(const char *path)
{
	char again[64];
	struct stat st;
	int probe = open(path, O_PATH | O_CLOEXEC), fd;

	if (probe < 0)
		return -errno;
	if (fstat(probe, &st) < 0) {
		fd = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		fd = -ENOENT;
	} else {
		snprintf(again, sizeof(again), "/proc/self/fd/%d", probe);
		fd = open(again, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
	}
	close(probe);
	return fd;
}

/* ---- what the stripped file says ------------------------------------------------------------ */

struct link {
	char name[NAME_MAX + 1];
	uint32_t crc;
};

static bool debugfile__link(struct elffile *f, struct link *link)
{
	uint64_t bytes;
	uint8_t *data;
	GElf_Shdr sh;
	size_t len;
	bool ok;

	if (elffile__section(f, ".gnu_debuglink", &sh) ||
	    elffile__read(f, &sh, 4096, &data, &bytes))
		return false;
	/* name, padding to 4 bytes, checksum */
	len = strnlen((char *)data, bytes);
	ok = len && len <= NAME_MAX && bytes >= 4 && len < bytes - 4 && !memchr(data, '/', len);
	if (ok) {
		memcpy(link->name, data, len);
		link->name[len] = '\0';
		memcpy(&link->crc, data + bytes - 4, 4);
	}
	free(data);
	return ok;
}

/* ---- files ---------------------------------------------------------------------------------- */

static bool debugfile__checksum(int fd, uint32_t expected)
{
	static const size_t chunk = 1U << 20;
	uint8_t *buf = malloc(chunk);
	uLong crc = crc32(0, NULL, 0);
	uint64_t at = 0;
	ssize_t got = 0;

	while (buf && at < CRC_BYTES_MAX && (got = pread(fd, buf, chunk, (off_t)at)) > 0) {
		crc = crc32(crc, buf, (uInt)got);
		at += (uint64_t)got;
	}
	free(buf);
	return buf && !got && crc == expected;
}

/* The file at @path if it belongs to the build @id, or without one has the checksum *@crc. */
static int debugfile__try(const char *path, const struct build_id *id, const uint32_t *crc)
{
	int fd = debugfile__regular(path), err;
	struct build_id other;
	struct elffile f;
	const char *why;
	bool ok;

	if (fd < 0)
		return fd;
	err = elffile__open(fd, &f, &why);
	if (err) {
		close(fd);
		return -ENOENT;
	}
	elffile__build_id(&f, &other);
	elffile__close(&f);
	if (id->bytes && other.bytes)
		ok = id->bytes == other.bytes && !memcmp(id->id, other.id, id->bytes);
	else
		ok = crc && debugfile__checksum(fd, *crc);
	if (ok)
		return fd;
	close(fd);
	return -ENOENT;
}

static int debugfile__by_id(const char *root, const struct build_id *id)
{
	char hex[2 * BUILD_ID_MAX + 1], path[PATH_MAX];

	if (id->bytes < 2)
		return -ENOENT;
	for (size_t i = 0; i < id->bytes; i++)
		snprintf(hex + 2 * i, 3, "%02x", id->id[i]);
	snprintf(path, sizeof(path), "%s" DEBUG_ROOT "/.build-id/%.2s/%s.debug", root, hex,
		 hex + 2);
	return debugfile__try(path, id, NULL);
}

static int debugfile__by_link(const char *root, const char *of, const struct build_id *id,
			      const struct link *link)
{
	static const char *const forms[] = {"%s%.*s/%s", "%s%.*s/.debug/%s",
					    "%s" DEBUG_ROOT "%.*s/%s"};
	const char *slash = strrchr(of, '/');
	char path[PATH_MAX + NAME_MAX + 64];
	int fd = -ENOENT;

	for (size_t i = 0; slash && fd < 0 && i < sizeof(forms) / sizeof(*forms); i++) {
		/* GDB looks there in this order, too. */
		if (i == 0)
			snprintf(path, sizeof(path), "%s%.*s/%s", root, (int)(slash - of), of,
				 link->name);
		else if (i == 1)
			snprintf(path, sizeof(path), "%s%.*s/.debug/%s", root, (int)(slash - of),
				 of, link->name);
		else
			snprintf(path, sizeof(path), "%s" DEBUG_ROOT "%.*s/%s", root,
				 (int)(slash - of), of, link->name);
		fd = debugfile__try(path, id, &link->crc);
	}
	return fd;
}

/* ---- what is embedded ----------------------------------------------------------------------- */

static int debugfile__to_memory(const uint8_t *data, size_t bytes)
{
	int fd = memfd_create("debugdata", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < bytes;) {
		ssize_t n = write(fd, data + at, bytes - at);

		if (n <= 0) {
			close(fd);
			return -EIO;
		}
		at += (size_t)n;
	}
	return fd;
}

static int debugfile__embedded(struct elffile *f)
{
	uint8_t *xz;
	uint64_t packed;
	size_t bytes;
	void *data;
	GElf_Shdr sh;
	int fd;

	if (elffile__section(f, ".gnu_debugdata", &sh) ||
	    elffile__read(f, &sh, EMBEDDED_MAX, &xz, &packed))
		return -ENOENT;
	fd = xz__unpack(xz, packed, EMBEDDED_MAX, &data, &bytes);
	free(xz);
	if (fd)
		return -ENOENT;
	fd = debugfile__to_memory(data, bytes);
	free(data);
	return fd;
}

/* ---- all together --------------------------------------------------------------------------- */

/* @found, if it has contents of the section @section; else it is closed. */
static int debugfile__with(int found, const char *section)
{
	struct elffile f;
	const char *why;
	GElf_Shdr sh;
	int err;

	if (found < 0)
		return found;
	err = elffile__open(found, &f, &why);
	if (!err) {
		err = elffile__section(&f, section, &sh);
		elffile__close(&f);
	}
	if (!err)
		return found;
	close(found);
	return -ENOENT;
}

/* A file with @section, for the one that is open as @f. */
static int debugfile__search(struct elffile *f, const char *section, const char *root,
			     const char *path)
{
	struct build_id id;
	struct link link;
	int found;

	elffile__build_id(f, &id);
	found = debugfile__with(debugfile__by_id(root, &id), section);
	if (found < 0 && *root)
		found = debugfile__with(debugfile__by_id("", &id), section);
	if (found < 0 && debugfile__link(f, &link))
		found = debugfile__with(debugfile__by_link(root, path, &id, &link), section);
	if (found < 0)
		found = debugfile__with(debugfile__embedded(f), section);
	return found;
}

int debugfile__open(int fd, const char *root, const char *path)
{
	struct elffile f;
	const char *why;
	GElf_Shdr sh;
	int found = -ENOENT;

	if (elffile__open(fd, &f, &why))
		return -ENOENT;
	if (elffile__section(&f, ".symtab", &sh) == -ENODATA)
		found = debugfile__search(&f, ".symtab", root, path);
	elffile__close(&f);
	return found;
}

int debugfile__lines(int fd, const char *root, const char *path)
{
	struct elffile f;
	const char *why;
	GElf_Shdr sh;
	int found;

	if (elffile__open(fd, &f, &why))
		return -ENOENT;
	if (elffile__section(&f, ".debug_info", &sh) == -ENODATA)
		found = debugfile__search(&f, ".debug_info", root, path);
	else
		found = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	elffile__close(&f);
	return found;
}
