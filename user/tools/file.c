// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* file: operations on files: which file, how long, in which states, from the cache or not. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <bpf/bpf.h>
#include <uthash.h>

#include "base/hist.h"
#include "base/str.h"
#include "core/ident.h"
#include "core/kallsyms.h"
#include "core/names.h"
#include "core/session.h"
#include "core/syscalls.h"
#include "file.btf.skel.h"
#include "file.h"
#include "file.raw.skel.h"

#define STATES_SHOWN 3
#define STATE_SHARE  1          /* % of the row's time from which on a state is shown */
#define JOURNAL_GAP  (64 << 10) /* bytes: jbd2's functions lie closer together, others are cold */

/* ---- what the kernel side is told ----------------------------------------------------------- */

static const struct {
	const char *key;
	bool bytes;
} file_ops[NR_FILE_OPS] = {
#define X(id, key, bytes) [id] = {key, bytes},
	DWELL_FILE_OPS(X)
#undef X
};

/* include/uapi/linux/io_uring.h: IORING_OP_* */
static const struct {
	uint8_t nr, op;
} uring_ops[] = {
	{1, FILE_READ},    {2, FILE_WRITE},      {3, FILE_FSYNC},  {4, FILE_READ},
	{5, FILE_WRITE},   {8, FILE_SYNC_RANGE}, {18, FILE_OPEN},  {19, FILE_CLOSE},
	{21, FILE_STAT},   {22, FILE_READ},      {23, FILE_WRITE}, {28, FILE_OPEN},
	{35, FILE_RENAME}, {36, FILE_UNLINK},    {58, FILE_READ},  {59, FILE_WRITE},
};

#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

/* Where ext4's journal is in the kernel's code, if its symbols can be read. */
static void file__journal(struct file_config *config)
{
	uint64_t from, to;

	if (kallsyms__range("/proc/kallsyms", "jbd2_", JOURNAL_GAP, &from, &to)) {
		config->journal_from = from;
		config->journal_to = to;
	}
}

static void file__prepare(struct bpf_object *obj)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj, ".rodata.file");
	struct file_config config = {0};

	syscalls__files(config.call);
	config.call[__NR_io_uring_enter] = FILE_PATH << FILE_HOW_SHIFT | FILE_URING;
	for (size_t i = 0; i < ARRAY_SIZE(uring_ops); i++)
		config.uring[uring_ops[i].nr] = uring_ops[i].op;
	for (unsigned int i = 0; i < NR_FILE_OPS; i++)
		config.bytes |= file_ops[i].bytes ? 1U << i : 0;
	file__journal(&config);
	if (map)
		bpf_map__set_initial_value(map, &config, sizeof(config));
}

/* What could not be told, and is left out of the report. */
static enum dwell_exit file__loaded(const struct session *s, const void *options)
{
	int fd = object__map_fd(&s->object, ".rodata.file");
	struct file_config config;
	uint32_t zero = 0;

	(void)options;
	if (!bpf_map_lookup_elem(fd, &zero, &config) && !config.journal_to)
		log__note(
			"the journal's part cannot be told from the rest of fs: the kernel has no "
			"jbd2, or hides its symbols (CAP_SYSLOG)");
	if (!s->object.uring_submit)
		log__note(
			"this kernel does not tell which io_uring request ends: they are left out");
	return EXIT_OK;
}

/* What the command keeps while it runs: banks * slots of struct file_sum. */
struct file_run {
	struct shared sums;
};

static enum dwell_exit file__attach(struct session *s, const void *options)
{
	size_t n = (size_t)s->config.slots * s->config.banks;
	struct file_run *run = calloc(1, sizeof(*run));
	int err;

	(void)options;
	s->state = run;
	if (!run)
		return err__fail("no memory");
	err = object__share(&s->object, "file_sums", n, sizeof(struct file_sum), &run->sums);
	return err ? err__fail("the files' sums cannot be mapped: %s", strerror(-err)) : EXIT_OK;
}

static void file__detach(struct session *s)
{
	struct file_run *run = s->state;

	if (run)
		shared__close(&run->sums);
	free(run);
	s->state = NULL;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* Reads that waited for a block device, or that did not. */
struct file_part {
	uint64_t count;
	uint64_t total_ns;
	struct tally_sum sum;
};

struct file_row {
	struct ident id;
	const char *path; /* of the file or the mount */
	const char *op;
	uint64_t count;
	uint64_t errors;
	uint64_t bytes;
	uint64_t total_ns;
	uint64_t mean_ns;
	uint64_t misses;
	uint64_t journal_ns;
	uint64_t states[NR_STATES];
	const char *states_text;
	struct tally_sum sum;
	struct file_part hit, miss;
	const char *key; /* what rows are merged by */
	UT_hash_handle hh;
};

#define PART(field) .offset = offsetof(struct file_part, field)
#define AT(field)   .offset = offsetof(struct file_row, field)

static const struct column part_columns[] = {
	{.key = "count", .type = COL_COUNT, PART(count)},
	{.key = "total_ns", .type = COL_NS, PART(total_ns)},
	{.key = "hist", .type = COL_HIST, PART(sum.hist)},
	COLUMN_END,
};

static const struct column file_columns[] = {
	IDENT_COLUMNS(struct file_row, id),
	{.name = "OP", .key = "op", .type = COL_STR, AT(op)},
	{.name = "CALLS", .key = "count", .type = COL_COUNT, AT(count)},
	{.name = "ERRORS", .key = "errors", .type = COL_COUNT, AT(errors)},
	{.name = "BYTES", .key = "bytes", .type = COL_BYTES, AT(bytes)},
	{.name = "TOTAL", .key = "total_ns", .type = COL_NS, AT(total_ns)},
	{.key = "mean_ns", .type = COL_NS, AT(mean_ns)},
	{.name = "", .key = "hist", .type = COL_HIST, AT(sum.hist)},
	{.name = "MISSES", .key = "misses", .type = COL_COUNT, AT(misses)},
	{.key = "hit", .type = COL_OBJECT, AT(hit), .sub = part_columns},
	{.key = "miss", .type = COL_OBJECT, AT(miss), .sub = part_columns},
	{.key = "states", .type = COL_STATES, AT(states)},
	{.key = "journal_ns", .type = COL_NS, AT(journal_ns)},
	{.name = "STATES", .type = COL_STR, AT(states_text)},
	{.name = "FILE", .key = "path", .type = COL_STR, AT(path), .only = ONLY(FILE)},
	{.name = "MOUNT", .key = "mount", .type = COL_STR, AT(path), .only = ONLY(MOUNT)},
	COLUMN_END,
};

#undef AT
#undef PART

static enum dwell_exit file__no_memory(void)
{
	return err__fail("no memory for the report");
}

/* Where the file system is mounted that @path lies in, as this process sees it. */
static const char *file__mount_of(struct session *s, const char *path)
{
	const struct mounts *mounts = session__mounts(s);
	const struct mount_entry *mount = mounts ? mounts__of_path(mounts, path) : NULL;

	return mount ? mount->dir : "(path not known)";
}

/* Takes "/." and double slashes out of a path as programs give them. */
static void file__tidy(char *path)
{
	char *out = path;

	for (const char *in = path; *in;) {
		if (in[0] == '/' && in[1] == '/')
			in++;
		else if (in[0] == '/' && in[1] == '.' && (in[2] == '/' || !in[2]))
			in += 2;
		else
			*out++ = *in++;
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
}

/* The path or mount of a tally; NULL where rows are not by that, or without memory. */
static const char *file__path(struct session *s, const struct tally_key *key)
{
	struct name_key at = {.id = key->id, .id2 = key->id2, .kind = NAME_FILE + key->kind};
	char *path = names__path_of(&s->object, &at, &s->arena);
	uint32_t dev = (uint32_t)key->id2;

	if (path)
		file__tidy(path);
	switch ((enum file_key)key->kind) {
	case FILE_KEY_NONE:
		return NULL;
	case FILE_KEY_INODE:
		return path
			       ?: arena__printf(&s->arena, "inode %llu of device %u:%u",
						(unsigned long long)key->id, dev >> 20,
						dev & 0xfffff);
	case FILE_KEY_MOUNT:
		return path ?: arena__printf(&s->arena, "device %u:%u", dev >> 20, dev & 0xfffff);
	case FILE_KEY_PATH:
		if (path && s->config.by == BY_MOUNT)
			return file__mount_of(s, path);
		return path ?: "(path not kept)";
	case FILE_KEY_GONE:
		break;
	}
	return "(path not known)";
}

static enum dwell_exit file__new_row(struct session *s, const struct tally *t, struct file_row *row)
{
	const char *op = file_ops[t->key.aux & FILE_AUX_OP].key;

	tallies__sum_none(&row->sum);
	tallies__sum_none(&row->hit.sum);
	tallies__sum_none(&row->miss.sum);
	row->op = t->key.aux & FILE_AUX_URING ? arena__printf(&s->arena, "uring_%s", op) : op;
	return row->op ? ident__set(s, t->key.row, &row->id) : file__no_memory();
}

/* The row of tally @t: one for all tallies of a path and an operation. NULL: that was said. */
static struct file_row *file__row(struct session *s, const struct tally *t,
				  struct file_row **by_key, struct file_row *fresh)
{
	struct file_row *row = NULL;

	*fresh = (struct file_row){.path = file__path(s, &t->key)};
	fresh->key = arena__printf(&s->arena, "%llx %u %s", (unsigned long long)t->key.row,
				   t->key.aux & ~FILE_AUX_CACHE, fresh->path ?: "");
	if (!fresh->key) {
		file__no_memory();
		return NULL;
	}
	HASH_FIND_STR(*by_key, fresh->key, row);
	if (row)
		return row;
	if (file__new_row(s, t, fresh))
		return NULL;
	HASH_ADD_KEYPTR(hh, *by_key, fresh->key, strlen(fresh->key), fresh);
	return fresh;
}

static int file__add_part(struct session *s, struct file_part *part, const struct tally *t)
{
	part->count += t->count;
	part->total_ns += t->hist->sum;
	return tallies__sum_add(&part->sum, t->hist, &s->arena);
}

/* 0 or -ENOMEM */
static int file__add(struct session *s, struct file_row *row, const struct tally *t,
		     struct file_sum *sum)
{
	int err = tallies__sum_add(&row->sum, t->hist, &s->arena);
	uint32_t aux = t->key.aux;

	row->count += t->count;
	row->total_ns += t->hist->sum;
	row->mean_ns = row->total_ns / (row->count ?: 1);
	row->errors += sum->errors;
	row->bytes += sum->bytes;
	row->journal_ns += sum->journal_ns;
	tallies__add_states(row->states, t);
	if (!err && (aux & FILE_AUX_OP) == FILE_READ && !(aux & FILE_AUX_UNTOLD))
		err = file__add_part(s, aux & FILE_AUX_MISS ? &row->miss : &row->hit, t);
	row->misses = row->miss.count;
	memset(sum, 0, sizeof(*sum));
	return err;
}

/* "disk 60%, fs 38%; journal 38%" */
static enum dwell_exit file__states_text(struct session *s, struct file_row *row)
{
	const char *text = names__states(row->states, STATES_SHOWN, STATE_SHARE, &s->arena);

	if (!text)
		return file__no_memory();
	row->states_text = text;
	if (!row->journal_ns)
		return EXIT_OK;
	row->states_text =
		arena__printf(&s->arena, "%s; journal %.0f%%", text,
			      100.0 * (double)row->journal_ns / (double)(row->total_ns ?: 1));
	return row->states_text ? EXIT_OK : file__no_memory();
}

static enum dwell_exit file__rows(struct session *s, struct file_row *rows, size_t *n,
				  struct hist *all)
{
	struct file_run *run = s->state;
	struct file_row *by_key = NULL, *row;
	enum dwell_exit status = EXIT_OK;

	for (size_t i = 0; !status && i < s->tallies.n; i++) {
		const struct tally *t = &s->tallies.items[i];
		struct file_sum *sum =
			shared__at(&run->sums, tallies__index(&s->config, s->reported, t->slot));

		row = file__row(s, t, &by_key, &rows[*n]);
		if (!row) {
			status = EXIT_FAIL;
			break;
		}
		*n += row == &rows[*n];
		if (!sum || file__add(s, row, t, sum))
			status = file__no_memory();
		hist__merge(all, t->hist);
	}
	HASH_CLEAR(hh, by_key);
	return status;
}

static enum dwell_exit file__snapshot(struct session *s, const void *options, struct report *report)
{
	struct file_row *rows = arena__array(&s->arena, s->tallies.n + 1, sizeof(*rows));
	struct hist *all = arena__alloc(&s->arena, sizeof(*all));
	enum dwell_exit status;
	size_t n = 0;

	(void)options;
	if (!rows || !all)
		return file__no_memory();
	status = file__rows(s, rows, &n, all);
	report->hist = all;
	report->hist_title = "File operations, from their begin to their end";
	if (!status)
		status = session__rows(s, rows, n, report);
	for (size_t i = 0; !status && i < report->rows.n; i++)
		status = file__states_text(s, &rows[i]);
	return status;
}

static const struct tool_object file_object = {
	.name = "file",
	.btf = file_btf__elf_bytes,
	.raw = file_raw__elf_bytes,
	.prepare = file__prepare,
};

extern const struct tool tool_file;

const struct tool tool_file = {
	.name = "file",
	.summary = "Which file operations take the time? By file, with states and cache misses",
	.examples = "  dwell file -p 4242               one process, 5 seconds\n"
		    "  dwell file --by mount            the whole machine, by mount\n"
		    "  dwell file --by op -i 1          every second, by operation\n"
		    "  dwell file --min 10ms -- make    slow operations of a command\n",
	.object = &file_object,
	.shape = SHAPE_HISTOGRAM,
	.accepts = ACCEPTS_BY_FILE | ACCEPTS_BY_OP,
	.columns = file_columns,
	.row_size = sizeof(struct file_row),
	.sort = "total_ns",
	.by = BY_FILE,
	.loaded = file__loaded,
	.attach = file__attach,
	.detach = file__detach,
	.snapshot = file__snapshot,
};
