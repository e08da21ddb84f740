// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * urings WORK FILE [N [RING]]: makes N requests of io_uring on FILE, one after the other, by system
 * calls of its own, and times each from its submission to its completion. Prints what it measured
 * as JSON. WORK:
 *
 * cached: reads a page that is in the cache
 * direct: reads a page from the device
 * late:   as direct, but computes for 50 ms before it looks for the end
 * linked: as direct, and behind it a sync
 * fsync:  writes a page by itself, and syncs it
 * queue:  four writes at once that reach the device, with one worker thread to do them
 *
 * RING: plain (default), defer (only who waits is told), polled (the kernel's thread submits),
 * registered (known to the kernel by a number that is no descriptor)
 */
#include <linux/io_uring.h>
#include <sys/mman.h>

#include "workload.h"

#define BYTES   4096
#define ENTRIES 64
#define QUEUED  4
#define LATE_NS (50 * WORKLOAD_MSEC)

/* What may be younger than the headers: include/uapi/linux/io_uring.h */
#define IORING_REGISTER_IOWQ_MAX_WORKERS 19
#define IORING_REGISTER_RING_FDS         20
#define IORING_ENTER_REGISTERED_RING     (1U << 4)

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

struct urings {
	int ring, fd;
	unsigned int setup;
	unsigned int enter; /* flags of io_uring_enter(), whose ring is… */
	int entered;        /* …this */
	_Atomic uint32_t *sq_tail, *sq_flags, *cq_head, *cq_tail;
	uint32_t *sq_array, sq_mask, cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	uint64_t n;
	uint64_t *samples; /* of each request, or batch of them, ns */
	char *buffer;
};

static void *urings__map(const struct urings *u, size_t size, off_t offset)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->ring,
		       offset);

	if (p == MAP_FAILED)
		workload__die("mmap of io_uring: %s", strerror(errno));
	return p;
}

static void urings__setup(struct urings *u)
{
	struct io_uring_params p = {.flags = u->setup, .sq_thread_idle = 1000};
	char *sq, *cq;

	u->ring = (int)syscall(SYS_io_uring_setup, ENTRIES, &p);
	if (u->ring < 0)
		workload__skip("io_uring is not available: %s", strerror(errno));
	sq = urings__map(u, p.sq_off.array + p.sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
	cq = urings__map(u, p.cq_off.cqes + p.cq_entries * sizeof(*u->cqes), IORING_OFF_CQ_RING);
	u->entered = u->ring;
	u->sqes = urings__map(u, p.sq_entries * sizeof(*u->sqes), IORING_OFF_SQES);
	u->sq_tail = (void *)(sq + p.sq_off.tail);
	u->sq_flags = (void *)(sq + p.sq_off.flags);
	u->sq_array = (void *)(sq + p.sq_off.array);
	u->sq_mask = *(uint32_t *)(void *)(sq + p.sq_off.ring_mask);
	u->cq_head = (void *)(cq + p.cq_off.head);
	u->cq_tail = (void *)(cq + p.cq_off.tail);
	u->cqes = (void *)(cq + p.cq_off.cqes);
	u->cq_mask = *(uint32_t *)(void *)(cq + p.cq_off.ring_mask);
}

/* One more to submit. */
static void urings__put(struct urings *u, unsigned int op, unsigned int flags, uint64_t offset)
{
	uint32_t tail = *u->sq_tail, slot = tail & u->sq_mask;

	u->sqes[slot] =
		(struct io_uring_sqe){.opcode = (uint8_t)op, .flags = (uint8_t)flags, .fd = u->fd};
	if (op == IORING_OP_READ || op == IORING_OP_WRITE) {
		u->sqes[slot].addr = (uintptr_t)u->buffer;
		u->sqes[slot].len = BYTES;
		u->sqes[slot].off = offset;
	}
	u->sq_array[slot] = slot;
	atomic_store(u->sq_tail, tail + 1);
}

static void urings__enter(const struct urings *u, unsigned int submit, unsigned int wait)
{
	unsigned int flags = u->enter | (wait ? IORING_ENTER_GETEVENTS : 0);

	if (u->setup & IORING_SETUP_SQPOLL)
		flags |= atomic_load(u->sq_flags) & IORING_SQ_NEED_WAKEUP ? IORING_ENTER_SQ_WAKEUP
									  : 0;
	while (syscall(SYS_io_uring_enter, u->entered, submit, wait, flags, NULL, 0) < 0) {
		if (errno != EINTR)
			workload__die("io_uring_enter: %s", strerror(errno));
	}
}

/* Takes the completions of @n requests that are there, or come. */
static void urings__reap(struct urings *u, unsigned int n)
{
	for (; n; n--) {
		uint32_t head = *u->cq_head;
		int res;

		while (atomic_load(u->cq_tail) == head)
			urings__enter(u, 0, 1);
		res = u->cqes[head & u->cq_mask].res;
		if (res < 0)
			workload__die("a request failed: %s", strerror(-res));
		atomic_store(u->cq_head, head + 1);
	}
}

/* Submits what was put and waits for it: all of it is a sample. */
static void urings__do(struct urings *u, uint64_t i, unsigned int n)
{
	uint64_t begin = workload__now();

	urings__enter(u, n, n);
	urings__reap(u, n);
	u->samples[i] = workload__now() - begin;
}

static void urings__read(struct urings *u, uint64_t i, bool late)
{
	uint64_t begin = workload__now();

	urings__put(u, IORING_OP_READ, 0, i * BYTES);
	if (!late) {
		urings__do(u, i, 1);
		return;
	}
	urings__enter(u, 1, 0);
	workload__burn(LATE_NS);
	urings__reap(u, 1);
	u->samples[i] = workload__now() - begin;
}

static void urings__fsync(struct urings *u, uint64_t i)
{
	workload__sys(pwrite(u->fd, u->buffer, BYTES, (off_t)(i * BYTES)), "pwrite");
	urings__put(u, IORING_OP_FSYNC, 0, 0);
	urings__do(u, i, 1);
}

static void urings__queue(struct urings *u, uint64_t i)
{
	for (unsigned int k = 0; k < QUEUED; k++)
		urings__put(u, IORING_OP_WRITE, IOSQE_ASYNC, (i * QUEUED + k) * BYTES);
	urings__do(u, i, QUEUED);
}

static void urings__one_worker(const struct urings *u)
{
	uint32_t max[2] = {1, 1};

	if (syscall(SYS_io_uring_register, u->ring, IORING_REGISTER_IOWQ_MAX_WORKERS, max, 2))
		workload__skip("workers cannot be limited: %s", strerror(errno));
}

static void urings__work(struct urings *u, const char *work)
{
	for (uint64_t i = 0; i < u->n; i++) {
		if (!strcmp(work, "fsync")) {
			urings__fsync(u, i);
		} else if (!strcmp(work, "queue")) {
			urings__queue(u, i);
		} else if (!strcmp(work, "linked")) {
			urings__put(u, IORING_OP_READ, IOSQE_IO_LINK, i * BYTES);
			urings__put(u, IORING_OP_FSYNC, 0, 0);
			urings__do(u, i, 2);
		} else {
			urings__read(u, i, !strcmp(work, "late"));
		}
	}
}

static void urings__register(struct urings *u)
{
	struct io_uring_rsrc_update ring = {.offset = (uint32_t)-1, .data = (uint64_t)u->ring};

	if (syscall(SYS_io_uring_register, u->ring, IORING_REGISTER_RING_FDS, &ring, 1) != 1)
		workload__skip("a ring cannot be registered: %s", strerror(errno));
	u->enter = IORING_ENTER_REGISTERED_RING;
	u->entered = (int)ring.offset;
}

static unsigned int urings__setup_of(const char *name)
{
	if (!strcmp(name, "defer"))
		return IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	return !strcmp(name, "polled") ? IORING_SETUP_SQPOLL : 0;
}

int main(int argc, char **argv)
{
	struct urings u = {.n = argc > 3 ? workload__number(argv[3], 1, 100000) : 100};
	bool direct, cached, queue;

	if (argc < 3)
		workload__die("usage: urings WORK FILE [N [RING]]");
	direct = !strcmp(argv[1], "direct") || !strcmp(argv[1], "late") ||
		 !strcmp(argv[1], "linked");
	cached = !strcmp(argv[1], "cached");
	queue = !strcmp(argv[1], "queue");
	u.setup = urings__setup_of(argc > 4 ? argv[4] : "plain");
	u.samples = calloc(u.n, sizeof(*u.samples));
	u.buffer = aligned_alloc(BYTES, BYTES);
	if (!u.samples || !u.buffer)
		workload__die("no memory");
	memset(u.buffer, 1, BYTES);
	u.fd = (int)workload__sys(
		open(argv[2], O_RDWR | (direct ? O_DIRECT : 0) | (queue ? O_DSYNC : 0)), argv[2]);
	for (uint64_t i = 0; cached && i < u.n; i++)
		workload__sys(pread(u.fd, u.buffer, BYTES, (off_t)(i * BYTES)), "pread");
	urings__setup(&u);
	if (queue)
		urings__one_worker(&u);
	if (argc > 4 && !strcmp(argv[4], "registered"))
		urings__register(&u);
	urings__work(&u, argv[1]);
	printf("{\"pid\":%d,", getpid());
	workload__json_array("samples", u.samples, u.n);
	puts("}");
	return 0;
}
