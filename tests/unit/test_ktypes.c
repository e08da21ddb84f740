// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/btf.h>

#include "core/ktypes.h"

static void field(struct btf *btf, const char *name, int type, uint32_t bits, uint32_t size)
{
	assert_int_equal(btf__add_field(btf, name, type, bits, size), 0);
}

static struct btf *empty(void)
{
	struct btf *btf = btf__new_empty();

	assert_non_null(btf);
	assert_int_equal(btf__add_int(btf, "int", 4, BTF_INT_SIGNED), 1);
	return btf;
}

/*
 * struct inner { int wanted, other; };
 * struct task { int before; union { int one; struct inner in; }; int bits : 3, more : 5;
 *	const volatile struct inner *next; my_int array[7]; struct unrelated far; };
 * struct unrelated { int nobody; };
 * enum numbers { FIRST = 1, SECOND = 7 };
 */
static struct btf *kernel(void)
{
	struct btf *btf = empty();
	int inner = btf__add_struct(btf, "inner", 8), anonymous, ptr, alias, array, unrelated;

	field(btf, "wanted", 1, 0, 0);
	field(btf, "other", 1, 32, 0);
	anonymous = btf__add_union(btf, NULL, 8);
	field(btf, "one", 1, 0, 0);
	field(btf, "in", inner, 0, 0);
	ptr = btf__add_ptr(btf, btf__add_const(btf, btf__add_volatile(btf, inner)));
	alias = btf__add_typedef(btf, "my_int", 1);
	array = btf__add_array(btf, 1, alias, 7);
	unrelated = btf__add_struct(btf, "unrelated", 4);
	field(btf, "nobody", 1, 0, 0);
	assert_true(btf__add_struct(btf, "task", 56) > 0);
	field(btf, "before", 1, 0, 0);
	field(btf, NULL, anonymous, 32, 0);
	field(btf, "bits", 1, 96, 3);
	field(btf, "more", 1, 99, 5);
	field(btf, "next", ptr, 128, 0);
	field(btf, "array", array, 192, 0);
	field(btf, "far", unrelated, 416, 0);
	assert_true(btf__add_enum(btf, "numbers", 4) > 0);
	assert_int_equal(btf__add_enum_value(btf, "FIRST", 1), 0);
	assert_int_equal(btf__add_enum_value(btf, "SECOND", 7), 0);
	return btf;
}

/* struct task___old { int in, more, array, next, wanted; }; enum numbers { … }; */
static struct btf *wanted(void)
{
	struct btf *btf = empty();

	assert_true(btf__add_struct(btf, "task___old", 20) > 0);
	field(btf, "in", 1, 0, 0);
	field(btf, "more", 1, 32, 0);
	field(btf, "array", 1, 64, 0);
	field(btf, "next", 1, 96, 0);
	field(btf, "wanted", 1, 128, 0);
	assert_true(btf__add_enum(btf, "numbers", 4) > 0);
	return btf;
}

static struct btf *cut(void)
{
	struct btf *all = kernel(), *asked = wanted(), *btf = ktypes__cut(all, asked);

	assert_non_null(btf);
	btf__free(all);
	btf__free(asked);
	return btf;
}

static const struct btf_type *type_of(const struct btf *btf, const char *name, uint32_t kind)
{
	int id = btf__find_by_name_kind(btf, name, kind);

	assert_true(id > 0);
	return btf__type_by_id(btf, (uint32_t)id);
}

/* Member @i of @t: its name, its place, and its type in the end. */
static const struct btf_type *member(const struct btf *btf, const struct btf_type *t, uint32_t i,
				     const char *name, uint32_t bits, uint32_t size)
{
	const struct btf_member *m = &btf_members(t)[i];

	assert_true(i < btf_vlen(t));
	assert_string_equal(btf__name_by_offset(btf, m->name_off), name);
	assert_int_equal(btf_member_bit_offset(t, i), bits);
	assert_int_equal(btf_member_bitfield_size(t, i), size);
	return btf__type_by_id(btf, (uint32_t)btf__resolve_type(btf, m->type));
}

static void keeps_what_has_a_name_in_it(void **state)
{
	struct btf *btf = cut();
	const struct btf_type *task = type_of(btf, "task", BTF_KIND_STRUCT), *t;

	(void)state;
	assert_int_equal(task->size, 56);
	assert_int_equal(btf_vlen(task), 4);
	t = member(btf, task, 0, "", 32, 0);
	assert_true(btf_is_union(t));
	assert_int_equal(btf_vlen(t), 1);
	t = member(btf, t, 0, "in", 0, 0);
	assert_int_equal(t->size, 8);
	assert_int_equal(btf_vlen(t), 1);
	t = member(btf, t, 0, "wanted", 0, 0);
	assert_int_equal(btf_int_encoding(t), BTF_INT_SIGNED);
	member(btf, task, 1, "more", 99, 5);
	t = member(btf, task, 2, "next", 128, 0);
	assert_true(btf_is_ptr(t));
	assert_int_equal(t->type, 0);
	t = member(btf, task, 3, "array", 192, 0);
	assert_int_equal(btf_array(t)->nelems, 7);
	assert_int_equal(btf__resolve_size(btf, btf_array(t)->type), 4);
	btf__free(btf);
}

static void leaves_out_what_nobody_asks_for(void **state)
{
	struct btf *btf = cut();

	(void)state;
	assert_int_equal(btf__find_by_name(btf, "unrelated"), -ENOENT);
	btf__free(btf);
}

static void keeps_enums_whole(void **state)
{
	struct btf *btf = cut();
	const struct btf_type *t = type_of(btf, "numbers", BTF_KIND_ENUM);

	(void)state;
	assert_int_equal(btf_vlen(t), 2);
	assert_string_equal(btf__name_by_offset(btf, btf_enum(t)[1].name_off), "SECOND");
	assert_int_equal(btf_enum(t)[1].val, 7);
	btf__free(btf);
}

/* Types of the same name are all kept: which one is meant is libbpf's to say. */
static void keeps_all_of_a_name(void **state)
{
	struct btf *all = kernel(), *asked = wanted(), *btf;
	unsigned int tasks = 0;

	(void)state;
	assert_true(btf__add_struct(all, "task", 4) > 0);
	field(all, "more", 1, 0, 0);
	btf = ktypes__cut(all, asked);
	assert_non_null(btf);
	for (uint32_t id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);

		tasks += !strcmp(btf__name_by_offset(btf, t->name_off), "task");
	}
	assert_int_equal(tasks, 2);
	btf__free(btf);
	btf__free(asked);
	btf__free(all);
}

static void is_read_back_from_a_file(void **state)
{
	struct btf *btf = cut(), *read;
	int fd = memfd_create("types", MFD_CLOEXEC);
	char path[32];

	(void)state;
	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(ktypes__write(btf, fd), 0);
	assert_int_equal(ktypes__write(btf, fd), 0); /* instead of what was there */
	read = ktypes__read(path);
	assert_non_null(read);
	assert_int_equal(btf__type_cnt(read), btf__type_cnt(btf));
	assert_int_equal(type_of(read, "task", BTF_KIND_STRUCT)->size, 56);
	btf__free(read);
	btf__free(btf);
	close(fd);
}

static void a_file_that_is_none(void **state)
{
	(void)state;
	assert_null(ktypes__read("/no/such/file"));
	assert_int_equal(errno, ENOENT);
	assert_string_equal(ktypes__path("/a/file"), "/a/file");
	assert_string_equal(ktypes__path(NULL), "/sys/kernel/btf/vmlinux");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_what_has_a_name_in_it),
		cmocka_unit_test(leaves_out_what_nobody_asks_for),
		cmocka_unit_test(keeps_enums_whole),
		cmocka_unit_test(keeps_all_of_a_name),
		cmocka_unit_test(is_read_back_from_a_file),
		cmocka_unit_test(a_file_that_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
