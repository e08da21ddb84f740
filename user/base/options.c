// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "base/options.h"

#include <argp.h>
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"

#define OPTIONS_MAX     64
#define KEY_LONG_ONLY   0x100 /* above the keys that are short names */
#define DURATION_MAX_NS (1ULL << 62)

static const struct opt help_option = {
	.short_name = 'h',
	.long_name = "help",
	.type = OPT_FLAG,
	.help = "show this help and exit",
	.group = -1, /* argp puts it last */
};

/* An option and the struct that it fills. */
struct match {
	const struct opt *opt;
	void *target;
	int key; /* argp's */
};

struct parser {
	const struct options *o;
	struct match matches[OPTIONS_MAX];
	size_t n;
	struct argp_option table[OPTIONS_MAX + 2]; /* a header, the options, the end */
	const char *value;                         /* of the last option */
	int next;                                  /* the argument to be looked at next */
	enum dwell_exit status;
	bool help;
	int rest;
};

static void *field(const struct match *m)
{
	return (char *)m->target + m->opt->offset;
}

static uint64_t upper_bound(const struct opt *opt)
{
	uint64_t limit = opt->type == OPT_U32        ? UINT32_MAX
			 : opt->type == OPT_DURATION ? DURATION_MAX_NS
						     : UINT64_MAX;

	return opt->max && opt->max < limit ? opt->max : limit;
}

/* " from 1 to 10", " of at least 1" or " of at most 10": the bounds as @format writes them. */
static void describe_bounds(char *dst, size_t size, const struct opt *opt, bool too_low,
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

static enum dwell_exit bad_value(const struct parser *p, const struct opt *opt, const char *what,
				 const char *bounds, const char *value)
{
	return err__usage("%s: --%s wants %s%s, not '%s'", p->o->command, opt->long_name, what,
			  bounds, value);
}

static enum dwell_exit set_number(const struct parser *p, const struct match *m, const char *value)
{
	const struct opt *opt = m->opt;
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
	if (opt->type == OPT_U32)
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
	case OPT_STR:
		*(const char **)field(m) = value;
		break;
	case OPT_FLAG:
		*(bool *)field(m) = true;
		break;
	}
	return EXIT_OK;
}

static const struct match *find(const struct parser *p, int key)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->matches[i].key == key)
			return &p->matches[i];
	}
	return NULL;
}

static enum dwell_exit unknown_option(const struct parser *p, const char *dashes, const char *name,
				      size_t len)
{
	return err__usage("%s: unknown option '%s%.*s' (see dwell %s --help)", p->o->command,
			  dashes, (int)len, name, p->o->command);
}

static enum dwell_exit missing_value(const struct parser *p, const struct opt *opt)
{
	return err__usage("%s: --%s wants a value: %s", p->o->command, opt->long_name, opt->arg);
}

/* "abc": the first that is no flag is unknown, or its value is missing. */
static enum dwell_exit explain_short(const struct parser *p, const char *names)
{
	const struct match *m;
	uint32_t code;

	while ((m = find(p, (unsigned char)*names)) && m->opt->type == OPT_FLAG)
		names++;
	return m ? missing_value(p, m->opt)
		 : unknown_option(p, "-", names, str__decode(names, &code) ?: 1);
}

static enum dwell_exit explain_long(const struct parser *p, const char *arg)
{
	const size_t len = strcspn(arg, "=");
	const struct opt *like[2]; /* the first two that begin like it, or the one named so */
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct opt *opt = p->matches[i].opt;
		bool exact = strlen(opt->long_name) == len;

		if (strncmp(opt->long_name, arg, len))
			continue;
		if (exact)
			n = 0;
		if (n < 2)
			like[n++] = opt;
		if (exact)
			break;
	}
	if (n == 0)
		return unknown_option(p, "--", arg, len);
	if (n > 1)
		return err__usage("%s: option '--%.*s' is ambiguous: --%s or --%s", p->o->command,
				  (int)len, arg, like[0]->long_name, like[1]->long_name);
	if (like[0]->type != OPT_FLAG)
		return missing_value(p, like[0]);
	return err__usage("%s: --%s takes no value", p->o->command, like[0]->long_name);
}

/*
 * What was wrong with an argument that getopt refused. argp doesn't pass that on: it would only let
 * getopt print it, as the bytes come and without what the option takes.
 */
static enum dwell_exit explain(const struct parser *p, const char *arg)
{
	return arg[1] == '-' ? explain_long(p, arg + 2) : explain_short(p, arg + 1);
}

static enum dwell_exit take_operand(struct parser *p, struct argp_state *state, const char *arg)
{
	if (!state->quoted)
		return err__usage("%s: unexpected argument '%s' (a program to run goes behind --)",
				  p->o->command, arg);
	p->rest = state->next - 1;
	state->next = state->argc;
	return EXIT_OK;
}

static enum dwell_exit check_no_operands(const struct parser *p, const struct argp_state *state)
{
	/* a value "--" in the last place looks to argp like the end of the options */
	if (state->quoted && state->argv[state->argc - 1] != p->value)
		return err__usage("%s: a program to run is missing behind --", p->o->command);
	return EXIT_OK;
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct parser *p = state->input;
	const struct match *m = find(p, key);

	if (m && m->opt == &help_option) {
		p->help = true;
	} else if (m) {
		p->status = set_value(p, m, arg);
		p->value = arg;
		p->next = state->next;
	} else if (key == ARGP_KEY_ARG) {
		p->status = take_operand(p, state, arg);
	} else if (key == ARGP_KEY_NO_ARGS) {
		p->status = check_no_operands(p, state);
	} else {
		return ARGP_ERR_UNKNOWN;
	}
	return p->status || p->help ? ECANCELED : 0;
}

static void add_option(struct parser *p, const struct opt *opt, void *target)
{
	bool has_short = opt->short_name && !find(p, opt->short_name);
	int key = has_short ? opt->short_name : KEY_LONG_ONLY + (int)p->n;

	assert(p->n < OPTIONS_MAX);
	p->matches[p->n++] = (struct match){opt, target, key};
	p->table[p->n] = (struct argp_option){
		.name = opt->long_name,
		.key = key,
		.arg = opt->arg,
		.doc = opt->help,
		.group = opt->group,
	};
}

static void add_options(struct parser *p)
{
	/* a header, though empty, makes argp part the groups by blank lines */
	p->table[0] = (struct argp_option){.doc = "", .group = 1};
	for (const struct option_set *set = p->o->sets; set->options; set++) {
		for (const struct opt *opt = set->options; opt->long_name; opt++)
			add_option(p, opt, set->target);
	}
	add_option(p, &help_option, NULL);
}

static void put_help(const struct options *o, const struct argp *argp, char *name)
{
	printf("Usage: dwell %s [OPTION…] [-- PROGRAM ARGS…]\n\n%s\n\n", o->command, o->summary);
	argp_help(argp, stdout, ARGP_HELP_LONG, name);
	if (o->examples)
		printf("\nExamples:\n%s", o->examples);
}

enum dwell_exit options__parse(const struct options *o, int argc, char **argv, int *rest,
			       bool *done)
{
	struct parser p = {.o = o, .next = 1};
	const struct argp argp = {.options = p.table, .parser = parse_one};
	error_t err;

	add_options(&p);
	err = argp_parse(&argp, argc, argv, ARGP_SILENT | ARGP_IN_ORDER, NULL, &p);
	if (err == EINVAL)
		p.status = explain(&p, argv[p.next]);
	else if (err && err != ECANCELED)
		p.status = err__fail("%s: options cannot be parsed: %s", o->command, strerror(err));
	if (p.help)
		put_help(o, &argp, argv[0]);
	*rest = p.rest;
	*done = p.help;
	return p.status;
}
