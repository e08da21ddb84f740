/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * jit: code in memory without a file, named "jitted code" in /tmp/perf-PID.map, calls a function
 * that waits; for ever. The map is gone when the process is ended by SIGTERM.
 */
/* CFLAGS: -fomit-frame-pointer -fno-optimize-sibling-calls */
#include "workload.h"

#include <sys/mman.h>

static char map_path[64];

static void jit__wait(void)
{
	nanosleep(&(struct timespec){0, 500000}, NULL);
}

static void jit__end(int signal)
{
	(void)signal;
	unlink(map_path);
	_exit(0);
}

__attribute__((noipa)) static int jit__call(void (*code)(void (*)(void)))
{
	code(jit__wait);
	return 1;
}

int main(void)
{
	/* push rbp; mov rbp, rsp; call rdi; pop rbp; ret */
	static const unsigned char bytes[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
	void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *map;
	int n = 0;

	if (code == MAP_FAILED)
		return 77;
	memcpy(code, bytes, sizeof(bytes));
	signal(SIGTERM, jit__end);
	snprintf(map_path, sizeof(map_path), "/tmp/perf-%d.map", (int)getpid());
	map = fopen(map_path, "we");
	if (!map)
		return 77;
	fprintf(map, "%lx %zx jitted code\n", (unsigned long)code, sizeof(bytes));
	fclose(map);
	for (;;)
		n += jit__call((void (*)(void (*)(void)))code);
	return n;
}
