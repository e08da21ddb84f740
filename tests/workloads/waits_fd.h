/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Waits on file descriptors: pipes and their like, sockets, and multiplexing. */
#ifndef DWELL_WAITS_FD_H
#define DWELL_WAITS_FD_H

#include "waits.h"

#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

/* fd[0] is the victim's end, fd[1] the controller's; a byte wakes. */

static void fd__read_byte(struct wait *w, unsigned int i)
{
	char c;

	(void)i;
	if (read(w->fd[0], &c, 1) != 1)
		workload__die("read: %s", strerror(errno));
}

static void fd__write_byte(struct wait *w, unsigned int i)
{
	(void)i;
	if (write(w->fd[1], "x", 1) != 1)
		workload__die("write: %s", strerror(errno));
}

/* ---- pipes ---- */

#define PIPE_CHUNK 4096 /* a page: what a slot of a pipe holds, and what is written in one piece */

static void pipe__setup(struct wait *w)
{
	workload__sys(pipe2(w->fd, O_CLOEXEC), "pipe2");
}

static void pipe__fill(struct wait *w)
{
	static const char chunk[PIPE_CHUNK];

	workload__sys(pipe2(w->fd, O_CLOEXEC | O_NONBLOCK), "pipe2");
	while (write(w->fd[1], chunk, sizeof(chunk)) == sizeof(chunk))
		;
	if (errno != EAGAIN)
		workload__die("write: %s", strerror(errno));
	for (int i = 0; i < 2; i++)
		workload__sys(fcntl(w->fd[i], F_SETFL, 0), "F_SETFL");
}

static void pipe__write_chunk(struct wait *w, unsigned int i)
{
	static const char chunk[PIPE_CHUNK];

	(void)i;
	if (write(w->fd[1], chunk, sizeof(chunk)) != sizeof(chunk))
		workload__die("write: %s", strerror(errno));
}

static void pipe__read_chunk(struct wait *w, unsigned int i)
{
	char chunk[PIPE_CHUNK];

	(void)i;
	if (read(w->fd[0], chunk, sizeof(chunk)) != sizeof(chunk))
		workload__die("read: %s", strerror(errno));
}

static void fifo__setup(struct wait *w)
{
	snprintf(w->path, sizeof(w->path), "%s", workload__tmpfile("fifo"));
	workload__sys(mkfifo(w->path, 0600), w->path);
	for (int i = 0; i < 2; i++)
		w->fd[i] = (int)workload__sys(open(w->path, O_RDWR | O_CLOEXEC), w->path);
}

static void eventfd__setup(struct wait *w)
{
	w->fd[0] = (int)workload__sys(eventfd(0, EFD_CLOEXEC), "eventfd");
}

static void eventfd__read(struct wait *w, unsigned int i)
{
	eventfd_t value;

	(void)i;
	workload__sys(eventfd_read(w->fd[0], &value), "eventfd_read");
}

static void eventfd__write(struct wait *w, unsigned int i)
{
	(void)i;
	workload__sys(eventfd_write(w->fd[0], 1), "eventfd_write");
}

static void signalfd__setup(struct wait *w)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL); /* the threads inherit it */
	w->fd[0] = (int)workload__sys(signalfd(-1, &set, SFD_CLOEXEC), "signalfd");
}

static void signalfd__read(struct wait *w, unsigned int i)
{
	struct signalfd_siginfo info;

	(void)i;
	workload__sys(read(w->fd[0], &info, sizeof(info)), "read");
}

static void signalfd__kill(struct wait *w, unsigned int i)
{
	(void)w;
	(void)i;
	workload__sys(kill(getpid(), SIGUSR1), "kill");
}

/* What is written comes through a work item, which the reader may have to wait for once more. */
static void tty__setup(struct wait *w)
{
	struct termios raw;

	w->fd[1] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (w->fd[1] < 0 || grantpt(w->fd[1]) || unlockpt(w->fd[1]))
		workload__skip("no pseudo-terminals: %s", strerror(errno));
	workload__pth(ptsname_r(w->fd[1], w->path, sizeof(w->path)), "ptsname_r");
	w->fd[0] = (int)workload__sys(open(w->path, O_RDWR | O_NOCTTY | O_CLOEXEC), w->path);
	workload__sys(tcgetattr(w->fd[0], &raw), "tcgetattr");
	cfmakeraw(&raw);
	workload__sys(tcsetattr(w->fd[0], TCSANOW, &raw), "tcsetattr");
}

/* ---- sockets ---- */

static void inet__name(char *dst, size_t size, const struct sockaddr_in *addr)
{
	char host[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &addr->sin_addr, host, sizeof(host));
	snprintf(dst, size, "%s:%u", host, ntohs(addr->sin_port));
}

/* A socket bound to a free port of 127.0.0.1, which comes back in @addr. */
static int inet__bind(int type, struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = (int)workload__sys(socket(AF_INET, type | SOCK_CLOEXEC, 0), "socket");

	*addr = (struct sockaddr_in){.sin_family = AF_INET};
	addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	workload__sys(bind(fd, (struct sockaddr *)addr, sizeof(*addr)), "bind");
	workload__sys(getsockname(fd, (struct sockaddr *)addr, &len), "getsockname");
	return fd;
}

static int tcp__connect(const struct sockaddr_in *addr)
{
	int one = 1,
	    fd = (int)workload__sys(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

	workload__sys(connect(fd, (const struct sockaddr *)addr, sizeof(*addr)), "connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void inet__names(struct wait *w)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);

	workload__sys(getpeername(w->fd[0], (struct sockaddr *)&addr, &len), "getpeername");
	inet__name(w->peer, sizeof(w->peer), &addr);
	len = sizeof(addr);
	workload__sys(getsockname(w->fd[0], (struct sockaddr *)&addr, &len), "getsockname");
	inet__name(w->local, sizeof(w->local), &addr);
}

static void tcp__setup(struct wait *w)
{
	struct sockaddr_in addr;
	int listener = inet__bind(SOCK_STREAM, &addr);

	workload__sys(listen(listener, 1), "listen");
	w->fd[0] = tcp__connect(&addr);
	w->fd[1] = (int)workload__sys(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
	close(listener);
	inet__names(w);
}

static void udp__setup(struct wait *w)
{
	struct sockaddr_in addr[2];

	for (int i = 0; i < 2; i++)
		w->fd[i] = inet__bind(SOCK_DGRAM, &addr[i]);
	for (int i = 0; i < 2; i++)
		workload__sys(connect(w->fd[i], (struct sockaddr *)&addr[!i], sizeof(addr[0])),
			      "connect");
	inet__names(w);
}

static void socket__recv(struct wait *w, unsigned int i)
{
	char c;

	(void)i;
	if (recv(w->fd[0], &c, 1, 0) != 1)
		workload__die("recv: %s", strerror(errno));
}

static int unix__connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = (int)workload__sys(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	workload__sys(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), "connect");
	return fd;
}

static int unix__listen(struct wait *w, int backlog)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = (int)workload__sys(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", workload__tmpfile("socket"));
	workload__sys(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), "bind");
	workload__sys(listen(fd, backlog), "listen");
	snprintf(w->path, sizeof(w->path), "%.107s", addr.sun_path);
	return fd;
}

static void unix__setup(struct wait *w)
{
	int listener = unix__listen(w, 1);

	w->fd[0] = unix__connect(w->path);
	w->fd[1] = (int)workload__sys(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
	close(listener);
}

/*
 * A connect() to a unix socket blocks while the listener's queue is full, and each accept() makes
 * room for exactly one; a TCP connect() would wait for a retransmission instead. The queue of
 * backlog 0 holds one connection: a first one fills it, then the one of the round before.
 */
static void connect__setup(struct wait *w)
{
	w->fd[0] = unix__listen(w, 0);
	memcpy(w->address, w->path, sizeof(w->address));
	w->path[0] = '\0'; /* the socket has no peer while it waits for one */
	w->fd[1] = unix__connect(w->address);
}

static void connect__block(struct wait *w, unsigned int i)
{
	(void)i;
	w->fd[2] = unix__connect(w->address);
}

static void connect__release(struct wait *w, unsigned int i)
{
	(void)i;
	close((int)workload__sys(accept(w->fd[0], NULL, NULL), "accept"));
}

static void connect__after(struct wait *w, unsigned int i)
{
	(void)i;
	close(w->fd[2]);
}

static void accept__setup(struct wait *w)
{
	struct sockaddr_in addr;

	w->fd[0] = inet__bind(SOCK_STREAM, &addr);
	workload__sys(listen(w->fd[0], 8), "listen");
	inet__name(w->local, sizeof(w->local), &addr);
}

static void accept__block(struct wait *w, unsigned int i)
{
	(void)i;
	w->fd[1] = (int)workload__sys(accept(w->fd[0], NULL, NULL), "accept");
}

static void accept__release(struct wait *w, unsigned int i)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);

	(void)i;
	workload__sys(getsockname(w->fd[0], (struct sockaddr *)&addr, &len), "getsockname");
	close(tcp__connect(&addr));
}

static void accept__after(struct wait *w, unsigned int i)
{
	(void)i;
	close(w->fd[1]);
}

/* ---- multiplexing, over an eventfd ---- */

static void epoll__setup(struct wait *w)
{
	struct epoll_event event = {.events = EPOLLIN};

	eventfd__setup(w);
	w->fd[1] = (int)workload__sys(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	workload__sys(epoll_ctl(w->fd[1], EPOLL_CTL_ADD, w->fd[0], &event), "epoll_ctl");
}

static void epoll__block(struct wait *w, unsigned int i)
{
	struct epoll_event event;

	(void)i;
	if (epoll_wait(w->fd[1], &event, 1, -1) != 1)
		workload__die("epoll_wait: %s", strerror(errno));
}

static void poll__block(struct wait *w, unsigned int i)
{
	struct pollfd fd = {.fd = w->fd[0], .events = POLLIN};

	(void)i;
	if (poll(&fd, 1, -1) != 1)
		workload__die("poll: %s", strerror(errno));
}

static void select__block(struct wait *w, unsigned int i)
{
	fd_set set;

	(void)i;
	FD_ZERO(&set);
	FD_SET(w->fd[0], &set);
	if (select(w->fd[0] + 1, &set, NULL, NULL, NULL) != 1)
		workload__die("select: %s", strerror(errno));
}

/* ---- io_uring: a poll request on the eventfd, and the wait for its completion ---- */

struct uring {
	int fd;
	_Atomic uint32_t *sq_tail, *cq_head, *cq_tail;
	uint32_t *sq_array, sq_mask;
	struct io_uring_sqe *sqes;
};

static void *uring__map(int fd, size_t size, off_t offset)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);

	if (p == MAP_FAILED)
		workload__die("mmap of io_uring: %s", strerror(errno));
	return p;
}

static void uring__setup(struct wait *w)
{
	struct io_uring_params p = {0};
	static struct uring ring;
	struct uring *u = &ring;
	char *sq, *cq;

	eventfd__setup(w);
	u->fd = (int)syscall(SYS_io_uring_setup, 4, &p);
	if (u->fd < 0)
		workload__skip("io_uring is not available: %s", strerror(errno));
	sq = uring__map(u->fd, p.sq_off.array + p.sq_entries * sizeof(uint32_t),
			IORING_OFF_SQ_RING);
	cq = uring__map(u->fd, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
			IORING_OFF_CQ_RING);
	u->sqes = uring__map(u->fd, p.sq_entries * sizeof(*u->sqes), IORING_OFF_SQES);
	u->sq_tail = (void *)(sq + p.sq_off.tail);
	u->sq_array = (void *)(sq + p.sq_off.array);
	u->sq_mask = *(uint32_t *)(void *)(sq + p.sq_off.ring_mask);
	u->cq_head = (void *)(cq + p.cq_off.head);
	u->cq_tail = (void *)(cq + p.cq_off.tail);
	w->ring = u;
}

static void uring__block(struct wait *w, unsigned int i)
{
	struct uring *u = w->ring;
	uint32_t tail = *u->sq_tail, slot = tail & u->sq_mask;

	(void)i;
	u->sqes[slot] = (struct io_uring_sqe){
		.opcode = IORING_OP_POLL_ADD, .fd = w->fd[0], .poll32_events = POLLIN};
	u->sq_array[slot] = slot;
	atomic_store(u->sq_tail, tail + 1);
	if (syscall(SYS_io_uring_enter, u->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		workload__die("io_uring_enter: %s", strerror(errno));
	if (*u->cq_tail != *u->cq_head + 1)
		workload__die("io_uring: no completion");
	atomic_fetch_add(u->cq_head, 1);
}

#endif
