// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/dwarf.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>

/* The code [low, high) is of the unit at @unit. */
struct dwarf_range {
	uint64_t low, high;
	Dwarf_Off unit;
};

struct dwarf {
	Dwarf *dwarf;
	struct dwarf_range *ranges; /* ascending */
	size_t n, max;
};

/* ---- units ---------------------------------------------------------------------------------- */

static bool dwarf__add(struct dwarf *d, const struct dwarf_range *range)
{
	if (d->n == d->max) {
		size_t max = d->max ? d->max * 2 : 256;
		struct dwarf_range *more = reallocarray(d->ranges, max, sizeof(*more));

		if (!more)
			return false;
		d->ranges = more;
		d->max = max;
	}
	d->ranges[d->n++] = *range;
	return true;
}

static bool dwarf__add_unit(struct dwarf *d, Dwarf_Die *unit)
{
	struct dwarf_range range = {.unit = dwarf_dieoffset(unit)};
	Dwarf_Addr base, low, high;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(unit, at, &base, &low, &high)) > 0) {
		range.low = low;
		range.high = high;
		if (low < high && !dwarf__add(d, &range))
			return false;
	}
	return true;
}

static int dwarf__compare(const void *a, const void *b)
{
	const struct dwarf_range *x = a, *y = b;

	return x->low < y->low ? -1 : x->low > y->low;
}

/* By the units themselves: .debug_aranges, the index that libdw goes by, is left out by clang. */
static bool dwarf__index(struct dwarf *d)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;
	uint8_t type;

	while (!dwarf_get_units(d->dwarf, cu, &cu, NULL, &type, &die, NULL)) {
		if ((type == DW_UT_compile || type == DW_UT_skeleton) && !dwarf__add_unit(d, &die))
			return false;
	}
	if (d->n)
		qsort(d->ranges, d->n, sizeof(*d->ranges), dwarf__compare);
	return d->n > 0;
}

struct dwarf *dwarf__open(int fd)
{
	struct dwarf *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->dwarf = dwarf_begin(fd, DWARF_C_READ);
	if (d->dwarf && dwarf__index(d))
		return d;
	dwarf__close(d);
	return NULL;
}

void dwarf__close(struct dwarf *d)
{
	if (!d)
		return;
	dwarf_end(d->dwarf);
	free(d->ranges);
	free(d);
}

static bool dwarf__unit(const struct dwarf *d, uint64_t vaddr, Dwarf_Die *unit)
{
	size_t low = 0, high = d->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (d->ranges[mid].low <= vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	return low && vaddr < d->ranges[low - 1].high &&
	       dwarf_offdie(d->dwarf, d->ranges[low - 1].unit, unit);
}

/* ---- functions ------------------------------------------------------------------------------ */

static const char *dwarf__name(Dwarf_Die *die)
{
	Dwarf_Attribute attr;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr) ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attr) ||
	    dwarf_attr_integrate(die, DW_AT_name, &attr))
		return dwarf_formstring(&attr);
	return NULL;
}

static uint32_t dwarf__number(Dwarf_Die *die, unsigned int name)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;

	if (!dwarf_attr(die, name, &attr) || dwarf_formudata(&attr, &value) || value > UINT32_MAX)
		return 0;
	return (uint32_t)value;
}

/* Where the inlined function @die was called. */
static void dwarf__call(Dwarf_Die *unit, Dwarf_Die *die, struct line *line)
{
	Dwarf_Files *files;
	size_t n;

	line->line = dwarf__number(die, DW_AT_call_line);
	if (!dwarf_getsrcfiles(unit, &files, &n))
		line->file = dwarf_filesrc(files, dwarf__number(die, DW_AT_call_file), NULL, NULL);
}

/* Where in the source the address itself is. */
static void dwarf__source(Dwarf_Die *unit, uint64_t vaddr, struct line *line)
{
	Dwarf_Line *source = dwarf_getsrc_die(unit, vaddr);
	int number;

	if (!source)
		return;
	line->file = dwarf_linesrc(source, NULL, NULL);
	if (!dwarf_lineno(source, &number) && number > 0)
		line->line = (uint32_t)number;
}

/*
 * The DIEs around the one that holds @vaddr, innermost first, as they lie in each other in the
 * unit (dwarf_getscopes() goes on with where an inlined function was defined). Their number.
 */
static int dwarf__scopes(Dwarf_Die *unit, uint64_t vaddr, Dwarf_Die **scopes)
{
	Dwarf_Die innermost;
	int n = dwarf_getscopes(unit, vaddr, scopes);

	if (n <= 0)
		return 0;
	innermost = (*scopes)[0];
	free(*scopes);
	n = dwarf_getscopes_die(&innermost, scopes);
	return n > 0 ? n : 0;
}

size_t dwarf__find(struct dwarf *d, uint64_t vaddr, struct line *line, size_t max)
{
	Dwarf_Die unit, *scopes = NULL;
	size_t at = 0;
	int n;

	if (!max || !dwarf__unit(d, vaddr, &unit))
		return 0;
	line[0] = (struct line){0};
	dwarf__source(&unit, vaddr, &line[0]);
	n = dwarf__scopes(&unit, vaddr, &scopes);
	for (int i = 0; i < n; i++) {
		int tag = dwarf_tag(&scopes[i]);

		if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
			continue;
		line[at].function = dwarf__name(&scopes[i]);
		if (tag == DW_TAG_subprogram || at + 1 == max)
			break;
		line[++at] = (struct line){0};
		dwarf__call(&unit, &scopes[i], &line[at]);
	}
	free(scopes);
	return line[0].file || line[0].function ? at + 1 : 0;
}
