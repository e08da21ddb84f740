// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* file: operations on files, by system call or io_uring, by file, with their states. */
#include "lib/fileid_rec.bpf.h"
#include "lib/uring_rec.bpf.h"

#define JOURNAL_FRAMES 16 /* of the kernel's stack: the journal is some six below the hook */

/* What is kept of a thread's call besides its span. */
struct file_call {
	u64 arg;        /* address of its path, or of what it syncs */
	s32 fd;         /* its file's, or that of the directory where its path begins */
	u32 call;       /* file_config.call */
	u64 journal_ns; /* of its waits, those for the journal */
	u64 in_journal; /* the wait that is under way is one */
	struct uring_thread uring;
	u64 ip[JOURNAL_FRAMES];
	struct file_memo memo[FILE_OPS];
	struct path_text path;
};

#define CALL_EXTRA struct file_call file;
#include "lib/call.bpf.h"
#include "lib/fileid.bpf.h"
#include "lib/uring.bpf.h"

const volatile struct file_config file_config SEC(".rodata.file");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct file_sum);
} file_sums SEC(".maps");

/* ---- the journal's part --------------------------------------------------------------------- */

/*
 * The thread leaves the CPU inside the file system, but not for the device: is it for the journal?
 * Its stack says so; that is walked for these waits only.
 */
static __noinline int file__in_journal(void *ctx, struct file_call *fc)
{
	long bytes = bpf_get_stack(ctx, fc->ip, sizeof(fc->ip), 0);

	for (u32 i = 0; i < JOURNAL_FRAMES; i++) {
		if (i * 8 >= bytes)
			break;
		if (fc->ip[i] >= file_config.journal_from && fc->ip[i] < file_config.journal_to)
			return 1;
	}
	return 0;
}

static __always_inline void file__left(void *ctx, struct clock *clk)
{
	call__left(clk);
	clk->call.file.in_journal = 0;
	if (unlikely(clk->call.file.uring.worker) &&
	    uring__worker_left(clk, &clk->call.file.uring, clk->call.file.journal_ns))
		clk->call.file.journal_ns = 0;
	if (clk->state == STATE_FS && clk->call.span.start && file_config.journal_to)
		clk->call.file.in_journal = file__in_journal(ctx, &clk->call.file);
}

static __always_inline void file__woken(struct clock *clk, const struct segment *seg)
{
	if (seg->state == STATE_FS && clk->call.file.in_journal)
		clk->call.file.journal_ns += seg->total;
}

#define SCHED_LIFE
static __always_inline void sched__born(struct clock *clk, struct task_struct *task)
{
	uring__born(clk, &clk->call.file.uring, task);
}

static __always_inline void sched__died(struct clock *clk, struct task_struct *task)
{
}

#define QUIET_LEFT(ctx, clk)  file__left(ctx, clk)
#define QUIET_WOKEN(clk, seg) file__woken(clk, seg)
#include "lib/quiet.bpf.h"

/* ---- tallies -------------------------------------------------------------------------------- */

static __always_inline bool file__by_file(void)
{
	return CONFIG(by) == BY_FILE || CONFIG(by) == BY_MOUNT;
}

/* The tally of what @memo is of. *@fresh: its name is not known yet. */
static __always_inline u32 file__slot(struct clock *clk, struct file_memo *memo, u32 aux,
				      bool *fresh)
{
	u32 *slot = &memo->slot[aux & FILE_AUX_MISS ? 1 : 0];
	struct tally_key key = {.row = clk->row, .aux = aux};

	if (unlikely(memo->row != clk->row)) {
		memo->row = clk->row;
		memo->slot[0] = memo->slot[1] = FILE_SLOT_OPEN;
	}
	if (likely(*slot != FILE_SLOT_OPEN))
		return *slot;
	if (file__by_file()) {
		key.id = memo->id.id;
		key.id2 = memo->id.id2;
		key.kind = memo->id.kind;
	}
	*slot = tally__slot(&key, fresh);
	if (likely(*slot != TALLY_NONE))
		return *slot;
	/* Each operation that finds no room is counted as lost. */
	*slot = FILE_SLOT_OPEN;
	return TALLY_NONE;
}

static __always_inline void file__sum(u32 slot, u32 epoch, u32 op, s64 ret, u64 journal_ns)
{
	u32 index = slot + (CONFIG(banks) > 1 ? (epoch & 1) * CONFIG(slots) : 0);
	struct file_sum *sum;

	if (slot == TALLY_NONE || !epoch || epoch > window.last)
		return;
	sum = bpf_map_lookup_elem(&file_sums, &index);
	if (!sum)
		return;
	if (ret < 0)
		__sync_fetch_and_add(&sum->errors, 1);
	else if (ret && (file_config.bytes & (1U << op)))
		__sync_fetch_and_add(&sum->bytes, ret);
	if (journal_ns)
		__sync_fetch_and_add(&sum->journal_ns, journal_ns);
}

/* ---- system calls --------------------------------------------------------------------------- */

static __always_inline u32 file__call(u64 nr)
{
	return nr < NR_SYSCALLS ? file_config.call[nr & (NR_SYSCALLS - 1)] : 0;
}

static __always_inline struct file_memo *file__memo(struct file_call *fc)
{
	u64 op = fc->call & (FILE_OPS - 1);

	barrier_var(op);
	return &fc->memo[op & (FILE_OPS - 1)];
}

/* A descriptor may be closed by the call, or meanwhile by another: its file is what it is now. */
static __always_inline bool file__begin_fd(struct clock *clk, struct task_struct *task, u64 fd)
{
	struct file_call *fc = &clk->call.file;
	struct file *file = path__file(task, (u32)fd, true);
	struct file_memo *memo = file__memo(fc);
	bool fresh = false;

	if (!file || !file__identify(memo, file))
		return false;
	fc->fd = fd;
	if ((fc->call & FILE_OP_MASK) != FILE_CLOSE || !file__by_file())
		return true;
	/* Whether it takes long enough to be wanted is not known yet. */
	if (!CONFIG(min_ns) && file__slot(clk, memo, FILE_CLOSE, &fresh) == TALLY_NONE)
		return false;
	if (fresh || CONFIG(min_ns))
		file__name(&memo->id, file);
	return true;
}

/* Remembers what the call is about; false if that is no file. */
static __always_inline bool file__begin(struct clock *clk, struct task_struct *task,
					struct pt_regs *regs, u32 call)
{
	struct file_call *fc = &clk->call.file;

	fc->call = call;
	fc->journal_ns = 0;
	switch (call >> FILE_HOW_SHIFT) {
	case FILE_FD0:
		return file__begin_fd(clk, task, SYSCALL_ARG0(FIELD, regs));
	case FILE_FD1:
		return file__begin_fd(clk, task, SYSCALL_ARG1(FIELD, regs));
	case FILE_FD2:
		return file__begin_fd(clk, task, SYSCALL_ARG2(FIELD, regs));
	case FILE_PATH_AT:
	case FILE_NEW_AT:
		fc->fd = SYSCALL_ARG0(FIELD, regs);
		fc->arg = SYSCALL_ARG1(FIELD, regs);
		return true;
	}
	fc->fd = AT_FDCWD;
	fc->arg = SYSCALL_ARG0(FIELD, regs);
	return (call & FILE_OP_MASK) != FILE_URING;
}

SEC_TP("sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long nr)
{
	u32 call = file__call(nr);
	struct task_struct *task;
	struct clock *clk;

	if (likely(!call))
		return 0;
	task = compat__current();
	clk = quiet__clock(task, PROG_CALL_BEGIN);
	if (!clk || compat__is_32bit(task))
		return 0;
	if (file__begin(clk, task, regs, call))
		call__begin(clk, task, nr);
	else
		clk->call.span.start = 0;
	return 0;
}

#ifndef DWELL_RAW
static long file__on_vma(struct task_struct *task, struct vm_area_struct *vma, void *data)
{
	*(struct file **)data = vma->vm_file;
	return 0;
}
#endif

/* The file that is mapped at an address of the current thread's memory, or NULL. */
static __always_inline struct file *file__mapped(struct task_struct *task, u64 addr)
{
	struct file *file = NULL;

#ifndef DWELL_RAW
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_find_vma))
		bpf_find_vma(task, addr, file__on_vma, &file, 0);
#endif
	return file;
}

/* A call that works on a path: what it opened, or the path itself. */
static __always_inline bool file__end_path(struct file_call *fc, struct file_memo *memo,
					   struct task_struct *task, struct file **file)
{
	if (!path__read(&fc->path, fc->arg)) {
		file__set(memo, FILE_KEY_GONE, 0, 0);
		return true;
	}
	/* fstat(), as the C library does it */
	if (!fc->path.len && fc->fd >= 0) {
		*file = path__file(task, fc->fd, true);
		return *file && file__identify(memo, *file);
	}
	file__identify_path(memo, task, &fc->path, fc->fd);
	return true;
}

/* Makes @memo that of the file, and finds it open if it still is; false if it is no file. */
static __always_inline bool file__end_id(struct file_call *fc, struct file_memo *memo,
					 struct task_struct *task, s64 ret, struct file **file)
{
	u32 how = fc->call >> FILE_HOW_SHIFT;

	if (how <= FILE_FD2)
		return true;
	if (how == FILE_ADDR) {
		*file = file__mapped(task, fc->arg);
		if (*file)
			return file__identify(memo, *file);
		file__set(memo, FILE_KEY_GONE, 0, 0);
		return true;
	}
	if (how >= FILE_NEW && ret >= 0) {
		*file = path__file(task, ret, true);
		return *file && file__identify(memo, *file);
	}
	return file__end_path(fc, memo, task, file);
}

/* A file or path is seen for the first time. */
static __always_inline void file__end_name(struct file_call *fc, struct file_memo *memo,
					   struct task_struct *task, struct file *file)
{
	if (memo->id.kind == FILE_KEY_PATH) {
		struct name_key key = file__name_key(&memo->id);

		path__name(&key, &fc->path, fc->fd);
		return;
	}
	if (!file)
		file = path__file(task, (u32)fc->fd, true);
	if (file && (u64)file == memo->id.file)
		file__name(&memo->id, file);
}

SEC_TP("sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	u32 epoch = window.epoch, aux, slot;
	struct task_struct *task;
	struct file *file = NULL;
	struct span_result span;
	struct file_memo *memo;
	struct file_call *fc;
	struct clock *clk;
	bool fresh = false;

	if (likely(!file__call(SYSCALL_NR(FIELD, regs))))
		return 0;
	task = compat__current();
	clk = quiet__clock(task, PROG_CALL_END);
	if (!clk)
		return 0;
	fc = &clk->call.file;
	if (!call__end(clk, &span)) {
		if (unlikely(fc->uring.busy | fc->uring.waits))
			uring__end_batch(clk, &fc->uring, bpf_ktime_get_ns());
		return 0;
	}
	if (span.latency < CONFIG(min_ns))
		return 0;
	memo = file__memo(fc);
	if (!file__end_id(fc, memo, task, ret, &file))
		return 0;
	aux = fc->call & FILE_OP_MASK;
	if (aux == FILE_READ && clk->call.left && span.ns[STATE_DISK])
		aux |= FILE_AUX_MISS;
	slot = file__slot(clk, memo, aux, &fresh);
	if (fresh && file__by_file())
		file__end_name(fc, memo, task, file);
	call__add(clk, slot, epoch, &span);
	file__sum(slot, epoch, aux & FILE_AUX_OP, ret, fc->journal_ns);
	return 0;
}

/* ---- io_uring ------------------------------------------------------------------------------- */

static __always_inline u32 uring__op(struct io_kiocb *req)
{
	return file_config.uring[BPF_CORE_READ(req, opcode) & (NR_URING_OPS - 1)];
}

/* What the ring and the queue's entry say about how request @req will be done. */
static __always_inline void uring__describe(struct uring_rec *rec, struct uring_thread *u,
					    struct io_kiocb *req)
{
	u32 ring = FOLLOW(io_kiocb, req, ctx, flags), flags = FOLLOW(io_kiocb, req, flags);

	if (ring & IORING_SETUP_SQPOLL)
		rec->flags |= URING_ELSEWHERE;
	if (ring & IORING_SETUP_IOPOLL)
		rec->flags |= URING_POLLED;
	if (ring & IORING_SETUP_DEFER_TASKRUN)
		rec->ring = (u64)BPF_CORE_READ(req, ctx);
	if (u->linked || (flags & IOSQE_IO_DRAIN))
		rec->flags |= URING_BEHIND;
	u->linked = flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK);
}

static __always_inline void uring__submit(struct io_kiocb *req)
{
	struct task_struct *task = compat__current();
	struct clock *clk = quiet__clock(task, PROG_CALL_BEGIN);
	u64 key = peek__number(req), now;
	struct uring_rec rec = {};
	struct uring_thread *u;

	if (!clk)
		return;
	u = &clk->call.file.uring;
	now = bpf_ktime_get_ns();
	uring__close(clk, u, now);
	uring__describe(&rec, u, req);
	if (!uring__op(req))
		return;
	rec.row = clk->row;
	rec.start = rec.at = now;
	rec.task = peek__number(task);
	rec.batch = u->batch;
	if (bpf_map_update_elem(&uring_requests, &key, &rec, BPF_ANY))
		loss__count(LOSS_REQUEST);
	else if (!(rec.flags & URING_ELSEWHERE))
		uring__open(clk, u, key, now);
}

SEC_TP_OPTIONAL("io_uring_submit_req")
int BPF_PROG(on_uring_submit_req, struct io_kiocb *req)
{
	uring__submit(req);
	return 0;
}

/* Its older name */
SEC_TP_OPTIONAL("io_uring_submit_sqe")
int BPF_PROG(on_uring_submit_sqe, struct io_kiocb *req)
{
	uring__submit(req);
	return 0;
}

/* tally_key.aux. Its states say whether a read waited for the device, if they are known. */
static __always_inline u32 uring__aux(const struct uring_rec *rec, u32 op)
{
	if (op != FILE_READ)
		return op | FILE_AUX_URING;
	if (rec->ns[STATE_DISK])
		return op | FILE_AUX_URING | FILE_AUX_MISS;
	return op | FILE_AUX_URING | (rec->ns[STATE_OTHER] ? FILE_AUX_UNTOLD : 0);
}

/* The tally of a request that ended, by what its file is; TALLY_NONE if it is not on a file. */
static __always_inline u32 uring__slot(struct io_kiocb *req, const struct uring_rec *rec, u32 op)
{
	struct file *file = BPF_CORE_READ(req, file);
	struct tally_key key = {.row = rec->row, .aux = uring__aux(rec, op)};
	struct file_memo memo = {};
	bool fresh = false;
	u32 slot;

	if (!file)
		file__set(&memo, FILE_KEY_GONE, 0, 0);
	else if (!file__identify(&memo, file))
		return TALLY_NONE;
	if (file__by_file()) {
		key.id = memo.id.id;
		key.id2 = memo.id.id2;
		key.kind = memo.id.kind;
	}
	slot = tally__slot(&key, &fresh);
	if (fresh && file && file__by_file())
		file__name(&memo.id, file);
	return slot;
}

/* The current thread does no more for @req, which a worker is to do. */
SEC_TP_OPTIONAL("io_uring_queue_async_work")
int BPF_PROG(on_uring_queue, struct io_kiocb *req)
{
	u64 key = peek__number(req), now;
	struct uring_rec *rec = bpf_map_lookup_elem(&uring_requests, &key);
	struct task_struct *task;
	struct clock *clk;

	if (!rec)
		return 0;
	task = compat__current();
	clk = quiet__clock(task, PROG_CALL_BEGIN);
	now = bpf_ktime_get_ns();
	if (clk && rec->task == peek__number(task))
		uring__submitter(clk, &clk->call.file.uring, rec, key, now);
	else
		uring__unknown(rec, now);
	rec->flags |= URING_QUEUED;
	return 0;
}

/* It waits until all before it have ended. */
SEC_TP_OPTIONAL("io_uring_defer")
int BPF_PROG(on_uring_defer, struct io_kiocb *req)
{
	u64 key = peek__number(req);
	struct uring_rec *rec = bpf_map_lookup_elem(&uring_requests, &key);

	if (rec)
		rec->flags |= URING_BEHIND;
	return 0;
}

SEC_TP_OPTIONAL("io_uring_cqring_wait")
int BPF_PROG(on_uring_wait, struct io_ring_ctx *ring, int events)
{
	struct clock *clk = quiet__clock(compat__current(), PROG_CALL_BEGIN);

	if (clk)
		uring__wait(clk, &clk->call.file.uring, (u64)ring, FOLLOW(io_ring_ctx, ring, flags),
			    events, bpf_ktime_get_ns());
	return 0;
}

/* @rec ended in the current thread, whose clock is @clk: NULL if it is not watched. */
static __always_inline void uring__ended(struct clock *clk, struct task_struct *task,
					 struct uring_rec *rec, u64 key, u64 now)
{
	struct uring_thread *u;

	if (!clk) {
		uring__unknown(rec, now);
		return;
	}
	u = &clk->call.file.uring;
	if (rec->task == peek__number(task)) {
		uring__submitter(clk, u, rec, key, now);
	} else if (u->worker) {
		uring__worker_at(clk, u, key, now);
		uring__worked(clk, rec, clk->call.file.journal_ns, now);
	} else {
		uring__unknown(rec, now);
	}
}

static __always_inline void uring__add_states(u32 slot, u32 epoch, const struct uring_rec *rec)
{
	u32 index = slot + (CONFIG(banks) > 1 ? (epoch & 1) * CONFIG(slots) : 0);
	struct tally_states *states;

	if (slot == TALLY_NONE || !epoch || epoch > window.last)
		return;
	states = bpf_map_lookup_elem(&tally_states, &index);
	if (!states)
		return;
#pragma nounroll
	for (u32 i = 0; i < NR_STATES; i++) {
		if (rec->ns[i])
			__sync_fetch_and_add(&states->ns[i], rec->ns[i]);
	}
}

/*
 * From the arguments of io_uring_complete, of which there are as many as are read. Not inline: the
 * 512 bytes of stack that a program and what it calls have are needed to the last there.
 */
static __noinline s32 uring__result(u64 *ctx)
{
	return CONFIG(uring_cqe) ? BPF_CORE_READ((struct io_uring_cqe *)ctx[2], res) : (s32)ctx[3];
}

static __always_inline void uring__count(struct io_kiocb *req, const struct uring_rec *rec, s32 res,
					 u64 now)
{
	u64 latency = clock__span(rec->start, now);
	u32 epoch = window.epoch, op, slot;

	op = uring__op(req);
	if (!op || !window.run_start || rec->start < window.run_start || latency < CONFIG(min_ns))
		return;
	slot = uring__slot(req, rec, op);
	tally__add(slot, epoch, latency, latency);
	uring__add_states(slot, epoch, rec);
	file__sum(slot, epoch, op, res, rec->journal_ns);
}

SEC_TP_OPTIONAL("io_uring_complete")
int BPF_PROG(on_uring_complete, void *ring, struct io_kiocb *req)
{
	u64 key = peek__number(req), now;
	struct uring_rec *rec = bpf_map_lookup_elem(&uring_requests, &key);
	struct task_struct *task = compat__current();
	struct clock *clk;

	if (!rec && !(FIELD(task, flags) & PF_IO_WORKER))
		return 0;
	clk = quiet__clock(task, PROG_CALL_END);
	now = bpf_ktime_get_ns();
	if (rec) {
		uring__ended(clk, task, rec, key, now);
		uring__count(req, rec, uring__result(ctx), now);
		bpf_map_delete_elem(&uring_requests, &key);
	}
	if (clk && clk->call.file.uring.worker) {
		uring__worker_free(clk, &clk->call.file.uring, now);
		clk->call.file.journal_ns = 0;
	}
	return 0;
}
