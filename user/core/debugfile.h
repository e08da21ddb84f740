/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Where the symbols and the debug information of a stripped file are: in a file of its own, found
 * by build-id or by its debuglink, or compressed in the file itself (.gnu_debugdata).
 */
#ifndef DWELL_DEBUGFILE_H
#define DWELL_DEBUGFILE_H

/*
 * A descriptor of an ELF file with the symbols of the stripped ELF file @fd, whose path is @path
 * below @root ("/proc/4711/root", or "" for dwell's own mount namespace); -ENOENT if there is none,
 * or if @fd isn't stripped. A debug file that belongs to another build is not taken.
 */
int debugfile__open(int fd, const char *root, const char *path);

/* The same for debug information (.debug_info); of @fd itself, if it has it. */
int debugfile__lines(int fd, const char *root, const char *path);

/*
 * Opens the regular file at @path, and nothing else: opening a device or a FIFO has effects.
 * A descriptor or -errno.
 */
int debugfile__regular(const char *path);

#endif
