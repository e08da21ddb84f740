/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What debug information says of an address. libdw trusts its input: see core/lines.h. */
#ifndef DWELL_DWARF_H
#define DWELL_DWARF_H

#include <stddef.h>
#include <stdint.h>

#include "core/lines.h"

struct dwarf;

/* The debug information of the ELF file @fd (not closed); NULL if it has none that can be read. */
struct dwarf *dwarf__open(int fd);
void dwarf__close(struct dwarf *d);

/*
 * At most @max functions at the ELF address @vaddr, as lines__find() has them, but with the names
 * as they are in the file: those of the linker where there are any. Their number.
 */
size_t dwarf__find(struct dwarf *d, uint64_t vaddr, struct line *line, size_t max);

#endif
