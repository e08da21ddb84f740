/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Which file an inode is: its number is used again once the file is removed, so its generation
 * belongs to it.
 */
#ifndef DWELL_INODE_BPF_H
#define DWELL_INODE_BPF_H

#include "lib/peek.bpf.h"

/* The device and the generation: with the number, one file for as long as it runs. */
static __always_inline u64 inode__where(struct inode *inode, struct super_block *sb)
{
	return (u64)FOLLOW(inode, inode, i_generation) << 32 | FOLLOW(super_block, sb, s_dev);
}

/* Number and generation in one word, to be compared on one device. */
static __always_inline u64 inode__number(struct inode *inode)
{
	return FOLLOW(inode, inode, i_ino) ^ (u64)FOLLOW(inode, inode, i_generation) << 32;
}

/* The same of an open file's. */
static __always_inline u64 inode__of_file(struct file *file)
{
	return FOLLOW(file, file, f_inode, i_ino) ^ (u64)FOLLOW(file, file, f_inode, i_generation)
							    << 32;
}

#endif
