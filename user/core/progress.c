// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "core/loss.h"
#include "core/progress.h"

#define PROGRESS_EVERY_NS NSEC_PER_SEC

void progress__start(struct progress *p, bool alone, uint64_t now)
{
	p->on = alone && log__level() >= LOG_NOTE && isatty(STDERR_FILENO);
	p->shown = false;
	p->next = p->on ? now + PROGRESS_EVERY_NS : UINT64_MAX;
}

void progress__tick(struct progress *p, const struct object *o, uint64_t start, uint64_t now)
{
	char elapsed[16], count[32];
	struct cpu_stat sum;

	if (now < p->next)
		return;
	p->next = now + PROGRESS_EVERY_NS;
	if (loss__read(object__map_fd(o, "cpus"), &sum))
		return; /* the report will say so */
	time__format(elapsed, sizeof(elapsed), (now - start) / NSEC_PER_SEC * NSEC_PER_SEC);
	str__count(count, sizeof(count), loss__events(&sum));
	fprintf(stderr, "\r\033[K%s, %s events", elapsed, count);
	p->shown = true;
}

void progress__clear(struct progress *p)
{
	if (p->shown)
		fprintf(stderr, "\r\033[K");
	p->shown = false;
}
