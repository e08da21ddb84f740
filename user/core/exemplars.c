// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/exemplars.h"

#include <string.h>

uint64_t exemplars__add(struct exemplars *e, const struct query_exemplar *item)
{
	struct exemplars_epoch *of = &e->epoch[item->epoch & 1];
	size_t at = of->n;

	while (at && of->items[at - 1].latency < item->latency)
		at--;
	if (at < EXEMPLARS) {
		size_t behind = of->n - at - (of->n == EXEMPLARS);

		memmove(&of->items[at + 1], &of->items[at], behind * sizeof(*item));
		of->items[at] = *item;
		of->n += of->n < EXEMPLARS;
	}
	return of->n == EXEMPLARS ? of->items[EXEMPLARS - 1].latency : 0;
}

void exemplars__reset(struct exemplars *e, uint32_t epoch)
{
	e->epoch[epoch & 1].n = 0;
}
