// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <uthash.h>

#include "core/ktypes.h"

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

struct wanted_name {
	const char *name; /* not terminated, if it has a ___suffix */
	bool of_type, of_member;
	UT_hash_handle hh;
};

struct cut {
	const struct btf *kernel;
	struct btf *out;
	int *ids; /* by the kernel's number: that in @out; 0: not there (yet) */
	struct wanted_name *names, *by_name;
	size_t n;
};

const char *ktypes__path(const char *path)
{
	return path ?: KERNEL_BTF;
}

/*
 * The kernel's file gives 4 KiB at a time to who reads it, and can be mapped on newer kernels
 * (from 6.16 on). NULL where it cannot.
 */
static struct btf *ktypes__map(void)
{
	int fd = open(KERNEL_BTF, O_RDONLY | O_CLOEXEC);
	struct btf *btf = NULL;
	struct stat st;
	void *p;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st) && st.st_size > 0) {
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
		if (p != MAP_FAILED) {
			btf = btf__new(p, (uint32_t)st.st_size); /* a copy */
			munmap(p, (size_t)st.st_size);
		}
	}
	close(fd);
	return btf;
}

struct btf *ktypes__read(const char *path)
{
	struct btf *btf = path ? NULL : ktypes__map();

	return btf ?: btf__parse(ktypes__path(path), NULL);
}

/* ---- what is wanted ------------------------------------------------------------------------ */

static struct wanted_name *ktypes__want(struct cut *c, const char *name, size_t len)
{
	struct wanted_name *w;

	HASH_FIND(hh, c->by_name, name, len, w);
	if (w)
		return w;
	w = &c->names[c->n++];
	w->name = name;
	HASH_ADD_KEYPTR(hh, c->by_name, name, len, w);
	return w;
}

static const struct wanted_name *ktypes__wanted(const struct cut *c, const char *name)
{
	struct wanted_name *w;

	HASH_FIND(hh, c->by_name, name, strlen(name), w);
	return w;
}

static size_t ktypes__names_of(const struct btf_type *t)
{
	return 1 + (btf_is_composite(t) ? btf_vlen(t) : 0);
}

static int ktypes__want_all(struct cut *c, const struct btf *wanted)
{
	size_t max = 0;

	for (uint32_t id = 1; id < btf__type_cnt(wanted); id++)
		max += ktypes__names_of(btf__type_by_id(wanted, id));
	c->names = calloc(max ?: 1, sizeof(*c->names));
	if (!c->names)
		return -ENOMEM;
	for (uint32_t id = 1; id < btf__type_cnt(wanted); id++) {
		const struct btf_type *t = btf__type_by_id(wanted, id);
		const char *name = btf__name_by_offset(wanted, t->name_off);
		const char *suffix = strstr(name, "___");

		ktypes__want(c, name, suffix ? (size_t)(suffix - name) : strlen(name))->of_type =
			true;
		for (int i = 0; btf_is_composite(t) && i < btf_vlen(t); i++) {
			name = btf__name_by_offset(wanted, btf_members(t)[i].name_off);
			ktypes__want(c, name, strlen(name))->of_member = true;
		}
	}
	return 0;
}

/* ---- what there is of it ------------------------------------------------------------------- */

static int ktypes__add(struct cut *c, uint32_t id);

/* Those without a name are structs and unions, whose members count as those of the outer one. */
static bool ktypes__keeps(const struct cut *c, const struct btf_member *m)
{
	const char *name = btf__name_by_offset(c->kernel, m->name_off);
	const struct wanted_name *w = ktypes__wanted(c, name);

	return !*name || (w && w->of_member);
}

static int ktypes__add_members(struct cut *c, const struct btf_type *t)
{
	const struct btf_member *m = btf_members(t);
	int err = 0;

	for (int i = 0; !err && i < btf_vlen(t); i++) {
		if (!ktypes__keeps(c, &m[i]))
			continue;
		err = btf__add_field(c->out, btf__name_by_offset(c->kernel, m[i].name_off),
				     c->ids[m[i].type], btf_member_bit_offset(t, (uint32_t)i),
				     btf_member_bitfield_size(t, (uint32_t)i));
	}
	return err;
}

/* Its members' types come first: fields can be added to the last type only. */
static int ktypes__add_composite(struct cut *c, const struct btf_type *t)
{
	const char *name = btf__name_by_offset(c->kernel, t->name_off);
	const struct btf_member *m = btf_members(t);
	int id, err = 0;

	for (int i = 0; err >= 0 && i < btf_vlen(t); i++) {
		if (ktypes__keeps(c, &m[i]))
			err = ktypes__add(c, m[i].type);
	}
	if (err < 0)
		return err;
	id = btf_is_struct(t) ? btf__add_struct(c->out, name, t->size)
			      : btf__add_union(c->out, name, t->size);
	err = id < 0 ? id : ktypes__add_members(c, t);
	return err ?: id;
}

static int ktypes__add_array(struct cut *c, const struct btf_type *t)
{
	const struct btf_array *array = btf_array(t);
	int index = ktypes__add(c, array->index_type), of = ktypes__add(c, array->type);

	if (index < 0 || of < 0)
		return index < 0 ? index : of;
	return btf__add_array(c->out, index, of, array->nelems);
}

/* What stands for another type. */
static int ktypes__add_alias(struct cut *c, const struct btf_type *t)
{
	int of = ktypes__add(c, t->type);

	if (of < 0)
		return of;
	if (btf_is_typedef(t))
		return btf__add_typedef(c->out, btf__name_by_offset(c->kernel, t->name_off), of);
	return btf__add_const(c->out, of); /* const, volatile, a tag: all the same to libbpf */
}

static int ktypes__add_new(struct cut *c, const struct btf_type *t)
{
	if (btf_is_composite(t))
		return ktypes__add_composite(c, t);
	if (btf_is_array(t))
		return ktypes__add_array(c, t);
	if (btf_is_ptr(t))
		return btf__add_ptr(c->out, 0);
	if (btf_is_mod(t) || btf_is_typedef(t))
		return ktypes__add_alias(c, t);
	return btf__add_type(c->out, c->kernel, t); /* refers to no other: int, enum, float, fwd */
}

/* The number of the kernel's type @id in the cut, of which it becomes a part; or -errno. */
static int ktypes__add(struct cut *c, uint32_t id)
{
	int added;

	if (!id || c->ids[id])
		return c->ids[id];
	added = ktypes__add_new(c, btf__type_by_id(c->kernel, id));
	if (added > 0)
		c->ids[id] = added;
	return added;
}

static bool ktypes__is_root(const struct cut *c, const struct btf_type *t)
{
	const struct wanted_name *w;

	if (!btf_is_composite(t) && !btf_is_any_enum(t) && !btf_is_typedef(t))
		return false;
	w = ktypes__wanted(c, btf__name_by_offset(c->kernel, t->name_off));
	return w && w->of_type && *w->name;
}

static int ktypes__fill(struct cut *c, const struct btf *wanted)
{
	uint32_t n = btf__type_cnt(c->kernel);
	int err = ktypes__want_all(c, wanted);

	c->ids = calloc(n, sizeof(*c->ids));
	c->out = btf__new_empty();
	if (!err && (!c->ids || !c->out))
		err = -ENOMEM;
	for (uint32_t id = 1; err >= 0 && id < n; id++) {
		if (ktypes__is_root(c, btf__type_by_id(c->kernel, id)))
			err = ktypes__add(c, id);
	}
	return err < 0 ? err : 0;
}

struct btf *ktypes__cut(const struct btf *kernel, const struct btf *wanted)
{
	struct cut c = {.kernel = kernel};
	int err = ktypes__fill(&c, wanted);

	HASH_CLEAR(hh, c.by_name);
	free(c.names);
	free(c.ids);
	if (!err)
		return c.out;
	btf__free(c.out);
	errno = -err;
	return NULL;
}

int ktypes__write(const struct btf *types, int fd)
{
	uint32_t size;
	const void *data = btf__raw_data(types, &size);

	if (!data)
		return -ENOMEM;
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		return errno ? -errno : -ENOSPC;
	return 0;
}
