// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/placement.h"

#include <string.h>

#define INSNS_MAX 12 /* how far it is worth looking */
#define NO_REG    0xff

#define REX_B 1
#define REX_R 4
#define REX_W 8

/* One instruction, as far as it must be known. */
struct insn {
	size_t size;
	uint8_t writes; /* a general register, or NO_REG */
	bool emulated;
};

struct cursor {
	const uint8_t *code;
	size_t size, at;
	uint8_t rex;
	bool bad; /* read past the end */
};

static uint8_t next(struct cursor *c)
{
	if (c->at < c->size)
		return c->code[c->at++];
	c->bad = true;
	return 0;
}

static void skip(struct cursor *c, size_t n)
{
	if (c->size - c->at < n)
		c->bad = true;
	else
		c->at += n;
}

struct modrm {
	uint8_t reg, rm; /* with REX */
	uint8_t sub;     /* reg without it: the operation of a group */
	bool memory;
};

static struct modrm modrm(struct cursor *c)
{
	uint8_t byte = next(c), mod = byte >> 6, rm = byte & 7, base = rm;
	struct modrm m = {
		.sub = byte >> 3 & 7,
		.reg = (uint8_t)((byte >> 3 & 7) | (c->rex & REX_R ? 8 : 0)),
		.rm = (uint8_t)(rm | (c->rex & REX_B ? 8 : 0)),
		.memory = mod != 3,
	};

	if (!m.memory)
		return m;
	if (rm == 4)
		base = next(c) & 7;
	if (mod == 1)
		skip(c, 1);
	else if (mod == 2 || base == 5)
		skip(c, 4);
	return m;
}

static uint8_t written(const struct modrm *m)
{
	return m->memory ? NO_REG : m->rm;
}

/* Two-byte opcodes; false if it is not known. */
static bool decode_0f(struct cursor *c, struct insn *insn)
{
	uint8_t op = next(c);
	struct modrm m;

	if (op >= 0x80 && op <= 0x8f) { /* jcc */
		insn->emulated = true;
		skip(c, 4);
		return true;
	}
	switch (op) {
	case 0x1e: /* endbr64 is one of these */
	case 0x1f: /* nop */
		modrm(c);
		return true;
	case 0xb6: /* movzx, movsx */
	case 0xb7:
	case 0xbe:
	case 0xbf:
		m = modrm(c);
		insn->writes = m.reg;
		return true;
	default:
		return false;
	}
}

/* add, or, and, sub, xor, cmp between a register and a register or memory. */
static bool decode_alu(struct cursor *c, uint8_t op, struct insn *insn)
{
	bool compares = (op & 0x38) == 0x38;
	struct modrm m = modrm(c);

	if (!compares)
		insn->writes = op & 2 ? m.reg : written(&m);
	return true;
}

static bool decode_group(struct cursor *c, uint8_t op, struct insn *insn)
{
	struct modrm m = modrm(c);

	switch (op) {
	case 0x80: /* add … cmp with a constant */
	case 0x83:
	case 0x81:
		insn->writes = m.sub == 7 ? NO_REG : written(&m);
		skip(c, op == 0x81 ? 4 : 1);
		return true;
	case 0xc6: /* mov of a constant */
	case 0xc7:
		insn->writes = written(&m);
		skip(c, op == 0xc7 ? 4 : 1);
		return m.sub == 0;
	default: /* 0xf6, 0xf7: test with a constant */
		skip(c, op == 0xf7 ? 4 : 1);
		return m.sub == 0;
	}
}

static bool decode_mov(struct cursor *c, uint8_t op, struct insn *insn)
{
	struct modrm m = modrm(c);

	switch (op) {
	case 0x88:
	case 0x89:
		insn->writes = written(&m);
		return true;
	case 0x8a:
	case 0x8b:
	case 0x8d: /* lea */
		insn->writes = m.reg;
		return true;
	default: /* 0x84, 0x85: test */
		return true;
	}
}

static bool decode_one(struct cursor *c, uint8_t op, bool prefixed, struct insn *insn)
{
	if (op >= 0x50 && op <= 0x57) { /* push */
		insn->emulated = !prefixed;
		return true;
	}
	if (op >= 0x70 && op <= 0x7f) { /* jcc */
		insn->emulated = !prefixed;
		skip(c, 1);
		return true;
	}
	if (op >= 0xb8 && op <= 0xbf) { /* mov of a constant */
		insn->writes = (uint8_t)((op & 7) | (c->rex & REX_B ? 8 : 0));
		skip(c, c->rex & REX_W ? 8 : 4);
		return !prefixed;
	}
	if (op < 0x40 && (op & 7) < 4)
		return decode_alu(c, op, insn);
	switch (op) {
	case 0x0f:
		return decode_0f(c, insn) && !(prefixed && insn->emulated);
	case 0x80:
	case 0x81:
	case 0x83:
	case 0xc6:
	case 0xc7:
	case 0xf6:
	case 0xf7:
		/* 0x66 would make the constant shorter */
		return !prefixed && decode_group(c, op, insn);
	case 0x84:
	case 0x85:
	case 0x88:
	case 0x89:
	case 0x8a:
	case 0x8b:
	case 0x8d:
		return decode_mov(c, op, insn);
	default:
		return false;
	}
}

/* False if the instruction is not known: what follows can't be, either. */
static bool decode(const uint8_t *code, size_t size, struct insn *insn)
{
	struct cursor c = {.code = code, .size = size};
	bool prefixed = false;
	uint8_t op = next(&c);

	*insn = (struct insn){.writes = NO_REG};
	/* operand size, segments, and the F3 of endbr64 */
	if (op == 0x66 || op == 0x64 || op == 0x65 || op == 0xf3) {
		if (op == 0xf3 && (size < 4 || code[1] != 0x0f || code[2] != 0x1e))
			return false;
		prefixed = true;
		op = next(&c);
	}
	if ((op & 0xf0) == 0x40) {
		c.rex = op & 0xf;
		op = next(&c);
	}
	if (!decode_one(&c, op, prefixed, insn) || c.bad)
		return false;
	insn->size = c.at;
	return true;
}

#define REG_SP 4

/* The registers of the first six arguments: rdi, rsi, rdx, rcx, r8, r9. */
static bool is_argument(uint8_t reg, unsigned int args)
{
	static const uint8_t argument[] = {7, 6, 2, 1, 8, 9};

	for (unsigned int i = 0; i < args && i < sizeof(argument); i++) {
		if (argument[i] == reg)
			return true;
	}
	return false;
}

/*
 * Could any jump in the function go to (0, @to]? Every byte is taken for a jump's opcode, so what
 * is not found is not there.
 */
static bool is_jumped_to(const uint8_t *code, size_t size, size_t to)
{
	for (size_t i = 0; i + 1 < size; i++) {
		int64_t target;
		int32_t far = 0;

		target = (int64_t)i + 2 + (int8_t)code[i + 1];
		if (((code[i] & 0xf0) == 0x70 || code[i] == 0xeb) && target > 0 &&
		    target <= (int64_t)to)
			return true;
		if (i + 5 > size)
			continue;
		memcpy(&far, code + i + 1, sizeof(far));
		target = (int64_t)i + 5 + far;
		if ((code[i] == 0xe9 || (code[i] & 0xf0) == 0x80) && target > 0 &&
		    target <= (int64_t)to)
			return true;
	}
	return false;
}

struct placement placement__find(const uint8_t *code, size_t size, unsigned int args, bool returns)
{
	struct insn insn;
	size_t at = 0;

	for (int n = 0; n < INSNS_MAX && decode(code + at, size - at, &insn); n++) {
		if (insn.emulated) {
			if (at && is_jumped_to(code, size, at))
				break;
			return (struct placement){(uint32_t)at, true};
		}
		if (is_argument(insn.writes, args) || (returns && insn.writes == REG_SP))
			break;
		at += insn.size;
	}
	return (struct placement){0, false};
}
