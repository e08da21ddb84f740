/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Everything that differs between kernels, and between the two ways to attach:
 *
 *   default      tp_btf programs: kernel pointers are followed directly, task storage, atomics
 *                that return a value; 5.12
 *   DWELL_RAW=1  raw tracepoints: pointers are followed by probe reads, hashes instead of task
 *                storage and of seats, no such atomics; loads on any kernel from 5.8 on
 *
 * Differences are asked of BTF, never of a version number.
 */
#ifndef DWELL_COMPAT_BPF_H
#define DWELL_COMPAT_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#include "config.h"

const volatile struct config config SEC(".rodata.core");

#define CONFIG_INSN(member, bits)                                                                  \
	((u64)(CONFIG_MARK | (bits)) << 32 | (u64)sizeof(config.member) << CONFIG_SIZE_SHIFT |     \
	 __builtin_offsetof(struct config, member))
#define CONFIG_LOAD(member, bits)                                                                  \
	({                                                                                         \
		u64 value__;                                                                       \
                                                                                                   \
		asm volatile("%0 = %1 ll" : "=r"(value__) : "i"(CONFIG_INSN(member, bits)));       \
		value__;                                                                           \
	})

/* A number of config's, as 64 bits: an instruction with it. Not for what is indexed at run time. */
#define CONFIG(member) CONFIG_LOAD(member, 0)

/* Is one of @bits, of the lowest 8, set in it? 0 or 1. */
#define CONFIG_HAS(member, bits) CONFIG_LOAD(member, bits)

/*
 * A function that the verifier looks at once, whoever calls it in whatever state. Pointers that it
 * gets may be NULL. Those take e5069b9c23b3, 5.12: before, and so with DWELL_RAW, it is looked at
 * anew for each call.
 */
#ifdef DWELL_RAW
#define VERIFIED_ONCE static __noinline __attribute__((unused))
#else
#define VERIFIED_ONCE __noinline
#endif

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#ifdef DWELL_RAW
#define SEC_TP(name)               SEC("raw_tp/" name)
#define SEC_TP_OPTIONAL(name)      SEC("?raw_tp/" name)
#define FIELD(p, field)            BPF_CORE_READ(p, field)
#define TASK_BITFIELD(task, field) BPF_CORE_READ_BITFIELD_PROBED(task, field)
#else
#define SEC_TP(name)               SEC("tp_btf/" name)
#define SEC_TP_OPTIONAL(name)      SEC("?tp_btf/" name)
#define FIELD(p, field)            ((p)->field)
#define TASK_BITFIELD(task, field) BPF_CORE_READ_BITFIELD(task, field)
#endif

/* Task states and flags, include/linux/sched.h. */
#define TASK_RUNNING       0
#define TASK_INTERRUPTIBLE 0x1
#define __TASK_STOPPED     0x4
#define __TASK_TRACED      0x8
#define TASK_DEAD          0x80
#define TASK_FROZEN        0x8000 /* f5d39b020809, 6.1 */
#define PF_IO_WORKER       0x10   /* 3bfe6106693b, 5.12 */
#define PF_USER_WORKER     0x4000 /* 54e6842d0775, 6.4 */
#define PF_KTHREAD         0x00200000

/* The state of a task that does not run now: `state` became `__state` in 2f064a59a11f, 5.14. */
static __always_inline u32 compat__task_state(struct task_struct *task)
{
	struct task_struct___state *old = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return FIELD(task, __state);
	return BPF_CORE_READ(old, state);
}

/* An int that became a byte (7.x): read by the size that it has, as bit fields are. */
static __always_inline bool compat__on_cpu(struct task_struct *task)
{
	return TASK_BITFIELD(task, on_cpu);
}

static __always_inline struct task_struct *compat__current(void)
{
#ifdef DWELL_RAW
	return (void *)bpf_get_current_task();
#else
	return bpf_get_current_task_btf();
#endif
}

/* The system call that a thread is in. */
struct syscall_regs {
	struct pt_regs *regs; /* for compat__arg() */
	s64 nr;               /* negative: in none, or in one of a 32-bit program */
};

#if defined(__TARGET_ARCH_x86)
#define TS_COMPAT                0x0002 /* arch/x86/include/asm/thread_info.h */
#define SYSCALL_NR(READ, regs)   ((s64)READ(regs, orig_ax))
#define SYSCALL_ARG0(READ, regs) READ(regs, di)
#define SYSCALL_ARG1(READ, regs) READ(regs, si)
#define SYSCALL_ARG2(READ, regs) READ(regs, dx)
#define SYSCALL_ARG3(READ, regs) READ(regs, r10)

static __always_inline bool compat__is_32bit(struct task_struct *task)
{
	return FIELD(task, thread_info.status) & TS_COMPAT;
}
#else
#define TIF_32BIT                (1 << 22) /* arch/arm64/include/asm/thread_info.h */
#define SYSCALL_NR(READ, regs)   ((s64)READ(regs, syscallno))
#define SYSCALL_ARG0(READ, regs) READ(regs, user_regs.regs[0])
#define SYSCALL_ARG1(READ, regs) READ(regs, user_regs.regs[1])
#define SYSCALL_ARG2(READ, regs) READ(regs, user_regs.regs[2])
#define SYSCALL_ARG3(READ, regs) READ(regs, user_regs.regs[3])

static __always_inline bool compat__is_32bit(struct task_struct *task)
{
	return FIELD(task, thread_info.flags) & TIF_32BIT;
}
#endif

#define SYSCALL_ARG(READ, regs, n)                                                                 \
	((n) == 0   ? SYSCALL_ARG0(READ, regs)                                                     \
	 : (n) == 1 ? SYSCALL_ARG1(READ, regs)                                                     \
	 : (n) == 2 ? SYSCALL_ARG2(READ, regs)                                                     \
		    : SYSCALL_ARG3(READ, regs))

/* Kernel stacks on the supported configurations; used only without bpf_task_pt_regs(). */
#define THREAD_SIZE (16 * 1024)

/* Are the registers to be read without a helper? dd6e10fbd9fb, 5.15 */
static __always_inline bool compat__loads_regs(void)
{
#ifndef DWELL_RAW
	return bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs);
#else
	return false;
#endif
}

/* The registers with which @task entered the kernel. */
static __always_inline struct pt_regs *compat__regs(struct task_struct *task)
{
#ifndef DWELL_RAW
	if (compat__loads_regs())
		return (struct pt_regs *)bpf_task_pt_regs(task);
#endif
	return (struct pt_regs *)((long)FIELD(task, stack) + THREAD_SIZE - CONFIG(stack_padding) -
				  bpf_core_type_size(struct pt_regs));
}

/* What was given along with a uprobe when it was attached: 7adfc6c9b315, 5.15; before it is 0. */
static __always_inline u64 compat__cookie(void *ctx)
{
#ifndef DWELL_RAW
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
		return bpf_get_attach_cookie(ctx);
#endif
	return 0;
}

/* The system call that @task is in, from the registers with which it entered the kernel. */
static __always_inline void compat__syscall(struct task_struct *task, struct syscall_regs *out)
{
	struct pt_regs *regs = compat__regs(task);

	out->regs = regs;
	out->nr = compat__loads_regs() ? SYSCALL_NR(FIELD, regs) : SYSCALL_NR(BPF_CORE_READ, regs);
	if (unlikely(compat__is_32bit(task)))
		out->nr = -1;
}

/* Its argument @n, a constant: the first is 0. Each is a load: only those that matter are read. */
static __always_inline u64 compat__arg(const struct syscall_regs *call, u32 n)
{
	struct pt_regs *regs = call->regs;

	return compat__loads_regs() ? SYSCALL_ARG(FIELD, regs, n)
				    : SYSCALL_ARG(BPF_CORE_READ, regs, n);
}

/* The run that ends, ns, as the fair scheduler counts; other classes' may appear longer. */
static __always_inline u64 compat__run_ns(struct task_struct *task)
{
	return FIELD(task, se.sum_exec_runtime) - FIELD(task, se.prev_sum_exec_runtime);
}

/* The command name as two words: cheaper to copy and to compare than a string. */
static __always_inline void compat__comm(struct task_struct *task, u64 comm[2])
{
#ifdef DWELL_RAW
	bpf_core_read(comm, 16, &task->comm);
#else
	comm[0] = *(u64 *)&task->comm[0];
	comm[1] = *(u64 *)&task->comm[8];
#endif
}

/* @v with what stands behind its first (lowest) zero byte cleared. */
static __always_inline u64 compat__until_nul(u64 v)
{
	u64 zero = (v - 0x0101010101010101ULL) & ~v & 0x8080808080808080ULL;

	return zero ? v & (((zero & -zero) >> 7) - 1) : v;
}

/*
 * The name as a key that can be compared: before 5.17, whose __set_task_comm() pads it,
 * behind its end is what an earlier, longer name left.
 */
static __always_inline void compat__comm_key(struct task_struct *task, u64 comm[2])
{
	u64 first;

	compat__comm(task, comm);
	first = compat__until_nul(comm[0]);
	comm[1] = comm[0] >> 56 && first == comm[0] ? compat__until_nul(comm[1]) : 0;
	comm[0] = first;
}

/* The id of @task's cgroup's ancestor at @level (itself included); 0 if it is not that deep. */
static __always_inline u64 compat__cgroup_ancestor(struct task_struct *task, u32 level)
{
	struct cgroup *cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	struct cgroup___ids *old = (void *)cgroup;
	struct cgroup *ancestor = NULL;
	u64 id = 0;

	if ((u32)BPF_CORE_READ(cgroup, level) < level)
		return 0;
	/* 7f203bc89eb6, 6.1 */
	if (bpf_core_field_exists(cgroup->ancestors)) {
		bpf_core_read(&ancestor, sizeof(ancestor), &cgroup->ancestors[level]);
		return BPF_CORE_READ(ancestor, kn, id);
	}
	bpf_core_read(&id, sizeof(id), &old->ancestor_ids[level]);
	return id;
}

/*
 * Stores @value in *@word if it holds @expected; true if it did. Without atomics that return a
 * value (5.12) two CPUs may both succeed: the window is a few ns, at a thread's first event only.
 */
static __always_inline bool compat__claim(u32 *word, u32 expected, u32 value)
{
#ifndef DWELL_RAW
	return __sync_val_compare_and_swap(word, expected, value) == expected;
#else
	if (*(volatile u32 *)word != expected)
		return false;
	*(volatile u32 *)word = value;
	return true;
#endif
}

/* For compat__max(), where @v was more: that is rare. */
VERIFIED_ONCE int compat__raise(u64 *max, u64 v)
{
	u64 seen;

	if (!max)
		return 0;
	seen = *(volatile u64 *)max;
#ifndef DWELL_RAW
	for (int i = 0; i < 4 && seen < v; i++) {
		u64 old = __sync_val_compare_and_swap(max, seen, v);

		if (old == seen)
			break;
		seen = old;
	}
#else
	if (seen < v)
		*(volatile u64 *)max = v;
#endif
	return 0;
}

/* *@max = max(*@max, @v), exact but for DWELL_RAW, where of two that come at once one may win. */
static __always_inline void compat__max(u64 *max, u64 v)
{
	if (__builtin_expect(v > *max, 0))
		compat__raise(max, v);
}

/* The lower half of an address as a number to reckon with: verifiers forbid that with pointers. */
static __always_inline u32 compat__low(const void *p)
{
	u32 low;

#ifndef DWELL_RAW
	asm volatile("%0 = %1" : "=w"(low) : "w"((u32)(u64)p));
#else
	low = (u64)p;
#endif
	return low;
}

/* As compat__claim(), of 64 bits. */
static __always_inline bool compat__claim64(u64 *word, u64 expected, u64 value)
{
#ifndef DWELL_RAW
	return __sync_val_compare_and_swap(word, expected, value) == expected;
#else
	if (*(volatile u64 *)word != expected)
		return false;
	*(volatile u64 *)word = value;
	return true;
#endif
}

/* The disk of a request: it was a member until f3fa33acca9f, 5.17. NULL for an admin queue's. */
static __always_inline struct gendisk *compat__disk(struct request *rq)
{
	struct request___disk *old = (void *)rq;
	struct request_queue *q;

	if (bpf_core_field_exists(old->rq_disk))
		return FIELD(old, rq_disk);
	q = FIELD(rq, q);
	return q ? FIELD(q, disk) : NULL;
}

/*
 * The first of the requests that wait for the flush @rq, or NULL; to be followed by probe reads.
 * Their list goes by a link of its own until 81ada09cc25e, 6.6.
 */
static __always_inline struct request *compat__flushed(struct request *rq)
{
	struct blk_flush_queue *fq = BPF_CORE_READ(rq, mq_hctx, fq);
	struct request___flush *old = NULL;
	u64 link = bpf_core_field_offset(struct request, queuelist);
	struct list_head *head, *first;

	if (!fq)
		return NULL;
	head = (void *)fq + bpf_core_field_offset(struct blk_flush_queue, flush_queue);
	if (BPF_CORE_READ_BITFIELD_PROBED(fq, flush_running_idx))
		head = (void *)head + bpf_core_type_size(struct list_head);
	first = BPF_CORE_READ(head, next);
	if (bpf_core_field_exists(old->flush.list))
		link = bpf_core_field_offset(old->flush.list);
	return first && first != head ? (void *)first - link : NULL;
}

/* The disk that a bio goes to: by a block_device since 309dca309fc3, 5.12. */
static __always_inline struct gendisk *compat__bio_disk(struct bio *bio)
{
	struct bio___disk *old = (void *)bio;
	struct block_device *bdev;

	if (bpf_core_field_exists(old->bi_disk))
		return FIELD(old, bi_disk);
	bdev = FIELD(bio, bi_bdev);
	return bdev ? FIELD(bdev, bd_disk) : NULL;
}

/*
 * The first page of the folio that @page is in, which has what is known of all. A bit tells that
 * it is not this one; the rest is its address or, since 8c846c879e22, 7.1, where HugeTLB saves
 * pages, a mask for this one's: as a number that is beyond all pages.
 */
static __always_inline struct page *compat__first_page(struct page *page)
{
	struct page___info *renamed = (void *)page;
	u64 head = 0;

	if (bpf_core_field_exists(renamed->compound_info))
		head = BPF_CORE_READ(renamed, compound_info);
	else if (bpf_core_field_exists(page->compound_head))
		head = BPF_CORE_READ(page, compound_head);
	if (!(head & 1))
		return page;
	return head > (u64)page ? (void *)((u64)page & head) : (void *)(head - 1);
}

/* The dentry whose link in its inode's list is @alias; NULL: this kernel's are not known. */
static __always_inline struct dentry *compat__dentry(struct hlist_node *alias)
{
	struct dentry___unnamed *unnamed = NULL;
	struct dentry *dentry = NULL;

	if (bpf_core_field_exists(dentry->d_u.d_alias))
		return (void *)alias - bpf_core_field_offset(struct dentry, d_u.d_alias);
	if (bpf_core_field_exists(unnamed->d_alias))
		return (void *)alias - bpf_core_field_offset(struct dentry___unnamed, d_alias);
	return NULL;
}

/* Does the driver of @disk get requests? It gets bios otherwise: device-mapper's, md's, zram's… */
static __always_inline bool compat__makes_requests(struct gendisk *disk)
{
	struct request_queue *q = FIELD(disk, queue);

	return !q || FIELD(q, mq_ops);
}

/*
 * May the block layer hold back requests of @q itself, without a scheduler? Where the driver has a
 * budget: SCSI's, which is the number of requests that a device takes at a time. Newer kernels
 * (6.18; not 5.10) do not tell of such by block_rq_insert; a thread of the kernel's issues them.
 */
static __always_inline bool compat__holds_back(struct request_queue *q)
{
	const struct blk_mq_ops *ops;

	if (!q || FIELD(q, elevator))
		return false;
	ops = FIELD(q, mq_ops);
	return ops && FIELD(ops, get_budget);
}

/* The pages that a hook's stores go to are ordered for a reader on another CPU. */
#if defined(__TARGET_ARCH_x86)
#define compat__wmb() barrier() /* stores are not reordered with stores on x86 */
#else
#define compat__wmb() __sync_fetch_and_add(&(u64){0}, 0)
#endif
#ifndef barrier
#define barrier() asm volatile("" ::: "memory")
#endif

#endif
