// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* lock: which locks are waited for, who had them, and what he did meanwhile. */
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/str.h"
#include "base/time.h"
#include "core/datasyms.h"
#include "core/frames.h"
#include "core/holders.h"
#include "core/lockchains.h"
#include "core/lockrows.h"
#include "core/session.h"
#include "lock.btf.skel.h"
#include "lock.raw.skel.h"
#include "stack.h"

#define HOLDERS_SHOWN 3 /* in text */
#define FRAMES_SHOWN  8
#define JUDGED_NS     (100 * NSEC_PER_MSEC) /* after a process is seen, its stacks are */
#define DETAILS_SHARE 0.01 /* of the longest row's time: less is in the table only */

struct lock_options {
	bool user, kernel, events, hist;
	uint32_t by; /* enum lock_by */
};

#define AT(field) .offset = offsetof(struct lockrow, field)
static const struct column lock_columns[] = {
	{.key = "space", .type = COL_STR, AT(space)},
	{.name = "KIND", .key = "kind", .type = COL_STR, AT(kind)},
	{.name = "PID", .key = "pid", .type = COL_U32, AT(who.pid)},
	{.name = "COMMAND", .key = "comm", .type = COL_STR, .max_columns = 15, AT(who.comm)},
	{.name = "NAME", .key = "name", .type = COL_STR, .max_columns = 48, AT(name)},
	{.key = "addr", .type = COL_HEX, AT(addr)},
	{.name = "WAITERS", .key = "waiters", .type = COL_COUNT, AT(waiters)},
	{.name = "WAITS", .key = "count", .type = COL_COUNT, AT(count)},
	{.name = "TOTAL", .key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.key = "mean_ns", .type = COL_NS, AT(mean_ns)},
	{.name = "", .key = "hist", .type = COL_HIST, AT(hist)},
	{.key = "unreleased", .type = COL_COUNT, AT(unreleased)},
	{.key = "caller", .type = COL_STR, AT(caller)},
	{.key = "holders",
	 .type = COL_LIST,
	 AT(holders),
	 .sub = lockrows_holder_columns,
	 .sub_size = sizeof(struct holder)},
	{.key = "waiter_threads",
	 .type = COL_LIST,
	 AT(waiter_list),
	 .sub = lockrows_waiter_columns,
	 .sub_size = sizeof(struct lockrow_waiter)},
	{.key = "wait_stack", .type = COL_STRV, AT(wait_stack)},
	{.key = "release_stack", .type = COL_STRV, AT(release_stack)},
	FRAMES_COLUMN("wait_frames", struct lockrow, wait_frames),
	FRAMES_COLUMN("release_frames", struct lockrow, release_frames),
	{.key = "chain", .type = COL_STRV, AT(chain)},
	{.name = "HELD BY", .type = COL_STR, AT(holder)},
	COLUMN_END,
};
#undef AT

static const char *const lock_by_choices[] = {"lock", "caller", "task", "holder", NULL};

#define AT(field) offsetof(struct lock_options, field)
/* clang-format off */
static const struct opt lock_option_table[] = {
	{0, "by", "WHAT", OPT_CHOICE, AT(by), 0, 0, lock_by_choices,
	 "One row per lock (default), caller, task or holder", 3},
	{0, "user", NULL, OPT_FLAG, AT(user), 0, 0, NULL,
	 "Locks of user space (default: both)", 6},
	{0, "kernel", NULL, OPT_FLAG, AT(kernel), 0, 0, NULL,
	 "Locks of the kernel (default: both)", 6},
	{0, "events", NULL, OPT_FLAG, AT(events), 0, 0, NULL,
	 "Also waits for events: condition variables, semaphores, barriers, joins", 6},
	{0, "hist", NULL, OPT_FLAG, AT(hist), 0, 0, NULL,
	 "A histogram for each row", 6},
	OPTION_END
};
/* clang-format on */
#undef AT

static void lock__configure(const void *arg, struct config *config)
{
	const struct lock_options *options = arg;
	bool both = !options->user && !options->kernel;

	config->lock_what = (options->user || both ? LOCK_USER : 0) |
			    (options->kernel || both ? LOCK_KERNEL : 0) |
			    (options->events ? LOCK_EVENTS : 0);
	/* A tally of a holder can't tell what its waiters waited for. */
	if ((config->lock_what & LOCK_USER) && options->by != LOCK_BY_HOLDER)
		config->lock_what |= LOCK_BY_STACK;
	config->lock_by = options->by;
	config->by = options->by == LOCK_BY_TASK ? BY_THREAD : BY_PROCESS;
}

/* ---- text ---------------------------------------------------------------------------------- */

/* "ledger 94 %, checkout-1 3 %" */
static const char *lock__holder_text(struct session *s, const struct lockrow *row)
{
	const struct holder *h = row->holders.items;
	char text[160] = "";
	size_t len = 0;

	for (size_t i = 0; i < row->holders.n && i < HOLDERS_SHOWN; i++) {
		if (i && h[i].share < 0.05)
			break;
		str__append(text, sizeof(text), &len, "%s%s %.0f %%", i ? ", " : "", h[i].comm,
			    100 * h[i].share);
	}
	return arena__printf(&s->arena, "%s", len ? text : "-");
}

static bool lock__line(struct session *s, const char **lines, size_t *n, const char *text)
{
	lines[*n] = arena__printf(&s->arena, "%s", text);
	return lines[(*n)++] != NULL;
}

static void lock__stack_lines(struct lockrows *r, const char *const *stack, const char *what,
			      const char **lines, size_t *n)
{
	char text[512];
	size_t shown = 0;

	for (; stack && *stack && shown < FRAMES_SHOWN; stack++, shown++) {
		snprintf(text, sizeof(text), "%-13s%s", shown ? "" : what, *stack);
		lock__line(r->s, lines, n, text);
	}
}

static void lock__chain_line(struct lockrows *r, const struct lockrow *row, const char **lines,
			     size_t *n)
{
	char text[900];
	size_t len = 0;

	/* A waiter and a lock alone say nothing that is not in the lines above. */
	if (!row->chain || !row->chain[0] || !row->chain[1] || !row->chain[2])
		return;
	str__append(text, sizeof(text), &len, "%-13s", "chain");
	for (const char **c = row->chain; *c; c++)
		str__append(text, sizeof(text), &len, "%s%s", c == row->chain ? "" : " ← ", *c);
	lock__line(r->s, lines, n, text);
}

/* @most: ns of the row with most. */
static enum dwell_exit lock__details(struct lockrows *r, struct lockrow *row, bool hist,
				     uint64_t most)
{
	const char **lines =
		arena__array(&r->s->arena, HOLDERS_SHOWN + 2 * FRAMES_SHOWN + 4, sizeof(*lines));
	const struct holder *h = row->holders.items;
	char text[512], doing[320], total[16];
	size_t n = 0;

	if (!lines)
		return err__fail("no memory for the report");
	for (size_t i = 0; i < row->holders.n && i < HOLDERS_SHOWN; i++) {
		holders__doing_text(&h[i], doing, sizeof(doing));
		snprintf(text, sizeof(text), "%-13s%s (%u) %.0f %%%s%s", i ? "" : "held by",
			 h[i].comm, h[i].tid, 100 * h[i].share, *doing ? ": " : "", doing);
		if (!lock__line(r->s, lines, &n, text))
			return err__fail("no memory for the report");
	}
	lock__chain_line(r, row, lines, &n);
	lock__stack_lines(r, (const char *const *)row->wait_stack, "waits in", lines, &n);
	lock__stack_lines(r, (const char *const *)row->release_stack, "released in", lines, &n);
	row->details = lines;
	time__format(total, sizeof(total), row->total_ns);
	/* Small ones are in the table. */
	if ((double)row->total_ns < DETAILS_SHARE * (double)most)
		return EXIT_OK;
	row->title =
		arena__printf(&r->s->arena, "%s%s %s: %s", row->space[0] == 'k' ? "kernel " : "",
			      row->kind, row->name, total);
	if (hist)
		row->shown_hist = row->hist;
	return row->title ? EXIT_OK : err__fail("no memory for the report");
}

/* "command;outermost;…;innermost;[held by writer]": waiters with the holder below. */
static enum dwell_exit lock__fold(struct lockrows *r, struct lockrow *row)
{
	const struct holder *h = row->holders.items;
	size_t n = 0, at = 0;
	const char **out;

	while (row->wait_stack && row->wait_stack[n])
		n++;
	out = arena__array(&r->s->arena, n + 5, sizeof(*out));
	if (!out)
		return err__fail("no memory for the report");
	out[at++] = row->who.comm ?: "?";
	while (n)
		out[at++] = row->wait_stack[--n];
	out[at++] = arena__printf(&r->s->arena, "[%s %s]", row->kind, row->name);
	if (row->holders.n)
		out[at++] = arena__printf(&r->s->arena, "[held by %s]", h->comm);
	row->folded = out;
	return EXIT_OK;
}

/* ---- the report ---------------------------------------------------------------------------- */

static enum dwell_exit lock__snapshot(struct session *s, const void *arg, struct report *report)
{
	const struct lock_options *options = arg;
	bool last = s->reported >= s->object.window->last;
	struct lockrows r;
	enum dwell_exit status =
		lockrows__read(s, last, (enum lock_by)options->by, options->events, &r);
	uint64_t most = 0;

	if (status)
		return status;
	if (last && r.go)
		log__note("%s (%u) is a Go program: its goroutines wait for each other's locks "
			  "without a thread that waits, so those locks are not here",
			  r.go->comm, r.go->tgid);
	report->verdict = lockchains__verdict(&r);
	for (size_t i = 0; i < r.n; i++) {
		r.rows[i].holder = lock__holder_text(s, &r.rows[i]);
		if (!r.rows[i].holder)
			return err__fail("no memory for the report");
	}
	status = session__rows(s, r.rows, r.n, report);
	for (size_t i = 0; !status && i < report->rows.n; i++)
		status = lockchains__follow(&r, &r.rows[i]);
	for (size_t i = 0; !status && i < report->rows.n; i++)
		most = r.rows[i].total_ns > most ? r.rows[i].total_ns : most;
	for (size_t i = 0; !status && i < report->rows.n; i++) {
		status = lock__details(&r, &r.rows[i], options->hist, most);
		status = status ?: lock__fold(&r, &r.rows[i]);
	}
	return status;
}

/*
 * Tells the kernel side of CPython's data, in which its global lock is: who has that is known only
 * there. Without room, holders of that process are those that let it go.
 */
static void lock__seen(struct session *s, uint32_t tgid)
{
	int fd = object__map_fd(&s->object, "runtimes");
	struct lock_runtime data;
	uint64_t start, end, soon = time__now() + JUDGED_NS;

	if (soon < s->next_tick)
		s->next_tick = soon;
	if (!bpf_map_lookup_elem(fd, &tgid, &data) ||
	    datasyms__find(s->datasyms, tgid, "python", "_PyRuntime", &start, &end))
		return;
	data = (struct lock_runtime){start, end};
	if (!bpf_map_update_elem(fd, &tgid, &data, BPF_ANY))
		s->object.window->runtimes++;
}

/* Java's own locks are known by names that are read at the end only: all park their threads. */
static bool lock__may_be(const char *const *names)
{
	const char *const *n = names;

	while (n && *n && strcmp(*n, "Parker::park") != 0)
		n++;
	return (n && *n) || frames__lock(names);
}

/*
 * Process @tgid waits in user stack @stack: if it is for a lock, the kernel side is told to keep
 * what the threads that are part of such waits did of late.
 */
static void lock__judge(struct session *s, uint32_t tgid, uint64_t stack)
{
	int fd = object__map_fd(&s->object, "runtimes");
	struct lock_runtime data;
	const char **names;

	if (!bpf_map_lookup_elem(fd, &tgid, &data))
		return;
	stacks__be_brief(s->stacks, true);
	names = frames__names(s, 0, stack << 32 | STACK_NONE, NULL);
	stacks__be_brief(s->stacks, false);
	data = (struct lock_runtime){0};
	if (lock__may_be((const char *const *)names) &&
	    !bpf_map_update_elem(fd, &tgid, &data, BPF_ANY))
		s->object.window->runtimes++;
}

/* Each stack once: session.state has a byte for each tally. */
static void lock__tick(struct session *s, const void *arg)
{
	int fd = object__map_fd(&s->object, "tally_slots");
	const struct lock_options *options = arg;
	struct tally_key key, *prev = NULL;
	uint32_t slot;
	bool *judged;

	if (options->by != LOCK_BY_LOCK)
		return;
	judged = s->state = s->state ?: calloc(s->config.slots, 1);
	while (judged && !bpf_map_get_next_key(fd, prev, &key)) {
		prev = &key;
		if (key.kind != CAUSE_NONE || key.state != STATE_SYNC ||
		    bpf_map_lookup_elem(fd, &key, &slot) || slot >= s->config.slots || judged[slot])
			continue;
		judged[slot] = true;
		lock__judge(s, (uint32_t)(key.row >> 32), key.aux);
	}
}

static void lock__detach(struct session *s)
{
	free(s->state);
	s->state = NULL;
}

/*
 * The kernel's own locks need its tracepoints (ee042be16cb4, 5.19). The session says so by
 * itself, but a report that can only be empty is refused.
 */
static enum dwell_exit lock__loaded(const struct session *s, const void *arg)
{
	const struct lock_options *options = arg;

	if (s->object.has[FEATURE_CONTENTION] || !options->kernel || options->user)
		return EXIT_OK;
	return err__unsupported("this kernel does not tell of its own locks (Linux 5.19 does): "
				"--user works");
}

static const struct tool_object lock_object = {
	.name = "lock",
	.btf = lock_btf__elf_bytes,
	.raw = lock_raw__elf_bytes,
};

extern const struct tool tool_lock;

const struct tool tool_lock = {
	.name = "lock",
	.summary = "Which locks are waited for, who has them, and what does he do?",
	.examples = "  dwell lock -p 4242                 one process, 5 seconds\n"
		    "  dwell lock --user -i 1 -p 4242     its own locks, every second\n"
		    "  dwell lock --kernel                locks of the kernel, whole machine\n"
		    "  dwell lock --by holder -p 4242     who holds others up\n"
		    "  dwell lock --folded -p 4242 >out   for a flame graph\n",
	.object = &lock_object,
	.shape = SHAPE_DETAILS,
	.accepts = ACCEPTS_STACKS | ACCEPTS_OWN_BY | NAMES_DATA,
	.options = lock_option_table,
	.options_size = sizeof(struct lock_options),
	.columns = lock_columns,
	.row_size = sizeof(struct lockrow),
	.sort = "total_ns",
	.title_offset = offsetof(struct lockrow, title),
	.folded_offset = offsetof(struct lockrow, folded),
	.total_offset = offsetof(struct lockrow, total_ns),
	.details_offset = offsetof(struct lockrow, details),
	.hist_offset = offsetof(struct lockrow, shown_hist),
	.configure = lock__configure,
	.loaded = lock__loaded,
	.tick = lock__tick,
	.detach = lock__detach,
	.seen = lock__seen,
	.snapshot = lock__snapshot,
};
