// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/uprobe.h"

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/time.h"
#include "core/object.h"
#include "core/procmaps.h"

/*
 * bpf(BPF_LINK_CREATE) for uprobe_multi (89ae89f53d20, 6.6), which this libbpf does not know: the
 * beginning of union bpf_attr.
 */
struct uprobe_multi_attr {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t count, multi_flags, pid, pad;
};

#define UPROBE_MULTI_RETURN 1

int uprobe__multi(int prog, const char *path, uint64_t offset, uint64_t cookie, bool returns)
{
	struct uprobe_multi_attr attr = {
		.prog_fd = (uint32_t)prog,
		.attach_type = OBJECT_UPROBE_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)&offset,
		.cookies = (uintptr_t)&cookie,
		.count = 1,
		.multi_flags = returns ? UPROBE_MULTI_RETURN : 0,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

/* ---- the cost of a hit --------------------------------------------------------------------- */

#ifdef __x86_64__
#define BATCH   32 /* calls that are timed together… */
#define BATCHES 8  /* …and how often: the fastest is the one that was not disturbed */

/* push and pop are emulated (arch/x86/kernel/uprobes.c), test is not. */
void uprobe__emulated(void);
void uprobe__stepped(void);

asm(".pushsection .text\n"
    ".globl uprobe__emulated, uprobe__stepped\n"
    ".hidden uprobe__emulated, uprobe__stepped\n"
    ".type uprobe__emulated, @function\n"
    ".type uprobe__stepped, @function\n"
    "uprobe__emulated: push %rbp\n"
    "	pop %rbp\n"
    "	ret\n"
    "uprobe__stepped: test %eax, %eax\n"
    "	ret\n"
    ".popsection\n");

/* Where the function is in dwell's own file; 0 if that cannot be told. */
static uint64_t uprobe__offset(void (*fn)(void))
{
	const struct procmap *map;
	struct procmaps maps;
	uint64_t offset = 0;

	if (!procmaps__load("/proc/self/maps", &maps)) {
		map = procmaps__find(&maps, (uintptr_t)fn);
		offset = map ? (uintptr_t)fn - map->start + map->offset : 0;
	}
	procmaps__free(&maps);
	return offset;
}

static uint64_t uprobe__batch_ns(void (*fn)(void))
{
	uint64_t best = UINT64_MAX, begin, ns;

	for (int i = 0; i < BATCHES; i++) {
		begin = time__now();
		for (int k = 0; k < BATCH; k++)
			fn();
		ns = time__now() - begin;
		best = ns < best ? ns : best;
	}
	return best;
}

/* "return 0" */
static int uprobe__empty_program(void)
{
	static const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts,
		    .expected_attach_type = (enum bpf_attach_type)OBJECT_UPROBE_MULTI);

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "dwell_empty", "Dual BSD/GPL", insns,
			     sizeof(insns) / sizeof(*insns), &opts);
}

uint64_t uprobe__hit_ns(bool emulated, bool returns)
{
	void (*fn)(void) = emulated ? uprobe__emulated : uprobe__stepped;
	uint64_t offset = uprobe__offset(fn), without = uprobe__batch_ns(fn), with = 0;
	int prog = uprobe__empty_program(), link = -1;

	if (offset && prog >= 0)
		link = uprobe__multi(prog, "/proc/self/exe", offset, 0, returns);
	if (link >= 0) {
		with = uprobe__batch_ns(fn);
		close(link);
	}
	if (prog >= 0)
		close(prog);
	return with > without ? (with - without) / BATCH : 0;
}
#else
uint64_t uprobe__hit_ns(bool emulated, bool returns)
{
	(void)emulated;
	(void)returns;
	return 0;
}
#endif
