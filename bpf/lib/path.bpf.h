/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Files as system calls name them: by a descriptor, or by a path, of which no tracepoint tells what
 * the kernel found there.
 */
#ifndef DWELL_PATH_BPF_H
#define DWELL_PATH_BPF_H

#include "lib/hash.bpf.h"
#include "lib/inode.bpf.h"
#include "lib/name.bpf.h"
#include "lib/path_rec.bpf.h"
#include "lib/peek.bpf.h"

#define AT_FDCWD -100 /* include/uapi/linux/fcntl.h */

/*
 * Pointers of a task that the verifier trusts (a hook's argument, the current one) are dear to
 * follow: for each such load, in each state in which it is met, kernels from 6.3 on look for up to
 * four types by name among all that they have (btf_nested_type_is_trusted()): 1 ms. So such a
 * pointer is followed in a global function, which is verified once, or by a probe read.
 */

/* The open file behind descriptor @fd of the current thread as a number, or 0. */
__noinline u64 path__own_file(u64 fd)
{
	struct files_struct *files = FIELD(compat__current(), files);
	struct fdtable *fdt;
	struct file **slots;
	u64 file = 0;

	if (!files)
		return 0;
	fdt = FIELD(files, fdt);
	if (!fdt || fd >= FIELD(fdt, max_fds))
		return 0;
	slots = FIELD(fdt, fd);
	bpf_probe_read_kernel(&file, sizeof(file), slots + fd);
	return file;
}

/* The same of any task, where peek__loads(). */
static __always_inline struct file *path__peek_file(struct task_struct *task, u64 fd)
{
	struct fdtable *fdt = PEEK_AS(task_struct, task)->files->fdt;

	/* Nothing is at NULL, and so no descriptor. */
	if (fd >= fdt->max_fds)
		return NULL;
	return (struct file *)peek__load(fdt->fd + fd);
}

/* The open file behind @task's descriptor @fd, or NULL. @current: it is the current one. */
static __always_inline struct file *path__file(struct task_struct *task, u64 fd, bool current)
{
	struct file *file = NULL;
	struct fdtable *fdt;

	if (peek__loads())
		return path__peek_file(task, fd);
	if (current)
		return (struct file *)path__own_file(fd);
	fdt = BPF_CORE_READ(task, files, fdt);
	if (!fdt || fd >= BPF_CORE_READ(fdt, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(fdt, fd) + fd);
	return file;
}

/* The directory that a path begins at: the root, the working directory or an open one. */
static __always_inline bool path__base(struct task_struct *task, const struct path_text *path,
				       s32 dirfd, struct path *out)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct file *file;

	if (path->text[0] == '/') {
		out->dentry = BPF_CORE_READ(fs, root.dentry);
		out->mnt = BPF_CORE_READ(fs, root.mnt);
		return true;
	}
	if (dirfd == AT_FDCWD) {
		out->dentry = BPF_CORE_READ(fs, pwd.dentry);
		out->mnt = BPF_CORE_READ(fs, pwd.mnt);
		return true;
	}
	file = path__file(task, dirfd, true);
	if (!file)
		return false;
	out->dentry = BPF_CORE_READ(file, f_path.dentry);
	out->mnt = BPF_CORE_READ(file, f_path.mnt);
	return true;
}

/* Reads the path at @from; false if it cannot be. */
static __always_inline bool path__read(struct path_text *path, u64 from)
{
	long n = bpf_probe_read_user_str(path->text, NAME_SIZE, (void *)from);
	u64 end;

	/* Of an empty path some kernels up to 6.12 say 0, others 1. */
	if (n < 0)
		return false;
	end = n ? n - 1 : 0;
	path->len = end;
	path->cut = n == NAME_SIZE;
	barrier_var(end);
	*hash__word(path->text, end & (NAME_SIZE - 1)) = 0;
	return true;
}

/* Identifies the directory that the path that was read begins at; 0: not known. */
static __always_inline u64 path__where(struct task_struct *task, const struct path_text *path,
				       s32 dirfd)
{
	struct path base = {};
	struct inode *inode;

	if (!path__base(task, path, dirfd, &base))
		return 0;
	inode = BPF_CORE_READ(base.dentry, d_inode);
	return hash__step(BPF_CORE_READ(inode, i_sb, s_dev), inode__number(inode));
}

static __always_inline u64 path__hash(const struct path_text *path)
{
	return hash__text(path->text, path->len, NAME_SIZE);
}

/* Keeps the path that was read as the name @key. */
VERIFIED_ONCE int path__name(const struct name_key *key, const struct path_text *path, s32 dirfd)
{
	struct path base = {};
	struct name_key own;
	struct name *name;

	if (!key || !path)
		return 0;
	/* Of memory that a function was given, no key may be looked up before 6.2. */
	own = *key;
	name = name__new(&own);
	if (!name)
		return 0;
	bpf_probe_read_kernel(name->text, NAME_SIZE, path->text);
	if (path->cut)
		name->flags |= NAME_CUT;
	name->len = path->len + 1;
	if (path__base(compat__current(), path, dirfd, &base))
		name__walk(&own, base.dentry, base.mnt);
	return 0;
}

#endif
