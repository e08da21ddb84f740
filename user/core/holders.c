// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "core/holders.h"
#include "core/names.h"
#include "core/proc.h"

#define STATES_SHOWN 4    /* of a holder, in text */
#define DOING_SHARE  0.05 /* of the time with the lock: a shorter wait is not told */

const struct column holder_columns[] = {HOLDER_COLUMNS, COLUMN_END};

const char *holders__comm(struct session *s, uint32_t tid, const __u64 *kept)
{
	const char *known = accounts__comm(session__accounts(s), tid);
	char comm[THREAD_COMM + 1] = "";

	if (known)
		return known;
	if (kept && kept[0])
		memcpy(comm, kept, THREAD_COMM);
	else
		proc__comm(tid, comm);
	return arena__printf(&s->arena, "%s", comm);
}

/* What the holder was blocked on longest. */
static void holders__doing(const struct session *s, const struct lockparts *all,
			   const struct lockpart *of, size_t n, const struct holder_names *names,
			   struct holder *h)
{
	const struct tally_key *longest = NULL;

	for (size_t i = 0; i < n; i++) {
		uint32_t slot = (uint32_t)of[i].id;

		if (of[i].part != LOCKPART_DOING || of[i].tid != h->tid ||
		    of[i].val.ns <= h->doing_ns || slot >= s->config.slots ||
		    all->keys[slot].state == STATE_NONE)
			continue;
		longest = &all->keys[slot];
		h->doing_ns = of[i].val.ns;
	}
	if (longest && (double)h->doing_ns >= DOING_SHARE * (double)h->total_ns)
		h->doing = names->cause(names->arg, longest);
}

static int holders__compare(const void *a, const void *b)
{
	const struct holder *x = a, *y = b;

	if (x->total_ns != y->total_ns)
		return x->total_ns < y->total_ns ? 1 : -1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static struct holder holders__one(struct session *s, const struct lockpart *p, uint64_t waited_ns)
{
	struct holder h = {
		.tid = p->tid,
		.comm = holders__comm(s, p->tid, p->val.comm),
		.count = p->val.count,
		.total_ns = p->val.ns,
		.share = waited_ns ? (double)p->val.ns / (double)waited_ns : 0,
	};
	uint64_t known = 0;

	memcpy(h.states, p->val.states, sizeof(h.states));
	for (int state = 0; state < NR_STATES; state++)
		known += h.states[state];
	h.unknown_ns = h.total_ns > known ? h.total_ns - known : 0;
	return h;
}

/* Where the holder let go, mostly. */
static void holders__let_go(const struct lockpart *of, size_t n, const struct holder_names *names,
			    struct holder *h)
{
	const struct lockpart *most = NULL;

	for (size_t i = 0; i < n; i++) {
		if (of[i].part == LOCKPART_LET_GO && of[i].tid == h->tid &&
		    (!most || of[i].val.ns > most->val.ns))
			most = &of[i];
	}
	if (most)
		h->stack = names->stack(names->arg, most->id);
}

enum dwell_exit holders__of(struct session *s, const struct lockparts *all,
			    const struct lockpart *of, size_t n, uint64_t waited_ns,
			    const struct holder_names *names, struct table_list *out)
{
	struct holder *holders = arena__array(&s->arena, n + 1, sizeof(*holders));
	size_t found = 0;

	if (!holders)
		return err__fail("no memory for the report");
	for (size_t i = 0; i < n; i++) {
		if (of[i].part != LOCKPART_HOLDER)
			continue;
		holders[found] = holders__one(s, &of[i], waited_ns);
		holders__doing(s, all, of, n, names, &holders[found++]);
	}
	qsort(holders, found, sizeof(*holders), holders__compare);
	for (size_t i = 0; names->stack && i < found && i < HOLDERS_STACKS; i++)
		holders__let_go(of, n, names, &holders[i]);
	*out = (struct table_list){holders, found};
	return EXIT_OK;
}

void holders__doing_text(const struct holder *h, char *text, size_t size)
{
	double all = (double)(h->total_ns ?: 1);
	uint64_t left[NR_STATES];
	size_t len = 0;

	memcpy(left, h->states, sizeof(left));
	text[0] = '\0';
	for (int i = 0; i < STATES_SHOWN; i++) {
		int longest = 0;
		double share;

		for (int state = STATE_NONE + 1; state < NR_STATES; state++)
			longest = left[state] > left[longest] ? state : longest;
		share = 100.0 * (double)left[longest] / all;
		if (!longest || share < 0.5)
			break;
		str__append(text, size, &len, "%s%s %.0f %%", i ? ", " : "",
			    names__state((enum dwell_state)longest), share);
		left[longest] = 0;
	}
	if (len && 100 * h->unknown_ns > h->total_ns)
		str__append(text, size, &len, ", not known %.0f %%",
			    100.0 * (double)h->unknown_ns / all);
	if (h->doing)
		str__append(text, size, &len, "%s%s", len ? "; " : "", h->doing);
}
