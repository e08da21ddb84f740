/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Names of files and sockets, taken in the kernel when a cause is seen for the first time: they
 * are right also for files that are deleted or closed, and for processes that are gone, when the
 * report is made. Never on the common path.
 */
#ifndef DWELL_NAME_BPF_H
#define DWELL_NAME_BPF_H

#include "lib/compat.bpf.h"
#include "lib/loss.bpf.h"
#include "tally.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct name_key);
	__type(value, struct name);
} names SEC(".maps");

static const struct name name_empty;

/* A new entry for @key to be filled in, or NULL if there is one already or no room. */
static __always_inline struct name *name__new(const struct name_key *key)
{
	if (bpf_map_lookup_elem(&names, key))
		return NULL;
	if (bpf_map_update_elem(&names, key, &name_empty, BPF_NOEXIST)) {
		loss__count(LOSS_NAME_FULL);
		return NULL;
	}
	return bpf_map_lookup_elem(&names, key);
}

/* Appends a component; false if there is no room for it. */
static __always_inline bool name__append(struct name *name, struct dentry *dentry)
{
	/*
	 * Kept in the map and not in a register: the verifier then takes it for any number, and one
	 * pass of the loop for as good as another.
	 */
	u64 at = *(volatile u32 *)&name->len;
	long n;

	if (at >= NAME_SIZE)
		return false;
	barrier_var(at);
	n = bpf_probe_read_kernel_str(&name->text[at], NAME_PART,
				      BPF_CORE_READ(dentry, d_name.name));
	if (n <= 0)
		return false;
	*(volatile u32 *)&name->len = at + n;
	return true;
}

/* On the way up a path. */
struct name_climb {
	struct mount *mnt;
	struct dentry *dentry;
	struct dentry *top;       /* the root of the current thread, and… */
	struct vfsmount *top_mnt; /* …its mount */
};

enum name_step {
	NAME_GOES_ON,
	NAME_AT_TOP,
	NAME_FULL,
};

/* Appends what @c is at, and goes up; or to the mount that it is in. */
VERIFIED_ONCE int name__step(struct name *name, struct name_climb *c)
{
	struct dentry *dentry, *parent, *root;
	struct mount *mnt, *above;

	if (!name || !c)
		return NAME_FULL;
	mnt = c->mnt;
	dentry = c->dentry;
	root = BPF_CORE_READ(mnt, mnt.mnt_root);
	parent = BPF_CORE_READ(dentry, d_parent);
	if (dentry == c->top &&
	    (void *)mnt + bpf_core_field_offset(struct mount, mnt) == c->top_mnt)
		return NAME_AT_TOP;
	if (dentry != root && dentry != parent) {
		if (!name__append(name, dentry))
			return NAME_FULL;
		c->dentry = parent;
		return NAME_GOES_ON;
	}
	above = BPF_CORE_READ(mnt, mnt_parent);
	if (dentry != root || above == mnt)
		return NAME_AT_TOP;
	c->dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
	c->mnt = above;
	return NAME_GOES_ON;
}

/*
 * Appends the path of dentry @at in mount @vfsmnt up to the root of the current thread, or else of
 * the mount tree, as struct name describes it, to the name with these members of its key. A global
 * function of scalars, which the verifier looks at once: there is no end of ways that lead here.
 */
__noinline int name__climb(u64 id, u64 id2, u64 kind, u64 at, u64 vfsmnt)
{
	struct name_key key = {.id = id, .id2 = id2, .kind = kind};
	struct name *name = bpf_map_lookup_elem(&names, &key);
	struct fs_struct *fs = BPF_CORE_READ(compat__current(), fs);
	struct name_climb c = {
		.mnt = (void *)vfsmnt - bpf_core_field_offset(struct mount, mnt),
		.dentry = (void *)at,
		.top = BPF_CORE_READ(fs, root.dentry),
		.top_mnt = BPF_CORE_READ(fs, root.mnt),
	};
	int step = NAME_GOES_ON;

	if (!name)
		return 0;
	for (int i = 0; i < NAME_PARTS && step == NAME_GOES_ON; i++)
		step = name__step(name, &c);
	if (step != NAME_AT_TOP)
		name->flags |= NAME_TRUNCATED;
	else if (!name->len) /* What has no path (pipes, anonymous inodes) has a name there. */
		name__append(name, c.dentry);
	return 0;
}

static __always_inline void name__walk(const struct name_key *key, struct dentry *dentry,
				       struct vfsmount *vfsmnt)
{
	name__climb(key->id, key->id2, key->kind, (u64)dentry, (u64)vfsmnt);
}

/* The path of @file. */
static __always_inline void name__path(const struct name_key *key, struct file *file)
{
	if (name__new(key))
		name__walk(key, BPF_CORE_READ(file, f_path.dentry),
			   BPF_CORE_READ(file, f_path.mnt));
}

#define UNIX_PATH_MAX 108 /* include/uapi/linux/un.h */

/* @size bytes at @from, a socket's path: not always terminated, and may begin with a NUL. */
static __noinline __attribute__((unused)) void name__bytes(const struct name_key *key,
							   const void *from, u32 size)
{
	struct name *name = name__new(key);
	u64 n = size > UNIX_PATH_MAX ? UNIX_PATH_MAX : size;

	if (!name)
		return;
	/* Says the bound again, in a way that clang 14 does not optimise away and widen. */
	barrier_var(n);
	n &= 127;
	if (!bpf_probe_read_kernel(name->text, n, from))
		name->len = n;
}

#endif
