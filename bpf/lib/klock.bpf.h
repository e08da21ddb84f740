/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Kernel locks: which one an address is, as far as the thread that wants it tells; who has it. */
#ifndef DWELL_KLOCK_BPF_H
#define DWELL_KLOCK_BPF_H

#include "lib/cause.bpf.h"

/* include/linux/mutex.h, rwsem.h: the low bits of an owner are flags */
#define KLOCK_OWNER_FLAGS  7
#define RWSEM_READER_OWNED 1

/* enum klock_class of @lock, which @task (the current one) wants. */
static __always_inline u32 klock__class(struct task_struct *task, u64 lock, u32 flags)
{
	struct sighand_struct *sighand = FOLLOW(task_struct, task, sighand);
	struct mm_struct *mm;
	struct syscall_regs regs;
	struct file *file;
	struct inode *inode;
	u64 pipe;

	if (FIELD(task, flags) & PF_KTHREAD)
		return KLOCK_UNKNOWN;
	if (lock == (u64)sighand + bpf_core_field_offset(struct sighand_struct, siglock))
		return KLOCK_SIGNAL;
	/* The others are no spinlocks. */
	if ((flags & LCB_F_SPIN) && !(flags & LCB_F_MUTEX))
		return KLOCK_UNKNOWN;
	mm = FOLLOW(task_struct, task, mm);
	if (mm && lock == (u64)mm + bpf_core_field_offset(struct mm_struct, mmap_lock))
		return KLOCK_MMAP;
	compat__syscall(task, &regs);
	if ((u64)regs.nr >= NR_SYSCALLS ||
	    config.syscall_class[regs.nr & (NR_SYSCALLS - 1)] != CLASS_FD)
		return KLOCK_UNKNOWN;
	file = path__file(task, compat__arg(&regs, 0), true);
	if (!file)
		return KLOCK_UNKNOWN;
	inode = FOLLOW(file, file, f_inode);
	if (lock == (u64)inode + bpf_core_field_offset(struct inode, i_rwsem))
		return KLOCK_INODE;
	pipe = (u64)FOLLOW(inode, inode, i_pipe);
	if (pipe && lock == pipe + bpf_core_field_offset(struct pipe_inode_info, mutex))
		return KLOCK_PIPE;
	return KLOCK_UNKNOWN;
}

/*
 * The thread that has the sleeping lock @lock, or NULL where it does not say, or readers have it.
 */
static __always_inline struct task_struct *klock__owner(u64 lock, u32 flags)
{
	s64 owner = 0;

	if (flags & (LCB_F_SPIN | LCB_F_RT | LCB_F_PERCPU))
		return NULL;
	if (flags & LCB_F_MUTEX) {
		owner = FOLLOW(mutex, lock, owner.counter);
	} else if (flags & (LCB_F_READ | LCB_F_WRITE)) {
		owner = FOLLOW(rw_semaphore, lock, owner.counter);
		if (owner & RWSEM_READER_OWNED)
			return NULL;
	}
	return (struct task_struct *)(owner & ~(s64)KLOCK_OWNER_FLAGS);
}

#endif
