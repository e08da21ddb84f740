/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What a bio tells of its origin beyond the thread that submits it: the file whose pages it moves,
 * and the cgroup that made them dirty. All by probe reads, and only for who asked for it.
 */
#ifndef DWELL_BIO_BPF_H
#define DWELL_BIO_BPF_H

#include "lib/cause.bpf.h"
#include "lib/name.bpf.h"
#include "request.h"

#define PAGE_MAPPING_FLAGS 3 /* include/linux/page-flags.h: not a file's */

/* The inode whose cached pages @bio reads or writes, or NULL: direct I/O, memory of nobody's. */
static __always_inline struct inode *bio__cached(struct bio *bio)
{
	struct bio_vec *vec = BPF_CORE_READ(bio, bi_io_vec);
	u32 at = BPF_CORE_READ(bio, bi_iter.bi_idx);
	struct page *page = NULL;
	u64 mapping;

	if (!vec)
		return NULL;
	bpf_core_read(&page, sizeof(page),
		      (void *)vec + at * bpf_core_type_size(struct bio_vec) +
			      bpf_core_field_offset(struct bio_vec, bv_page));
	if (!page)
		return NULL;
	mapping = (u64)BPF_CORE_READ(compat__first_page(page), mapping);
	if (!mapping || (mapping & PAGE_MAPPING_FLAGS))
		return NULL;
	return BPF_CORE_READ((struct address_space *)mapping, host);
}

/*
 * The file of direct I/O through iomap (ext4, xfs, btrfs, f2fs): whoever asked, io_uring and libaio
 * too. What bi_private points to is not said anywhere, so the chain has to lead back to itself.
 */
static __always_inline struct file *bio__direct(struct bio *bio)
{
	struct iomap_dio *dio = BPF_CORE_READ(bio, bi_private);
	struct file *file = BPF_CORE_READ(dio, iocb, ki_filp);
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	if (!inode || (BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFREG)
		return NULL;
	if (BPF_CORE_READ(inode, i_mapping, host) != inode ||
	    BPF_CORE_READ(file, f_path.dentry, d_parent) == NULL)
		return NULL;
	return file;
}

/* The cgroup v2 that @bio is charged to: of write-back, who made the pages dirty. 0: not known. */
static __always_inline u64 bio__cgroup(struct bio *bio)
{
	struct cgroup *cgroup;

	if (!bio || !bpf_core_field_exists(bio->bi_blkg))
		return 0;
	cgroup = BPF_CORE_READ(bio, bi_blkg, blkcg, css.cgroup);
	/* The first hierarchy that a kernel makes is that of version 2. */
	if (!cgroup || BPF_CORE_READ(cgroup, root, hierarchy_id))
		return 0;
	return BPF_CORE_READ(cgroup, kn, id);
}

/*
 * Does a thread of the kernel's write cached pages? A journal's thread does not: its blocks are the
 * device's own pages, and urgent. Of the bio at @address, as bio__file().
 */
__noinline int bio__writes_back(u64 address, u32 op)
{
	struct bio *bio = (void *)address;
	struct inode *inode = bio ? bio__cached(bio) : NULL;

	if (!inode)
		return false;
	return (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFREG ||
	       !(op & (REQUEST_SYNC | REQUEST_META));
}

static __always_inline u64 bio__row(struct inode *inode)
{
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFBLK)
		return ROW_BLOCK | BPF_CORE_READ(inode, i_rdev);
	return (u64)BPF_CORE_READ(inode, i_sb, s_dev) << 32 |
	       (u32)((inode__number(inode) * 0x9e3779b97f4a7c15ULL) >> 32);
}

/* The path of @inode, by any of its names, up to the root of its file system: no mount is known. */
static __noinline void bio__name(const struct name_key *key, struct inode *inode)
{
	struct name *name = name__new(key);
	struct hlist_node *alias = BPF_CORE_READ(inode, i_dentry.first);
	struct dentry *dentry, *parent;

	/* A file without a name: removed, and only open. */
	if (!name || !alias)
		return;
	dentry = compat__dentry(alias);
	if (!dentry)
		return;
	name->flags = NAME_BELOW_MOUNT;
	for (int i = 0; i < NAME_PARTS; i++) {
		parent = BPF_CORE_READ(dentry, d_parent);
		if (dentry == parent) {
			if (!name->len)
				name__append(name, dentry);
			return;
		}
		if (!name__append(name, dentry))
			break;
		dentry = parent;
	}
	name->flags |= NAME_TRUNCATED;
}

/*
 * The row of the file that the struct bio at @address is of, whose name is kept at its first use.
 * Global, of a number: verified once, not in every state that its callers can be in.
 */
__noinline u64 bio__file(u64 address)
{
	struct name_key key = {.kind = NAME_ROW_FILE};
	struct bio *bio = (void *)address;
	struct file *file = bio ? bio__direct(bio) : NULL;
	struct inode *inode = file ? BPF_CORE_READ(file, f_inode) : NULL;

	if (!bio)
		return ROW_NO_FILE;
	if (!inode)
		inode = bio__cached(bio);
	if (!inode)
		return ROW_NO_FILE;
	key.id = bio__row(inode);
	if (key.id & ROW_BLOCK)
		return key.id;
	if (file)
		name__path(&key, file);
	else
		bio__name(&key, inode);
	return key.id;
}

#endif
