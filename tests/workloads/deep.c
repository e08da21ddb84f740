/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * deep N: two threads that hand a byte to each other through pipes for ever, N calls deep in
 * functions that have frame pointers; each hand-over is a switch with the same stack.
 */
/* CFLAGS: -fno-optimize-sibling-calls -Wno-infinite-recursion */
#include "workload.h"

#include <sys/syscall.h>

struct deep {
	int in, out, calls;
};

static void deep__pass(const struct deep *d)
{
	char byte;

	/* system calls of its own: the C library has no frame pointers */
	for (;;) {
		register long nr __asm__("rax") = SYS_read;

		__asm__ volatile("syscall"
				 : "+r"(nr)
				 : "D"((long)d->in), "S"(&byte), "d"(1L)
				 : "rcx", "r11", "memory");
		nr = SYS_write;
		__asm__ volatile("syscall"
				 : "+r"(nr)
				 : "D"((long)d->out), "S"(&byte), "d"(1L)
				 : "rcx", "r11", "memory");
	}
}

__attribute__((noipa)) static int deep__call(const struct deep *d, int n)
{
	if (!n)
		deep__pass(d);
	return deep__call(d, n - 1) + n;
}

static void *deep__thread(void *arg)
{
	const struct deep *d = arg;

	return (void *)(long)deep__call(d, d->calls);
}

int main(int argc, char **argv)
{
	int calls = argc > 1 ? atoi(argv[1]) : 12, there[2], back[2];
	struct deep here, other;
	pthread_t thread;

	workload__sys(pipe(there), "pipe");
	workload__sys(pipe(back), "pipe");
	here = (struct deep){there[0], back[1], calls};
	other = (struct deep){back[0], there[1], calls};
	workload__sys((int)write(there[1], "", 1), "write");
	pthread_create(&thread, NULL, deep__thread, &other);
	deep__thread(&here);
	return 0;
}
