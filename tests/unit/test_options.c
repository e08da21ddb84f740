// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/options.h"
#include "base/str.h"
#include "capture.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define ARGS_MAX      8

struct common {
	bool json, all, verbose;
	uint32_t rows, any32;
	uint64_t entries, duration, min;
	const char *output;
	struct option_list pids;
};

struct own {
	uint32_t by;
	bool hist, lines;
};

static const char *const by_choices[] = {"process", "thread", "cgroup", NULL};
static const char *const only_choice[] = {"one", NULL};

static const struct opt common_options[] = {
	{'p', "pid", "PID[,PID...]", OPT_U32_LIST, offsetof(struct common, pids),
	 .help = "watch these processes"},
	{'a', "all", NULL, OPT_FLAG, offsetof(struct common, all),
	 .help = "watch the whole machine (the default)"},
	{'d', "duration", "DURATION", OPT_DURATION, offsetof(struct common, duration),
	 .help = "stop after this time; a bare number is seconds, and 100ms, 2.5s, 3m or 1h are "
		 "understood too (default: until interrupted)",
	 .group = 2},
	{0, "min", "DURATION", OPT_DURATION, offsetof(struct common, min), 1000, 3600000000000,
	 .help = "leave out what is shorter", .group = 2},
	{'n', "rows", "N", OPT_U32, offsetof(struct common, rows), 1, 1000, .help = "show N rows",
	 .group = 3},
	{0, "any32", "N", OPT_U32, offsetof(struct common, any32), .help = "any number",
	 .group = 3},
	{0, "max-entries-of-every-single-map", "N", OPT_U64, offsetof(struct common, entries), 16,
	 .help = "size of the maps", .group = 3},
	{'o', "output", "FILE", OPT_STR, offsetof(struct common, output), .help = "write there",
	 .group = 3},
	{'j', "json", NULL, OPT_FLAG, offsetof(struct common, json), .help = "print JSON",
	 .group = 3},
	{'v', "verbose", NULL, OPT_FLAG, offsetof(struct common, verbose), .help = "say more",
	 .group = 3},
	OPTION_END,
};

static const struct opt own_options[] = {
	{0, "by", "WHAT", OPT_CHOICE, offsetof(struct own, by), .choices = by_choices,
	 .help = "group by process, thread or cgroup", .group = 1},
	{0, "hist", NULL, OPT_FLAG, offsetof(struct own, hist), .help = "print histograms",
	 .group = 1},
	{0, "json-lines", NULL, OPT_FLAG, offsetof(struct own, lines), .help = "JSON by line",
	 .group = 3},
	OPTION_END,
};

struct parsed {
	struct common common;
	struct own own;
	enum dwell_exit status;
	int rest;
	bool done;
	struct capture out, err;
};

/* @args: separated by '|'. */
static void parse(struct parsed *p, const char *args)
{
	const struct option_set sets[] = {
		{common_options, &p->common}, {own_options, &p->own}, {NULL, NULL}};
	const struct options o = {
		.command = "why",
		.summary = "tell where the time goes",
		.examples = "  dwell why -p 1234\n",
		.sets = sets,
	};
	static char copy[8192]; /* outlives the parsing: strings point into it */
	char *argv[ARGS_MAX + 2] = {"why"};
	int argc = 1;

	p->common = (struct common){.rows = 20};
	p->own = (struct own){0};
	assert_true(str__copy(copy, sizeof(copy), args));
	for (char *next = copy, *arg; *args && (arg = strsep(&next, "|"));) {
		assert_true(argc <= ARGS_MAX);
		argv[argc++] = arg;
	}
	p->rest = 4711;
	capture__begin(&p->out, STDOUT_FILENO);
	capture__begin(&p->err, STDERR_FILENO);
	p->status = options__parse(&o, argc, argv, &p->rest, &p->done);
	capture__end(&p->err);
	capture__end(&p->out);
}

static struct parsed parsed;

static void parse_well(const char *args)
{
	parse(&parsed, args);
	assert_string_equal(parsed.err.text, "");
	assert_string_equal(parsed.out.text, "");
	assert_int_equal(parsed.status, EXIT_OK);
	assert_false(parsed.done);
}

static void nothing_given(void **state)
{
	const struct common defaults = {.rows = 20};

	(void)state;
	parse_well("");
	assert_int_equal(parsed.rest, 0);
	assert_memory_equal(&parsed.common, &defaults, sizeof(defaults));
}

static void fills_each_type(void **state)
{
	(void)state;
	parse_well("--json|--rows=7|--duration|2.5s|--output=x|--pid=1,2|--by=cgroup|--hist");
	assert_true(parsed.common.json);
	assert_false(parsed.common.all);
	assert_int_equal(parsed.common.rows, 7);
	assert_true(parsed.common.duration == 2500000000);
	assert_string_equal(parsed.common.output, "x");
	assert_int_equal(parsed.common.pids.n, 2);
	assert_int_equal(parsed.own.by, 2);
	assert_true(parsed.own.hist);

	parse_well("--max-entries-of-every-single-map=18446744073709551615|--any32=4294967295");
	assert_true(parsed.common.entries == UINT64_MAX);
	assert_int_equal(parsed.common.any32, UINT32_MAX);
}

static void gnu_syntax(void **state)
{
	static const char *const same[] = {
		"-a|-v|-n|5|-o|-x",
		"-av|-n5|-o-x",
		"-avn5|-o|-x",
		"-avn|5|--output=-x",
		"--all|--verb|--rows|5|--out|-x",
		"--al|--v|--row=5|-o-x",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		parse_well(same[i]);
		assert_true(parsed.common.all && parsed.common.verbose);
		assert_int_equal(parsed.common.rows, 5);
		assert_string_equal(parsed.common.output, "-x");
	}
	/* an exact name is not an abbreviation of a longer one; values may be empty or have '=' */
	parse_well("--min=1ms|--output=");
	assert_true(parsed.common.min == 1000000);
	assert_string_equal(parsed.common.output, "");
	parse_well("--output=a=b");
	assert_string_equal(parsed.common.output, "a=b");
	parse_well("-o|--");
	assert_string_equal(parsed.common.output, "--");
	assert_int_equal(parsed.rest, 0);
}

static void last_one_counts(void **state)
{
	(void)state;
	parse_well("-n|5|-n6|--rows=7|--by=thread|--by=process");
	assert_int_equal(parsed.common.rows, 7);
	assert_int_equal(parsed.own.by, 0);
}

static void lists_append(void **state)
{
	static const uint32_t want[] = {3, 1, 2, 4294967295};

	(void)state;
	parse_well("-p3,1|-p|1,2|--pid=2,4294967295,3");
	assert_int_equal(parsed.common.pids.n, 4);
	assert_memory_equal(parsed.common.pids.value, want, sizeof(want));
}

/* "1,2,…,n" */
static void list_up_to(char *dst, size_t size, size_t n)
{
	size_t len = 0;

	for (size_t i = 1; i <= n; i++)
		assert_true(str__append(dst, size, &len, "%s%zu", i > 1 ? "," : "", i));
}

static void lists_have_an_end(void **state)
{
	char list[2048], args[4096];

	(void)state;
	list_up_to(list, sizeof(list), OPTION_LIST_MAX);
	snprintf(args, sizeof(args), "-p|%s|-p|256,1", list);
	parse_well(args);
	assert_int_equal(parsed.common.pids.n, OPTION_LIST_MAX);
	assert_int_equal(parsed.common.pids.value[OPTION_LIST_MAX - 1], OPTION_LIST_MAX);

	snprintf(args, sizeof(args), "-p|%s|-p|257", list);
	parse(&parsed, args);
	assert_int_equal(parsed.status, EXIT_USAGE);
	assert_string_equal(parsed.err.text, "dwell: why: --pid takes at most 256 values\n");

	list_up_to(list, sizeof(list), OPTION_LIST_MAX + 1);
	parse(&parsed, strcat(strcpy(args, "-p|"), list));
	assert_int_equal(parsed.status, EXIT_USAGE);
	assert_string_equal(parsed.err.text, "dwell: why: --pid takes at most 256 values\n");
}

static void program_behind_dashes(void **state)
{
	static const struct {
		const char *args;
		int rest;
	} cases[] = {
		{"--|ls", 2},      {"--|-l|--json", 2}, {"-a|--|--|x", 3},
		{"-o|--|--|x", 4}, {"-a|--|--help", 3},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		parse_well(cases[i].args);
		assert_int_equal(parsed.rest, cases[i].rest);
		assert_false(parsed.common.json);
	}
}

static void says_what_is_wrong(void **state)
{
#define DURATION "--duration wants a duration such as 5, 100ms or 2.5s, not "
	static const struct {
		const char *args, *message;
	} cases[] = {
		{"-d|abc", DURATION "'abc'"},
		{"-d|-5", DURATION "'-5'"},
		{"-d-5", DURATION "'-5'"},
		{"--duration=-5", DURATION "'-5'"},
		{"--duration=", DURATION "''"},
		{"-d|--json", DURATION "'--json'"},
		{"-d|9999999999999h", "--duration wants a duration of at most 1281023h54m, not "
				      "'9999999999999h'"},
		{"--min=999ns", "--min wants a duration from 1.00us to 1h00m, not '999ns'"},
		{"--min=3601", "--min wants a duration from 1.00us to 1h00m, not '3601'"},
		{"-n0", "--rows wants a number from 1 to 1000, not '0'"},
		{"-n1001", "--rows wants a number from 1 to 1000, not '1001'"},
		{"-n|ten", "--rows wants a number from 1 to 1000, not 'ten'"},
		{"-n|-1", "--rows wants a number from 1 to 1000, not '-1'"},
		{"-n|99999999999999999999", "--rows wants a number from 1 to 1000, not "
					    "'99999999999999999999'"},
		{"--any32=x", "--any32 wants a number, not 'x'"},
		{"--any32=4294967296", "--any32 wants a number of at most 4294967295, not "
				       "'4294967296'"},
		{"--max=15", "--max-entries-of-every-single-map wants a number of at least 16, not "
			     "'15'"},
		{"--max=99999999999999999999",
		 "--max-entries-of-every-single-map wants a number of "
		 "at most 18446744073709551615, not "
		 "'99999999999999999999'"},
		{"--max=x",
		 "--max-entries-of-every-single-map wants a number of at least 16, not 'x'"},
		{"-p|", "--pid wants positive numbers such as 12 or 12,34, not ''"},
		{"-p|0", "--pid wants positive numbers such as 12 or 12,34, not '0'"},
		{"-p|1,x", "--pid wants positive numbers such as 12 or 12,34, not '1,x'"},
		{"--by=x", "--by wants process, thread or cgroup, not 'x'"},
		{"--by=proc", "--by wants process, thread or cgroup, not 'proc'"},
		{"-p", "--pid wants a value: PID[,PID...]"},
		{"-ap", "--pid wants a value: PID[,PID...]"},
		{"--pid", "--pid wants a value: PID[,PID...]"},
		{"-n", "--rows wants a value: N"},
		{"--min", "--min wants a value: DURATION"},
		{"--json=yes", "--json takes no value"},
		{"--help=yes", "--help takes no value"},
		{"--frobnicate", "unknown option '--frobnicate' (see dwell why --help)"},
		{"--frob=1", "unknown option '--frob' (see dwell why --help)"},
		{"--jsonx", "unknown option '--jsonx' (see dwell why --help)"},
		{"-Z", "unknown option '-Z' (see dwell why --help)"},
		{"-aZ", "unknown option '-Z' (see dwell why --help)"},
		{"-aZp", "unknown option '-Z' (see dwell why --help)"},
		{"-a|-jZv|x", "unknown option '-Z' (see dwell why --help)"},
		{"--frob\x1b\nb", "unknown option '--frob??b' (see dwell why --help)"},
		{"-5", "unknown option '-5' (see dwell why --help)"},
		{"-ä", "unknown option '-ä' (see dwell why --help)"},
		{"-\xff", "unknown option '-?' (see dwell why --help)"},
		{"-a-json", "unknown option '--' (see dwell why --help)"},
		{"--m", "option '--m' is ambiguous: --min or --max-entries-of-every-single-map"},
		{"--h", "option '--h' is ambiguous: --hist or --help"},
		{"foo", "unexpected argument 'foo' (a program to run goes behind --)"},
		{"-a|foo|--|x", "unexpected argument 'foo' (a program to run goes behind --)"},
		{"-", "unexpected argument '-' (a program to run goes behind --)"},
		{"-a|", "unexpected argument '' (a program to run goes behind --)"},
		{"a\x1b\nb", "unexpected argument 'a??b' (a program to run goes behind --)"},
		{"-a|--", "a program to run is missing behind --"},
		{"-Z|--help", "unknown option '-Z' (see dwell why --help)"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char want[256];

		parse(&parsed, cases[i].args);
		snprintf(want, sizeof(want), "dwell: why: %s\n", cases[i].message);
		assert_string_equal(parsed.err.text, want);
		assert_string_equal(parsed.out.text, "");
		assert_int_equal(parsed.status, EXIT_USAGE);
		assert_int_equal(parsed.rest, 0);
		assert_false(parsed.done);
	}
}

/* A wrong value leaves the default. */
static void failure_keeps_the_field(void **state)
{
	(void)state;
	parse(&parsed, "-n0");
	assert_int_equal(parsed.common.rows, 20);
	parse(&parsed, "-p1|-p2,0");
	assert_int_equal(parsed.common.pids.n, 1);
}

static void one_choice(void **state)
{
	static const struct opt options[] = {
		{0, "by", "WHAT", OPT_CHOICE, 0, .choices = only_choice, .help = "only one"},
		OPTION_END,
	};
	uint32_t by = 7;
	const struct option_set sets[] = {{options, &by}, {NULL, NULL}};
	const struct options o = {"why", "s", NULL, sets};
	char *argv[] = {"why", "--by=two"};
	static struct capture err;
	bool done;
	int rest;

	(void)state;
	capture__begin(&err, STDERR_FILENO);
	assert_int_equal(options__parse(&o, 2, argv, &rest, &done), EXIT_USAGE);
	assert_string_equal(capture__end(&err), "dwell: why: --by wants one, not 'two'\n");
	assert_int_equal(by, 7);
}

/* argp's own */
#define SHORT_NOTE                                                                                 \
	"Mandatory or optional arguments to long options are also mandatory or optional\n"         \
	"for any corresponding short options.\n"

static const char help_text[] =
	"Usage: dwell why [OPTION…] [-- PROGRAM ARGS…]\n"
	"\n"
	"tell where the time goes\n"
	"\n"
	"  -a, --all                  watch the whole machine (the default)\n"
	"      --by=WHAT              group by process, thread or cgroup\n"
	"      --hist                 print histograms\n"
	"  -p, --pid=PID[,PID...]     watch these processes\n"
	"\n"
	"  -d, --duration=DURATION    stop after this time; a bare number is seconds,\n"
	"                             and 100ms, 2.5s, 3m or 1h are understood too\n"
	"                             (default: until interrupted)\n"
	"      --min=DURATION         leave out what is shorter\n"
	"\n"
	"      --any32=N              any number\n"
	"      --json-lines           JSON by line\n"
	"  -j, --json                 print JSON\n"
	"      --max-entries-of-every-single-map=N\n"
	"                             size of the maps\n"
	"  -n, --rows=N               show N rows\n"
	"  -o, --output=FILE          write there\n"
	"  -v, --verbose              say more\n"
	"\n"
	"  -h, --help                 show this help and exit\n"
	"\n" SHORT_NOTE "\n"
	"Examples:\n"
	"  dwell why -p 1234\n";

static void helps(void **state)
{
	/* what follows --help doesn't matter */
	static const char *const args[] = {"--help", "-h", "--hel", "-ah", "-a|--help|--nonsense"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(args); i++) {
		parse(&parsed, args[i]);
		assert_string_equal(parsed.out.text, help_text);
		assert_string_equal(parsed.err.text, "");
		assert_int_equal(parsed.status, EXIT_OK);
		assert_true(parsed.done);
	}
}

static void h_may_be_another(void **state)
{
	static const struct opt options[] = {
		{'h', "host", "HOST", OPT_STR, 0, .help = "ask there"},
		OPTION_END,
	};
	const char *host = NULL;
	const struct option_set sets[] = {{options, &host}, {NULL, NULL}};
	const struct options o = {"why", "s", NULL, sets};
	char *argv[] = {"why", "-hx", "--help"};
	static struct capture out;
	bool done;
	int rest;

	(void)state;
	assert_int_equal(options__parse(&o, 2, argv, &rest, &done), EXIT_OK);
	assert_string_equal(host, "x");
	assert_false(done);
	capture__begin(&out, STDOUT_FILENO);
	assert_int_equal(options__parse(&o, 3, argv, &rest, &done), EXIT_OK);
	assert_string_equal(capture__end(&out),
			    "Usage: dwell why [OPTION…] [-- PROGRAM ARGS…]\n\ns\n\n"
			    "  -h, --host=HOST            ask there\n\n"
			    "      --help                 show this help and exit\n"
			    "\n" SHORT_NOTE);
	assert_true(done);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_given),
		cmocka_unit_test(fills_each_type),
		cmocka_unit_test(gnu_syntax),
		cmocka_unit_test(last_one_counts),
		cmocka_unit_test(lists_append),
		cmocka_unit_test(lists_have_an_end),
		cmocka_unit_test(program_behind_dashes),
		cmocka_unit_test(says_what_is_wrong),
		cmocka_unit_test(failure_keeps_the_field),
		cmocka_unit_test(one_choice),
		cmocka_unit_test(helps),
		cmocka_unit_test(h_may_be_another),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
