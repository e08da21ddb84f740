/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * remaps SECONDS LIBRARY...: maps the code of each library in turn over that of the first, in one
 * system call, and waits in its function spot() for so long. The libraries' code is of one size,
 * and needs nothing but itself.
 */
/* LDFLAGS: -ldl */
#include "workload.h"

#include <dlfcn.h>
#include <sys/mman.h>

#define LIBRARIES_MAX 8

typedef int remaps__fn(void (*wait)(void));

struct text {
	uint64_t start, end, offset;
};

static void remaps__wait(void)
{
	nanosleep(&(struct timespec){0, 500000}, NULL);
}

static remaps__fn *remaps__load(const char *path, void **library)
{
	remaps__fn *spot;

	*library = dlopen(path, RTLD_NOW);
	spot = *library ? dlsym(*library, "spot") : NULL;
	if (!spot) {
		fprintf(stderr, "remaps: %s\n", dlerror());
		exit(1);
	}
	return spot;
}

/* Where the code around @addr is mapped. */
static struct text remaps__text(uint64_t addr)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	struct text t = {0};
	char line[4096];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %*s %lx", &t.start, &t.end, &t.offset) == 3 &&
		    addr >= t.start && addr < t.end)
			break;
	}
	if (maps)
		fclose(maps);
	return t;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	uint64_t offset[LIBRARIES_MAX], end;
	void *library[LIBRARIES_MAX];
	struct text text = {0};
	remaps__fn *spot;
	int fd;

	/* from the last one on: the first stays */
	for (int i = argc < LIBRARIES_MAX ? argc - 1 : LIBRARIES_MAX - 1; i > 1; i--) {
		spot = remaps__load(argv[i], &library[i]);
		text = remaps__text((uint64_t)spot);
		offset[i] = (uint64_t)spot - text.start;
		if (i > 2)
			dlclose(library[i]);
	}
	remaps__wait();
	for (int i = 2; i < argc && i < LIBRARIES_MAX; i++) {
		fd = open(argv[i], O_RDONLY | O_CLOEXEC);
		if (i > 2 && mmap((void *)text.start, text.end - text.start, PROT_READ | PROT_EXEC,
				  MAP_PRIVATE | MAP_FIXED, fd, (off_t)text.offset) == MAP_FAILED)
			return 1;
		close(fd);
		spot = (remaps__fn *)(text.start + offset[i]);
		for (end = workload__now() + (uint64_t)(seconds * 1e9); workload__now() < end;)
			spot(remaps__wait);
	}
	return 0;
}
