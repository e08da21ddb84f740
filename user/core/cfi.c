// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/cfi.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/elffile.h"

#define SECTION_MAX  (256U << 20) /* bytes of unwind information */
#define ROWS_MAX     (8U << 20)
#define RULES_MAX    65536
#define REMEMBER_MAX 16 /* nested DW_CFA_remember_state */
#define PADDING_MAX  16 /* between functions: no row of its own */
#define TRACKED      7  /* UNWIND_SAVED registers, and the return address */

/* Where the caller's value of a register is. */
enum place_kind {
	PLACE_SAME, /* still in the register */
	PLACE_CFA,  /* at CFA + off */
	PLACE_REG,  /* at register @reg + off */
	PLACE_LOST, /* undefined: the return address of the outermost frame */
	PLACE_OTHER /* in a way that is not walked */
};

struct place {
	uint8_t kind, reg;
	int64_t off;
};

struct cfa {
	uint8_t kind, reg; /* enum unwind_kind; UNWIND_NONE: in a way that is not walked */
	int64_t off;
};

struct state {
	struct cfa cfa;
	struct place place[TRACKED];
};

/* .eh_frame or .debug_frame. */
struct section {
	uint8_t *data;
	uint64_t bytes, vaddr;
	bool eh;
	size_t first_cie; /* of the maker's */
};

struct cie {
	const struct section *section;
	uint64_t offset; /* in it */
	Dwarf_CIE cie;
	uint8_t encoding;
	bool signal, usable;
	struct state initial;
};

struct fde {
	uint64_t start, end;
	const uint8_t *ops, *ops_end;
	uint32_t cie;
};

struct maker {
	struct cfi_table *t;
	struct section sections[2];
	struct cie *cies;
	size_t n_cies, max_cies;
	struct fde *fdes;
	size_t n_fdes, max_fdes;
};

/* Bytes that are read, and never behind their end. */
struct cursor {
	const uint8_t *at, *end;
	bool bad;
};

/* ---- numbers -------------------------------------------------------------------------------- */

static uint64_t cfi__fixed(struct cursor *c, size_t bytes)
{
	uint64_t v = 0;

	if ((size_t)(c->end - c->at) < bytes) {
		c->bad = true;
		c->at = c->end;
		return 0;
	}
	memcpy(&v, c->at, bytes);
	c->at += bytes;
	return v;
}

static uint64_t cfi__leb(struct cursor *c, bool is_signed)
{
	uint64_t v = 0;
	unsigned int shift = 0;
	uint8_t byte;

	do {
		byte = cfi__fixed(c, 1);
		if (shift < 64)
			v |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80 && !c->bad);
	if (is_signed && shift < 64 && byte & 0x40)
		v |= ~0ULL << shift;
	return v;
}

static uint64_t cfi__uleb(struct cursor *c)
{
	return cfi__leb(c, false);
}

static int64_t cfi__sleb(struct cursor *c)
{
	return (int64_t)cfi__leb(c, true);
}

static int64_t cfi__format(struct cursor *c, uint8_t format)
{
	switch (format) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		return (int64_t)cfi__fixed(c, 8);
	case DW_EH_PE_udata2:
		return (int64_t)cfi__fixed(c, 2);
	case DW_EH_PE_udata4:
		return (int64_t)cfi__fixed(c, 4);
	case DW_EH_PE_sdata2:
		return (int16_t)cfi__fixed(c, 2);
	case DW_EH_PE_sdata4:
		return (int32_t)cfi__fixed(c, 4);
	case DW_EH_PE_uleb128:
		return (int64_t)cfi__uleb(c);
	case DW_EH_PE_sleb128:
		return cfi__sleb(c);
	default:
		c->bad = true;
		return 0;
	}
}

/* An address in an entry, as its @encoding says. */
static uint64_t cfi__address(const struct section *s, struct cursor *c, uint8_t encoding)
{
	uint64_t here = s->vaddr + (uint64_t)(c->at - s->data);
	uint64_t v = (uint64_t)cfi__format(c, encoding & 0x0f);

	if ((encoding & 0x70) == DW_EH_PE_pcrel)
		return v + here;
	if (encoding & 0xf0)
		c->bad = true;
	return v;
}

/* ---- instructions --------------------------------------------------------------------------- */

static int cfi__tracked(uint64_t reg)
{
	if (reg == UNWIND_RBX)
		return 0;
	if (reg == UNWIND_RBP)
		return 1;
	if (reg >= UNWIND_R12 && reg < UNWIND_R12 + 4)
		return (int)(reg - UNWIND_R12) + 2;
	return reg == UNWIND_PC ? TRACKED - 1 : -1;
}

static void cfi__put(struct state *s, uint64_t reg, uint8_t kind, uint8_t base, int64_t off)
{
	int at = cfi__tracked(reg);

	if (at >= 0)
		s->place[at] = (struct place){kind, base, off};
}

static void cfi__set_cfa(struct state *s, uint64_t reg, int64_t off)
{
	bool known = reg < UNWIND_PC;

	s->cfa = (struct cfa){known ? UNWIND_REG : UNWIND_NONE, known ? (uint8_t)reg : 0, off};
}

/* An expression of one register and an offset, dereferenced or not. */
static bool cfi__breg(struct cursor *c, uint8_t *reg, int64_t *off, bool *deref)
{
	uint8_t op = cfi__fixed(c, 1);

	if (op < DW_OP_breg0 || op > DW_OP_breg15)
		return false;
	*reg = op - DW_OP_breg0;
	*off = cfi__sleb(c);
	*deref = c->at < c->end && *c->at == DW_OP_deref;
	return !c->bad && c->end - c->at == *deref;
}

/* What linkers say of a PLT's slots: the index was pushed from a certain byte on. */
static bool cfi__plt(const uint8_t *at, size_t n, int64_t *from)
{
	static const uint8_t head[] = {DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and};
	static const uint8_t tail[] = {DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus};

	if (n != sizeof(head) + 1 + sizeof(tail) || memcmp(at, head, sizeof(head)) != 0 ||
	    memcmp(at + sizeof(head) + 1, tail, sizeof(tail)) != 0)
		return false;
	*from = at[sizeof(head)] - DW_OP_lit0;
	return *from >= 0 && *from < 16;
}

static struct cursor cfi__block(struct cursor *c)
{
	uint64_t n = cfi__uleb(c);
	struct cursor block = {c->at, c->at, false};

	if (n > (uint64_t)(c->end - c->at)) {
		c->bad = true;
		return block;
	}
	c->at += n;
	block.end = c->at;
	return block;
}

static void cfi__cfa_expression(struct cursor *c, struct state *s)
{
	struct cursor block = cfi__block(c);
	uint8_t reg;
	int64_t off;
	bool deref;

	s->cfa = (struct cfa){UNWIND_NONE, 0, 0};
	if (cfi__plt(block.at, (size_t)(block.end - block.at), &off))
		s->cfa = (struct cfa){UNWIND_PLT, UNWIND_RSP, off};
	else if (cfi__breg(&block, &reg, &off, &deref))
		s->cfa = (struct cfa){deref ? UNWIND_DEREF : UNWIND_REG, reg, off};
}

static void cfi__expression(struct cursor *c, struct state *s, uint64_t reg)
{
	struct cursor block = cfi__block(c);
	uint8_t base;
	int64_t off;
	bool deref;

	if (cfi__breg(&block, &base, &off, &deref) && !deref)
		cfi__put(s, reg, PLACE_REG, base, off);
	else
		cfi__put(s, reg, PLACE_OTHER, 0, 0);
}

/* The instructions of one entry while they are run. */
struct run {
	struct maker *m;
	const struct cie *cie;
	struct cursor c;
	struct state now, kept[REMEMBER_MAX];
	unsigned int depth;
	uint64_t pc, start, end;
	bool emit;
};

static int cfi__emit(struct run *r);

static int cfi__advance(struct run *r, uint64_t delta)
{
	uint64_t factor = r->cie->cie.code_alignment_factor, step;
	int err = 0;

	if (__builtin_mul_overflow(delta, factor, &step) || step > r->end - r->pc)
		step = r->end - r->pc;
	if (step && r->emit)
		err = cfi__emit(r);
	r->pc += step;
	return err;
}

static void cfi__restore(struct run *r, uint64_t reg)
{
	int at = cfi__tracked(reg);

	if (at >= 0)
		r->now.place[at] = r->cie->initial.place[at];
}

static int64_t cfi__factored(const struct run *r, int64_t v)
{
	return (int64_t)((uint64_t)v * (uint64_t)r->cie->cie.data_alignment_factor);
}

static void cfi__remember(struct run *r)
{
	if (r->depth < REMEMBER_MAX)
		r->kept[r->depth++] = r->now;
	else
		r->c.bad = true;
}

static void cfi__recall(struct run *r)
{
	if (r->depth)
		r->now = r->kept[--r->depth];
	else
		r->c.bad = true;
}

/* Instructions that say where a register is. False if @op is none of these. */
static bool cfi__place(struct run *r, uint8_t op)
{
	struct cursor *c = &r->c;
	uint64_t reg;

	switch (op) {
	case DW_CFA_offset_extended:
		reg = cfi__uleb(c);
		cfi__put(&r->now, reg, PLACE_CFA, 0, cfi__factored(r, (int64_t)cfi__uleb(c)));
		return true;
	case DW_CFA_offset_extended_sf:
		reg = cfi__uleb(c);
		cfi__put(&r->now, reg, PLACE_CFA, 0, cfi__factored(r, cfi__sleb(c)));
		return true;
	case DW_CFA_GNU_negative_offset_extended:
		reg = cfi__uleb(c);
		cfi__put(&r->now, reg, PLACE_CFA, 0, cfi__factored(r, -(int64_t)cfi__uleb(c)));
		return true;
	case DW_CFA_restore_extended:
		cfi__restore(r, cfi__uleb(c));
		return true;
	case DW_CFA_undefined:
		cfi__put(&r->now, cfi__uleb(c), PLACE_LOST, 0, 0);
		return true;
	case DW_CFA_same_value:
		cfi__put(&r->now, cfi__uleb(c), PLACE_SAME, 0, 0);
		return true;
	case DW_CFA_register:
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
		reg = cfi__uleb(c);
		cfi__uleb(c);
		cfi__put(&r->now, reg, PLACE_OTHER, 0, 0);
		return true;
	case DW_CFA_expression:
		reg = cfi__uleb(c);
		cfi__expression(c, &r->now, reg);
		return true;
	case DW_CFA_val_expression:
		reg = cfi__uleb(c);
		cfi__block(c);
		cfi__put(&r->now, reg, PLACE_OTHER, 0, 0);
		return true;
	default:
		return false;
	}
}

/* Instructions that say what the CFA is. False if @op is none of these. */
static bool cfi__base(struct run *r, uint8_t op)
{
	struct cursor *c = &r->c;
	struct cfa *cfa = &r->now.cfa;
	uint64_t reg;

	switch (op) {
	case DW_CFA_def_cfa:
		reg = cfi__uleb(c);
		cfi__set_cfa(&r->now, reg, (int64_t)cfi__uleb(c));
		return true;
	case DW_CFA_def_cfa_sf:
		reg = cfi__uleb(c);
		cfi__set_cfa(&r->now, reg, cfi__factored(r, cfi__sleb(c)));
		return true;
	case DW_CFA_def_cfa_register:
		cfi__set_cfa(&r->now, cfi__uleb(c), cfa->off);
		return true;
	case DW_CFA_def_cfa_offset:
		cfa->off = (int64_t)cfi__uleb(c);
		return true;
	case DW_CFA_def_cfa_offset_sf:
		cfa->off = cfi__factored(r, cfi__sleb(c));
		return true;
	case DW_CFA_def_cfa_expression:
		cfi__cfa_expression(c, &r->now);
		return true;
	default:
		return false;
	}
}

static int cfi__other(struct run *r, uint8_t op)
{
	uint64_t to;

	switch (op) {
	case DW_CFA_nop:
	case DW_CFA_GNU_window_save:
		return 0;
	case DW_CFA_set_loc:
		to = cfi__address(r->cie->section, &r->c, r->cie->encoding);
		if (to < r->pc || to > r->end)
			r->c.bad = true;
		if (r->c.bad || to == r->pc)
			return 0;
		if (r->emit && cfi__emit(r))
			return -ENOMEM;
		r->pc = to;
		return 0;
	case DW_CFA_advance_loc1:
		return cfi__advance(r, cfi__fixed(&r->c, 1));
	case DW_CFA_advance_loc2:
		return cfi__advance(r, cfi__fixed(&r->c, 2));
	case DW_CFA_advance_loc4:
		return cfi__advance(r, cfi__fixed(&r->c, 4));
	case DW_CFA_remember_state:
		cfi__remember(r);
		return 0;
	case DW_CFA_restore_state:
		cfi__recall(r);
		return 0;
	case DW_CFA_GNU_args_size:
		cfi__uleb(&r->c);
		return 0;
	default:
		r->c.bad = true;
		return 0;
	}
}

static int cfi__step(struct run *r)
{
	uint8_t op = cfi__fixed(&r->c, 1), low = op & 0x3f;

	switch (op & 0xc0) {
	case DW_CFA_advance_loc:
		return cfi__advance(r, low);
	case DW_CFA_offset:
		cfi__put(&r->now, low, PLACE_CFA, 0, cfi__factored(r, (int64_t)cfi__uleb(&r->c)));
		return 0;
	case DW_CFA_restore:
		cfi__restore(r, low);
		return 0;
	}
	return cfi__place(r, op) || cfi__base(r, op) ? 0 : cfi__other(r, op);
}

static int cfi__run(struct run *r)
{
	int err = 0;

	while (!err && !r->c.bad && r->c.at < r->c.end && r->pc < r->end)
		err = cfi__step(r);
	return err;
}

/* ---- rules ---------------------------------------------------------------------------------- */

static bool cfi__fits16(int64_t v)
{
	return v > UNWIND_SAME && v <= INT16_MAX;
}

/* Where the six registers are; false if one is where it is not looked for. */
static bool cfi__saved(const struct state *s, struct unwind_rule *rule)
{
	uint8_t base = rule->kind == UNWIND_DEREF ? PLACE_REG : PLACE_CFA;

	for (int i = 0; i < UNWIND_SAVED; i++) {
		const struct place *p = &s->place[i];

		rule->saved[i] = UNWIND_SAME;
		if (p->kind == PLACE_SAME || p->kind == PLACE_LOST)
			continue;
		if (p->kind != base || !cfi__fits16(p->off) ||
		    (base == PLACE_REG && p->reg != rule->reg))
			return false;
		rule->saved[i] = (int16_t)p->off;
	}
	return true;
}

static struct unwind_rule cfi__rule(const struct cie *cie, const struct state *s)
{
	static const struct unwind_rule none = {.kind = UNWIND_NONE};
	const struct place *ra = &s->place[TRACKED - 1];
	struct unwind_rule rule = {s->cfa.kind, s->cfa.reg, 0, 0, {0}};

	if (ra->kind == PLACE_LOST)
		return (struct unwind_rule){.kind = UNWIND_END};
	if (s->cfa.off < INT32_MIN || s->cfa.off > INT32_MAX)
		return none;
	rule.offset = (int32_t)s->cfa.off;
	/*
	 * A signal's frame: its stack pointer is in the middle of the registers that the kernel
	 * has put there (arch/x86/include/uapi/asm/sigcontext.h): r8 is 15 words before it.
	 */
	if (cie->signal) {
		if (rule.kind != UNWIND_DEREF || rule.reg != UNWIND_RSP || rule.offset < 120)
			return none;
		rule.kind = UNWIND_SIGNAL;
		rule.offset -= 120;
		return rule;
	}
	if (ra->kind != PLACE_CFA || !cfi__fits16(ra->off))
		return none;
	rule.ra = (int16_t)ra->off;
	return cfi__saved(s, &rule) ? rule : none;
}

/* A rule that is known; the table's own are found by their contents. */
struct known {
	struct unwind_rule rule;
	uint32_t at;
};

static int cfi__compare_rules(const void *a, const void *b)
{
	return memcmp(&((const struct known *)a)->rule, &((const struct known *)b)->rule,
		      sizeof(struct unwind_rule));
}

static int cfi__intern(struct cfi_table *t, const struct unwind_rule *rule, uint32_t *at)
{
	struct known key = {*rule, 0}, *made;
	void *found = tfind(&key, &t->known, cfi__compare_rules);

	if (found) {
		*at = (*(struct known **)found)->at;
		return 0;
	}
	if (t->n_rules == RULES_MAX)
		return -EBADMSG;
	if (t->n_rules == t->max_rules) {
		size_t max = t->max_rules ? t->max_rules * 2 : 64;
		struct unwind_rule *rules = reallocarray(t->rules, max, sizeof(*rules));

		if (!rules)
			return -ENOMEM;
		t->rules = rules;
		t->max_rules = max;
	}
	made = malloc(sizeof(*made));
	if (!made)
		return -ENOMEM;
	*made = (struct known){*rule, (uint32_t)t->n_rules};
	if (!tsearch(made, &t->known, cfi__compare_rules)) {
		free(made);
		return -ENOMEM;
	}
	*at = made->at;
	t->rules[t->n_rules++] = *rule;
	return 0;
}

/* @first: of a function, which has a row of its own though it begins as the last one ended. */
static int cfi__add_row(struct cfi_table *t, uint64_t pc, const struct unwind_rule *rule,
			bool first)
{
	uint32_t at;
	int err = t->n && !first && !memcmp(&t->rules[t->rows[t->n - 1].rule], rule, sizeof(*rule))
			  ? 1
			  : cfi__intern(t, rule, &at);

	if (err)
		return err > 0 ? 0 : err;
	if (t->n == ROWS_MAX)
		return -EBADMSG;
	if (t->n == t->max) {
		size_t max = t->max ? t->max + t->max / 2 : 1024;
		struct cfi_row *rows = reallocarray(t->rows, max, sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		t->rows = rows;
		t->max = max;
	}
	t->rows[t->n++] = (struct cfi_row){pc, at, first};
	return 0;
}

/* The state holds from @r->start to where the instructions have come. */
static int cfi__emit(struct run *r)
{
	struct unwind_rule rule = cfi__rule(r->cie, &r->now);

	return cfi__add_row(r->m->t, r->pc, &rule, r->pc == r->start);
}

/* ---- entries -------------------------------------------------------------------------------- */

static void *cfi__grow(void *array, size_t n, size_t *max, size_t size)
{
	void *more;

	if (n < *max)
		return array;
	more = reallocarray(array, *max ? *max * 2 : 64, size);
	if (more)
		*max = *max ? *max * 2 : 64;
	return more;
}

/* What the letters of the augmentation say. False if there is one that is not known. */
static bool cfi__augmentation(struct cie *cie)
{
	const char *a = cie->cie.augmentation;
	struct cursor c = {cie->cie.augmentation_data,
			   cie->cie.augmentation_data + cie->cie.augmentation_data_size, false};

	cie->encoding = DW_EH_PE_absptr;
	if (*a == '\0')
		return true;
	if (*a++ != 'z' || !c.at)
		return false;
	for (; *a; a++) {
		if (*a == 'R')
			cie->encoding = (uint8_t)cfi__fixed(&c, 1);
		else if (*a == 'L')
			cfi__fixed(&c, 1);
		else if (*a == 'P')
			cfi__format(&c, (uint8_t)cfi__fixed(&c, 1) & 0x0f);
		else if (*a == 'S')
			cie->signal = true;
		else
			return false;
	}
	return !c.bad;
}

static int cfi__add_cie(struct maker *m, const struct section *section, uint64_t offset,
			const Dwarf_CIE *from)
{
	struct cie *cies = cfi__grow(m->cies, m->n_cies, &m->max_cies, sizeof(*cies)), *cie;
	struct run *r;

	if (!cies)
		return -ENOMEM;
	m->cies = cies;
	cie = &cies[m->n_cies++];
	*cie = (struct cie){.section = section, .offset = offset, .cie = *from};
	cie->usable = cfi__augmentation(cie) && from->return_address_register == UNWIND_PC;
	if (!cie->usable)
		return 0;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->m = m;
	r->cie = cie;
	r->c = (struct cursor){from->initial_instructions, from->initial_instructions_end, false};
	r->end = UINT64_MAX;
	cfi__run(r);
	cie->usable = !r->c.bad;
	cie->initial = r->now;
	free(r);
	return 0;
}

static const struct cie *cfi__cie_at(const struct maker *m, const struct section *section,
				     uint64_t offset)
{
	size_t low = section->first_cie, high = m->n_cies;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->cies[mid].offset < offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->n_cies && m->cies[low].offset == offset ? &m->cies[low] : NULL;
}

static int cfi__add_fde(struct maker *m, const struct section *section, const Dwarf_FDE *from)
{
	const struct cie *cie = cfi__cie_at(m, section, from->CIE_pointer);
	struct cursor c = {from->start, from->end, false};
	struct fde *fdes;
	uint64_t start, len, skip;

	if (!cie || !cie->usable)
		return 0;
	start = cfi__address(section, &c, cie->encoding);
	len = (uint64_t)cfi__format(&c, cie->encoding & 0x0f);
	if (cie->cie.augmentation[0] == 'z') {
		skip = cfi__uleb(&c);
		if (skip > (uint64_t)(c.end - c.at))
			return 0;
		c.at += skip;
	}
	if (c.bad || !len || start > UINT64_MAX - len || !start)
		return 0; /* of code that the linker has removed, or damaged */
	fdes = cfi__grow(m->fdes, m->n_fdes, &m->max_fdes, sizeof(*fdes));
	if (!fdes)
		return -ENOMEM;
	m->fdes = fdes;
	fdes[m->n_fdes++] =
		(struct fde){start, start + len, c.at, c.end, (uint32_t)(cie - m->cies)};
	return 0;
}

static int cfi__entries(struct maker *m, const struct section *section, const unsigned char *ident,
			bool cies)
{
	Elf_Data data = {.d_buf = section->data, .d_size = section->bytes, .d_type = ELF_T_BYTE};
	Dwarf_Off at = 0, next = 0;
	Dwarf_CFI_Entry entry;
	int err = 0;

	while (!err) {
		int got = dwarf_next_cfi(ident, &data, section->eh, at, &next, &entry);

		/* Of a damaged entry, the next may still be known. */
		if (got > 0 || (got < 0 && (next <= at || next == (Dwarf_Off)-1)))
			break;
		if (!got && dwarf_cfi_cie_p(&entry))
			err = cies ? cfi__add_cie(m, section, at, &entry.cie) : 0;
		else if (!got && !cies)
			err = cfi__add_fde(m, section, &entry.fde);
		if (next <= at)
			break;
		at = next;
	}
	return err;
}

static int cfi__compare_fdes(const void *a, const void *b)
{
	const struct fde *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	/* .eh_frame's is the one that programs go by themselves. */
	if (x->cie != y->cie)
		return x->cie < y->cie ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

static int cfi__fde_rows(struct maker *m, const struct fde *fde, struct run *r)
{
	static const struct unwind_rule none = {.kind = UNWIND_NONE};
	const struct cie *cie = &m->cies[fde->cie];
	int err;

	r->m = m;
	r->cie = cie;
	r->c = (struct cursor){fde->ops, fde->ops_end, false};
	r->now = cie->initial;
	r->depth = 0;
	r->pc = r->start = fde->start;
	r->end = fde->end;
	r->emit = true;
	err = cfi__run(r);
	if (err || r->pc >= fde->end)
		return err;
	return r->c.bad ? cfi__add_row(m->t, r->pc, &none, r->pc == r->start) : cfi__emit(r);
}

/* Runs the entries in the order of their addresses. */
static int cfi__rows(struct maker *m)
{
	static const struct unwind_rule none = {.kind = UNWIND_NONE};
	struct run *r = calloc(1, sizeof(*r));
	uint64_t end = 0;
	int err = r ? 0 : -ENOMEM;

	if (m->n_fdes)
		qsort(m->fdes, m->n_fdes, sizeof(*m->fdes), cfi__compare_fdes);
	for (size_t i = 0; i < m->n_fdes && !err; i++) {
		const struct fde *fde = &m->fdes[i];

		if (fde->start < end)
			continue; /* two entries for the same code: the first has it */
		if (end && fde->start - end >= PADDING_MAX)
			err = cfi__add_row(m->t, end, &none, true);
		if (!err)
			err = cfi__fde_rows(m, fde, r);
		end = fde->end;
	}
	if (!err && end)
		err = cfi__add_row(m->t, end, &none, true);
	free(r);
	return err;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* Adds the entries of the section @name to @m's. -ENODATA: there is none. */
static int cfi__section(struct elffile *f, const char *name, struct maker *m,
			struct section *section)
{
	GElf_Shdr sh;
	int err = elffile__section(f, name, &sh);

	if (!err)
		err = elffile__read(f, &sh, SECTION_MAX, &section->data, &section->bytes);
	if (err)
		return err;
	section->vaddr = sh.sh_addr;
	section->first_cie = m->n_cies;
	err = cfi__entries(m, section, elffile__ident(f), true);
	return err ?: cfi__entries(m, section, elffile__ident(f), false);
}

/* Each section may have what the other has not: the C library's start-up code is in .eh_frame. */
static int cfi__sections(struct elffile *f, struct cfi_table *t)
{
	static const char *const names[] = {".eh_frame", ".debug_frame"};
	struct maker m = {.t = t, .sections[0].eh = true};
	int err = 0;

	for (int i = 0; i < 2 && !err; i++) {
		err = cfi__section(f, names[i], &m, &m.sections[i]);
		if (err == -ENODATA)
			err = 0;
	}
	if (!err)
		err = cfi__rows(&m);
	free(m.cies);
	free(m.fdes);
	for (int i = 0; i < 2; i++)
		free(m.sections[i].data);
	return err;
}

int cfi__read(int fd, struct cfi_table *t, const char **why)
{
	struct elffile f;
	int err = elffile__open(fd, &f, why);

	*t = (struct cfi_table){0};
	if (err)
		return err;
	if (elffile__machine(&f) == EM_X86_64)
		err = cfi__sections(&f, t);
	if (!err && !t->n)
		err = -ENODATA;
	if (err == -EBADMSG && !f.why)
		f.why = "too much unwind information";
	*why = f.why;
	elffile__close(&f);
	tdestroy(t->known, free);
	t->known = NULL;
	if (err)
		cfi__free(t);
	return err;
}

void cfi__free(struct cfi_table *t)
{
	tdestroy(t->known, free);
	free(t->rows);
	free(t->rules);
	*t = (struct cfi_table){0};
}

const struct unwind_rule *cfi__find(const struct cfi_table *t, uint64_t pc)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->rows[mid].pc <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || t->rules[t->rows[low - 1].rule].kind == UNWIND_NONE)
		return NULL;
	return &t->rules[t->rows[low - 1].rule];
}
