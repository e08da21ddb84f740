/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The kernel's types as far as dwell reads them, kept by hand: only the fields that are used, in
 * any order, since CO-RE relocates every access. `make check-vmlinux` holds each type and field
 * against the running kernel's BTF. A ___suffix marks how another kernel version spells a type.
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#include <linux/types.h>
#include <linux/bpf.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;

enum {
	false = 0,
	true = 1,
};

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r10;
	unsigned long r8;
	unsigned long ax;
	unsigned long cx;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
	unsigned long ip;
	unsigned long sp;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp;
};

struct pt_regs {
	union {
		struct user_pt_regs user_regs;
		struct {
			u64 regs[31];
		};
	};
	s32 syscallno;
};
#else
#error "dwell reads system call registers on x86-64 and arm64 only"
#endif

struct thread_info {
	unsigned long flags;
#if defined(__TARGET_ARCH_x86)
	u32 status;
#endif
};

struct qstr {
	const unsigned char *name;
};

struct inode;
struct super_block;

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct dentry {
	struct inode *d_inode;
	struct dentry *d_parent;
	struct qstr d_name;
	union {
		struct hlist_node d_alias;
	} d_u;
};

/* The union lost its name after 6.18; so it is in 7.3. */
struct dentry___unnamed {
	struct hlist_node d_alias;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
	struct block_device *s_bdev;
};

typedef struct {
	s64 counter;
} atomic64_t;

typedef atomic64_t atomic_long_t;

struct mutex {
	atomic_long_t owner;
};

struct rw_semaphore {
	atomic_long_t owner;
};

struct pipe_inode_info {
	struct mutex mutex;
};

struct address_space {
	struct inode *host;
};

struct inode {
	unsigned short i_mode;
	u32 i_rdev;
	struct address_space *i_mapping;
	struct hlist_head i_dentry;
	struct super_block *i_sb;
	unsigned long i_ino;
	__u32 i_generation;
	struct rw_semaphore i_rwsem;
	struct pipe_inode_info *i_pipe;
};

struct file_operations;

struct file {
	struct inode *f_inode;
	const struct file_operations *f_op;
	struct path f_path;
	void *private_data;
};

struct timespec64 {
	s64 tv_sec;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path root;
	struct path pwd;
};

struct vm_area_struct {
	struct file *vm_file;
};

struct io_ring_ctx {
	unsigned int flags;
};

struct io_wq_work {
	int cancel_seq;
};

struct io_kiocb {
	struct file *file;
	u8 opcode;
	u64 flags; /* a u32 before 6.9: of its bits only those below are read */
	struct io_ring_ctx *ctx;
	struct io_wq_work work;
};

struct io_worker {
	struct io_wq_work *cur_work;
};

struct io_uring_cqe {
	__s32 res;
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

struct sock_common {
	unsigned short skc_family;
	unsigned int skc_daddr;
	__u16 skc_dport; /* network order */
	__u16 skc_num;   /* the local port, host order */
	struct in6_addr skc_v6_daddr;
};

struct sock {
	struct sock_common __sk_common;
};

struct socket {
	struct sock *sk;
};

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct kernfs_node {
	u64 id;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
	struct cgroup *ancestors[0];
};

/* Before 6.1 (7f203bc89eb6): the ids of the ancestors instead of pointers to them. */
struct cgroup___ids {
	u64 ancestor_ids[0];
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct mm_struct {
	unsigned long exec_vm;
	unsigned long arg_start;
	struct rw_semaphore mmap_lock;
};

/* Only its place counts. */
typedef struct spinlock {
} spinlock_t;

struct sighand_struct {
	spinlock_t siglock;
};

struct pid_namespace;

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[0]; /* of 1 before 6.5 (b69f0aeb0689) */
};

struct sched_entity {
	u64 sum_exec_runtime;
	u64 prev_sum_exec_runtime;
};

struct list_head {
	struct list_head *next;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	void *stack;
	unsigned int flags;
	int on_cpu;
	struct sched_entity se;
	int exit_state;
	unsigned int in_iowait: 1;
	unsigned int frozen: 1;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct list_head children;
	struct list_head sibling;
	u64 start_time;
	u64 start_boottime;
	char comm[16];
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct css_set *cgroups;
	struct pid *thread_pid;
	struct signal_struct *signal;
	struct sighand_struct *sighand;
	void *worker_private;
};

struct signal_struct {
	int nr_threads;
};

/* Before 5.14 (2f064a59a11f). */
struct task_struct___state {
	volatile long state;
};

struct gendisk {
	int major;
	int first_minor;
	char disk_name[32];
	struct request_queue *queue;
};

struct blk_mq_ops {
	void *get_budget;
};

struct request_queue {
	struct elevator_queue *elevator;
	const struct blk_mq_ops *mq_ops; /* NULL: its driver gets bios */
	struct gendisk *disk;            /* d152c682f03c, 5.15 */
};

struct block_device {
	struct gendisk *bd_disk;
};

struct page {
	struct address_space *mapping;
	unsigned long compound_head;
};

/* Renamed for 8c846c879e22, 7.1. */
struct page___info {
	unsigned long compound_info;
};

struct bio_vec {
	struct page *bv_page;
};

struct bvec_iter {
	u64 bi_sector;
	unsigned int bi_size;
	unsigned int bi_idx;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct blkcg {
	struct cgroup_subsys_state css;
};

struct blkcg_gq {
	struct blkcg *blkcg;
};

struct bio {
	struct block_device *bi_bdev;
	unsigned int bi_opf;
	u8 bi_status;
	struct bvec_iter bi_iter;
	void *bi_private;
	struct blkcg_gq *bi_blkg;
	struct bio_vec *bi_io_vec;
};

/* Before 5.12 (309dca309fc3). */
struct bio___disk {
	struct gendisk *bi_disk;
};

struct kiocb {
	struct file *ki_filp;
};

struct iomap_dio {
	struct kiocb *iocb;
};

struct blk_flush_queue {
	unsigned int flush_running_idx: 1;
	struct list_head flush_queue[2];
};

struct blk_mq_hw_ctx {
	struct blk_flush_queue *fq;
};

struct request {
	struct request_queue *q;
	struct blk_mq_hw_ctx *mq_hctx;
	unsigned int cmd_flags;
	unsigned int __data_len;
	u64 __sector;
	struct bio *bio;
	struct bio *biotail;
	struct list_head queuelist;
	u64 start_time_ns;
};

/* Before 6.6 (81ada09cc25e). */
struct request___flush {
	struct {
		struct list_head list;
	} flush;
};

/* Before 5.17 (f3fa33acca9f). */
struct request___disk {
	struct gendisk *rq_disk;
};

/* The values are the running kernel's: asked for by name. */
enum req_flag_bits {
	__REQ_SYNC = 11,
	__REQ_META = 12,
	__REQ_FUA = 17,
	__REQ_PREFLUSH = 18,
	__REQ_RAHEAD = 19,
};

struct seq_file {
	unsigned long size;
	unsigned long count;
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif
