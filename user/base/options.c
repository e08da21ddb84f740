// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * A parser of our own rather than argp's: argp can't tell its caller which option was wrong and
 * why, and aligns its help by bytes, which "PID[,PID…]" upsets.
 */
#include "base/options.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"

#define HELP_COLUMN     29 /* where the help texts begin */
#define HELP_COLUMNS    79 /* where they are wrapped */
#define DURATION_MAX_NS (1ULL << 62)

static const struct option help_option = {
	.short_name = 'h',
	.long_name = "help",
	.type = OPT_FLAG,
	.help = "show this help and exit",
};

struct parser {
	const struct options *o;
	int argc;
	char **argv;
	int next; /* the argument behind the one that is being parsed */
	bool help;
};

/* An option and the struct that it fills. */
struct match {
	const struct option *opt;
	void *target;
};

static void *field(const struct match *m)
{
	return (char *)m->target + m->opt->offset;
}

static uint64_t upper_bound(const struct option *opt)
{
	uint64_t limit = opt->type == OPT_U32        ? UINT32_MAX
			 : opt->type == OPT_DURATION ? DURATION_MAX_NS
						     : UINT64_MAX;

	return opt->max && opt->max < limit ? opt->max : limit;
}

/* " from 1 to 10", " of at least 1" or " of at most 10": the bounds as @format writes them. */
static void describe_bounds(char *dst, size_t size, const struct option *opt, bool too_low,
			    void (*format)(char *dst, size_t size, uint64_t v))
{
	char min[32], max[32];

	format(min, sizeof(min), opt->min);
	format(max, sizeof(max), upper_bound(opt));
	if (opt->min && opt->max)
		snprintf(dst, size, " from %s to %s", min, max);
	else if (too_low)
		snprintf(dst, size, " of at least %s", min);
	else
		snprintf(dst, size, " of at most %s", max);
}

static void format_plain(char *dst, size_t size, uint64_t v)
{
	snprintf(dst, size, "%llu", (unsigned long long)v);
}

static enum dwell_exit bad_value(const struct parser *p, const struct option *opt, const char *what,
				 const char *bounds, const char *value)
{
	return err__usage("%s: --%s wants %s%s, not '%s'", p->o->command, opt->long_name, what,
			  bounds, value);
}

static enum dwell_exit set_number(const struct parser *p, const struct match *m, const char *value)
{
	const struct option *opt = m->opt;
	uint64_t v = UINT64_MAX;
	char bounds[80] = "";
	int err;

	err = str__to_u64(value, 0, UINT64_MAX, &v);
	if (err || v < opt->min || v > upper_bound(opt)) {
		bool too_low = err == -EINVAL ? opt->min > 0 : v < opt->min;

		if (err != -EINVAL || opt->min || opt->max)
			describe_bounds(bounds, sizeof(bounds), opt, too_low, format_plain);
		return bad_value(p, opt, "a number", bounds, value);
	}
	if (m->opt->type == OPT_U32)
		*(uint32_t *)field(m) = v;
	else
		*(uint64_t *)field(m) = v;
	return EXIT_OK;
}

static enum dwell_exit set_duration(const struct parser *p, const struct match *m,
				    const char *value)
{
	uint64_t ns = UINT64_MAX;
	char bounds[80];
	int err;

	err = time__parse_duration(value, &ns);
	if (err == -EINVAL)
		return bad_value(p, m->opt, "a duration such as 5, 100ms or 2.5s", "", value);
	if (err || ns < m->opt->min || ns > upper_bound(m->opt)) {
		describe_bounds(bounds, sizeof(bounds), m->opt, ns < m->opt->min, time__format);
		return bad_value(p, m->opt, "a duration", bounds, value);
	}
	*(uint64_t *)field(m) = ns;
	return EXIT_OK;
}

/* Appends what is not in it yet; false if there is no room. */
static bool append_values(struct option_list *list, const uint32_t *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t at = 0;

		while (at < list->n && list->value[at] != values[i])
			at++;
		if (at == OPTION_LIST_MAX)
			return false;
		list->value[at] = values[i];
		if (at == list->n)
			list->n++;
	}
	return true;
}

static enum dwell_exit set_list(const struct parser *p, const struct match *m, const char *value)
{
	uint32_t values[OPTION_LIST_MAX];
	int n;

	n = str__to_u32_list(value, values, OPTION_LIST_MAX);
	if (n == -E2BIG || (n > 0 && !append_values(field(m), values, n)))
		return err__usage("%s: --%s takes at most %d values", p->o->command,
				  m->opt->long_name, OPTION_LIST_MAX);
	if (n < 0)
		return bad_value(p, m->opt, "positive numbers such as 12 or 12,34", "", value);
	return EXIT_OK;
}

static enum dwell_exit set_choice(const struct parser *p, const struct match *m, const char *value)
{
	const char *const *choices = m->opt->choices;
	char names[256];
	size_t len = 0;

	for (uint32_t i = 0; choices[i]; i++) {
		if (!strcmp(choices[i], value)) {
			*(uint32_t *)field(m) = i;
			return EXIT_OK;
		}
	}
	for (uint32_t i = 0; choices[i]; i++)
		str__append(names, sizeof(names), &len, "%s%s",
			    i == 0           ? ""
			    : choices[i + 1] ? ", "
					     : " or ",
			    choices[i]);
	return bad_value(p, m->opt, names, "", value);
}

static void set_flag(struct parser *p, const struct match *m)
{
	if (m->opt == &help_option)
		p->help = true;
	else
		*(bool *)field(m) = true;
}

static enum dwell_exit set_value(const struct parser *p, const struct match *m, const char *value)
{
	switch (m->opt->type) {
	case OPT_U32:
	case OPT_U64:
		return set_number(p, m, value);
	case OPT_DURATION:
		return set_duration(p, m, value);
	case OPT_U32_LIST:
		return set_list(p, m, value);
	case OPT_CHOICE:
		return set_choice(p, m, value);
	default: /* OPT_STR; flags have no value */
		*(const char **)field(m) = value;
		return EXIT_OK;
	}
}

/* Takes the next argument as the option's value. */
static enum dwell_exit set_from_next(struct parser *p, const struct match *m)
{
	if (p->next == p->argc)
		return err__usage("%s: --%s wants a value: %s", p->o->command, m->opt->long_name,
				  m->opt->arg);
	return set_value(p, m, p->argv[p->next++]);
}

static bool find_short(const struct options *o, int name, struct match *m)
{
	for (const struct option_set *set = o->sets; set->options; set++) {
		for (const struct option *opt = set->options; opt->long_name; opt++) {
			if (opt->short_name == name) {
				*m = (struct match){opt, set->target};
				return true;
			}
		}
	}
	*m = (struct match){&help_option, NULL};
	return name == help_option.short_name;
}

/* What a long name, perhaps abbreviated, stands for. */
struct candidates {
	const char *name; /* the first @len bytes of it */
	size_t len;
	unsigned int n;        /* how many options begin like it */
	struct match match[2]; /* the first two of them */
};

/* True if @opt has exactly that name: then it is the only candidate. */
static bool consider(struct candidates *c, const struct option *opt, void *target)
{
	if (strncmp(opt->long_name, c->name, c->len))
		return false;
	if (!opt->long_name[c->len])
		c->n = 0;
	if (c->n < 2)
		c->match[c->n] = (struct match){opt, target};
	c->n++;
	return !opt->long_name[c->len];
}

static void find_long(const struct options *o, struct candidates *c)
{
	for (const struct option_set *set = o->sets; set->options; set++) {
		for (const struct option *opt = set->options; opt->long_name; opt++) {
			if (consider(c, opt, set->target))
				return;
		}
	}
	consider(c, &help_option, NULL);
}

/* "pid", "pid=1" or an abbreviation: what follows the two hyphens. */
static enum dwell_exit parse_long(struct parser *p, const char *arg)
{
	struct candidates c = {.name = arg, .len = strcspn(arg, "=")};
	const char *command = p->o->command, *end = arg + c.len;
	const struct match *m = c.match;

	find_long(p->o, &c);
	if (c.n == 0)
		return err__usage("%s: unknown option '--%.*s' (see dwell %s --help)", command,
				  (int)c.len, arg, command);
	if (c.n > 1)
		return err__usage("%s: option '--%.*s' is ambiguous: --%s or --%s", command,
				  (int)c.len, arg, m[0].opt->long_name, m[1].opt->long_name);
	if (m->opt->type != OPT_FLAG)
		return *end == '=' ? set_value(p, m, end + 1) : set_from_next(p, m);
	if (*end == '=')
		return err__usage("%s: --%s takes no value", command, m->opt->long_name);
	set_flag(p, m);
	return EXIT_OK;
}

/* "abc" or "p1": what follows the one hyphen. */
static enum dwell_exit parse_short(struct parser *p, const char *arg)
{
	for (; *arg; arg++) {
		struct match m;
		uint32_t code;

		if (!find_short(p->o, (unsigned char)*arg, &m)) {
			size_t len = str__decode(arg, &code);

			return err__usage("%s: unknown option '-%.*s' (see dwell %s --help)",
					  p->o->command, len ? (int)len : 1, arg, p->o->command);
		}
		if (m.opt->type != OPT_FLAG)
			return arg[1] ? set_value(p, &m, arg + 1) : set_from_next(p, &m);
		set_flag(p, &m);
	}
	return EXIT_OK;
}

/* Prints the words of @text from column @at on, wrapped, indented to @indent, and ends the line. */
static void put_words(FILE *out, const char *text, size_t at, size_t indent)
{
	bool first = true;

	for (;;) {
		char word[256];
		size_t len, columns;

		text += strspn(text, " \n");
		len = strcspn(text, " \n");
		if (len == 0)
			break;
		snprintf(word, sizeof(word), "%.*s", (int)len, text);
		columns = str__columns(word);
		if (!first && at + 1 + columns > HELP_COLUMNS) {
			fprintf(out, "\n%*s", (int)indent, "");
			at = indent;
			first = true;
		}
		fprintf(out, "%s%s", first ? "" : " ", word);
		at += columns + !first;
		first = false;
		text += len;
	}
	putc('\n', out);
}

static void put_option(FILE *out, const struct option *opt, bool has_short)
{
	char names[256];
	size_t len = 0, columns;

	if (has_short)
		str__append(names, sizeof(names), &len, "  -%c, ", opt->short_name);
	else
		str__append(names, sizeof(names), &len, "      ");
	str__append(names, sizeof(names), &len, "--%s%s%s", opt->long_name, opt->arg ? "=" : "",
		    opt->arg ? opt->arg : "");
	columns = str__columns(names);
	fputs(names, out);
	if (columns + 2 > HELP_COLUMN) {
		putc('\n', out);
		columns = 0;
	}
	fprintf(out, "%*s", (int)(HELP_COLUMN - columns), "");
	put_words(out, opt->help, HELP_COLUMN, HELP_COLUMN);
}

/* The lowest group above @group, or INT_MAX; groups are printed in the order of their numbers. */
static int next_group(const struct options *o, long long group)
{
	int next = INT_MAX;

	for (const struct option_set *set = o->sets; set->options; set++) {
		for (const struct option *opt = set->options; opt->long_name; opt++) {
			if (opt->group > group && opt->group < next)
				next = opt->group;
		}
	}
	return next;
}

static void put_group(FILE *out, const struct options *o, int group)
{
	for (const struct option_set *set = o->sets; set->options; set++) {
		for (const struct option *opt = set->options; opt->long_name; opt++) {
			if (opt->group == group)
				put_option(out, opt, opt->short_name != 0);
		}
	}
	putc('\n', out);
}

static void put_help(FILE *out, const struct options *o)
{
	struct match h;

	fprintf(out, "Usage: dwell %s [OPTION…] [-- PROGRAM ARGS…]\n\n", o->command);
	put_words(out, o->summary, 0, 0);
	putc('\n', out);
	for (int group = next_group(o, LLONG_MIN); group != INT_MAX; group = next_group(o, group))
		put_group(out, o, group);
	find_short(o, help_option.short_name, &h);
	put_option(out, &help_option, h.opt == &help_option);
	if (o->examples)
		fprintf(out, "\nExamples:\n%s", o->examples);
}

enum dwell_exit options__parse(const struct options *o, int argc, char **argv, int *rest,
			       bool *done)
{
	struct parser p = {.o = o, .argc = argc, .argv = argv, .next = 1};

	*rest = 0;
	*done = false;
	while (p.next < argc && !p.help) {
		const char *arg = argv[p.next++];
		enum dwell_exit status;

		if (!strcmp(arg, "--")) {
			if (p.next == argc)
				return err__usage("%s: a program to run is missing behind --",
						  o->command);
			*rest = p.next;
			return EXIT_OK;
		}
		if (arg[0] != '-' || arg[1] == '\0')
			return err__usage("%s: unexpected argument '%s' (a program to run goes "
					  "behind --)",
					  o->command, arg);
		status = arg[1] == '-' ? parse_long(&p, arg + 2) : parse_short(&p, arg + 1);
		if (status)
			return status;
	}
	if (p.help) {
		put_help(stdout, o);
		*done = true;
	}
	return EXIT_OK;
}
