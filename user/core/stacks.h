/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Addresses of stacks into frames that people recognise.
 *
 * What is learnt is kept: a process's mappings, each file's symbols once for all processes that map
 * it (a file is its device and inode), the kernel's functions once. Files are opened when the first
 * address in them is asked for: through /proc/PID/map_files, which knows deleted files and other
 * mount namespaces; or through /proc/PID/root/PATH; or, if the process is gone, through PATH; the
 * last two only if the inode is still the one that was mapped.
 *
 * A damaged file is a module without symbols, and one line on stderr says so.
 */
#ifndef DWELL_STACKS_H
#define DWELL_STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/lines.h"

struct stacks;

/* Strings live as long as the struct stacks; they hold no control characters. */
struct sym_frame {
	const char *symbol; /* the function, or NULL */
	uint64_t offset;    /* bytes from its start */
	/*
	 * User frames: the file's last name ("libc.so.6"), "[vdso]", or "[anon]" and its like for
	 * memory without a file (JIT code). Kernel frames: "[ext4]", NULL for the kernel proper.
	 * NULL too if nothing is known of the address.
	 */
	const char *module;
	/*
	 * User frames: the address as the module's ELF file counts it (what addr2line(1) takes); if
	 * that can't be read, the offset in the file; in memory without a file, from the mapping's
	 * start. The address itself in the kernel, and where @module is NULL.
	 */
	uint64_t module_offset;
	/*
	 * With stacks__want_lines(), of user frames: the functions there, innermost first, that of
	 * @symbol last; @n_lines is 0 where there is no debug information.
	 */
	const struct line *lines;
	size_t n_lines;
};

/* @proc: where procfs is mounted; NULL: /proc. NULL without memory. */
struct stacks *stacks__new(const char *proc);
/* From now on frames have their lines, which are looked for in each module at its first frame. */
void stacks__want_lines(struct stacks *s);
/* Before the first kernel stack: stacks__kernel_variable() is going to be asked. */
void stacks__want_variables(struct stacks *s);
/* From now on, or not any more: no lines, and no names of code that is made while it runs, whose
 * map is read once. */
void stacks__be_brief(struct stacks *s, bool brief);
void stacks__free(struct stacks *s);

/*
 * Reads the mappings of the process @tgid now, so that its stacks can be resolved after it has
 * exited; what was known before stays known unless something else lies there now. 0; -ENOENT or
 * -ESRCH if it is gone; -EACCES; -ENOMEM. stacks__user() does it by itself, which is early enough
 * for processes that live on.
 */
int stacks__remember(struct stacks *s, uint32_t tgid);

/*
 * What is known of @tgid's mappings is the layout @layout (not 0): stacks that were walked in it
 * are resolved by it, even if other code was mapped in the same place later.
 */
void stacks__mark(struct stacks *s, uint32_t tgid, uint32_t layout);

/* Code that a process has mapped. */
struct stacks_code {
	uint64_t start, end; /* addresses */
	uint64_t offset;     /* of @start in the file */
	const char *module;  /* as in sym_frame */
	void **table;        /* the module's, for whoever makes unwind tables; NULL at first */
	uint32_t tgid;
	const void *range;
};

/* Calls @fn, until it returns other than 0, for what @tgid had mapped when last looked at. */
int stacks__code(struct stacks *s, uint32_t tgid,
		 int (*fn)(const struct stacks_code *code, void *arg), void *arg);

/*
 * The file that is mapped there: a descriptor for the caller to close, or -errno (-ENOEXEC: it is
 * no file). Another one is held, so that there are names when file or process are gone.
 */
int stacks__open(struct stacks *s, const struct stacks_code *code);

/*
 * @n addresses, innermost first, into @n frames; every frame is filled in, whatever is known.
 *
 * ips[0] is where the thread is; the others are return addresses, which may lie behind the end of
 * the function that called (a call that never returns is its last instruction), so those are looked
 * up one byte earlier. Offsets are those of the addresses given.
 *
 * An address outside all known mappings makes the mappings be read again (dlopen), at most once a
 * second; what was known before stays known unless something else lies there now.
 *
 * @layout: as in stacks__mark(), or 0.
 */
void stacks__user(struct stacks *s, uint32_t tgid, uint32_t layout, const uint64_t *ips, size_t n,
		  struct sym_frame *out);

/*
 * The same for kernel addresses. 0, or what kept the kernel's functions from being known: -EPERM if
 * the kernel hides addresses (no CAP_SYSLOG, or kptr_restrict), or another -errno; the frames then
 * have only their address. That is found out once and stays so.
 */
int stacks__kernel(struct stacks *s, const uint64_t *ips, size_t n, struct sym_frame *out);

/*
 * The kernel's variable that holds @addr, as "name" or "name+0x10". 0; -ENOENT if none with a name
 * does. Needs stacks__want_variables().
 */
int stacks__kernel_variable(struct stacks *s, uint64_t addr, char *name, size_t size);

/*
 * The frame's text: "symbol"; without one "[module+0x1234]" ("[vdso+0x1234]"); with nothing known
 * "[0x7f…]", the address. Cut to @size.
 */
void stacks__print_name(const struct sym_frame *frame, char *buf, size_t size);

#endif
