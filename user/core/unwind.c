// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/unwind.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/err.h"
#include "base/time.h"
#include "core/cfi.h"
#include "core/elffile.h"
#include "core/mappings.h"
#include "unwind_table.h"

#define SEGMENTS_MAX 64
#define RANGES_MAX   16384 /* of a process */
#define BLOCK        (1U << UNWIND_BLOCK_SHIFT)

/* A stretch of a module's code whose rows are in one chunk. */
struct part {
	uint64_t start, end; /* ELF addresses */
	uint64_t base;
	uint32_t chunk, index, rows, blocks;
};

struct segment {
	uint64_t offset, bytes, vaddr;
};

/* A module's table, in the kernel. */
struct table {
	struct build_id id;
	struct segment segments[SEGMENTS_MAX];
	size_t n_segments;
	struct part *parts;
	size_t n_parts;
};

/* Ranges that processes with the same mappings share. */
struct layout {
	uint32_t first, n, serial;
	bool used;
};

struct known_rule {
	struct unwind_rule rule;
	uint32_t at;
};

struct unwind {
	struct stacks *stacks;
	int spaces_fd, rules_fd, chunks_fd;
	struct shared ranges; /* struct unwind_range */
	struct layout *layouts;
	size_t n_layouts, max_layouts;
	uint32_t serial;
	uint32_t *chunk; /* the memory of the one that is being filled */
	uint32_t chunks, chunk_used;
	void *tables; /* tsearch() tree of tables that have a build-id */
	struct table **all;
	size_t n_all, max_all;
	void *rules;
	uint32_t n_rules;
	bool full; /* that was said */
	struct unwind_stats stats;
};

/* ---- rules ---------------------------------------------------------------------------------- */

static int unwind__compare_rules(const void *a, const void *b)
{
	return memcmp(&((const struct known_rule *)a)->rule, &((const struct known_rule *)b)->rule,
		      sizeof(struct unwind_rule));
}

static void unwind__say_full(struct unwind *u, const char *what)
{
	if (!u->full)
		log__note("no more room for %s: further code is walked by frame pointers", what);
	u->full = true;
}

/* The kernel's number of @rule; 0, which is no rule, if there is no room. */
static uint32_t unwind__rule(struct unwind *u, const struct unwind_rule *rule)
{
	struct known_rule key = {*rule, u->n_rules}, *made;
	void *known = tfind(&key, &u->rules, unwind__compare_rules);

	if (known)
		return (*(struct known_rule **)known)->at;
	if (u->n_rules == UNWIND_RULES) {
		unwind__say_full(u, "unwind rules");
		return 0;
	}
	made = malloc(sizeof(*made));
	if (!made)
		return 0;
	*made = key;
	if (!tsearch(made, &u->rules, unwind__compare_rules)) {
		free(made);
		return 0;
	}
	bpf_map_update_elem(u->rules_fd, &u->n_rules, rule, BPF_ANY);
	return u->n_rules++;
}

/* ---- chunks --------------------------------------------------------------------------------- */

static int unwind__new_chunk(struct unwind *u)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	size_t bytes = UNWIND_CHUNK_WORDS * sizeof(uint32_t);
	uint32_t slot = u->chunks;
	void *memory;
	int fd;

	if (slot == UNWIND_CHUNKS)
		return -ENOSPC;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "unwind_chunk", sizeof(uint32_t), bytes, 1, &opts);
	if (fd < 0)
		return fd;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED || bpf_map_update_elem(u->chunks_fd, &slot, &fd, BPF_ANY)) {
		int err = -errno;

		if (memory != MAP_FAILED)
			munmap(memory, bytes);
		close(fd);
		return err;
	}
	close(fd); /* the outer map holds it */
	if (u->chunk)
		munmap(u->chunk, bytes);
	u->chunk = memory;
	u->chunk_used = 0;
	u->chunks++;
	u->stats.bytes += bytes;
	return 0;
}

static size_t unwind__blocks(const struct cfi_row *rows, size_t n)
{
	return (rows[n - 1].pc - rows[0].pc) / BLOCK + 1;
}

/* Words that @n rows take, with their index. */
static size_t unwind__words(const struct cfi_row *rows, size_t n)
{
	return unwind__blocks(rows, n) + 1 + 2 * n;
}

static void unwind__fill(struct unwind *u, const struct cfi_row *rows, size_t n,
			 const uint32_t *rules, const struct part *p)
{
	size_t row = 0;

	for (uint32_t b = 0; b <= p->blocks; b++) {
		while (row + 1 < n && rows[row + 1].pc - p->base <= (uint64_t)b * BLOCK)
			row++;
		u->chunk[p->index + b] = (uint32_t)row;
	}
	for (size_t i = 0; i < n; i++) {
		u->chunk[p->rows + 2 * i] = (uint32_t)(rows[i].pc - p->base);
		u->chunk[p->rows + 2 * i + 1] =
			rules[rows[i].rule] | (rows[i].first ? UNWIND_FIRST : 0);
	}
}

static struct part *unwind__new_part(struct table *t)
{
	struct part *parts = reallocarray(t->parts, t->n_parts + 1, sizeof(*parts));

	if (!parts)
		return NULL;
	t->parts = parts;
	return &parts[t->n_parts++];
}

/* Puts rows into chunks; they hold up to the ELF address @end. */
static int unwind__place(struct unwind *u, struct table *t, const struct cfi_row *rows, size_t n,
			 uint64_t end, const uint32_t *rules)
{
	size_t words = unwind__words(rows, n);
	struct part *p;
	int err;

	if (rows[n - 1].pc - rows[0].pc > UINT32_MAX || words > UNWIND_CHUNK_WORDS) {
		if (n < 2)
			return -EFBIG;
		err = unwind__place(u, t, rows, n / 2, rows[n / 2].pc, rules);
		return err ?: unwind__place(u, t, rows + n / 2, n - n / 2, end, rules);
	}
	if (!u->chunk || words > UNWIND_CHUNK_WORDS - u->chunk_used) {
		err = unwind__new_chunk(u);
		if (err)
			return err;
	}
	p = unwind__new_part(t);
	if (!p)
		return -ENOMEM;
	*p = (struct part){
		.start = rows[0].pc,
		.end = end,
		.base = rows[0].pc,
		.chunk = u->chunks - 1,
		.index = u->chunk_used,
		.blocks = (uint32_t)unwind__blocks(rows, n),
	};
	p->rows = p->index + p->blocks + 1;
	unwind__fill(u, rows, n, rules, p);
	u->chunk_used += (uint32_t)words;
	u->stats.rows += n;
	return 0;
}

/* ---- tables --------------------------------------------------------------------------------- */

static int unwind__segments(struct elffile *f, struct table *t)
{
	GElf_Phdr p;
	size_t n;

	if (elf_getphdrnum(f->elf, &n) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < n && t->n_segments < SEGMENTS_MAX; i++) {
		if (!gelf_getphdr(f->elf, (int)i, &p))
			return -EBADMSG;
		if (p.p_type == PT_LOAD && p.p_flags & PF_X)
			t->segments[t->n_segments++] =
				(struct segment){p.p_offset, p.p_filesz, p.p_vaddr};
	}
	return 0;
}

static int unwind__make(struct unwind *u, struct table *t, int fd, const char **why)
{
	struct cfi_table cfi;
	uint32_t *rules;
	int err = cfi__read(fd, &cfi, why);

	if (err)
		return err;
	rules = calloc(cfi.n_rules, sizeof(*rules));
	if (rules) {
		for (size_t i = 0; i < cfi.n_rules; i++)
			rules[i] = unwind__rule(u, &cfi.rules[i]);
		err = unwind__place(u, t, cfi.rows, cfi.n, UINT64_MAX, rules);
	} else {
		err = -ENOMEM;
	}
	/* A part that found no room would be taken for the whole. */
	if (err)
		t->n_parts = 0;
	if (err == -ENOSPC)
		unwind__say_full(u, "unwind tables");
	free(rules);
	cfi__free(&cfi);
	return err;
}

static int unwind__compare_tables(const void *a, const void *b)
{
	const struct table *x = a, *y = b;

	if (x->id.bytes != y->id.bytes)
		return x->id.bytes < y->id.bytes ? -1 : 1;
	return memcmp(x->id.id, y->id.id, x->id.bytes);
}

static void unwind__free_table(struct table *t)
{
	free(t->parts);
	free(t);
}

/* Keeps @t for as long as @u lives. */
static bool unwind__own(struct unwind *u, struct table *t)
{
	if (u->n_all == u->max_all) {
		size_t max = u->max_all ? u->max_all * 2 : 64;
		struct table **all = reallocarray(u->all, max, sizeof(*all));

		if (!all)
			return false;
		u->all = all;
		u->max_all = max;
	}
	u->all[u->n_all++] = t;
	return true;
}

static struct table *unwind__read(struct unwind *u, int fd, const char *name)
{
	struct table *t = calloc(1, sizeof(*t));
	const char *why = NULL;
	struct elffile f;
	void *known;
	int err;

	if (!t)
		return NULL;
	err = elffile__open(fd, &f, &why);
	if (!err) {
		err = unwind__segments(&f, t);
		elffile__build_id(&f, &t->id);
		elffile__close(&f);
	}
	known = !err && t->id.bytes ? tfind(t, &u->tables, unwind__compare_tables) : NULL;
	if (known) {
		unwind__free_table(t);
		return *(struct table **)known;
	}
	if (!err)
		err = unwind__make(u, t, fd, &why);
	if (err == -EBADMSG)
		log__note("%s: ELF file with %s: its stacks are walked by frame pointers", name,
			  why ?: "bad headers");
	if (!unwind__own(u, t)) {
		unwind__free_table(t);
		return NULL;
	}
	u->stats.modules += t->n_parts > 0;
	if (t->id.bytes && !tsearch(t, &u->tables, unwind__compare_tables))
		return t;
	return t;
}

/* The module's table, made if there is none yet; NULL: none to be had now. */
static struct table *unwind__table(struct unwind *u, const struct stacks_code *code)
{
	int fd;

	if (*code->table)
		return *code->table;
	fd = stacks__open(u->stacks, code);
	if (fd < 0)
		return NULL;
	*code->table = unwind__read(u, fd, code->module);
	close(fd);
	return *code->table;
}

/* ---- ranges --------------------------------------------------------------------------------- */

struct ranges {
	struct unwind *u;
	struct unwind_range *range;
	uint32_t n, max;
};

static int unwind__add_range(struct ranges *to, const struct unwind_range *range)
{
	if (to->n == RANGES_MAX)
		return -E2BIG;
	if (to->n == to->max) {
		uint32_t max = to->max ? to->max * 2 : 64;
		struct unwind_range *more = reallocarray(to->range, max, sizeof(*more));

		if (!more)
			return -ENOMEM;
		to->range = more;
		to->max = max;
	}
	to->range[to->n++] = *range;
	return 0;
}

/* What the ELF address of byte 0 of the file would be there, for the mapping of @offset. */
static bool unwind__bias(const struct table *t, uint64_t offset, uint64_t bytes, uint64_t *bias)
{
	for (size_t i = 0; i < t->n_segments; i++) {
		const struct segment *s = &t->segments[i];

		if (offset < s->offset + s->bytes && s->offset < offset + bytes) {
			*bias = s->vaddr - s->offset;
			return true;
		}
	}
	return false;
}

static int unwind__on_code(const struct stacks_code *code, void *arg)
{
	struct ranges *to = arg;
	struct table *t = unwind__table(to->u, code);
	struct unwind_range range = {code->start, code->end, 0, UNWIND_NO_TABLE, 0, 0, 0};
	uint64_t vaddr, bias;
	int err = 0;

	if (!t || !t->n_parts || !unwind__bias(t, code->offset, code->end - code->start, &bias))
		return unwind__add_range(to, &range);
	vaddr = code->offset + bias;
	bias = code->start - vaddr;
	for (size_t i = 0; i < t->n_parts && !err; i++) {
		const struct part *p = &t->parts[i];
		/* The first and the last part also have what no row is for. */
		uint64_t start = i ? p->start + bias : code->start;
		uint64_t end = i + 1 < t->n_parts ? p->end + bias : code->end;

		start = start > code->start ? start : code->start;
		end = end < code->end ? end : code->end;
		if (start >= end)
			continue;
		range = (struct unwind_range){start,    end,     p->base + bias, p->chunk,
					      p->index, p->rows, p->blocks};
		err = unwind__add_range(to, &range);
	}
	return err;
}

/* That of number @i, in a layout. */
static struct unwind_range *unwind__range(const struct unwind *u, uint32_t i)
{
	return (struct unwind_range *)(void *)u->ranges.at + i;
}

static struct layout *unwind__same_layout(struct unwind *u, const struct ranges *r)
{
	for (size_t i = 0; i < u->n_layouts; i++) {
		struct layout *l = &u->layouts[i];

		if (l->n == r->n &&
		    !memcmp(unwind__range(u, l->first + 1), r->range, r->n * sizeof(*r->range)))
			return l;
	}
	return NULL;
}

/* Marks the layout of the process @tgid; one that has ended is forgotten. */
static void unwind__mark(struct unwind *u, uint32_t tgid)
{
	struct unwind_space space;

	if (kill((pid_t)tgid, 0) && errno == ESRCH) {
		bpf_map_delete_elem(u->spaces_fd, &tgid);
		return;
	}
	if (bpf_map_lookup_elem(u->spaces_fd, &tgid, &space))
		return;
	for (size_t i = 0; i < u->n_layouts; i++)
		u->layouts[i].used |= u->layouts[i].serial == space.serial;
}

/* The processes that are known: to be freed; NULL without memory. */
static uint32_t *unwind__processes(const struct unwind *u, uint32_t *n)
{
	uint32_t *tgid = calloc(UNWIND_SPACES, sizeof(*tgid));

	*n = 0;
	while (tgid && *n < UNWIND_SPACES &&
	       !bpf_map_get_next_key(u->spaces_fd, *n ? &tgid[*n - 1] : NULL, &tgid[*n]))
		(*n)++;
	return tgid;
}

/* Forgets processes that have ended, and the layouts that no process has. */
static void unwind__sweep(struct unwind *u)
{
	uint32_t n, *tgid = unwind__processes(u, &n);
	size_t kept = 0;

	if (!tgid)
		return;
	for (size_t i = 0; i < u->n_layouts; i++)
		u->layouts[i].used = false;
	for (uint32_t i = 0; i < n; i++)
		unwind__mark(u, tgid[i]);
	for (size_t i = 0; i < u->n_layouts; i++) {
		if (u->layouts[i].used)
			u->layouts[kept++] = u->layouts[i];
		else
			unwind__range(u, u->layouts[i].first)->start =
				0; /* whoever still has it will see */
	}
	u->n_layouts = kept;
	free(tgid);
}

/* Where @n entries fit between the layouts, which are in the order of their places; or -ENOSPC. */
static int unwind__room(const struct unwind *u, uint32_t n, uint32_t *first, size_t *at)
{
	uint32_t free_from = 1;

	for (*at = 0; *at < u->n_layouts; (*at)++) {
		if (u->layouts[*at].first - free_from >= n)
			break;
		free_from = u->layouts[*at].first + u->layouts[*at].n + 1;
	}
	*first = free_from;
	return free_from <= UNWIND_RANGES && UNWIND_RANGES - free_from >= n ? 0 : -ENOSPC;
}

static struct layout *unwind__new_layout(struct unwind *u, const struct ranges *r)
{
	struct unwind_range *range;
	uint32_t first;
	size_t at;

	if (u->n_layouts == u->max_layouts) {
		size_t max = u->max_layouts ? u->max_layouts * 2 : 64;
		struct layout *more = reallocarray(u->layouts, max, sizeof(*more));

		if (!more)
			return NULL;
		u->layouts = more;
		u->max_layouts = max;
	}
	if (unwind__room(u, r->n + 1, &first, &at)) {
		unwind__sweep(u);
		if (unwind__room(u, r->n + 1, &first, &at)) {
			unwind__say_full(u, "mappings");
			return NULL;
		}
	}
	range = shared__range(&u->ranges, first, r->n + 1UL);
	if (!range)
		return NULL;
	memcpy(range + 1, r->range, r->n * sizeof(*r->range));
	__atomic_store_n(&range->start, ++u->serial, __ATOMIC_RELEASE);
	memmove(&u->layouts[at + 1], &u->layouts[at], (u->n_layouts - at) * sizeof(*u->layouts));
	u->n_layouts++;
	u->layouts[at] = (struct layout){first, r->n, u->serial, true};
	return &u->layouts[at];
}

/* Of dwell, which has one thread. */
static uint64_t unwind__cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Looks at the process, and has its stacks walked by what is mapped now. */
static int unwind__look(struct unwind *u, uint32_t tgid, uint64_t mm, uint64_t code)
{
	struct unwind_space space = {.mm = mm, .code = code};
	uint64_t before = unwind__cpu_ns();
	struct ranges r = {.u = u};
	struct layout *layout = NULL;
	int err = stacks__remember(u->stacks, tgid);

	if (!err)
		err = stacks__code(u->stacks, tgid, unwind__on_code, &r);
	if (!err && r.n) {
		layout = unwind__same_layout(u, &r) ?: unwind__new_layout(u, &r);
		err = layout ? 0 : -ENOSPC;
	}
	if (layout) {
		space.first = layout->first;
		space.n = layout->n;
		space.serial = layout->serial;
		stacks__mark(u->stacks, tgid, layout->serial);
		if (bpf_map_update_elem(u->spaces_fd, &tgid, &space, BPF_ANY)) {
			unwind__sweep(u);
			err = bpf_map_update_elem(u->spaces_fd, &tgid, &space, BPF_ANY);
		}
	}
	free(r.range);
	u->stats.ns += unwind__cpu_ns() - before;
	return err;
}

int unwind__process(struct unwind *u, uint32_t tgid, uint64_t mm, uint64_t code)
{
	struct unwind_space space;

	if (mm && !bpf_map_lookup_elem(u->spaces_fd, &tgid, &space) && space.mm == mm &&
	    space.code == code)
		return 0;
	return unwind__look(u, tgid, mm, code);
}

void unwind__changed(struct unwind *u, uint32_t tgid)
{
	uint32_t n = 1, *all = tgid == MAPPINGS_ALL ? unwind__processes(u, &n) : &tgid;
	struct unwind_space space;

	for (uint32_t i = 0; all && i < n; i++) {
		if (!bpf_map_lookup_elem(u->spaces_fd, &all[i], &space))
			unwind__look(u, all[i], space.mm, space.code);
	}
	if (all != &tgid)
		free(all);
}

struct unwind_stats unwind__stats(const struct unwind *u)
{
	struct unwind_stats stats = u->stats;

	stats.rules = u->n_rules;
	stats.layouts = u->n_layouts;
	return stats;
}

/* ---- life ----------------------------------------------------------------------------------- */

struct unwind *unwind__new(const struct object *o, struct stacks *stacks)
{
	static const struct unwind_rule none = {.kind = UNWIND_NONE};
	struct unwind *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->stacks = stacks;
	u->spaces_fd = object__map_fd(o, "unwind_spaces");
	u->rules_fd = object__map_fd(o, "unwind_rules");
	u->chunks_fd = object__map_fd(o, "unwind_chunks");
	if (object__share(o, "unwind_ranges", UNWIND_RANGES, sizeof(struct unwind_range),
			  &u->ranges)) {
		free(u);
		return NULL;
	}
	/* Number 0 stands for code without a rule. */
	unwind__rule(u, &none);
	return u;
}

void unwind__free(struct unwind *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->n_all; i++)
		unwind__free_table(u->all[i]);
	free(u->all);
	free(u->layouts);
	while (u->tables)
		tdelete(*(void **)u->tables, &u->tables, unwind__compare_tables);
	tdestroy(u->rules, free);
	if (u->chunk)
		munmap(u->chunk, UNWIND_CHUNK_WORDS * sizeof(uint32_t));
	shared__close(&u->ranges);
	free(u);
}
