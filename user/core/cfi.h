/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A module's unwind table: rows that say from which address on which rule holds, made of its
 * .eh_frame and .debug_frame sections.
 *
 * libdw takes the sections apart into entries; their instructions are run here, once each, which is
 * linear in the section's size whatever a hostile file says (libdw's own look-up by address runs an
 * entry's instructions once per row).
 */
#ifndef DWELL_CFI_H
#define DWELL_CFI_H

#include <stddef.h>
#include <stdint.h>

#include "unwind_table.h"

/* The rule @rule (in the table's rules) holds from ELF address @pc on. */
struct cfi_row {
	uint64_t pc;
	uint32_t rule: 31;
	uint32_t first: 1; /* of a function */
};

struct cfi_table {
	struct cfi_row *rows; /* ascending; the last one has UNWIND_NONE: the table's end */
	size_t n, max;
	struct unwind_rule *rules;
	size_t n_rules, max_rules;
	void *known; /* tsearch() tree of the rules while the table is made */
};

/*
 * Makes the table of the ELF file @fd (not closed). 0; -ENODATA if it has no unwind information (or
 * is for another machine than x86-64); -ENOEXEC if it is no ELF file; -EBADMSG with *@why (static)
 * if it is damaged or beyond the limits; or another -errno. Empty but valid on error.
 */
int cfi__read(int fd, struct cfi_table *t, const char **why);
void cfi__free(struct cfi_table *t);

/* The rule for the ELF address @pc; NULL if there is none. */
const struct unwind_rule *cfi__find(const struct cfi_table *t, uint64_t pc);

#endif
