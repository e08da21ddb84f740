/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* For libFuzzer: an ELF file with any contents is read for its symbols and its unwind table. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/cfi.h"
#include "core/debugfile.h"
#include "core/sym.h"
#include "core/varfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fuzz__file(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	return fd;
}

static void fuzz__symbols(int fd)
{
	struct sym_module *m = NULL;
	int debug = debugfile__open(fd, "/nowhere", "/nowhere/file");
	uint64_t start, vaddr;
	const char *why;

	if (sym__open(dup(fd), &m, &why)) {
		if (debug >= 0)
			close(debug);
		return;
	}
	if (debug >= 0)
		sym__attach(m, debug, &why);
	for (uint64_t at = 0; at < 65536; at += 509) {
		sym__find(m, at, &start);
		sym__vaddr(m, at, &vaddr);
	}
	sym__free(m);
}

static void fuzz__variables(int fd)
{
	struct varfile *v = varfile__open(dup(fd));
	char name[64];

	for (uint64_t at = 0; v && at < 65536; at += 509)
		varfile__name(v, at, name, sizeof(name));
	varfile__free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = fuzz__file(data, size);
	struct cfi_table t;
	const char *why;

	if (!cfi__read(fd, &t, &why)) {
		for (uint64_t pc = 0; pc < 65536; pc += 127)
			cfi__find(&t, pc);
	}
	cfi__free(&t);
	fuzz__symbols(fd);
	fuzz__variables(fd);
	close(fd);
	return 0;
}
