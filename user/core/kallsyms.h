/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The kernel's functions and variables, from /proc/kallsyms. */
#ifndef DWELL_KALLSYMS_H
#define DWELL_KALLSYMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kallsyms;

/*
 * Reads @path ("/proc/kallsyms"; some 30 ms and 3 MB for the 60,000 functions of a stock kernel),
 * with @variables those, too.
 * NULL with *@err: -EPERM if the kernel hides its addresses (no CAP_SYSLOG, or kptr_restrict),
 * -ENODATA if there are no functions in it, -EINVAL if it isn't of the format, or another -errno.
 */
struct kallsyms *kallsyms__load(const char *path, bool variables, int *err);

/*
 * The function that holds the kernel address @addr, *@offset bytes behind its start; its kernel
 * module in *@module as "[ext4]", NULL for the kernel proper. NULL if it isn't in a known function.
 * Strings live as long as @k.
 */
const char *kallsyms__find(const struct kallsyms *k, uint64_t addr, uint64_t *offset,
			   const char **module);

/*
 * The variable that holds the kernel address @addr, *@offset bytes behind its start, as far as the
 * kernel lists them (CONFIG_KALLSYMS_ALL); NULL if none does. A CPU's own variables are not found.
 */
const char *kallsyms__variable(const struct kallsyms *k, uint64_t addr, uint64_t *offset);

/*
 * Where the functions whose names begin with @prefix lie, by the file @path: compiler and linker
 * leave those of a source directory together, but for what runs once or hardly ever. Of groups that
 * are more than @gap bytes apart, the one with most of them, with all in between; one with very
 * many is taken without a look at what follows: to make the lines is what takes the kernel long.
 * False if there are none, or the file cannot be read.
 */
bool kallsyms__range(const char *path, const char *prefix, uint64_t gap, uint64_t *from,
		     uint64_t *to);

/* Functions in the table. */
size_t kallsyms__count(const struct kallsyms *k);

void kallsyms__free(struct kallsyms *k);

#endif
