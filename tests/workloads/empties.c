/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* LDFLAGS: -lelf */
/*
 * empties TRACEPOINT... [/FILE FUNCTION+OFFSET...]: hangs a BPF program that does nothing on each
 * of these tracepoints and of these places in FILE, as dwell hangs its own there, says "ready" and
 * waits for SIGINT. What that costs nobody can avoid who looks at these events. A tracepoint that
 * this kernel lacks is left out.
 */
#include "workload.h"

#include <gelf.h>
#include <linux/bpf.h>
#include <signal.h>

#define TRACE_UPROBE_MULTI 48 /* enum bpf_attach_type: 89ae89f53d20, 6.6 */

/* The beginning of union bpf_attr for it. */
struct uprobe_multi_attr {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t count, multi_flags, pid, pad;
};

static int empty__load(enum bpf_prog_type type, uint32_t attach_type)
{
	static const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {0};

	attr.prog_type = type;
	attr.expected_attach_type = attach_type;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = sizeof(code) / sizeof(*code);
	attr.license = (uintptr_t) "Dual BSD/GPL";
	snprintf(attr.prog_name, sizeof(attr.prog_name), "nothing");
	return (int)workload__sys(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)),
				  "BPF_PROG_LOAD");
}

static void attach_tracepoint(const char *name)
{
	union bpf_attr attr = {0};

	attr.raw_tracepoint.name = (uintptr_t)name;
	attr.raw_tracepoint.prog_fd = (uint32_t)empty__load(BPF_PROG_TYPE_RAW_TRACEPOINT, 0);
	if (syscall(SYS_bpf, BPF_RAW_TRACEPOINT_OPEN, &attr, sizeof(attr)) < 0 && errno != ENOENT)
		workload__die("%s: %s", name, strerror(errno));
}

static void attach_uprobe(const char *path, uint64_t offset)
{
	struct uprobe_multi_attr attr = {
		.prog_fd = (uint32_t)empty__load(BPF_PROG_TYPE_KPROBE, TRACE_UPROBE_MULTI),
		.attach_type = TRACE_UPROBE_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)&offset,
		.count = 1,
	};

	workload__sys(syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr)), path);
}

/* Where in the file the address is. */
static uint64_t file_offset(Elf *elf, uint64_t vaddr)
{
	size_t n = 0;
	GElf_Phdr ph;

	elf_getphdrnum(elf, &n);
	for (size_t i = 0; i < n; i++) {
		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD && vaddr >= ph.p_vaddr &&
		    vaddr - ph.p_vaddr < ph.p_filesz)
			return vaddr - ph.p_vaddr + ph.p_offset;
	}
	workload__die("no segment has the function");
}

static uint64_t address(Elf *elf, const char *name)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	GElf_Sym sym;

	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_DYNSYM)
			continue;
		for (int i = 0; gelf_getsym(elf_getdata(scn, NULL), i, &sym); i++) {
			if (!strcmp(elf_strptr(elf, sh.sh_link, sym.st_name), name))
				return sym.st_value;
		}
	}
	workload__die("the file exports no %s", name);
}

static void attach_functions(const char *path, char **name, int n)
{
	int fd = (int)workload__sys(open(path, O_RDONLY | O_CLOEXEC), path);
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		workload__die("%s: %s", path, elf_errmsg(-1));
	for (int i = 0; i < n; i++) {
		char *plus = strchr(name[i], '+');
		uint64_t inside = plus ? strtoull(plus, NULL, 0) : 0;

		if (plus)
			*plus = '\0';
		attach_uprobe(path, file_offset(elf, address(elf, name[i])) + inside);
	}
	elf_end(elf);
	close(fd);
}

int main(int argc, char **argv)
{
	sigset_t set;
	int sig, i;

	if (argc < 2)
		workload__die("usage: empties TRACEPOINT... [/FILE FUNCTION+OFFSET...]");
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (i = 1; i < argc && argv[i][0] != '/'; i++)
		attach_tracepoint(argv[i]);
	if (i < argc)
		attach_functions(argv[i], argv + i + 1, argc - i - 1);
	puts("ready");
	fflush(stdout);
	return sigwait(&set, &sig);
}
