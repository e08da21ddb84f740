/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What is a thread blocked on? Told from its saved registers, its task and the descriptor's inode,
 * without any probe on a system call.
 *
 * In two steps, because a thread mostly waits for what it waited for last time: `cause__print`
 * takes a cheap fingerprint; only when it is none of those remembered does `cause__find_tally`
 * find the state, the key and the names.
 */
#ifndef DWELL_CAUSE_BPF_H
#define DWELL_CAUSE_BPF_H

#include "lib/clock.bpf.h"
#include "lib/path.bpf.h"
#include "lib/tally.bpf.h"
#include "lib/worker.bpf.h"
#include "cause.h"

/* clock_memo.word: the system call's number, then what else decides. Never 0. */
#define WORD_SET      (1ULL << 63)
#define WORD_IOWAIT   (1ULL << 62)
#define WORD_KTHREAD  (1ULL << 61)
#define WORD_FROZEN   (1ULL << 60)
#define WORD_KLOCK    (1ULL << 59)
#define WORD_ZERO_ARG (1ULL << 58) /* the argument that would make it a poll is 0; not one */
#define WORD_PATH     (1ULL << 57) /* a worker of io_uring has a request on a path */
#define WORD_FD_SHIFT 24           /* fcntl's command, the task's state */
#define WORD_ARG(x)   (((u64)(x)&0xffffffff) << WORD_FD_SHIFT)

/* include/uapi/linux/futex.h */
#define FUTEX_CMD_MASK        0x7f
#define FUTEX_PRIVATE         128
#define FUTEX_CLOCK_REALTIME  256
#define FUTEX_WAIT            0
#define FUTEX_LOCK_PI         6
#define FUTEX_WAIT_BITSET     9
#define FUTEX_WAIT_REQUEUE_PI 11
#define FUTEX_LOCK_PI2        13
#define FUTEX_TID_MASK        0x3fffffff
#define PID_MAX_LIMIT         (4 * 1024 * 1024) /* include/linux/threads.h */

#define F_SETLKW     7
#define F_OFD_SETLKW 38

/* include/uapi/linux/stat.h, magic.h, socket.h */
#define S_IFMT              0170000
#define S_IFSOCK            0140000
#define S_IFREG             0100000
#define S_IFBLK             0060000
#define S_IFDIR             0040000
#define S_IFCHR             0020000
#define S_IFIFO             0010000
#define ANON_INODE_FS_MAGIC 0x09041934
#define AF_UNIX             1
#define AF_INET             2
#define AF_INET6            10
#define EPHEMERAL_PORTS     32768 /* net.ipv4.ip_local_port_range's default begin */

/*
 * glibc's mutexes, all four kinds, keep the owner's TID 8 bytes after the futex word
 * (nptl: struct __pthread_mutex_s.__owner). @task must be current: its memory is read.
 */
static __always_inline u32 cause__owner(u64 uaddr)
{
	u32 tid = 0;

	bpf_probe_read_user(&tid, sizeof(tid), (void *)uaddr + 8);
	return tid;
}

static __always_inline bool futex__is_pi(u32 cmd)
{
	return cmd == FUTEX_LOCK_PI || cmd == FUTEX_LOCK_PI2;
}

/*
 * glibc's rwlock waits for 2 or 3 by the realtime clock, without a time-out; its mutexes use that
 * operation only with a time-out, and Rust's only without that clock.
 */
static __always_inline bool futex__is_rwlock(u32 op, u32 val, bool timeout)
{
	return (op & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && (op & FUTEX_CLOCK_REALTIME) &&
	       (val == 3 || (val == 2 && !timeout));
}

/* 2 is "locked, with waiters" in glibc, in Rust's std and in parking_lot. */
static __always_inline bool futex__is_mutex(u32 op, u32 val, bool timeout)
{
	u32 cmd = op & FUTEX_CMD_MASK;

	return val == 2 && (cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET) &&
	       !futex__is_rwlock(op, val, timeout);
}

/*
 * FUTEX_WAITERS | TID, and never private, since the kernel wakes for a holder that has died. Others
 * set that bit as well: -1, InnoDB's latches.
 */
static __always_inline bool futex__is_robust(u32 op, u32 val)
{
	return (op & ~FUTEX_CLOCK_REALTIME) == FUTEX_WAIT && (val & 0x80000000);
}

/*
 * Is there an owner's word at all? Rust's std waits with WAIT_BITSET, without a time-out and
 * without the realtime clock, as no lock of glibc's does: what lies behind its word is the data.
 */
static __always_inline bool futex__is_foreign(u32 op, bool timeout)
{
	return (op & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && !(op & FUTEX_CLOCK_REALTIME) &&
	       !timeout;
}

/*
 * The writer that has glibc's rwlock (nptl: struct __pthread_rwlock_arch_t): threads wait for its
 * words __wrphase_futex at 8 and __writers_futex at 12, and __cur_writer is at 24. The lock lies at
 * a multiple of 8.
 */
static __always_inline u32 cause__writer(u64 uaddr)
{
	u32 tid = 0;

	bpf_probe_read_user(&tid, sizeof(tid), (void *)uaddr + (uaddr & 4 ? 12 : 16));
	return tid;
}

/* Fingerprint of a futex wait: id is the address, id2 the value and, for locks, the holder. */
static __always_inline void cause__print_futex(struct clock_memo *m, u64 uaddr, u32 op, u32 val,
					       bool timeout, bool current)
{
	m->word |= WORD_ARG(op) | (timeout ? 0 : WORD_ZERO_ARG);
	m->id = uaddr;
	m->id2 = val;
	if (!current || futex__is_foreign(op, timeout))
		return;
	if (futex__is_mutex(op, val, timeout) || futex__is_pi(op & FUTEX_CMD_MASK))
		m->id2 |= (u64)cause__owner(m->id) << 32;
	else if (futex__is_rwlock(op, val, timeout) && val == 3)
		m->id2 |= (u64)cause__writer(m->id) << 32;
}

/* The same of futex_wait(2), whose value is in the second argument: locks that know it are new. */
static __always_inline void cause__print_futex2(struct clock_memo *m,
						const struct syscall_regs *regs)
{
	m->id = compat__arg(regs, 0);
	m->id2 = (u32)compat__arg(regs, 1);
}

/* include/uapi/linux/futex.h; of several words, the first one stands for all */
struct futex_waitv {
	u64 val;
	u64 uaddr;
};

static __always_inline void cause__print_waitv(struct clock_memo *m,
					       const struct syscall_regs *regs, bool current)
{
	struct futex_waitv first;

	m->id = compat__arg(regs, 0);
	if (current && !bpf_probe_read_user(&first, sizeof(first), (void *)compat__arg(regs, 0)))
		m->id = first.uaddr;
}

static __always_inline void cause__print_fd(struct clock_memo *m, struct task_struct *task, u64 fd,
					    bool current)
{
	struct file *file = path__file(task, fd, current);

	m->id = (u64)file;
	if (file)
		m->id2 = inode__of_file(file);
}

/*
 * The path of the call that the thread is blocked in: each CPU's, since it is read under the
 * run-queue lock alone.
 */
struct cause_path {
	u64 id; /* a hash of the path and of where it begins */
	s32 dirfd;
	u32 pad;
	struct path_text path;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cause_path);
} cause_paths SEC(".maps");

/*
 * Reads the path of the call that the current thread is in, and identifies it; 0: it cannot be
 * read. This and the next are global functions without pointers, which the verifier looks at once.
 */
__noinline u64 cause__read_path(void)
{
	struct task_struct *task = compat__current();
	struct syscall_regs regs;
	struct cause_path *p;
	u32 zero = 0;
	u64 from, nr;

	p = bpf_map_lookup_elem(&cause_paths, &zero);
	if (!p)
		return 0;
	compat__syscall(task, &regs);
	from = compat__arg(&regs, 0);
	p->dirfd = AT_FDCWD;
	nr = regs.nr;
	barrier_var(nr);
	if (config.syscall_class[nr & (NR_SYSCALLS - 1)] == CLASS_PATH_AT) {
		from = compat__arg(&regs, 1);
		p->dirfd = compat__arg(&regs, 0);
	}
	if (!path__read(&p->path, from))
		return 0;
	p->id = hash__step(path__hash(&p->path), path__where(task, &p->path, p->dirfd));
	return p->id;
}

/* Keeps the path that was read last as the name of its cause. */
__noinline int cause__name_path(void)
{
	struct name_key key = {.kind = CAUSE_PATH};
	struct cause_path *p;
	u32 zero = 0;

	p = bpf_map_lookup_elem(&cause_paths, &zero);
	if (!p)
		return 0;
	key.id = p->id;
	path__name(&key, &p->path, p->dirfd);
	return 0;
}

/* io_uring's operations on paths, without a descriptor: include/uapi/linux/io_uring.h */
#define URING_PATH_OPS                                                                             \
	(1ULL << 18 | 1ULL << 19 | 1ULL << 21 | 1ULL << 28 | 1ULL << 35 | 1ULL << 36 |             \
	 1ULL << 37 | 1ULL << 38 | 1ULL << 39)

/* The file that a worker of io_uring has a request on. */
static __noinline int cause__print_worker(struct clock_memo *m, struct task_struct *task)
{
	struct io_kiocb *req = worker__request(task);
	struct file *file;

	if (!req)
		return 0;
	file = BPF_CORE_READ(req, file);
	m->id = (u64)file;
	if (file)
		m->id2 = inode__of_file(file);
	else if (URING_PATH_OPS >> (BPF_CORE_READ(req, opcode) & 63) & 1)
		m->word |= WORD_PATH;
	return 0;
}

/*
 * What @task is blocked on, as cheaply as it can be told apart from anything else. @current: its
 * memory can be read; @paths: its path is wanted, too.
 */
static __always_inline void cause__print(struct clock_memo *m, struct clock *clk,
					 struct task_struct *task, u32 task_state, bool current,
					 bool paths)
{
	struct syscall_regs regs;
	u64 nr;
	u32 flags = FIELD(task, flags);

	m->word = WORD_SET;
	m->id = m->id2 = 0;
	m->state = m->slot = 0;
	if (task_state & (__TASK_STOPPED | __TASK_TRACED | TASK_FROZEN)) {
		m->word |= WORD_FROZEN | WORD_ARG(task_state);
		return;
	}
	if (clk->klock) {
		regs.nr = -1;
		if (!(flags & PF_KTHREAD))
			compat__syscall(task, &regs);
		m->word |= WORD_KLOCK | WORD_ARG(clk->klock_flags);
		m->word |= (u64)regs.nr < NR_SYSCALLS ? regs.nr : SYSCALL_NONE;
		m->id = clk->klock;
		return;
	}
	if (TASK_BITFIELD(task, in_iowait))
		m->word |= WORD_IOWAIT;
	if (flags & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER)) {
		m->word |= WORD_KTHREAD;
		if (flags & PF_IO_WORKER)
			cause__print_worker(m, task);
		return;
	}
	/* Set also while a vfork() waits for its child, but then the wait is not interruptible. */
	if (TASK_BITFIELD(task, frozen) && (task_state & TASK_INTERRUPTIBLE)) {
		m->word |= WORD_FROZEN;
		return;
	}
	compat__syscall(task, &regs);
	if ((u64)regs.nr >= NR_SYSCALLS) {
		m->word |= SYSCALL_NONE;
		return;
	}
	nr = regs.nr;
	m->word |= nr;
	/* Or a copy on the stack is used, of which verifiers up to 6.1 know no bound. */
	barrier_var(nr);
	switch (config.syscall_class[nr & (NR_SYSCALLS - 1)]) {
	case CLASS_FCNTL:
		m->word |= WORD_ARG(compat__arg(&regs, 1));
		/* fall through */
	case CLASS_FD:
	case CLASS_FLOCK:
		cause__print_fd(m, task, compat__arg(&regs, 0), current);
		break;
	case CLASS_PATH:
	case CLASS_PATH_AT:
		if (current && paths)
			m->id = cause__read_path();
		break;
	case CLASS_FUTEX:
		cause__print_futex(m, compat__arg(&regs, 0), compat__arg(&regs, 1),
				   compat__arg(&regs, 2), compat__arg(&regs, 3), current);
		break;
	case CLASS_FUTEX_WAIT:
		cause__print_futex2(m, &regs);
		break;
	case CLASS_FUTEX_WAITV:
		cause__print_waitv(m, &regs, current);
		break;
	case CLASS_URING:
		m->word |= task_state & TASK_INTERRUPTIBLE ? 0 : WORD_ZERO_ARG;
		break;
	case CLASS_POLL_NFDS:
		m->word |= compat__arg(&regs, 1) ? 0 : WORD_ZERO_ARG;
		break;
	case CLASS_SELECT:
		m->word |= compat__arg(&regs, 0) ? 0 : WORD_ZERO_ARG;
		break;
	}
}

/* A cause in the making. */
struct cause {
	struct tally_key key;
	struct file *file; /* whose path is the name, or NULL */
	void *text;        /* a name of @text_len bytes, or NULL */
	u32 text_len;
};

/* The peer of a socket: by what is stable over many connections. */
static __always_inline void cause__inet(struct cause *c, struct sock *sk, u16 family)
{
	u16 dport = FOLLOW(sock, sk, __sk_common.skc_dport), port;
	u16 num = FOLLOW(sock, sk, __sk_common.skc_num);
	u64 addr[2] = {};

	port = (dport >> 8) | (dport << 8);
	/* A service's port is below those that clients are given at random. */
	c->key.aux = port;
	if (num && (!port || (num < EPHEMERAL_PORTS && num < port)))
		c->key.aux = num | SOCK_LOCAL_PORT;
	if (family == AF_INET) {
		c->key.kind = CAUSE_IN4;
		c->key.id = FOLLOW(sock, sk, __sk_common.skc_daddr);
		c->key.id2 = 0;
		return;
	}
	c->key.kind = CAUSE_IN6;
	bpf_core_read(&addr, sizeof(addr), &sk->__sk_common.skc_v6_daddr);
	c->key.id = addr[0];
	c->key.id2 = addr[1];
}

/* A UNIX socket is known by the path that either end is bound to. */
static __always_inline void cause__unix(struct cause *c, struct sock *sk)
{
	struct unix_sock *own = (void *)sk, *peer = (void *)FOLLOW(unix_sock, own, peer);
	struct unix_address *addr = FOLLOW(unix_sock, own, addr);

	if (!addr && peer)
		addr = FOLLOW(unix_sock, peer, addr);
	c->key.kind = CAUSE_UNIX;
	if (!addr)
		return; /* a pair without a name: its inode has to do */
	c->key.id = peek__number(addr);
	c->key.id2 = 0;
	c->text = (void *)c->key.id + bpf_core_field_offset(struct unix_address, name) +
		  bpf_core_field_offset(struct sockaddr_un, sun_path);
	c->text_len = FOLLOW(unix_address, addr, len) -
		      bpf_core_field_offset(struct sockaddr_un, sun_path);
}

static __always_inline void cause__socket(struct cause *c, struct file *file)
{
	struct socket *socket = (void *)FOLLOW(file, file, private_data);
	struct sock *sk = FOLLOW(socket, socket, sk);
	u16 family = FOLLOW(sock, sk, __sk_common.skc_family);

	c->key.kind = CAUSE_SOCK;
	c->key.aux = family;
	if (family == AF_INET || family == AF_INET6)
		cause__inet(c, sk, family);
	else if (family == AF_UNIX)
		cause__unix(c, sk);
}

/* The state and key of a wait for the file behind a descriptor. */
static __always_inline u32 cause__inode(struct cause *c, struct file *file)
{
	struct inode *inode = FOLLOW(file, file, f_inode);
	u16 mode = FOLLOW(inode, inode, i_mode) & S_IFMT;
	struct super_block *sb = FOLLOW(inode, inode, i_sb);

	c->file = file;
	c->key.id = FOLLOW(inode, inode, i_ino);
	c->key.id2 = inode__where(inode, sb);
	c->key.kind = CAUSE_FILE;
	if (mode == S_IFSOCK) {
		c->file = NULL;
		cause__socket(c, file);
		return STATE_NET;
	}
	if (mode == S_IFIFO) {
		c->key.kind = CAUSE_PIPE;
		return STATE_PIPE;
	}
	/* Anonymous inodes have looked like regular files since cfd86ef7e8e7, 6.16. */
	if (FOLLOW(super_block, sb, s_magic) == ANON_INODE_FS_MAGIC) {
		/* They share one inode: the operations tell an eventfd from a timerfd. */
		c->key.kind = CAUSE_ANON;
		c->key.id = peek__number(FOLLOW(file, file, f_op));
		return STATE_PIPE;
	}
	if (mode == S_IFCHR) {
		c->key.kind = CAUSE_TTY;
		return STATE_PIPE;
	}
	return mode == S_IFREG || mode == S_IFDIR || mode == S_IFBLK ? STATE_FS : STATE_OTHER;
}

/* No owner is known, or there is no such thread: what lies there is something else. */
static __always_inline u32 cause__tid(u32 tid)
{
	return tid <= PID_MAX_LIMIT ? tid : 0;
}

/*
 * Which primitive a futex wait belongs to, by operation and expected value. @last: its wait
 * before. A barrier counts its rounds in the word, so that once it waits for 2 like a mutex does:
 * but without an owner, and right after another wait for the same word.
 */
static __always_inline u32 cause__futex(struct cause *c, const struct clock_memo *m,
					const struct clock_memo *last)
{
	u32 op = m->word >> WORD_FD_SHIFT, cmd = op & FUTEX_CMD_MASK, val = m->id2;
	bool timeout = !(m->word & WORD_ZERO_ARG);

	c->key.id = m->id;
	c->key.id2 = cause__tid(m->id2 >> 32);
	if (futex__is_pi(cmd)) {
		c->key.kind = CAUSE_PI;
		return STATE_LOCK;
	}
	if (futex__is_robust(op, val) && cause__tid(val & FUTEX_TID_MASK)) {
		c->key.kind = CAUSE_ROBUST;
		c->key.id2 = val & FUTEX_TID_MASK;
		return STATE_LOCK;
	}
	if (futex__is_mutex(op, val, timeout) &&
	    (c->key.id2 || last->id != m->id || last->state != STATE_SYNC)) {
		c->key.kind = CAUSE_MUTEX;
		return STATE_LOCK;
	}
	if (futex__is_rwlock(op, val, timeout)) {
		c->key.kind = CAUSE_RWLOCK;
		return STATE_LOCK;
	}
	c->key.id2 = 0;
	if (cmd == FUTEX_WAIT_BITSET && !(op & FUTEX_PRIVATE) && val > 3) {
		/* The word is the thread's TID until the kernel clears it: one lock each. */
		c->key.kind = CAUSE_JOIN;
		c->key.id = 0;
		return STATE_SYNC;
	}
	c->key.kind = (cmd == FUTEX_WAIT_BITSET && !val) || cmd == FUTEX_WAIT_REQUEUE_PI
			      ? CAUSE_COND
			      : CAUSE_FUTEX;
	return STATE_SYNC;
}

/* The same of futex_wait(2): whoever makes locks of it keeps the owner where nobody knows. */
static __always_inline u32 cause__futex2(struct cause *c, const struct clock_memo *m,
					 const struct clock_memo *last)
{
	bool mutex = m->id2 == 2 && (last->id != m->id || last->state != STATE_SYNC);

	c->key.id = m->id;
	c->key.id2 = 0;
	c->key.kind = mutex ? CAUSE_MUTEX : CAUSE_FUTEX;
	return mutex ? STATE_LOCK : STATE_SYNC;
}

/*
 * Which kind of event: by what lies around the word of glibc's structures, which the waiting thread
 * has in its memory. A semaphore (struct new_sem) counts its waiters at 4 and says at 8 whether
 * it is shared; a barrier (struct pthread_barrier) waits for its round at 4, between those that
 * came in, the number that it is for, and whether it is shared.
 */
static __always_inline void cause__event(struct cause *c, const struct clock_memo *m)
{
	u32 op = m->word >> WORD_FD_SHIFT, val = m->id2, word[4];
	u32 shared = op & FUTEX_PRIVATE ? 0 : 128;

	if (c->key.kind == CAUSE_COND) {
		if (!bpf_probe_read_user(word, 12, (void *)m->id) && !(m->id & 7) && word[1] &&
		    word[1] < 0x10000 && word[2] == shared)
			c->key.kind = CAUSE_SEM;
	} else if (c->key.kind == CAUSE_FUTEX && (op & FUTEX_CMD_MASK) == FUTEX_WAIT &&
		   (m->word & WORD_ZERO_ARG)) {
		if (!bpf_probe_read_user(word, 16, (void *)m->id - 4) && word[0] > val &&
		    word[2] >= 2 && word[0] - val <= word[2] && word[3] == shared)
			c->key.kind = CAUSE_BARRIER;
	}
}

static __always_inline u32 cause__plain(struct cause *c, enum cause_kind kind, u32 state)
{
	c->key.kind = kind;
	return state;
}

/* The state of a thread that is blocked in system call @nr; the key's kind and ids on the way. */
static __always_inline u32 cause__syscall(struct cause *c, const struct clock_memo *m,
					  const struct clock_memo *last, u32 nr)
{
	u32 class = config.syscall_class[nr & (NR_SYSCALLS - 1)];
	struct file *file = (void *)m->id;
	u32 arg = m->word >> WORD_FD_SHIFT;

	switch (class) {
	case CLASS_FD:
		return file ? cause__inode(c, file) : STATE_OTHER;
	case CLASS_FCNTL:
	case CLASS_FLOCK:
		if (!file)
			return STATE_OTHER;
		if (class == CLASS_FCNTL && arg != F_SETLKW && arg != F_OFD_SETLKW)
			return cause__inode(c, file);
		cause__inode(c, file);
		return cause__plain(c, CAUSE_FLOCK, STATE_LOCK);
	case CLASS_PATH:
	case CLASS_PATH_AT:
		c->key.id = m->id;
		return cause__plain(c, CAUSE_PATH, STATE_FS);
	case CLASS_FS:
		return STATE_FS;
	case CLASS_FUTEX:
		return cause__futex(c, m, last);
	case CLASS_FUTEX_WAIT:
		return cause__futex2(c, m, last);
	case CLASS_FUTEX_WAITV:
		c->key.id = m->id;
		return cause__plain(c, CAUSE_FUTEX, STATE_SYNC);
	case CLASS_IPC:
		return cause__plain(c, CAUSE_IPC, STATE_SYNC);
	case CLASS_QUEUE:
		return cause__plain(c, CAUSE_IPC, STATE_PIPE);
	case CLASS_CHILD:
		return cause__plain(c, CAUSE_CHILD, STATE_SYNC);
	case CLASS_POLL_NFDS:
	case CLASS_SELECT:
		if (m->word & WORD_ZERO_ARG)
			return cause__plain(c, CAUSE_TIMER, STATE_SLEEP);
		return cause__plain(c, CAUSE_POLL, STATE_POLL);
	case CLASS_URING:
		/* It waits for completions, or submits a request that cannot go on. */
		if (m->word & WORD_ZERO_ARG)
			return STATE_OTHER;
		/* fall through */
	case CLASS_POLL:
		return cause__plain(c, CAUSE_POLL, STATE_POLL);
	case CLASS_SIGNAL:
		return cause__plain(c, CAUSE_SIGNAL, STATE_POLL);
	case CLASS_SLEEP:
		return cause__plain(c, CAUSE_TIMER, STATE_SLEEP);
	}
	return STATE_OTHER;
}

static __always_inline u32 cause__state(struct cause *c, const struct clock_memo *m,
					const struct clock_memo *last)
{
	u32 nr = m->word & 0xffff, state;
	bool iowait = m->word & WORD_IOWAIT;

	c->key.kind = CAUSE_SYSCALL;
	c->key.syscall = nr;
	if (m->word & WORD_FROZEN) {
		c->key.aux = m->word >> WORD_FD_SHIFT;
		c->key.syscall = SYSCALL_NONE;
		return cause__plain(c, CAUSE_STOP, STATE_STOP);
	}
	if (m->word & WORD_KLOCK) {
		c->key.id = m->id;
		c->key.aux = m->word >> WORD_FD_SHIFT;
		return cause__plain(c, CAUSE_KLOCK, STATE_KLOCK);
	}
	if (m->word & WORD_KTHREAD) {
		c->key.syscall = SYSCALL_NONE;
		c->key.kind = CAUSE_KTHREAD;
		state = m->word & WORD_PATH ? STATE_FS : STATE_OTHER;
		if (m->id)
			state = cause__inode(c, (struct file *)m->id);
		return iowait ? STATE_DISK : state;
	}
	if (nr == SYSCALL_NONE)
		return cause__plain(c, CAUSE_FAULT, iowait ? STATE_DISK : STATE_FAULT);
	state = cause__syscall(c, m, last, nr);
	if (iowait && (config.syscall_class[nr & (NR_SYSCALLS - 1)] != CLASS_URING ||
		       (m->word & WORD_ZERO_ARG)))
		return STATE_DISK;
	return state;
}

static __always_inline void cause__name(const struct cause *c)
{
	struct name_key key = {.id = c->key.id, .id2 = c->key.id2, .kind = c->key.kind};

	if (key.kind == CAUSE_PATH && key.id)
		cause__name_path();
	else if (c->file)
		name__path(&key, c->file);
	else if (c->text)
		name__bytes(&key, c->text, c->text_len);
}

/*
 * A command that has locks' holders by other means defines CAUSE_NO_OWNERS: then a lock is one
 * cause, whoever has it.
 */
#ifdef CAUSE_NO_OWNERS
#define CAUSE_OWNERS false
#else
#define CAUSE_OWNERS true
#endif

static __always_inline bool cause__is_known(const struct clock_memo *m,
					    const struct clock_memo *last)
{
	return m->word == last->word && m->id == last->id && m->id2 == last->id2;
}

/* Does @m differ from @last, which is of a lock, only in who has it? */
static __always_inline bool cause__is_passed_on(const struct clock_memo *m,
						const struct clock_memo *last)
{
	u64 nr = m->word & 0xffff;

	if (CAUSE_OWNERS || last->state != STATE_LOCK || m->word != last->word ||
	    m->id != last->id || (u32)m->id2 != (u32)last->id2 || nr >= NR_SYSCALLS)
		return false;
	barrier_var(nr);
	return config.syscall_class[nr & (NR_SYSCALLS - 1)] == CLASS_FUTEX;
}

/* Is @m the last wait again? With CAUSE_OWNERS, cause__classify() has found that it is not. */
static __always_inline bool cause__goes_on(const struct clock *clk, const struct clock_memo *m)
{
	return (!CAUSE_OWNERS && cause__is_known(m, &clk->memo)) ||
	       cause__is_passed_on(m, &clk->memo);
}

static __always_inline void cause__learn_state(struct clock *clk, struct clock_memo *m)
{
	struct cause c = {};

	m->state = cause__state(&c, m, &clk->memo);
	m->slot = TALLY_NONE;
	clk->memo = *m;
}

static __always_inline void cause__learn_tally(struct clock *clk, struct clock_memo *m,
					       bool current)
{
	struct cause c = {};
	bool fresh = false;

	m->state = cause__state(&c, m, &clk->memo);
	if (current && m->state == STATE_SYNC)
		cause__event(&c, m);
	c.key.row = clk->row;
	c.key.state = m->state;
	if (!CAUSE_OWNERS && m->state == STATE_LOCK && c.key.kind != CAUSE_FLOCK)
		c.key.id2 = 0;
	m->slot = tally__slot(&c.key, &fresh);
	if (fresh)
		cause__name(&c);
	clk->memo = *m;
}

/* The state behind fingerprint @m of a thread's wait, which the clock remembers. */
VERIFIED_ONCE int cause__find_state(struct clock *clk, struct clock_memo *m)
{
	if (!clk || !m)
		return 0;
	if (cause__goes_on(clk, m))
		clk->memo.id2 = m->id2;
	else
		cause__learn_state(clk, m);
	return clk->memo.state;
}

/*
 * A thread mostly goes from one to the other of a few waits: is @m one of those before the last
 * one? Then it has its state and tally from there. The last one is remembered with them in either
 * case.
 */
#if CLOCK_MEMOS
_Static_assert(CLOCK_MEMOS == 2, "the least recent one makes room");

static __always_inline bool cause__recall(struct clock *clk, struct clock_memo *m)
{
	struct clock_memo *before = clk->before;
	bool first = cause__is_known(m, &before[0]), second = cause__is_known(m, &before[1]);
	struct clock_memo *known = first ? &before[0] : &before[1];

	m->state = known->state;
	m->slot = known->slot;
	if (!first)
		before[1] = before[0];
	before[0] = clk->memo;
	/* A lock without an owner may be an event, which the last wait decides: cause__futex(). */
	return (first || second) && m->id2 != 2;
}
#else
static __always_inline bool cause__recall(struct clock *clk, struct clock_memo *m)
{
	return false;
}
#endif

/* The same, and the slot that the wait goes to; what it is called, if that is its first one. */
VERIFIED_ONCE int cause__find_tally(struct clock *clk, struct clock_memo *m, bool current)
{
	if (!clk || !m)
		return 0;
	if (cause__goes_on(clk, m))
		clk->memo.id2 = m->id2;
	else if (cause__recall(clk, m))
		clk->memo = *m;
	else
		cause__learn_tally(clk, m, current);
	return clk->memo.state;
}

/*
 * The state that @task, just blocked, is in; clk->memo says it again, and the tally.
 * @current: @task is the current one, so its memory can be read.
 */
static __always_inline u32 cause__classify(struct clock *clk, struct task_struct *task,
					   u32 task_state, bool current, bool tally)
{
	struct clock_memo m;

	cause__print(&m, clk, task, task_state, current, tally);
	/* Where on_switch's frame has no room for it (lock), the next one looks at it. */
	if (CAUSE_OWNERS && cause__is_known(&m, &clk->memo))
		return clk->memo.state;
	return tally ? cause__find_tally(clk, &m, current) : cause__find_state(clk, &m);
}

#endif
