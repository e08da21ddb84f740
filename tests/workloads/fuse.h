/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A FUSE file system with one regular file, "file", spoken by hand over /dev/fuse: a file whose
 * operations take exactly as long as we like, without any block device.
 *
 * The server is a process of its own, so that a client which is blocked or dies never blocks it.
 * It lives in a private mount namespace: the mount goes away with the processes, however they end.
 */
#ifndef DWELL_FUSE_H
#define DWELL_FUSE_H

#include "waits.h"

#include <linux/fuse.h>
#include <sys/mount.h>

#define FUSE_FILE_INODE 2
#define FUSE_FILE_SIZE  (1ULL << 30)
#define FUSE_BUFFER     (64 * 1024)
#define FUSE_FOREVER    3600 /* s */

struct fuse_request {
	struct fuse_in_header head;
	char body[FUSE_BUFFER];
};

static void fuse__reply(int fd, const struct fuse_request *req, int err, const void *body,
			size_t len)
{
	static char buf[sizeof(struct fuse_out_header) + FUSE_BUFFER];
	struct fuse_out_header head = {
		.len = (uint32_t)(sizeof(head) + len), .error = -err, .unique = req->head.unique};

	memcpy(buf, &head, sizeof(head));
	if (len)
		memcpy(buf + sizeof(head), body, len);
	/* ENOENT: the client was interrupted and has given up */
	if (write(fd, buf, head.len) < 0 && errno != ENOENT)
		_exit(1);
}

static void fuse__attr(struct fuse_attr *attr, uint64_t inode)
{
	bool root = inode == FUSE_ROOT_ID;

	*attr = (struct fuse_attr){.ino = inode,
				   .size = root ? 0 : FUSE_FILE_SIZE,
				   .mode = root ? S_IFDIR | 0755 : S_IFREG | 0644,
				   .nlink = root ? 2 : 1,
				   .blksize = 4096};
}

static void fuse__init(int fd, const struct fuse_request *req)
{
	struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
				    .minor = 31,
				    .max_background = 4,
				    .max_write = 4096,
				    .time_gran = 1};

	fuse__reply(fd, req, 0, &out, sizeof(out));
}

static void fuse__lookup(int fd, const struct fuse_request *req, const struct fuse_control *c)
{
	struct fuse_entry_out out = {.nodeid = FUSE_FILE_INODE,
				     .entry_valid = FUSE_FOREVER,
				     .attr_valid = c->fresh ? 0 : FUSE_FOREVER};

	if (strcmp(req->body, "file")) {
		fuse__reply(fd, req, ENOENT, NULL, 0);
		return;
	}
	fuse__attr(&out.attr, FUSE_FILE_INODE);
	fuse__reply(fd, req, 0, &out, sizeof(out));
}

static void fuse__getattr(int fd, const struct fuse_request *req, const struct fuse_control *c)
{
	struct fuse_attr_out out = {.attr_valid = c->fresh ? 0 : FUSE_FOREVER};

	fuse__attr(&out.attr, req->head.nodeid);
	fuse__reply(fd, req, 0, &out, sizeof(out));
}

static void fuse__read(int fd, const struct fuse_request *req)
{
	static const char zeros[FUSE_BUFFER];
	const struct fuse_read_in *in = (const void *)req->body;

	fuse__reply(fd, req, 0, zeros, in->size < sizeof(zeros) ? in->size : sizeof(zeros));
}

static void fuse__serve(int fd, const struct fuse_request *req, struct fuse_control *c)
{
	struct fuse_open_out open_out = {.open_flags = c->open_flags};
	struct fuse_write_out write_out = {
		.size = ((const struct fuse_write_in *)(const void *)req->body)->size};

	switch (req->head.opcode) {
	case FUSE_INIT:
		fuse__init(fd, req);
		break;
	case FUSE_LOOKUP:
		fuse__lookup(fd, req, c);
		break;
	case FUSE_GETATTR:
		fuse__getattr(fd, req, c);
		break;
	case FUSE_OPEN:
		fuse__reply(fd, req, 0, &open_out, sizeof(open_out));
		break;
	case FUSE_READ:
		fuse__read(fd, req);
		break;
	case FUSE_WRITE:
		fuse__reply(fd, req, 0, &write_out, sizeof(write_out));
		break;
	case FUSE_RELEASE:
		fuse__reply(fd, req, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT: /* these have no reply */
		break;
	default:
		fuse__reply(fd, req, ENOSYS, NULL, 0);
	}
}

static _Noreturn void fuse__server(int fd, struct fuse_control *c)
{
	static struct fuse_request req;
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "fuse-server");
	for (;;) {
		n = read(fd, &req, sizeof(req));
		if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (n < (ssize_t)sizeof(req.head)) /* ENODEV: unmounted */
			_exit(n < 0 && errno != ENODEV);
		if (req.head.opcode == c->slow) {
			sem_post(&c->seen);
			while (sem_wait(&c->go))
				;
		}
		fuse__serve(fd, &req, c);
	}
}

/* Mounts and starts the server; w->path becomes the file's. Only before threads are started. */
static void fuse__start(struct wait *w)
{
	char options[96];
	const char *dir;
	pid_t pid;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		workload__skip("/dev/fuse: %s", strerror(errno));
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		workload__skip("no private mount namespace: %s", strerror(errno));
	dir = workload__tmpdir();
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 fd);
	if (mount("dwell-test", dir, "fuse", MS_NOSUID | MS_NODEV, options))
		workload__skip("mount of a FUSE file system: %s", strerror(errno));
	workload__sys(sem_init(&w->fuse.seen, 1, 0), "sem_init");
	workload__sys(sem_init(&w->fuse.go, 1, 0), "sem_init");
	snprintf(w->path, sizeof(w->path), "%s/file", dir);
	pid = (pid_t)workload__sys(fork(), "fork");
	if (!pid)
		fuse__server(fd, &w->fuse);
	w->child = pid;
	close(fd);
}

/* The temporary directory can be removed only when nothing is mounted on it. */
static inline void fuse__stop(struct wait *w)
{
	for (int i = 0; i < 2; i++)
		if (w->fd[i] > 0)
			close(w->fd[i]);
	umount2(workload__tmpdir(), MNT_DETACH);
	kill(w->child, SIGKILL);
}

static int fuse__open(const struct wait *w)
{
	return (int)workload__sys(open(w->path, O_RDWR | O_CLOEXEC), w->path);
}

#endif
