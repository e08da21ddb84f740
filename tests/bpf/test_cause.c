// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* bpf/lib/cause.bpf.h: what a thread is blocked on, and so in which state it is. */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <pty.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include "core/names.h"
#include "core/syscalls.h"
#include "cause_test.h"
#include "state.h"

#include "cause.btf.skel.h"
#include "cause.raw.skel.h"

static const struct harness_variant btf = {.elf = cause_btf__elf_bytes};
static const struct harness_variant raw = {.elf = cause_raw__elf_bytes, .raw = 1};
static const struct harness_variant peek = {.elf = cause_btf__elf_bytes, .peek = 1};

static struct cause_answer *start(struct harness *h)
{
	struct config config = {0};

	syscalls__classes(config.syscall_class);
	harness__start(h, &config);
	return h->answer;
}

static void expect(const struct cause_answer *a, uint32_t state, uint32_t kind, uint64_t id,
		   uint64_t id2)
{
	assert_int_equal(a->state, state);
	assert_int_equal(a->key.kind, kind);
	assert_int_equal(a->key.id, id);
	assert_int_equal(a->key.id2, id2);
}

/* ---- futex ----------------------------------------------------------------------------------- */

/* include/uapi/linux/futex.h */
enum {
	WAIT = 0,
	LOCK_PI = 6,
	WAIT_BITSET = 9,
	WAIT_REQUEUE_PI = 11,
	LOCK_PI2 = 13,
	PRIVATE = 128,
	REALTIME = 256,
};

#define OWNER  4711u
#define WRITER 816

/* A mutex of someone else's: what lies behind its word is no thread's number. */
static void test_futex_no_owner(void **state)
{
	static uint32_t word[4] = {2, 0, 0xdeadbeef, 0};
	struct harness *h = *state;
	struct cause_answer *a = start(h);

	harness__run(h, "futex", (uintptr_t)word, WAIT | PRIVATE, 2, 0);
	assert_int_equal(a->state, STATE_LOCK);
	assert_int_equal(a->key.kind, CAUSE_MUTEX);
	assert_int_equal(a->key.id2, 0);
}

static void test_futex(void **state)
{
	/*
	 * What lies behind the futex word is the owner in glibc's mutexes, and there alone; further
	 * behind, the writer in its rwlocks.
	 */
	static _Alignas(8) uint32_t word[6] = {0, 0, OWNER, 0, WRITER, 0};
	static const struct {
		uint32_t op, val, timeout, state, kind, id2;
	} table[] = {
		/* mutexes: normal, recursive, errorcheck, adaptive; shared; with a time-out */
		{WAIT | PRIVATE, 2, 0, STATE_LOCK, CAUSE_MUTEX, OWNER},
		{WAIT, 2, 0, STATE_LOCK, CAUSE_MUTEX, OWNER},
		{WAIT_BITSET | PRIVATE | REALTIME, 2, 1, STATE_LOCK, CAUSE_MUTEX, OWNER},
		{WAIT_BITSET | PRIVATE, 2, 1, STATE_LOCK, CAUSE_MUTEX, OWNER},
		/* Rust's, which has none there */
		{WAIT_BITSET | PRIVATE, 2, 0, STATE_LOCK, CAUSE_MUTEX, 0},
		{LOCK_PI | PRIVATE, 0, 0, STATE_LOCK, CAUSE_PI, OWNER},
		{LOCK_PI2 | PRIVATE, 0, 1, STATE_LOCK, CAUSE_PI, OWNER},
		{LOCK_PI, 0, 0, STATE_LOCK, CAUSE_PI, OWNER},
		/* the holder of a robust mutex is in the word */
		{WAIT, 0x80000000 | 815, 0, STATE_LOCK, CAUSE_ROBUST, 815},
		{WAIT, 0xc0000000 | 815, 1, STATE_LOCK, CAUSE_ROBUST, 815},
		/* the same bit, but no thread: a latch of InnoDB's with 815 that want it, an event
		 * of qemu's, and a lock that nobody has */
		{WAIT | PRIVATE, 0x80000000 | 815, 0, STATE_SYNC, CAUSE_FUTEX, 0},
		{WAIT | PRIVATE, 0xffffffff, 0, STATE_SYNC, CAUSE_FUTEX, 0},
		{WAIT, 0x80000000, 0, STATE_SYNC, CAUSE_FUTEX, 0},
		/* rwlocks: readers and writers */
		{WAIT_BITSET | PRIVATE | REALTIME, 3, 0, STATE_LOCK, CAUSE_RWLOCK, WRITER},
		{WAIT_BITSET | PRIVATE | REALTIME, 3, 1, STATE_LOCK, CAUSE_RWLOCK, WRITER},
		{WAIT_BITSET | PRIVATE | REALTIME, 2, 0, STATE_LOCK, CAUSE_RWLOCK, 0},
		{WAIT_BITSET | REALTIME, 3, 0, STATE_LOCK, CAUSE_RWLOCK, WRITER},
		/* condition variables and semaphores: private and shared */
		{WAIT_BITSET | PRIVATE | REALTIME, 0, 0, STATE_SYNC, CAUSE_COND, 0},
		{WAIT_BITSET | REALTIME, 0, 0, STATE_SYNC, CAUSE_COND, 0},
		{WAIT_BITSET | PRIVATE, 0, 1, STATE_SYNC, CAUSE_COND, 0},
		{WAIT_REQUEUE_PI | PRIVATE, 0, 0, STATE_SYNC, CAUSE_COND, 0},
		/* barriers, once, and words of a program's own */
		{WAIT | PRIVATE, 0, 0, STATE_SYNC, CAUSE_FUTEX, 0},
		{WAIT | PRIVATE, 1, 0, STATE_SYNC, CAUSE_FUTEX, 0},
		{WAIT | PRIVATE, 3, 0, STATE_SYNC, CAUSE_FUTEX, 0},
		{WAIT, 7, 0, STATE_SYNC, CAUSE_FUTEX, 0},
		{WAIT_BITSET | PRIVATE, 1, 0, STATE_SYNC, CAUSE_FUTEX, 0},
		{WAIT_BITSET | PRIVATE, 4242, 0, STATE_SYNC, CAUSE_FUTEX, 0},
	};
	struct harness *h = *state;
	struct cause_answer *a = start(h);

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		harness__run(h, "futex", (uintptr_t)word, table[i].op, table[i].val,
			     table[i].timeout);
		if (a->state != table[i].state || a->key.kind != table[i].kind ||
		    a->key.id2 != table[i].id2)
			fail_msg("op %u, value %u, time-out %u: state %u, kind %u, id2 %llu",
				 table[i].op, table[i].val, table[i].timeout, a->state, a->key.kind,
				 (unsigned long long)a->key.id2);
		assert_int_equal(a->key.id, (uintptr_t)word);
	}
	/* The end of a thread: a lock of its own each time, which would tell nothing. */
	harness__run(h, "futex", (uintptr_t)word, WAIT_BITSET | REALTIME, 4242);
	expect(a, STATE_SYNC, CAUSE_JOIN, 0, 0);
	/* A lock in memory that can't be read: the holder is not known. */
	harness__run(h, "futex", 16, WAIT | PRIVATE, 2);
	expect(a, STATE_LOCK, CAUSE_MUTEX, 16, 0);
}

/* A barrier counts its rounds in the word, and comes by the mutexes' 2. */
static void test_barrier(void **state)
{
	static uint32_t word[4];
	struct harness *h = *state;
	struct cause_answer *a = start(h);
	uintptr_t addr = (uintptr_t)word;

	word[2] = 0;
	harness__run(h, "futex", addr, WAIT | PRIVATE, 2, 0, addr, STATE_SYNC);
	expect(a, STATE_SYNC, CAUSE_FUTEX, addr, 0);
	/* but with an owner, after another wait, or after one for another word, it is a mutex */
	harness__run(h, "futex", addr, WAIT | PRIVATE, 2, 0, addr, STATE_LOCK);
	expect(a, STATE_LOCK, CAUSE_MUTEX, addr, 0);
	harness__run(h, "futex", addr, WAIT | PRIVATE, 2, 0, addr + 64, STATE_SYNC);
	expect(a, STATE_LOCK, CAUSE_MUTEX, addr, 0);
	word[2] = OWNER;
	harness__run(h, "futex", addr, WAIT | PRIVATE, 2, 0, addr, STATE_SYNC);
	expect(a, STATE_LOCK, CAUSE_MUTEX, addr, OWNER);
}

/* ---- other system calls ---------------------------------------------------------------------- */

static void test_states(void **state)
{
	enum { NONE = SYSCALL_NONE };
	static const struct {
		uint32_t nr, flags, arg, state, kind, syscall;
	} table[] = {
		{SYS_openat, 0, 0, STATE_FS, CAUSE_PATH, SYS_openat},
		{SYS_openat, BLOCKED_IOWAIT, 0, STATE_DISK, CAUSE_PATH, SYS_openat},
		{SYS_wait4, 0, 0, STATE_SYNC, CAUSE_CHILD, SYS_wait4},
		{SYS_waitid, 0, 0, STATE_SYNC, CAUSE_CHILD, SYS_waitid},
		{SYS_semop, 0, 0, STATE_SYNC, CAUSE_IPC, SYS_semop},
		{SYS_msgrcv, 0, 0, STATE_PIPE, CAUSE_IPC, SYS_msgrcv},
		{SYS_epoll_pwait, 0, 0, STATE_POLL, CAUSE_POLL, SYS_epoll_pwait},
		{SYS_ppoll, 0, 0, STATE_POLL, CAUSE_POLL, SYS_ppoll},
		{SYS_ppoll, BLOCKED_ZERO_ARG, 0, STATE_SLEEP, CAUSE_TIMER, SYS_ppoll},
		{SYS_pselect6, BLOCKED_ZERO_ARG, 0, STATE_SLEEP, CAUSE_TIMER, SYS_pselect6},
		/* io_uring sets in_iowait for what is no disk */
		{SYS_io_uring_enter, 0, 0, STATE_POLL, CAUSE_POLL, SYS_io_uring_enter},
		{SYS_io_uring_enter, BLOCKED_IOWAIT, 0, STATE_POLL, CAUSE_POLL, SYS_io_uring_enter},
		{SYS_rt_sigtimedwait, 0, 0, STATE_POLL, CAUSE_SIGNAL, SYS_rt_sigtimedwait},
		{SYS_nanosleep, 0, 0, STATE_SLEEP, CAUSE_TIMER, SYS_nanosleep},
		{SYS_clock_nanosleep, 0, 0, STATE_SLEEP, CAUSE_TIMER, SYS_clock_nanosleep},
		{SYS_getpid, 0, 0, STATE_OTHER, CAUSE_SYSCALL, SYS_getpid},
		/* a descriptor that is not open any more */
		{SYS_read, 0, 0, STATE_OTHER, CAUSE_SYSCALL, SYS_read},
		{SYS_flock, 0, 0, STATE_OTHER, CAUSE_SYSCALL, SYS_flock},
		/* outside a system call */
		{NONE, 0, 0, STATE_FAULT, CAUSE_FAULT, NONE},
		{NONE, BLOCKED_IOWAIT, 0, STATE_DISK, CAUSE_FAULT, NONE},
		{0, BLOCKED_KTHREAD, 0, STATE_OTHER, CAUSE_KTHREAD, NONE},
		{0, BLOCKED_KTHREAD | BLOCKED_IOWAIT, 0, STATE_DISK, CAUSE_KTHREAD, NONE},
		{SYS_nanosleep, BLOCKED_FROZEN, 4, STATE_STOP, CAUSE_STOP, NONE},
		{SYS_nanosleep, BLOCKED_KLOCK, 32, STATE_KLOCK, CAUSE_KLOCK, SYS_nanosleep},
	};
	struct harness *h = *state;
	struct cause_answer *a = start(h);

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		harness__run(h, "blocked", table[i].nr, table[i].flags, table[i].arg, 0, 0);
		if (a->state != table[i].state || a->key.kind != table[i].kind ||
		    a->key.syscall != table[i].syscall)
			fail_msg("row %zu (system call %u): state %u, kind %u, system call %u", i,
				 table[i].nr, a->state, a->key.kind, a->key.syscall);
		if (table[i].flags & (BLOCKED_FROZEN | BLOCKED_KLOCK))
			assert_int_equal(a->key.aux, table[i].arg);
	}
	harness__run(h, "blocked", SYS_read, BLOCKED_KLOCK, 0, 0xffff888000001000);
	expect(a, STATE_KLOCK, CAUSE_KLOCK, 0xffff888000001000, 0);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static uint64_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

/* The kernel's own form of a device number. */
static uint64_t device(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)major(st.st_dev) << 20 | minor(st.st_dev);
}

static void on_fd(struct harness *h, uint32_t nr, int fd)
{
	assert_true(fd >= 0);
	harness__run(h, "blocked_on_fd", nr, (uint64_t)fd);
}

static void test_files(void **state)
{
	char path[] = "/tmp/dwell-cause-XXXXXX";
	struct harness *h = *state;
	struct cause_answer *a = start(h);
	int fd = mkstemp(path), dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	on_fd(h, SYS_pread64, fd);
	expect(a, STATE_FS, CAUSE_FILE, inode(fd), a->key.id2);
	harness__run(h, "blocked_on_fd", SYS_pread64, (uint64_t)fd, 1);
	expect(a, STATE_DISK, CAUSE_FILE, inode(fd), a->key.id2);
	on_fd(h, SYS_getdents64, dir);
	expect(a, STATE_FS, CAUSE_FILE, inode(dir), a->key.id2);
	on_fd(h, SYS_flock, fd);
	expect(a, STATE_LOCK, CAUSE_FLOCK, inode(fd), a->key.id2);
	harness__run(h, "blocked_on_fd", SYS_fcntl, (uint64_t)fd, 0, F_SETLKW);
	expect(a, STATE_LOCK, CAUSE_FLOCK, inode(fd), a->key.id2);
	harness__run(h, "blocked_on_fd", SYS_fcntl, (uint64_t)fd, 0, F_OFD_SETLKW);
	expect(a, STATE_LOCK, CAUSE_FLOCK, inode(fd), a->key.id2);
	harness__run(h, "blocked_on_fd", SYS_fcntl, (uint64_t)fd, 0, F_SETFL);
	expect(a, STATE_FS, CAUSE_FILE, inode(fd), a->key.id2);
	unlink(path);
	close(fd);
	close(dir);
	/* closed, never open, and no descriptor at all */
	harness__run(h, "blocked_on_fd", SYS_read, (uint64_t)fd);
	expect(a, STATE_OTHER, CAUSE_SYSCALL, 0, 0);
	harness__run(h, "blocked_on_fd", SYS_read, 1000000);
	expect(a, STATE_OTHER, CAUSE_SYSCALL, 0, 0);
	harness__run(h, "blocked_on_fd", SYS_read, UINT64_MAX);
	expect(a, STATE_OTHER, CAUSE_SYSCALL, 0, 0);
}

static void test_devices_and_pipes(void **state)
{
	int pipe_fd[2], master, slave, fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	struct harness *h = *state;
	struct cause_answer *a = start(h);
	uint64_t event_ops;

	on_fd(h, SYS_read, fd);
	expect(a, STATE_PIPE, CAUSE_TTY, inode(fd), a->key.id2);
	assert_int_equal((uint32_t)a->key.id2, device(fd)); /* above it is the generation */
	close(fd);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	on_fd(h, SYS_read, slave);
	expect(a, STATE_PIPE, CAUSE_TTY, inode(slave), a->key.id2);
	assert_int_equal((uint32_t)a->key.id2, device(slave));
	close(master);
	close(slave);
	assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
	on_fd(h, SYS_read, pipe_fd[0]);
	expect(a, STATE_PIPE, CAUSE_PIPE, inode(pipe_fd[0]), a->key.id2);
	on_fd(h, SYS_write, pipe_fd[1]);
	expect(a, STATE_PIPE, CAUSE_PIPE, inode(pipe_fd[0]), a->key.id2);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	fd = eventfd(0, EFD_CLOEXEC);
	on_fd(h, SYS_read, fd);
	expect(a, STATE_PIPE, CAUSE_ANON, a->key.id, a->key.id2);
	event_ops = a->key.id;
	close(fd);
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	on_fd(h, SYS_read, fd);
	expect(a, STATE_PIPE, CAUSE_ANON, a->key.id, a->key.id2);
	assert_true(a->key.id != event_ops);
	close(fd);
}

/* ---- sockets --------------------------------------------------------------------------------- */

/* A connection over the loopback; the port that was listened on. */
static uint16_t connect_pair(int *client, int *server)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* below the ports that are given at random, or the service can't be told */
	for (uint16_t port = 20011; port < 20200; port++) {
		addr.sin_port = htons(port);
		if (!bind(listener, (struct sockaddr *)&addr, len))
			break;
	}
	assert_int_equal(listen(listener, 1), 0);
	*client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*client, (struct sockaddr *)&addr, len), 0);
	*server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*server >= 0);
	close(listener);
	return ntohs(addr.sin_port);
}

static void test_inet(void **state)
{
	struct harness *h = *state;
	struct cause_answer *a = start(h);
	int client, server;
	uint16_t port = connect_pair(&client, &server);

	on_fd(h, SYS_recvfrom, client);
	expect(a, STATE_NET, CAUSE_IN4, htonl(INADDR_LOOPBACK), 0);
	assert_int_equal(a->key.aux, port);
	on_fd(h, SYS_read, server);
	expect(a, STATE_NET, CAUSE_IN4, htonl(INADDR_LOOPBACK), 0);
	assert_int_equal(a->key.aux, port | SOCK_LOCAL_PORT);
	close(client);
	close(server);
}

static void test_inet6(void **state)
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct harness *h = *state;
	struct cause_answer *a;
	uint64_t words[2];

	addr.sin6_addr = in6addr_loopback;
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		print_message("# no IPv6 here\n");
		skip();
	}
	a = start(h);
	memcpy(words, &addr.sin6_addr, sizeof(words));
	on_fd(h, SYS_recvfrom, fd);
	expect(a, STATE_NET, CAUSE_IN6, words[0], words[1]);
	assert_int_equal(a->key.aux, 53);
	close(fd);
}

static void test_unix(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), client, server, pair[2];
	struct harness *h = *state;
	struct cause_answer *a = start(h);
	uint64_t id;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/dwell-cause-%d.sock", getpid());
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	unlink(addr.sun_path);
	on_fd(h, SYS_recvfrom, client);
	expect(a, STATE_NET, CAUSE_UNIX, a->key.id, 0);
	id = a->key.id;
	on_fd(h, SYS_recvfrom, server);
	expect(a, STATE_NET, CAUSE_UNIX, id, 0);
	close(client);
	close(server);
	close(listener);
	/* ends without a name are told apart by their inodes */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	on_fd(h, SYS_recvfrom, pair[0]);
	expect(a, STATE_NET, CAUSE_UNIX, inode(pair[0]), a->key.id2);
	on_fd(h, SYS_recvfrom, pair[1]);
	expect(a, STATE_NET, CAUSE_UNIX, inode(pair[1]), a->key.id2);
	close(pair[0]);
	close(pair[1]);
}

/* ---- names ----------------------------------------------------------------------------------- */

#define NAMES 64

static void start_names(struct harness *h, uint32_t names)
{
	struct config config = {0};

	syscalls__classes(config.syscall_class);
	harness__open(h, &config);
	harness__size(h, "tally_slots", NAMES);
	harness__size(h, "tally_free", NAMES);
	harness__size(h, "names", names);
	harness__load(h);
	for (uint32_t slot = 0; slot < NAMES; slot++)
		assert_int_equal(
			bpf_map_update_elem(harness__map_fd(h, "tally_free"), NULL, &slot, 0), 0);
}

/* The name under which a wait for @fd in @nr is reported, as user space makes it. */
static const char *name_of(struct harness *h, struct arena *arena, uint32_t nr, int fd)
{
	struct object o = {.obj = h->obj};
	const struct accounts none = {0};
	struct cause_answer *a = h->answer;
	struct tally_key key, *prev = NULL;
	uint32_t slot;

	assert_true(fd >= 0);
	harness__run(h, "name_of_fd", nr, (uint64_t)fd);
	while (!bpf_map_get_next_key(harness__map_fd(h, "tally_slots"), prev, &key)) {
		prev = &key;
		assert_int_equal(
			bpf_map_lookup_elem(harness__map_fd(h, "tally_slots"), &key, &slot), 0);
		if (slot == a->slot)
			return names__cause(&o, &none, &key, 0, arena);
	}
	return NULL;
}

static void test_names_of_files(void **state)
{
	char dir[] = "/tmp/dwell-names-XXXXXX", path[PATH_MAX], expected[PATH_MAX + 32];
	struct harness *h = *state;
	struct arena arena = {0};
	int fd;

	start_names(h, NAMES);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a file", dir);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	snprintf(expected, sizeof(expected), "pread64 %s", path);
	assert_string_equal(name_of(h, &arena, SYS_pread64, fd), expected);
	/* deleted: the name was taken in time */
	unlink(path);
	snprintf(expected, sizeof(expected), "file lock %s", path);
	assert_string_equal(name_of(h, &arena, SYS_flock, fd), expected);
	close(fd);
	/* across a mount */
	fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	snprintf(expected, sizeof(expected), "read /proc/%d/status", getpid());
	assert_string_equal(name_of(h, &arena, SYS_read, fd), expected);
	close(fd);
	fd = open("/", O_RDONLY | O_CLOEXEC);
	assert_string_equal(name_of(h, &arena, SYS_getdents64, fd), "getdents64 /");
	close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_string_equal(name_of(h, &arena, SYS_read, fd), "read /dev/null");
	close(fd);
	fd = eventfd(0, EFD_CLOEXEC);
	assert_string_equal(name_of(h, &arena, SYS_read, fd), "read [eventfd]");
	close(fd);
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	snprintf(expected, sizeof(expected), "read %s", path);
	assert_string_equal(name_of(h, &arena, SYS_read, fd), expected);
	close(fd);
	unlink(path);
	rmdir(dir);
	assert_int_equal(harness__losses(h), 0);
	arena__reset(&arena);
}

/* Deeper, and longer, than what is kept: the end of the path is there, and a mark before it. */
static void test_names_cut(void **state)
{
	enum { DEEP = NAME_PARTS + 3, LONG = 200 };
	char path[PATH_MAX] = "/tmp/dwell-deep-XXXXXX", component[LONG + 1];
	const char *name, mark[] = "pread64 …/";
	struct harness *h = *state;
	struct arena arena = {0};
	size_t at[DEEP];
	int fd;

	memset(component, 'x', LONG);
	component[LONG] = '\0';
	start_names(h, NAMES);
	for (int wide = 0; wide < 2; wide++) {
		int n = wide ? 5 : DEEP;
		size_t len;

		snprintf(path, sizeof(path), "/tmp/dwell-deep-XXXXXX");
		assert_non_null(mkdtemp(path));
		len = strlen(path);
		for (int i = 0; i < n; i++) {
			at[i] = len;
			len += (size_t)snprintf(path + len, sizeof(path) - len, "/%s%d",
						wide ? component : "d", i);
			assert_int_equal(mkdir(path, 0700), 0);
		}
		snprintf(path + len, sizeof(path) - len, "/file");
		fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
		name = name_of(h, &arena, SYS_pread64, fd);
		assert_memory_equal(name, mark, sizeof(mark) - 1);
		name += sizeof(mark) - 2;
		assert_string_equal(name, path + strlen(path) - strlen(name));
		assert_true(strlen(name) > 40 && strlen(name) < NAME_SIZE + NAME_PART);
		close(fd);
		unlink(path);
		while (n--) {
			path[len] = '\0';
			rmdir(path);
			len = at[n];
		}
		path[len] = '\0';
		rmdir(path);
	}
	arena__reset(&arena);
}

static void test_names_of_sockets(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct harness *h = *state;
	struct arena arena = {0};
	char expected[200];
	int fd;

	start_names(h, NAMES);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/dwell-name-%d.sock", getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	unlink(addr.sun_path);
	snprintf(expected, sizeof(expected), "recvfrom unix:%s", addr.sun_path);
	assert_string_equal(name_of(h, &arena, SYS_recvfrom, fd), expected);
	close(fd);
	/* abstract: begins with a NUL, and ends without one */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memset(addr.sun_path, 0, sizeof(addr.sun_path));
	snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "dwell-%d", getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&addr,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
					  strlen(addr.sun_path + 1))),
			 0);
	snprintf(expected, sizeof(expected), "recvfrom unix:@dwell-%d", getpid());
	assert_string_equal(name_of(h, &arena, SYS_recvfrom, fd), expected);
	close(fd);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_string_equal(name_of(h, &arena, SYS_recvfrom, fd),
			    "recvfrom unix socket without a name");
	close(fd);
	arena__reset(&arena);
}

static void test_names_until_full(void **state)
{
	struct harness *h = *state;
	struct arena arena = {0};
	int null, zero;

	start_names(h, 1);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	assert_string_equal(name_of(h, &arena, SYS_read, null), "read /dev/null");
	assert_memory_equal(name_of(h, &arena, SYS_read, zero), "read inode ", 11);
	assert_int_equal(harness__loss(h, LOSS_NAME_FULL), 1);
	assert_string_equal(name_of(h, &arena, SYS_readv, null), "readv /dev/null");
	assert_int_equal(harness__losses(h), 1);
	close(null);
	close(zero);
	arena__reset(&arena);
}

/* ---- the whole of it ------------------------------------------------------------------------- */

/* Of a real task: this one, which is in bpf(2). */
static void test_classify(void **state)
{
	enum { INTERRUPTIBLE = 1, STOPPED = 4, TRACED = 8 };
	struct tally_key key, *prev = NULL;
	struct config config = {0};
	struct harness *h = *state;
	struct cause_answer *a;
	uint32_t slot;
	int n = 0;

	harness__open(h, &config);
	harness__size(h, "tally_slots", 4);
	harness__size(h, "tally_free", 4);
	harness__load(h);
	a = h->answer;
	for (slot = 0; slot < 4; slot++)
		assert_int_equal(
			bpf_map_update_elem(harness__map_fd(h, "tally_free"), NULL, &slot, 0), 0);

	harness__run(h, "classify", INTERRUPTIBLE);
	assert_int_equal(a->state, STATE_OTHER);
	assert_int_equal(a->slot, 0);
	/* What it waited for last time is remembered, and found again if it is not. */
	harness__run(h, "classify", INTERRUPTIBLE);
	assert_int_equal(a->slot, 0);
	harness__run(h, "classify", STOPPED);
	assert_int_equal(a->state, STATE_STOP);
	assert_int_equal(a->slot, 1);
	harness__run(h, "classify", TRACED);
	assert_int_equal(a->state, STATE_STOP);
	assert_int_equal(a->slot, 2);
	harness__run(h, "classify", INTERRUPTIBLE, 0xffff888000001000);
	assert_int_equal(a->state, STATE_KLOCK);
	assert_int_equal(a->slot, 3);
	harness__run(h, "classify", INTERRUPTIBLE, 0xffff888000002000);
	assert_int_equal(a->state, STATE_KLOCK);
	assert_int_equal(a->slot, TALLY_NONE);
	assert_int_equal(harness__loss(h, LOSS_MAP_FULL), 1);
	harness__run(h, "classify", INTERRUPTIBLE);
	assert_int_equal(a->state, STATE_OTHER);
	assert_int_equal(a->slot, 0);

	while (!bpf_map_get_next_key(harness__map_fd(h, "tally_slots"), prev, &key)) {
		prev = &key;
		assert_int_equal(
			bpf_map_lookup_elem(harness__map_fd(h, "tally_slots"), &key, &slot), 0);
		n++;
		assert_int_equal(key.row, 1);
		if (!slot)
			assert_int_equal(key.syscall, SYS_bpf);
	}
	assert_int_equal(n, 4);
}

static uint32_t recall(struct harness *h, uint64_t word, uint64_t id2, uint32_t state)
{
	struct cause_answer *a = h->answer;

	harness__run(h, "recall", word, 0x1000, id2, state);
	return a->state;
}

/* The two waits before the last one are known, whichever of them comes again. */
static void test_recall(void **state)
{
	struct harness *h = *state;

	start(h);
	assert_int_equal(recall(h, 1, 0, STATE_FS), STATE_NONE);
	assert_int_equal(recall(h, 2, 0, STATE_NET), STATE_NONE);
	assert_int_equal(recall(h, 3, 0, STATE_PIPE), STATE_NONE);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(recall(h, 1, 0, STATE_FS), STATE_FS);
		assert_int_equal(recall(h, 2, 0, STATE_NET), STATE_NET);
		assert_int_equal(recall(h, 3, 0, STATE_PIPE), STATE_PIPE);
	}
	assert_int_equal(recall(h, 2, 0, STATE_NET), STATE_NET);
	assert_int_equal(recall(h, 3, 0, STATE_PIPE), STATE_PIPE);
	/* Others of the same call are others, and the one least recently seen makes room. */
	assert_int_equal(recall(h, 3, 7, STATE_POLL), STATE_NONE);
	assert_int_equal(recall(h, 1, 0, STATE_FS), STATE_NONE);
	assert_int_equal(recall(h, 3, 0, STATE_PIPE), STATE_PIPE);
	harness__run(h, "forget");
	assert_int_equal(recall(h, 1, 0, STATE_FS), STATE_NONE);
	assert_int_equal(recall(h, 3, 7, STATE_POLL), STATE_NONE);
}

/* A wait for 2 without an owner may be for a lock or a barrier: the last wait decides each time. */
static void test_recall_ambiguous(void **state)
{
	struct harness *h = *state;

	start(h);
	assert_int_equal(recall(h, 1, 2, STATE_LOCK), STATE_NONE);
	assert_int_equal(recall(h, 1, 1, STATE_SYNC), STATE_NONE);
	assert_int_equal(recall(h, 1, 2, STATE_SYNC), STATE_NONE);
	assert_int_equal(recall(h, 1, 1, STATE_SYNC), STATE_SYNC);
	assert_int_equal(recall(h, 1, 2 | (uint64_t)OWNER << 32, STATE_LOCK), STATE_NONE);
	assert_int_equal(recall(h, 1, 1, STATE_SYNC), STATE_SYNC);
	assert_int_equal(recall(h, 1, 2 | (uint64_t)OWNER << 32, STATE_LOCK), STATE_LOCK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HARNESS_BOTH(test_futex),
		HARNESS_BOTH(test_futex_no_owner),
		HARNESS_BOTH(test_barrier),
		HARNESS_BOTH(test_states),
		HARNESS_BOTH(test_files),
		HARNESS_PEEK(test_files),
		HARNESS_BOTH(test_devices_and_pipes),
		HARNESS_PEEK(test_devices_and_pipes),
		HARNESS_BOTH(test_inet),
		HARNESS_PEEK(test_inet),
		HARNESS_BOTH(test_inet6),
		HARNESS_PEEK(test_inet6),
		HARNESS_BOTH(test_unix),
		HARNESS_PEEK(test_unix),
		HARNESS_BOTH(test_names_of_files),
		HARNESS_PEEK(test_names_of_files),
		HARNESS_BOTH(test_names_cut),
		HARNESS_BOTH(test_names_of_sockets),
		HARNESS_PEEK(test_names_of_sockets),
		HARNESS_BOTH(test_names_until_full),
		HARNESS_BOTH(test_classify),
		HARNESS_PEEK(test_classify),
		HARNESS_BOTH(test_recall),
		HARNESS_BOTH(test_recall_ambiguous),
	};

	return harness__main(tests);
}
