/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * slowdisk NS [writes]: a file of 1 GiB, for a loop device, of which each read (or write) takes NS,
 * and every tenth three times as long, until it is killed. One line on stdout: where other
 * processes find it.
 */
#include "fuse.h"

#define SLOW_EVERY 10
#define SLOW_TIMES 3

int main(int argc, char **argv)
{
	struct wait *w =
		mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t ns;

	if (argc < 2 || argc > 3)
		workload__die("usage: slowdisk NS [writes]");
	if (w == MAP_FAILED)
		workload__die("mmap: %s", strerror(errno));
	ns = workload__number(argv[1], 1, WORKLOAD_SEC);
	prctl(PR_SET_TIMERSLACK, 1);
	w->fuse.open_flags = FOPEN_DIRECT_IO;
	fuse__start(w);
	/* What is asked once only is not to be slow. */
	close(fuse__open(w));
	w->fuse.slow = argc > 2 ? FUSE_WRITE : FUSE_READ;
	printf("/proc/%d/root%s\n", (int)getpid(), w->path);
	fflush(stdout);
	for (uint64_t i = 1;; i++) {
		while (sem_wait(&w->fuse.seen))
			;
		workload__sleep(i % SLOW_EVERY ? ns : SLOW_TIMES * ns);
		sem_post(&w->fuse.go);
	}
}
