/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * sleeper [STATE]: a thread named "blocked" blocks in STATE (pipe, lock, sync, net, poll, sleep)
 * and stays so until the process gets SIGTERM. Prints "ready PID TID" once it surely is blocked.
 */
#include "workload.h"

#include <poll.h>
#include <sys/socket.h>

struct sleeper {
	void (*block)(struct sleeper *s);
	_Atomic pid_t tid;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	int fd[2];
};

static void block__pipe(struct sleeper *s)
{
	char c;

	workload__sys(pipe(s->fd), "pipe");
	(void)!read(s->fd[0], &c, 1);
}

static void block__lock(struct sleeper *s)
{
	pthread_mutex_lock(&s->mutex); /* main has it */
}

static void block__sync(struct sleeper *s)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&mutex);
	for (;;)
		pthread_cond_wait(&s->cond, &mutex);
}

static void block__net(struct sleeper *s)
{
	char c;

	workload__sys(socketpair(AF_UNIX, SOCK_STREAM, 0, s->fd), "socketpair");
	(void)!recv(s->fd[0], &c, 1, 0);
}

static void block__poll(struct sleeper *s)
{
	struct pollfd fd;

	workload__sys(pipe(s->fd), "pipe");
	fd = (struct pollfd){.fd = s->fd[0], .events = POLLIN};
	poll(&fd, 1, -1);
}

static void block__sleep(struct sleeper *s)
{
	(void)s;
	workload__sleep(86400 * WORKLOAD_SEC);
}

static const struct {
	const char *state;
	void (*block)(struct sleeper *s);
} blocks[] = {
	{"pipe", block__pipe}, {"lock", block__lock}, {"sync", block__sync},
	{"net", block__net},   {"poll", block__poll}, {"sleep", block__sleep},
};

static void *sleeper__thread(void *arg)
{
	struct sleeper *s = arg;

	prctl(PR_SET_NAME, "blocked");
	atomic_store(&s->tid, workload__tid());
	s->block(s);
	return NULL;
}

static bool sleeper__is_blocked(pid_t tid)
{
	char path[64], buf[512], *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)tid);
	fd = (int)workload__sys(open(path, O_RDONLY), path);
	n = workload__sys(read(fd, buf, sizeof(buf) - 1), path);
	close(fd);
	buf[n] = 0;
	end = strrchr(buf, ')');
	return end && end[2] == 'S';
}

int main(int argc, char **argv)
{
	struct sleeper s = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	const char *state = argc > 1 ? argv[1] : "pipe";
	pthread_t thread;

	for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++)
		if (!strcmp(blocks[i].state, state))
			s.block = blocks[i].block;
	if (!s.block || argc > 2)
		workload__die("usage: sleeper [pipe|lock|sync|net|poll|sleep]");
	pthread_mutex_lock(&s.mutex);
	workload__pth(pthread_create(&thread, NULL, sleeper__thread, &s), "pthread_create");
	/* Blocked twice in a row: the first could be a page fault on the way. */
	for (int seen = 0; seen < 2; seen = s.tid && sleeper__is_blocked(s.tid) ? seen + 1 : 0)
		workload__sleep(5 * WORKLOAD_MSEC);
	printf("ready %d %d\n", (int)getpid(), (int)s.tid);
	fflush(stdout);
	pthread_join(thread, NULL);
	return 0;
}
