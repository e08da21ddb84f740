// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/elffile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static int elffile__damaged(struct elffile *f, const char *why)
{
	f->why = why;
	return -EBADMSG;
}

int elffile__pread(int fd, void *buf, size_t bytes, uint64_t offset)
{
	while (bytes > 0) {
		ssize_t got = pread(fd, buf, bytes, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -EBADMSG;
		buf = (char *)buf + got;
		bytes -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

/*
 * libelf allocates by the number of sections, which in an ELF file can be 2^32 by an extension that
 * only relocatable objects need.
 */
int elffile__check(int fd, uint64_t bytes, const char **why)
{
	const int order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
	union {
		unsigned char ident[EI_NIDENT];
		Elf32_Ehdr e32;
		Elf64_Ehdr e64;
	} h = {0};
	bool narrow;

	if (bytes < sizeof(h.e32))
		return -ENOEXEC;
	if (elffile__pread(fd, &h, bytes < sizeof(h) ? bytes : sizeof(h), 0) < 0)
		return -EIO;
	if (memcmp(h.ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	*why = "a foreign byte order";
	if (h.ident[EI_DATA] != order)
		return -EBADMSG;
	*why = "an unknown class";
	if (h.ident[EI_CLASS] != ELFCLASS32 && h.ident[EI_CLASS] != ELFCLASS64)
		return -EBADMSG;
	narrow = h.ident[EI_CLASS] == ELFCLASS32;
	*why = "too many sections or segments";
	if (narrow ? (h.e32.e_shoff && !h.e32.e_shnum) || h.e32.e_phnum == PN_XNUM
		   : (h.e64.e_shoff && !h.e64.e_shnum) || h.e64.e_phnum == PN_XNUM)
		return -EBADMSG;
	*why = NULL;
	return 0;
}

int elffile__open(int fd, struct elffile *f, const char **why)
{
	struct stat st;
	GElf_Ehdr eh;
	size_t n;
	int err;

	*f = (struct elffile){.fd = fd};
	*why = NULL;
	if (fstat(fd, &st) < 0)
		return -errno;
	f->bytes = (uint64_t)st.st_size;
	err = elffile__check(fd, f->bytes, why);
	if (err)
		return err;
	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOTSUP;
	f->elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!f->elf || elf_kind(f->elf) != ELF_K_ELF || !gelf_getehdr(f->elf, &eh)) {
		*why = "a bad header";
	} else if (elf_getshdrnum(f->elf, &n) < 0 || n != eh.e_shnum) {
		*why = "section headers outside the file";
	} else {
		f->machine = eh.e_machine;
		return 0;
	}
	elffile__close(f);
	return -EBADMSG;
}

void elffile__close(struct elffile *f)
{
	elf_end(f->elf);
	f->elf = NULL;
}

uint16_t elffile__machine(const struct elffile *f)
{
	return f->machine;
}

const unsigned char *elffile__ident(const struct elffile *f)
{
	return (const unsigned char *)elf_getident(f->elf, NULL);
}

int elffile__first(const struct elffile *f, uint64_t *vaddr)
{
	GElf_Phdr segment;
	size_t n = 0;

	if (elf_getphdrnum(f->elf, &n))
		return -ENODATA;
	for (size_t i = 0; i < n && gelf_getphdr(f->elf, (int)i, &segment); i++) {
		if (segment.p_type != PT_LOAD)
			continue;
		/* Segments are in ascending order: it lies in this one. */
		*vaddr = segment.p_vaddr - segment.p_offset;
		return 0;
	}
	return -ENODATA;
}

/* Compares a section's name without having libelf read the table of names, which may be huge. */
static bool elffile__is_named(struct elffile *f, const GElf_Shdr *names, const GElf_Shdr *sh,
			      const char *name)
{
	char text[32];
	size_t len = strlen(name) + 1;

	if (len > sizeof(text) || sh->sh_name > names->sh_size ||
	    names->sh_size - sh->sh_name < len)
		return false;
	return !elffile__pread(f->fd, text, len, names->sh_offset + sh->sh_name) &&
	       !memcmp(text, name, len);
}

int elffile__section(struct elffile *f, const char *name, GElf_Shdr *sh)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr names;
	size_t index;

	if (elf_getshdrstrndx(f->elf, &index) < 0)
		return elffile__damaged(f, "no section names");
	if (!index)
		return -ENODATA;
	scn = elf_getscn(f->elf, index);
	if (!scn || !gelf_getshdr(scn, &names) || names.sh_offset > f->bytes)
		return elffile__damaged(f, "section names outside the file");
	for (scn = NULL; (scn = elf_nextscn(f->elf, scn));) {
		if (!gelf_getshdr(scn, sh) || !elffile__is_named(f, &names, sh, name))
			continue;
		if (sh->sh_type == SHT_NOBITS || !sh->sh_size)
			return -ENODATA;
		if (sh->sh_offset > f->bytes || sh->sh_size > f->bytes - sh->sh_offset)
			return elffile__damaged(f, "a section outside the file");
		return 0;
	}
	return -ENODATA;
}

/* A section that zlib compressed; @raw is what the file has. */
static int elffile__inflate(struct elffile *f, const uint8_t *raw, uint64_t raw_bytes, uint64_t max,
			    uint8_t **data, uint64_t *bytes)
{
	Elf64_Chdr ch;
	uLongf out;

	if (gelf_getclass(f->elf) != ELFCLASS64 || raw_bytes < sizeof(ch))
		return elffile__damaged(f, "a compressed section of an unknown kind");
	memcpy(&ch, raw, sizeof(ch));
	if (ch.ch_type != ELFCOMPRESS_ZLIB)
		return elffile__damaged(f, "a compressed section of an unknown kind");
	if (ch.ch_size > max || !ch.ch_size)
		return elffile__damaged(f, "a section that is too large");
	*data = malloc(ch.ch_size);
	if (!*data)
		return -ENOMEM;
	out = ch.ch_size;
	if (uncompress(*data, &out, raw + sizeof(ch), raw_bytes - sizeof(ch)) != Z_OK ||
	    out != ch.ch_size) {
		free(*data);
		*data = NULL;
		return elffile__damaged(f, "a compressed section that is damaged");
	}
	*bytes = ch.ch_size;
	return 0;
}

int elffile__read(struct elffile *f, const GElf_Shdr *sh, uint64_t max, uint8_t **data,
		  uint64_t *bytes)
{
	uint8_t *raw;
	int err;

	if (sh->sh_size > max)
		return elffile__damaged(f, "a section that is too large");
	raw = malloc(sh->sh_size);
	if (!raw)
		return -ENOMEM;
	err = elffile__pread(f->fd, raw, sh->sh_size, sh->sh_offset);
	if (err == -EBADMSG)
		f->why = "a section cut short";
	if (!err && sh->sh_flags & SHF_COMPRESSED) {
		err = elffile__inflate(f, raw, sh->sh_size, max, data, bytes);
		free(raw);
		return err;
	}
	if (err) {
		free(raw);
		return err;
	}
	*data = raw;
	*bytes = sh->sh_size;
	return 0;
}

/* ---- symbols -------------------------------------------------------------------------------- */

#define CHUNK_BYTES (64U << 10)

static size_t elffile__symbol_bytes(const struct elffile *f)
{
	return gelf_getclass(f->elf) == ELFCLASS64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
}

static bool elffile__holds(const struct elffile *f, const GElf_Shdr *sh)
{
	return sh->sh_offset <= f->bytes && sh->sh_size <= f->bytes - sh->sh_offset;
}

int elffile__symtab(struct elffile *f, uint32_t type, struct elffile_symtab *t)
{
	Elf_Scn *scn = NULL, *names;

	while ((scn = elf_nextscn(f->elf, scn)))
		if (gelf_getshdr(scn, &t->table) && t->table.sh_type == type)
			break;
	if (!scn)
		return -ENODATA;
	if (!elffile__holds(f, &t->table))
		return elffile__damaged(f, "a symbol table outside the file");
	if (t->table.sh_entsize != elffile__symbol_bytes(f))
		return elffile__damaged(f, "a symbol table with entries of a wrong size");
	if (t->table.sh_size / t->table.sh_entsize > ELFFILE_SYMBOLS_MAX)
		return elffile__damaged(f, "too many symbols");
	names = elf_getscn(f->elf, t->table.sh_link);
	if (!names || !gelf_getshdr(names, &t->names) || t->names.sh_type != SHT_STRTAB)
		return elffile__damaged(f, "a symbol table without names");
	if (!elffile__holds(f, &t->names))
		return elffile__damaged(f, "symbol names outside the file");
	return 0;
}

/* Symbol @i of @chunk, as one of 64 bits. */
static void elffile__symbol(const struct elffile *f, const char *chunk, size_t i, GElf_Sym *sym)
{
	Elf32_Sym narrow;

	if (elffile__symbol_bytes(f) == sizeof(*sym)) {
		memcpy(sym, chunk + i * sizeof(*sym), sizeof(*sym));
		return;
	}
	memcpy(&narrow, chunk + i * sizeof(narrow), sizeof(narrow));
	*sym = (GElf_Sym){
		.st_name = narrow.st_name,
		.st_info = narrow.st_info,
		.st_other = narrow.st_other,
		.st_shndx = narrow.st_shndx,
		.st_value = narrow.st_value,
		.st_size = narrow.st_size,
	};
}

/* In chunks: libelf would hold the whole section, which is larger than what is kept of it. */
int elffile__symbols(struct elffile *f, const struct elffile_symtab *t,
		     int (*fn)(const GElf_Sym *sym, void *arg), void *arg)
{
	size_t entry = elffile__symbol_bytes(f), in_chunk = CHUNK_BYTES / entry;
	uint64_t n = t->table.sh_size / entry;
	char *chunk = malloc(CHUNK_BYTES);
	int err = chunk ? 0 : -ENOMEM;
	GElf_Sym sym;

	for (uint64_t i = 0; i < n && !err; i++) {
		if (i % in_chunk == 0)
			err = elffile__pread(f->fd, chunk,
					     (n - i < in_chunk ? n - i : in_chunk) * entry,
					     t->table.sh_offset + i * entry);
		if (err == -EBADMSG)
			f->why = "symbols cut short";
		if (err)
			break;
		elffile__symbol(f, chunk, i % in_chunk, &sym);
		err = fn(&sym, arg);
	}
	free(chunk);
	return err;
}

/* ---- build-ids ------------------------------------------------------------------------------ */

void elffile__build_id(struct elffile *f, struct build_id *id)
{
	Elf64_Nhdr note; /* the same in files of 32 bits */
	uint64_t bytes;
	uint8_t *data;
	GElf_Shdr sh;

	*id = (struct build_id){0};
	if (elffile__section(f, ".note.gnu.build-id", &sh) ||
	    elffile__read(f, &sh, 4096, &data, &bytes))
		return;
	if (bytes >= sizeof(note) + 4) {
		memcpy(&note, data, sizeof(note));
		if (note.n_namesz == 4 && note.n_descsz <= BUILD_ID_MAX &&
		    note.n_descsz <= bytes - sizeof(note) - 4) {
			memcpy(id->id, data + sizeof(note) + 4, note.n_descsz);
			id->bytes = note.n_descsz;
		}
	}
	free(data);
}
