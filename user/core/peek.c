// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <bpf/btf.h>
#include <gelf.h>
#include <linux/bpf.h>

#include "core/peek.h"
#include "config.h"

static uint32_t peek__find(const struct btf *kernel, const char *name, uint32_t kind)
{
	int id = btf__find_by_name_kind(kernel, name, kind);

	return id > 0 ? (uint32_t)id : 0;
}

uint32_t peek__prepare(const struct btf *kernel, struct config *config)
{
	uint32_t function = peek__find(kernel, "bpf_rdonly_cast", BTF_KIND_FUNC);
	uint32_t type = function ? peek__find(kernel, "timespec64", BTF_KIND_STRUCT) : 0;

	config->peek_type = type;
	return type ? function : 0;
}

static void peek__write_section(const Elf_Data *data, uint32_t function)
{
	struct bpf_insn *insn = data->d_buf, *end = insn + data->d_size / sizeof(*insn);

	for (; insn < end; insn++) {
		if (insn->code != (BPF_JMP | BPF_CALL) || insn->src_reg ||
		    insn->imm != CONFIG_PEEK_CALL)
			continue;
		insn->src_reg = BPF_PSEUDO_KFUNC_CALL;
		insn->imm = (int)function;
	}
}

void peek__write(void *elf, size_t size, uint32_t function)
{
	Elf_Scn *scn = NULL;
	Elf_Data *data;
	GElf_Shdr sh;
	Elf *e;

	elf_version(EV_CURRENT);
	e = elf_memory(elf, size);
	if (!e)
		return;
	while ((scn = elf_nextscn(e, scn))) {
		if (!gelf_getshdr(scn, &sh) || !(sh.sh_flags & SHF_EXECINSTR))
			continue;
		data = elf_rawdata(scn, NULL); /* lies in @elf itself */
		if (data && data->d_buf)
			peek__write_section(data, function);
	}
	elf_end(e);
}
