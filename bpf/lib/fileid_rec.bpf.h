/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What is kept of files: apart from lib/fileid.bpf.h, since a clock holds it. */
#ifndef DWELL_FILEID_REC_BPF_H
#define DWELL_FILEID_REC_BPF_H

#include "lib/path_rec.bpf.h"
#include "file.h"

#define FILE_SLOT_OPEN 0xfffffffe /* of a memo: not looked up yet */

/* A file as its tally's key has it, and how it is recognised. */
struct file_id {
	u64 file;  /* addresses, of FILE_KEY_INODE only */
	u64 inode; /* … */
	u64 id;
	u64 id2;
	u32 kind; /* enum file_key */
	u32 pad;
};

/* The file that an operation was on last, and its tallies: of hits and misses. */
struct file_memo {
	struct file_id id;
	u64 row;
	u32 slot[2];
};

#endif
