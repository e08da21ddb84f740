/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * check-vmlinux OBJECT [BTF]: holds the types in OBJECT's BTF, which were written by hand, against
 * the running kernel's (or the file BTF). Every type must exist there, with every field, and fields
 * must be of the same kind, scalars of the same size. What has a ___suffix describes other kernel
 * versions: it is listed when it does not match, which is no error.
 *
 * Exit status: 0 all match, 1 something does not (a line each on stderr), 2 it could not be
 * checked.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

struct check {
	const struct btf *ours, *kernel;
	const char *type; /* our type's full name, for messages */
	bool quiet;       /* a trial, of one of several kernel types of the same name */
	unsigned int nr_types, nr_fields, nr_faults, nr_absent;
};

static const char *name_of(const struct btf *btf, __u32 offset)
{
	return btf__name_by_offset(btf, offset);
}

static size_t essential_len(const char *name)
{
	const char *suffix = strstr(name, "___");

	return suffix && suffix != name ? (size_t)(suffix - name) : strlen(name);
}

static bool is_flavour(const char *name)
{
	return name[essential_len(name)] != '\0';
}

/* Whether our name, but for a ___suffix, is the kernel's. */
static bool same_name(const char *ours, const char *kernel)
{
	size_t len = essential_len(ours);

	return strlen(kernel) == len && !strncmp(ours, kernel, len);
}

__attribute__((format(printf, 3, 4))) static bool fault(struct check *c, const char *field,
							const char *fmt, ...)
{
	bool flavour = is_flavour(c->type) || is_flavour(field);
	FILE *out = flavour ? stdout : stderr;
	va_list args;

	if (c->quiet)
		return false;
	if (flavour)
		c->nr_absent++;
	else
		c->nr_faults++;
	fprintf(out, "%s%s%s: %s", c->type, *field ? "." : "", field,
		flavour ? "not on this kernel: " : "");
	va_start(args, fmt);
	vfprintf(out, fmt, args);
	va_end(args);
	fputc('\n', out);
	return false;
}

static const struct btf_type *resolve(const struct btf *btf, __u32 id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t) || btf_is_type_tag(t)))
		t = btf__type_by_id(btf, t->type);
	return t;
}

static bool is_scalar(const struct btf_type *t)
{
	return btf_is_int(t) || btf_is_any_enum(t);
}

static bool is_struct(const struct btf_type *t)
{
	return btf_is_composite(t) || btf_is_fwd(t);
}

static const char *kind_of(const struct btf_type *t)
{
	if (is_scalar(t))
		return "a scalar";
	if (btf_is_ptr(t))
		return "a pointer";
	if (btf_is_array(t))
		return "an array";
	return is_struct(t) ? "a struct or union" : "of another kind";
}

static bool check_fields(struct check *c, const struct btf_type *ours,
			 const struct btf_type *kernel);

static bool check_scalar(struct check *c, const char *field, const struct btf_type *ours,
			 const struct btf_type *kernel)
{
	if (ours->size != kernel->size)
		return fault(c, field, "%u bytes, the kernel's has %u", ours->size, kernel->size);
	/* The kernel's char is unsigned since 6.2 (3bc753c06dd0): of single bytes the sign is free.
	 */
	if (btf_is_int(ours) && btf_is_int(kernel) && ours->size > 1 &&
	    (btf_int_encoding(ours) & BTF_INT_SIGNED) !=
		    (btf_int_encoding(kernel) & BTF_INT_SIGNED))
		return fault(c, field, "the sign differs");
	return true;
}

/* What our pointer points to is checked by its name alone; void points to anything. */
static bool check_pointer(struct check *c, const char *field, const struct btf_type *ours,
			  const struct btf_type *kernel)
{
	const struct btf_type *o = resolve(c->ours, ours->type);
	const struct btf_type *k = resolve(c->kernel, kernel->type);

	if (!is_struct(o))
		return true;
	if (!is_struct(k) ||
	    !same_name(name_of(c->ours, o->name_off), name_of(c->kernel, k->name_off)))
		return fault(c, field, "points to struct %s, the kernel's to %s %s",
			     name_of(c->ours, o->name_off), is_struct(k) ? "struct" : "",
			     name_of(c->kernel, k->name_off));
	return true;
}

static bool check_type(struct check *c, const char *field, __u32 ours_id, __u32 kernel_id)
{
	const struct btf_type *o = resolve(c->ours, ours_id);
	const struct btf_type *k = resolve(c->kernel, kernel_id);

	if (strcmp(kind_of(o), kind_of(k)))
		return fault(c, field, "%s, the kernel's is %s", kind_of(o), kind_of(k));
	if (is_scalar(o))
		return check_scalar(c, field, o, k);
	if (btf_is_ptr(o))
		return check_pointer(c, field, o, k);
	if (btf_is_array(o)) {
		__u32 ours_n = btf_array(o)->nelems, kernel_n = btf_array(k)->nelems;

		/* one without a length stands for any */
		if (ours_n && kernel_n && ours_n != kernel_n)
			return fault(c, field, "%u elements, the kernel's has %u", ours_n,
				     kernel_n);
		return check_type(c, field, btf_array(o)->type, btf_array(k)->type);
	}
	if (btf_kind(o) != btf_kind(k))
		return fault(c, field, "struct on one side, union on the other");
	if (!*name_of(c->ours, o->name_off))
		return check_fields(c, o, k);
	if (!same_name(name_of(c->ours, o->name_off), name_of(c->kernel, k->name_off)))
		return fault(c, field, "struct %s, the kernel's is struct %s",
			     name_of(c->ours, o->name_off), name_of(c->kernel, k->name_off));
	return true; /* it is checked by itself */
}

struct member {
	__u32 type;
	__u32 bits; /* 0: no bit field */
};

/* The kernel's member of our name, in anonymous members too. */
static bool find_member(const struct btf *btf, const struct btf_type *t, const char *name,
			struct member *found)
{
	const struct btf_member *m = btf_members(t);
	__u16 i;

	for (i = 0; i < btf_vlen(t); i++, m++) {
		const char *member = name_of(btf, m->name_off);
		const struct btf_type *inner;

		if (*member) {
			if (!same_name(name, member))
				continue;
			found->type = m->type;
			found->bits = btf_member_bitfield_size(t, i);
			return true;
		}
		inner = resolve(btf, m->type);
		if (btf_is_composite(inner) && find_member(btf, inner, name, found))
			return true;
	}
	return false;
}

static bool check_fields(struct check *c, const struct btf_type *ours,
			 const struct btf_type *kernel)
{
	const struct btf_member *m = btf_members(ours);
	bool ok = true;
	__u16 i;

	for (i = 0; i < btf_vlen(ours); i++, m++) {
		const char *name = name_of(c->ours, m->name_off);
		__u32 bits = btf_member_bitfield_size(ours, i);
		struct member k;

		if (!*name) { /* its fields may lie anywhere in the kernel's type */
			ok &= check_fields(c, resolve(c->ours, m->type), kernel);
			continue;
		}
		c->nr_fields += !c->quiet;
		if (!find_member(c->kernel, kernel, name, &k))
			ok &= fault(c, name, "there is no such field");
		else if (bits != k.bits)
			ok &= fault(c, name, "%u bits, the kernel's has %u (0: no bit field)", bits,
				    k.bits);
		else
			ok &= check_type(c, name, m->type, k.type);
	}
	return ok;
}

static bool enum_value(const struct btf *btf, const struct btf_type *t, __u16 i, const char **name,
		       __u64 *value)
{
	if (i >= btf_vlen(t))
		return false;
	if (btf_is_enum64(t)) {
		*name = name_of(btf, btf_enum64(t)[i].name_off);
		*value = btf_enum64_value(&btf_enum64(t)[i]);
	} else {
		*name = name_of(btf, btf_enum(t)[i].name_off);
		*value = (__u64)(__s64)btf_enum(t)[i].val;
	}
	return true;
}

static bool check_enum(struct check *c, const struct btf_type *ours, const struct btf_type *kernel)
{
	const char *name, *kernel_name;
	__u64 value, kernel_value;
	bool ok = true;
	__u16 i, j;

	for (i = 0; enum_value(c->ours, ours, i, &name, &value); i++) {
		bool found = false;

		c->nr_fields += !c->quiet;
		for (j = 0; enum_value(c->kernel, kernel, j, &kernel_name, &kernel_value); j++) {
			if (!same_name(name, kernel_name))
				continue;
			found = true;
			if (value != kernel_value)
				ok &= fault(c, name, "%lld, the kernel's is %lld", (long long)value,
					    (long long)kernel_value);
		}
		if (!found)
			ok &= fault(c, name, "there is no such value");
	}
	return ok;
}

static bool check_pair(struct check *c, const struct btf_type *ours, const struct btf_type *kernel)
{
	return btf_is_composite(ours) ? check_fields(c, ours, kernel) : check_enum(c, ours, kernel);
}

static bool same_kind(const struct btf_type *a, const struct btf_type *b)
{
	return btf_kind(a) == btf_kind(b) || (btf_is_any_enum(a) && btf_is_any_enum(b));
}

/* The kernel may have several types of a name: one of them must match, else the first is shown. */
static void check_named(struct check *c, const struct btf_type *ours)
{
	const struct btf_type *first = NULL;
	__u32 id, n = btf__type_cnt(c->kernel);

	c->type = name_of(c->ours, ours->name_off);
	c->nr_types++;
	for (id = 1; id < n; id++) {
		const struct btf_type *t = btf__type_by_id(c->kernel, id);
		bool ok;

		if (!same_kind(t, ours) || !same_name(c->type, name_of(c->kernel, t->name_off)))
			continue;
		c->quiet = true;
		ok = check_pair(c, ours, t);
		c->quiet = false;
		if (ok || !first)
			first = t;
		if (ok)
			break;
	}
	if (first)
		check_pair(c, ours, first);
	else
		fault(c, "", "there is no such type");
}

static void check_all(struct check *c)
{
	__u32 id, n = btf__type_cnt(c->ours);

	for (id = 1; id < n; id++) {
		const struct btf_type *t = btf__type_by_id(c->ours, id);

		if ((btf_is_composite(t) || btf_is_any_enum(t)) && *name_of(c->ours, t->name_off))
			check_named(c, t);
	}
}

static struct btf *load(const char *path)
{
	struct btf *btf = path ? btf__parse(path, NULL) : btf__load_vmlinux_btf();

	if (!btf)
		fprintf(stderr, "check-vmlinux: %s: no BTF: %s\n",
			path ? path : "/sys/kernel/btf/vmlinux", strerror(errno));
	return btf;
}

int main(int argc, char **argv)
{
	struct btf *ours = NULL, *kernel = NULL;
	struct check c = {0};
	int status = 2;

	if (argc != 2 && argc != 3) {
		fputs("usage: check-vmlinux OBJECT [BTF]\n", stderr);
		return 2;
	}
	ours = load(argv[1]);
	kernel = ours ? load(argc == 3 ? argv[2] : NULL) : NULL;
	if (kernel) {
		c.ours = ours;
		c.kernel = kernel;
		check_all(&c);
		printf("%u types, %u fields: %u do not match, %u are not on this kernel\n",
		       c.nr_types, c.nr_fields, c.nr_faults, c.nr_absent);
		status = c.nr_faults != 0;
		if (!c.nr_types) {
			fprintf(stderr, "check-vmlinux: %s: no types\n", argv[1]);
			status = 2;
		}
	}
	btf__free(kernel);
	btf__free(ours);
	return status;
}
