/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The kernel's types, cut down to those that one BPF object asks for.
 *
 * For each type of an object that is to be relocated, libbpf compares its name with those of all
 * the types that the kernel has, about 130,000: 0.5 ms for each of some 40. Among the few
 * hundred of the same names that takes nothing.
 */
#ifndef DWELL_KTYPES_H
#define DWELL_KTYPES_H

struct btf;

/* The types in the file @path, or of the running kernel, if that is NULL. NULL with errno. */
struct btf *ktypes__read(const char *path);

/* The file that ktypes__read() reads with @path. */
const char *ktypes__path(const char *path);

/*
 * What of @kernel can answer relocations of programs whose own types are @wanted: every struct,
 * union, enum and typedef of a name in @wanted (without its ___suffix), with the members that have
 * a name in @wanted, or none, and what these consist of. Sizes, offsets and bit fields are
 * the kernel's; pointers are void *. NULL with errno.
 */
struct btf *ktypes__cut(const struct btf *kernel, const struct btf *wanted);

/* Makes the file @fd consist of @types, as the kernel's own file does. 0 or -errno. */
int ktypes__write(const struct btf *types, int fd);

#endif
