/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Work that is the same however much there is of something: HOPS times (100000) one task wakes the
 * next and goes to sleep.
 *
 * ring threads N [HOPS]:   a token goes round N threads of this process
 * ring processes N [HOPS]: the same with N processes
 * ring stacks N [HOPS]:    two threads hand it to each other, one of them with N different stacks
 *                          in turn, all equally deep
 * ring files N [HOPS]:     one thread opens, reads and closes N files in turn, HOPS times one
 */
/* CFLAGS: -fno-optimize-sibling-calls */
#include "workload.h"

#include <limits.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define RING_MAX   100000
#define PATH_DEPTH 17 /* 2^17 paths */

struct ring {
	unsigned int n;
	atomic_uint hops; /* still to go */
	sem_t turn[];
};

struct member {
	struct ring *ring;
	unsigned int at;
};

static struct ring *ring__new(unsigned int n, unsigned int hops)
{
	struct ring *ring = mmap(NULL, sizeof(*ring) + n * sizeof(sem_t), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (ring == MAP_FAILED)
		workload__die("mmap: %s", strerror(errno));
	ring->n = n;
	ring->hops = hops;
	for (unsigned int i = 0; i < n; i++)
		workload__sys(sem_init(&ring->turn[i], 1, 0), "sem_init");
	return ring;
}

static void ring__await(struct ring *ring, unsigned int at)
{
	while (sem_wait(&ring->turn[at]) && errno == EINTR)
		;
}

/* Hands the token on; false if it has gone far enough, and then everybody is told. */
static bool ring__pass(struct ring *ring, unsigned int at)
{
	unsigned int left = atomic_load(&ring->hops);

	if (left)
		atomic_store(&ring->hops, left - 1);
	sem_post(&ring->turn[(at + 1) % ring->n]);
	return left > 0;
}

static void *ring__member(void *arg)
{
	const struct member *m = arg;

	do
		ring__await(m->ring, m->at);
	while (ring__pass(m->ring, m->at));
	return NULL;
}

static void ring__threads(struct ring *ring)
{
	pthread_t *thread = calloc(ring->n, sizeof(*thread));
	struct member *member = calloc(ring->n, sizeof(*member));
	pthread_attr_t attr;

	if (!thread || !member)
		workload__die("no memory");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, (size_t)PTHREAD_STACK_MIN);
	for (unsigned int i = 0; i < ring->n; i++) {
		member[i] = (struct member){ring, i};
		workload__pth(pthread_create(&thread[i], &attr, ring__member, &member[i]),
			      "pthread_create");
	}
	sem_post(&ring->turn[0]);
	for (unsigned int i = 0; i < ring->n; i++)
		workload__pth(pthread_join(thread[i], NULL), "pthread_join");
	free(thread);
	free(member);
}

static void ring__processes(struct ring *ring)
{
	for (unsigned int i = 0; i < ring->n; i++) {
		pid_t pid = fork();

		workload__sys(pid, "fork");
		if (pid)
			continue;
		ring__member(&(struct member){ring, i});
		_exit(0);
	}
	sem_post(&ring->turn[0]);
	while (wait(NULL) > 0)
		;
}

__attribute__((noipa)) static bool path__left(struct ring *ring, unsigned int path, int depth);
__attribute__((noipa)) static bool path__right(struct ring *ring, unsigned int path, int depth);

/* One bit of @path for each call: as many stacks as paths. */
static bool path__go(struct ring *ring, unsigned int path, int depth)
{
	if (depth)
		return path & 1 ? path__left(ring, path >> 1, depth - 1)
				: path__right(ring, path >> 1, depth - 1);
	ring__await(ring, 0);
	return ring__pass(ring, 0);
}

static bool path__left(struct ring *ring, unsigned int path, int depth)
{
	return path__go(ring, path, depth);
}

static bool path__right(struct ring *ring, unsigned int path, int depth)
{
	return path__go(ring, path, depth);
}

static void ring__stacks(struct ring *ring, unsigned int paths)
{
	struct member other = {ring, 1};
	unsigned int path = 0;
	pthread_t thread;

	workload__pth(pthread_create(&thread, NULL, ring__member, &other), "pthread_create");
	sem_post(&ring->turn[0]);
	while (path__go(ring, path, PATH_DEPTH))
		path = path + 1 < paths ? path + 1 : 0;
	workload__pth(pthread_join(thread, NULL), "pthread_join");
}

static void file__name(char *name, const char *dir, unsigned int i)
{
	snprintf(name, PATH_MAX, "%s/%u", dir, i);
}

static void ring__files(unsigned int n, unsigned int hops)
{
	char dir[] = "/var/tmp/dwell-ring.XXXXXX", name[PATH_MAX], byte = 'x';

	if (!mkdtemp(dir))
		workload__die("%s: %s", dir, strerror(errno));
	for (unsigned int i = 0; i < n; i++) {
		int fd;

		file__name(name, dir, i);
		fd = (int)workload__sys(open(name, O_CREAT | O_WRONLY, 0600), name);
		workload__sys(write(fd, &byte, 1), name);
		close(fd);
	}
	for (unsigned int i = 0; i < hops; i++) {
		int fd;

		file__name(name, dir, i % n);
		fd = (int)workload__sys(open(name, O_RDONLY), name);
		workload__sys(read(fd, &byte, 1), name);
		close(fd);
	}
	for (unsigned int i = 0; i < n; i++) {
		file__name(name, dir, i);
		unlink(name);
	}
	rmdir(dir);
}

int main(int argc, char **argv)
{
	unsigned int n, hops;

	if (argc < 3 || argc > 4)
		workload__die("usage: ring threads|processes|stacks|files N [HOPS]");
	n = (unsigned int)workload__number(argv[2], 2, RING_MAX);
	hops = argc > 3 ? (unsigned int)workload__number(argv[3], 1, 100000000) : 100000;
	if (!strcmp(argv[1], "threads"))
		ring__threads(ring__new(n, hops));
	else if (!strcmp(argv[1], "processes"))
		ring__processes(ring__new(n, hops));
	else if (!strcmp(argv[1], "stacks"))
		ring__stacks(ring__new(2, hops), n);
	else if (!strcmp(argv[1], "files"))
		ring__files(n, hops);
	else
		workload__die("no such work: %s", argv[1]);
	return 0;
}
