// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <assert.h>
#include <errno.h>
#include <string.h>

#include <bpf/btf.h>
#include <gelf.h>
#include <linux/bpf.h>

#include "config.h"
#include "core/patch.h"

static const char *const peek_types[NR_PEEK_TYPES] = {
#define X(type) #type,
	PEEK_TYPES(X)
#undef X
};

/* ---- what the kernel has ------------------------------------------------------------------- */

static void patch__find_type(const struct btf *kernel, uint32_t id, struct config *config)
{
	const struct btf_type *t = btf__type_by_id(kernel, id);
	const char *name;

	if (!btf_is_struct(t))
		return;
	name = btf__name_by_offset(kernel, t->name_off);
	for (int i = 0; i < NR_PEEK_TYPES; i++) {
		if (!config->peek_type[i] && !strcmp(name, peek_types[i]))
			config->peek_type[i] = id;
	}
}

uint32_t patch__prepare(const struct btf *kernel, struct config *config)
{
	int function = btf__find_by_name_kind(kernel, "bpf_rdonly_cast", BTF_KIND_FUNC);

	memset(config->peek_type, 0, sizeof(config->peek_type));
	if (function <= 0)
		return 0;
	for (uint32_t id = 1; id < btf__type_cnt(kernel); id++)
		patch__find_type(kernel, id, config);
	if (config->peek_type[0])
		return (uint32_t)function;
	memset(config->peek_type, 0, sizeof(config->peek_type)); /* or they would be called for */
	return 0;
}

/* ---- what is written ----------------------------------------------------------------------- */

/* The call of bpf_rdonly_cast(), of which @function is the number. */
static void patch__call(struct bpf_insn *insn, uint32_t function)
{
	insn->src_reg = BPF_PSEUDO_KFUNC_CALL;
	insn->imm = (int)function;
}

/* What CONFIG() and CONFIG_HAS() ask for, which is an instruction of two parts. */
static void patch__constant(struct bpf_insn *insn, const struct config *config)
{
	uint32_t what = (uint32_t)insn[0].imm, bits = (uint32_t)insn[1].imm & 0xff;
	size_t offset = what & ((1U << CONFIG_SIZE_SHIFT) - 1), size = what >> CONFIG_SIZE_SHIFT;
	uint64_t value = 0;

	/* Both sides are compiled with one struct config. */
	assert(size <= sizeof(value) && offset + size <= sizeof(*config));
	memcpy(&value, (const char *)config + offset, size);
	if (bits)
		value = (value & bits) != 0;
	insn[0].imm = (int)(uint32_t)value;
	insn[1].imm = (int)(uint32_t)(value >> 32);
}

static void patch__programs(const Elf_Data *data, uint32_t function, const struct config *config)
{
	struct bpf_insn *insn = data->d_buf, *end = insn + data->d_size / sizeof(*insn);

	for (; insn < end; insn++) {
		if (insn->code == (BPF_JMP | BPF_CALL) && !insn->src_reg &&
		    insn->imm == CONFIG_PEEK_CALL && function)
			patch__call(insn, function);
		if (insn->code != (BPF_LD | BPF_DW | BPF_IMM) || insn + 1 == end)
			continue;
		if (!insn->src_reg && ((uint32_t)insn[1].imm & ~0xffU) == CONFIG_MARK)
			patch__constant(insn, config);
		insn++;
	}
}

static int patch__section(Elf_Scn *scn, uint32_t function, const struct config *config)
{
	Elf_Data *data;
	GElf_Shdr sh;

	if (!gelf_getshdr(scn, &sh))
		return -EINVAL;
	if (!(sh.sh_flags & SHF_EXECINSTR) || !sh.sh_size)
		return 0;
	data = elf_rawdata(scn, NULL); /* lies in the file itself */
	if (!data || !data->d_buf)
		return -EINVAL;
	patch__programs(data, function, config);
	return 0;
}

int patch__write(void *elf, size_t size, uint32_t function, const struct config *config)
{
	Elf_Scn *scn = NULL;
	int err = 0;
	Elf *e;

	elf_version(EV_CURRENT);
	e = elf_memory(elf, size);
	if (elf_kind(e) != ELF_K_ELF)
		err = -EINVAL;
	while (!err && (scn = elf_nextscn(e, scn)))
		err = patch__section(scn, function, config);
	elf_end(e);
	return err;
}
