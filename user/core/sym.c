/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
#include "core/sym.h"

#include <errno.h>
#include <gelf.h>
#include <libiberty/demangle.h>
#include <search.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "core/elffile.h"

#define SEGMENTS_MAX 64 /* executable segments of a file */
#define NEST_MAX     64 /* rows looked at on the way to an enclosing function */

/* ---- the table ------------------------------------------------------------------------------ */

int symtab__add(struct symtab *t, uint64_t addr, uint64_t size, uint32_t rank, uint32_t name)
{
	if (size == 0)
		return 0;
	if (t->n == t->max) {
		size_t max = t->max ? t->max + t->max / 2 : 256;
		struct sym_row *rows = reallocarray(t->rows, max, sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		t->rows = rows;
		t->max = max;
	}
	t->rows[t->n++] = (struct sym_row){
		.addr = addr,
		.size = size < SYM_SIZE_MAX ? size : SYM_SIZE_MAX,
		.rank = rank,
		.name = name,
	};
	return 0;
}

static int compare_rows(const void *a, const void *b)
{
	const struct sym_row *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

static bool is_sorted(const struct symtab *t)
{
	for (size_t i = 1; i < t->n; i++)
		if (compare_rows(&t->rows[i - 1], &t->rows[i]) > 0)
			return false;
	return true;
}

static void end_open_rows(struct symtab *t)
{
	uint64_t start = UINT64_MAX, next = UINT64_MAX;

	for (size_t i = t->n; i-- > 0;) {
		struct sym_row *r = &t->rows[i];

		if (r->addr != start) {
			next = start;
			start = r->addr;
		}
		if (r->rank & SYM_NO_SIZE && r->size > next - r->addr)
			r->size = next - r->addr;
	}
}

void symtab__sort(struct symtab *t)
{
	struct sym_row *rows;

	if (!is_sorted(t))
		qsort(t->rows, t->n, sizeof(*t->rows), compare_rows);
	end_open_rows(t);
	rows = t->n ? reallocarray(t->rows, t->n, sizeof(*rows)) : NULL;
	if (rows) {
		t->rows = rows;
		t->max = t->n;
	}
}

/* The number of rows that begin at or before @addr. */
static size_t upper_bound(const struct symtab *t, uint64_t addr)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->rows[mid].addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool holds(const struct sym_row *r, uint64_t addr)
{
	return addr >= r->addr && addr - r->addr < r->size;
}

size_t symtab__find(const struct symtab *t, uint64_t addr, size_t *first)
{
	size_t i = upper_bound(t, addr), end;

	/* Hand-written assembly nests functions, seldom deeply; a hostile file could do so a
	 * million times. */
	for (unsigned int tries = 0; i > 0 && !holds(&t->rows[i - 1], addr); tries++, i--)
		if (tries == NEST_MAX)
			return 0;
	if (i == 0)
		return 0;
	end = i;
	/* the same bound, on the names of one address */
	while (i > 0 && t->rows[i - 1].addr == t->rows[end - 1].addr && end - i < NEST_MAX)
		i--;
	*first = i;
	return end - i;
}

static size_t leading_underscores(const char *name)
{
	return strspn(name, "_");
}

bool symtab__better(const char *a, uint32_t rank_a, const char *b, uint32_t rank_b)
{
	size_t x, y;

	if ((rank_a ^ rank_b) & SYM_NO_SIZE)
		return rank_b & SYM_NO_SIZE;
	x = leading_underscores(a);
	y = leading_underscores(b);
	if (x != y)
		return x < y;
	if (rank_a != rank_b)
		return rank_a < rank_b;
	x = strlen(a);
	y = strlen(b);
	return x != y ? x < y : strcmp(a, b) < 0;
}

void symtab__free(struct symtab *t)
{
	free(t->rows);
	*t = (struct symtab){0};
}

/* ---- names ---------------------------------------------------------------------------------- */

struct output {
	jmp_buf full;
	size_t len;
	char text[SYM_NAME_MAX];
};

/*
 * A few hundred bytes of mangled name can stand for gigabytes of text; leaving by longjmp() is the
 * one way to stop libiberty, whose callback interface holds no memory of its own.
 */
static void take_output(const char *text, size_t len, void *arg)
{
	struct output *out = arg;
	size_t room = sizeof(out->text) - 1 - out->len;
	size_t taken = len < room ? len : room;

	memcpy(out->text + out->len, text, taken);
	out->len += taken;
	out->text[out->len] = '\0';
	if (taken < len)
		longjmp(out->full, 1);
}

/* False if @name isn't mangled. Names are short on purpose: no parameters, no return type. */
static bool demangle(const char *name, struct output *out)
{
	out->len = 0;
	out->text[0] = '\0';
	if (strncmp(name, "_Z", 2) != 0 && strncmp(name, "_R", 2) != 0)
		return false;
	if (setjmp(out->full))
		return true;
	if (rust_demangle_callback(name, DMGL_NO_OPTS, take_output, out))
		return true;
	out->len = 0;
	return cplus_demangle_v3_callback(name, DMGL_NO_OPTS, take_output, out);
}

char *sym__demangled(const char *name)
{
	struct output out;
	char text[SYM_NAME_MAX];

	str__printable(text, sizeof(text), demangle(name, &out) ? out.text : name, 0);
	return strdup(text);
}

/* The name to show for the symbol @name. NULL without memory. */
static char *present_name(char *name)
{
	char *version = strchr(name, '@');

	/* static linkers leave "memcpy@@GLIBC_2.14" in .symtab */
	if (version && version != name)
		*version = '\0';
	return sym__demangled(name);
}

/* ---- ELF files ------------------------------------------------------------------------------ */

struct segment {
	uint64_t offset, vaddr, bytes;
};

struct sym_name {
	size_t row; /* the last of those that share the address */
	char *text; /* NULL: none has a name */
};

struct sym_module {
	int fd;
	struct segment segments[SEGMENTS_MAX];
	size_t n_segments;
	struct symtab table;
	uint64_t strings, strings_bytes; /* where the table's names are in the file */
	void *names;                     /* tsearch() tree of struct sym_name */
	struct sym_module *debug;        /* the symbols that were stripped from it, or NULL */
};

/* While a file is read. */
struct reader {
	struct sym_module *m;
	struct elffile f;
};

static int damaged(struct reader *r, const char *why)
{
	r->f.why = why;
	return -EBADMSG;
}

static bool within(uint64_t offset, uint64_t bytes, uint64_t all)
{
	return offset <= all && bytes <= all - offset;
}

static int read_segments(struct reader *r)
{
	struct sym_module *m = r->m;
	GElf_Phdr p;
	size_t n;

	if (elf_getphdrnum(r->f.elf, &n) < 0)
		return damaged(r, "bad program headers");
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(r->f.elf, i, &p))
			return damaged(r, "bad program headers");
		if (p.p_type != PT_LOAD || !(p.p_flags & PF_X) || p.p_filesz == 0)
			continue;
		if (!within(p.p_offset, p.p_filesz, r->f.bytes) ||
		    p.p_vaddr > UINT64_MAX - p.p_filesz)
			return damaged(r, "a segment outside the file");
		if (m->n_segments == SEGMENTS_MAX)
			return damaged(r, "too many executable segments");
		m->segments[m->n_segments++] = (struct segment){p.p_offset, p.p_vaddr, p.p_filesz};
	}
	return 0;
}

/* The executable segment that holds the ELF file's address @vaddr, or NULL. */
static const struct segment *segment_of(const struct sym_module *m, uint64_t vaddr)
{
	for (size_t i = 0; i < m->n_segments; i++) {
		const struct segment *s = &m->segments[i];

		if (vaddr >= s->vaddr && vaddr - s->vaddr < s->bytes)
			return s;
	}
	return NULL;
}

/* Whether @sym is code of this file, and how it ranks. */
static bool rank_symbol(const GElf_Sym *sym, uint32_t *rank)
{
	unsigned int type = GELF_ST_TYPE(sym->st_info), bind = GELF_ST_BIND(sym->st_info);

	if (sym->st_shndx == SHN_UNDEF || sym->st_name == 0)
		return false;
	if (type == STT_NOTYPE && sym->st_size > 0)
		*rank = SYM_UNTYPED;
	else if (type == STT_FUNC || type == STT_GNU_IFUNC)
		*rank = bind == STB_LOCAL ? SYM_LOCAL : bind == STB_WEAK ? SYM_WEAK : SYM_GLOBAL;
	else
		return false;
	if (sym->st_size == 0)
		*rank |= SYM_NO_SIZE;
	return true;
}

/* How far a symbol without a size can reach: to the end of its section, or else of its segment. */
static uint64_t bytes_left(struct reader *r, const GElf_Sym *sym, const struct segment *segment)
{
	Elf_Scn *scn = sym->st_shndx < SHN_LORESERVE ? elf_getscn(r->f.elf, sym->st_shndx) : NULL;
	uint64_t left = segment->vaddr + segment->bytes - sym->st_value;
	GElf_Shdr sh;

	if (scn && gelf_getshdr(scn, &sh) && sym->st_value >= sh.sh_addr &&
	    sym->st_value - sh.sh_addr < sh.sh_size &&
	    left > sh.sh_size - (sym->st_value - sh.sh_addr))
		left = sh.sh_size - (sym->st_value - sh.sh_addr);
	return left;
}

static int add_symbol(const GElf_Sym *sym, void *arg)
{
	struct reader *r = arg;
	const struct segment *segment;
	uint32_t rank;

	if (!rank_symbol(sym, &rank))
		return 0;
	segment = segment_of(r->m, sym->st_value);
	if (!segment)
		return 0;
	return symtab__add(&r->m->table, sym->st_value,
			   sym->st_size ? sym->st_size : bytes_left(r, sym, segment), rank,
			   sym->st_name);
}

/* The dynamic table is a part of the full one, which strip(1) takes away. */
static int read_tables(struct reader *r)
{
	static const uint32_t types[] = {SHT_SYMTAB, SHT_DYNSYM};
	struct sym_module *m = r->m;
	struct elffile_symtab t;
	int err = 0;

	for (size_t i = 0; i < 2 && !err && m->table.n == 0; i++) {
		err = elffile__symtab(&r->f, types[i], &t);
		if (err == -ENODATA) {
			err = 0;
			continue;
		}
		m->strings = t.names.sh_offset;
		m->strings_bytes = t.names.sh_size;
		if (!err)
			err = elffile__symbols(&r->f, &t, add_symbol, r);
	}
	if (!err)
		symtab__sort(&m->table);
	return err;
}

/* The symbols of the file of @m, which goes if this fails. */
static int read_file(struct sym_module *m, const char **why)
{
	struct reader r = {.m = m};
	int err = elffile__open(m->fd, &r.f, why);

	if (!err) {
		err = m->n_segments ? 0 : read_segments(&r);
		err = err ?: read_tables(&r);
		*why = r.f.why;
		elffile__close(&r.f);
	}
	if (err)
		sym__free(m);
	return err;
}

/* A module of the file @fd, which is closed without memory. */
static struct sym_module *new_module(int fd)
{
	struct sym_module *m = calloc(1, sizeof(*m));

	if (m)
		m->fd = fd;
	else
		close(fd);
	return m;
}

int sym__attach(struct sym_module *m, int fd, const char **why)
{
	struct sym_module *debug = new_module(fd);
	int err;

	*why = NULL;
	if (!debug)
		return -ENOMEM;
	if (!m->n_segments) {
		sym__free(debug);
		return -ENOEXEC;
	}
	/* A debug file's own segments have no contents. */
	memcpy(debug->segments, m->segments, sizeof(m->segments));
	debug->n_segments = m->n_segments;
	err = read_file(debug, why);
	if (!err)
		m->debug = debug;
	return err;
}

int sym__open(int fd, struct sym_module **module, const char **why)
{
	struct sym_module *m = new_module(fd);
	int err;

	*why = NULL;
	if (!m)
		return -ENOMEM;
	err = read_file(m, why);
	if (!err)
		*module = m;
	return err;
}

static void free_name(void *arg)
{
	struct sym_name *name = arg;

	free(name->text);
	free(name);
}

void sym__free(struct sym_module *m)
{
	if (!m)
		return;
	sym__free(m->debug);
	close(m->fd);
	symtab__free(&m->table);
	tdestroy(m->names, free_name);
	free(m);
}

int sym__vaddr(const struct sym_module *m, uint64_t offset, uint64_t *vaddr)
{
	for (size_t i = 0; i < m->n_segments; i++) {
		const struct segment *s = &m->segments[i];

		if (offset >= s->offset && offset - s->offset < s->bytes) {
			*vaddr = s->vaddr + (offset - s->offset);
			return 0;
		}
	}
	return -ENOENT;
}

/* The name of a row as it is in the file; empty if the file's names end before it. */
static void read_name(const struct sym_module *m, const struct sym_row *row, char *name)
{
	uint64_t left = row->name < m->strings_bytes ? m->strings_bytes - row->name : 0;
	size_t bytes = left < SYM_NAME_MAX - 1 ? left : SYM_NAME_MAX - 1;

	if (elffile__pread(m->fd, name, bytes, m->strings + row->name) < 0)
		bytes = 0;
	name[bytes] = '\0';
}

/*
 * The name to show of @n rows that begin at the same address, as it is in the file, in @name; false
 * if none of them has one.
 */
static bool choose_name(const struct sym_module *m, size_t first, size_t n, char *name)
{
	const struct sym_row *best = NULL;
	char other[SYM_NAME_MAX];

	for (size_t i = first; i < first + n; i++) {
		const struct sym_row *row = &m->table.rows[i];

		read_name(m, row, other);
		if (other[0] == '\0' ||
		    (best && !symtab__better(other, row->rank, name, best->rank)))
			continue;
		memcpy(name, other, strlen(other) + 1);
		best = row;
	}
	return best;
}

static int compare_names(const void *a, const void *b)
{
	const struct sym_name *x = a, *y = b;

	return x->row < y->row ? -1 : x->row > y->row;
}

/* Keeps the answer for @row, NULL too. Without memory it is NULL, and asked for again. */
static const char *keep_name(struct sym_module *m, size_t row, char *name)
{
	struct sym_name *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->row = row;
	entry->text = name ? present_name(name) : NULL;
	if ((name && !entry->text) || !tsearch(entry, &m->names, compare_names)) {
		free_name(entry);
		return NULL;
	}
	return entry->text;
}

const char *sym__find(struct sym_module *m, uint64_t vaddr, uint64_t *start)
{
	const char *debug = m->debug ? sym__find(m->debug, vaddr, start) : NULL;
	char name[SYM_NAME_MAX];
	struct sym_name key;
	size_t first, n = symtab__find(&m->table, vaddr, &first);
	void *known;

	if (debug)
		return debug;
	if (n == 0)
		return NULL;
	*start = m->table.rows[first].addr;
	key.row = first + n - 1;
	known = tfind(&key, &m->names, compare_names);
	if (known)
		return (*(struct sym_name **)known)->text;
	return keep_name(m, key.row, choose_name(m, first, n, name) ? name : NULL);
}

size_t sym__count(const struct sym_module *m)
{
	return m->table.n;
}
