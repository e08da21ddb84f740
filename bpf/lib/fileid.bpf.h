/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Which file a system call works on: by its inode where there is a descriptor, else by the path
 * that the program gave, since no tracepoint tells what the kernel found there.
 *
 * A thread mostly works on the files that it worked on last: each operation's last one is
 * remembered, and is recognised by the open file, its inode and the inode's number and generation.
 */
#ifndef DWELL_FILEID_BPF_H
#define DWELL_FILEID_BPF_H

#include "lib/cause.bpf.h"
#include "lib/fileid_rec.bpf.h"

static __always_inline void file__set(struct file_memo *memo, u32 kind, u64 id, u64 id2)
{
	if (memo->id.kind == kind && memo->id.id == id && memo->id.id2 == id2)
		return;
	memo->id.kind = kind;
	memo->id.id = id;
	memo->id.id2 = id2;
	if (CONFIG(by) == BY_FILE || CONFIG(by) == BY_MOUNT)
		memo->slot[0] = memo->slot[1] = FILE_SLOT_OPEN;
}

/* Pipes, sockets, terminals are no files, nor are anonymous inodes (regular ones since 6.16). */
static __always_inline bool file__is_file(struct inode *inode, struct super_block *sb)
{
	u16 mode = BPF_CORE_READ(inode, i_mode) & S_IFMT;

	return (mode == S_IFREG || mode == S_IFDIR || mode == S_IFBLK) &&
	       BPF_CORE_READ(sb, s_magic) != ANON_INODE_FS_MAGIC;
}

/* What an open file is recognised by. */
struct file_look {
	struct inode *inode;
	u64 ino;
	u32 generation;
};

static __always_inline struct file_look file__look(struct file *file)
{
	struct inode *inode;

	if (peek__loads()) {
		inode = PEEK_AS(file, file)->f_inode;
		return (struct file_look){inode, inode->i_ino, inode->i_generation};
	}
	inode = BPF_CORE_READ(file, f_inode);
	return (struct file_look){inode, BPF_CORE_READ(inode, i_ino),
				  BPF_CORE_READ(inode, i_generation)};
}

/* Makes @memo the file's; false if it is none. */
static __always_inline bool file__identify(struct file_memo *memo, struct file *file)
{
	struct file_look look = file__look(file);
	struct inode *inode = look.inode;
	struct super_block *sb;

	if (likely(memo->id.kind == FILE_KEY_INODE && memo->id.file == (u64)file &&
		   memo->id.inode == (u64)inode && memo->id.id == look.ino &&
		   memo->id.id2 >> 32 == look.generation))
		return true;
	sb = BPF_CORE_READ(inode, i_sb);
	if (!file__is_file(inode, sb))
		return false;
	if (CONFIG(by) == BY_MOUNT)
		file__set(memo, FILE_KEY_MOUNT, (u64)BPF_CORE_READ(file, f_path.mnt),
			  BPF_CORE_READ(sb, s_dev));
	else
		file__set(memo, FILE_KEY_INODE, look.ino, inode__where(inode, sb));
	memo->id.file = (u64)file;
	memo->id.inode = (u64)inode;
	return true;
}

/* Makes @memo that of the path that was read. */
static __always_inline void file__identify_path(struct file_memo *memo, struct task_struct *task,
						const struct path_text *path, s32 dirfd)
{
	file__set(memo, FILE_KEY_PATH, path__hash(path), path__where(task, path, dirfd));
}

static __always_inline struct name_key file__name_key(const struct file_id *id)
{
	return (struct name_key){.id = id->id, .id2 = id->id2, .kind = NAME_FILE + id->kind};
}

/* Keeps the name of @file, or of its mount, as that of @id. */
static __noinline void file__name(const struct file_id *id, struct file *file)
{
	struct name_key key = file__name_key(id);
	struct vfsmount *mnt;

	if (id->kind == FILE_KEY_INODE) {
		name__path(&key, file);
		return;
	}
	mnt = BPF_CORE_READ(file, f_path.mnt);
	if (name__new(&key))
		name__walk(&key, BPF_CORE_READ(mnt, mnt_root), mnt);
}

#endif
