// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/json.h"
#include "base/str.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* What @write writes, to be freed. */
static char *written(void (*write)(struct json *j, const void *arg), const void *arg)
{
	struct json j;
	char *text;
	size_t len;
	FILE *out;

	out = open_memstream(&text, &len);
	assert_non_null(out);
	json__init(&j, out);
	write(&j, arg);
	json__end(&j);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(strlen(text), len);
	return text;
}

static void write_all_kinds(struct json *j, const void *arg)
{
	(void)arg;
	json__object_begin(j);
	json__kv_str(j, "s", "text");
	json__kv_str(j, "none", NULL);
	json__kv_u64(j, "u", UINT64_MAX);
	json__key(j, "i");
	json__i64(j, INT64_MIN);
	json__kv_double(j, "d", 2.0 / 3, 3);
	json__kv_double(j, "whole", 1e15, 0);
	json__kv_double(j, "nan", NAN, 3);
	json__kv_double(j, "inf", -INFINITY, 3);
	json__key(j, "yes");
	json__bool(j, true);
	json__key(j, "no");
	json__bool(j, false);
	json__key(j, "null");
	json__null(j);
	json__key(j, "a");
	json__array_begin(j);
	json__u64(j, 1);
	json__array_begin(j);
	json__array_end(j);
	json__object_begin(j);
	json__object_end(j);
	json__str(j, "");
	json__array_end(j);
	json__key(j, "o");
	json__object_begin(j);
	json__kv_u64(j, "x", 0);
	json__object_end(j);
	json__object_end(j);
}

static void all_kinds(void **state)
{
	char *text = written(write_all_kinds, NULL);

	(void)state;
	assert_string_equal(text, "{\"s\":\"text\",\"none\":null,\"u\":18446744073709551615,"
				  "\"i\":-9223372036854775808,\"d\":0.667,"
				  "\"whole\":1000000000000000,\"nan\":null,\"inf\":null,"
				  "\"yes\":true,\"no\":false,\"null\":null,"
				  "\"a\":[1,[],{},\"\"],\"o\":{\"x\":0}}\n");
	free(text);
}

static void write_two_documents(struct json *j, const void *arg)
{
	(void)arg;
	json__array_begin(j);
	json__array_end(j);
	json__end(j);
	json__str(j, "second");
}

static void one_document_a_line(void **state)
{
	char *text = written(write_two_documents, NULL);

	(void)state;
	assert_string_equal(text, "[]\n\"second\"\n");
	free(text);
}

static void write_str(struct json *j, const void *arg)
{
	json__str(j, arg);
}

static void strings(void **state)
{
	static const struct {
		const char *s, *text;
	} cases[] = {
		{"", "\"\""},
		{"a/b", "\"a/b\""},
		{"\"\\", "\"\\\"\\\\\""},
		{"\n\t\r\b\f", "\"\\n\\t\\u000d\\u0008\\u000c\""},
		{"\x01\x1b\x1f\x7f", "\"\\u0001\\u001b\\u001f\\u007f\""},
		{"\xc2\x80\xc2\x9f\xc2\xa0", "\"\\u0080\\u009f\xc2\xa0\""},
		{"ä€😀", "\"ä€😀\""},
		{"a\xff"
		 "b",
		 "\"a\xef\xbf\xbd"
		 "b\""},
		{"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
		{NULL, "null"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = written(write_str, cases[i].s), want[64];

		snprintf(want, sizeof(want), "%s\n", cases[i].text);
		assert_string_equal(text, want);
		free(text);
	}
}

/* What a reader must get for @s: U+FFFD for each byte that is not UTF-8. */
static void expected(char *dst, size_t size, const char *s)
{
	size_t len = 0;

	dst[0] = '\0';
	while (*s) {
		uint32_t code;
		size_t n = str__decode(s, &code);

		if (n)
			str__append(dst, size, &len, "%.*s", (int)n, s);
		else
			str__append(dst, size, &len, "\xef\xbf\xbd");
		s += n ? n : 1;
	}
}

static void write_keyed(struct json *j, const void *arg)
{
	json__object_begin(j);
	json__kv_str(j, arg, arg);
	json__object_end(j);
}

/* Random bytes, as key and as value, through another parser and back. */
static void hostile_strings(void **state)
{
	uint32_t seed = 99;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char s[25] = "", want[100];
		const char *key;
		json_t *root, *member;
		char *text;

		for (size_t i = 0; i < sizeof(s) - 1; i++) {
			seed = seed * 1664525 + 1013904223;
			/* many bytes of sequences, or they would hardly ever be valid */
			s[i] = seed >> 31 ? (char)(seed >> 8) : (char)(0x80 | ((seed >> 8) & 0x7f));
		}
		expected(want, sizeof(want), s);
		text = written(write_keyed, s);
		root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(root);
		assert_int_equal(json_object_size(root), 1);
		json_object_foreach(root, key, member)
		{
			assert_string_equal(key, want);
			assert_string_equal(json_string_value(member), want);
		}
		json_decref(root);
		free(text);
	}
}

static void write_deep(struct json *j, const void *arg)
{
	(void)arg;
	for (int i = 0; i < JSON_DEPTH; i++)
		json__array_begin(j);
	json__u64(j, 7);
	for (int i = 0; i < JSON_DEPTH; i++)
		json__array_end(j);
}

static void full_depth(void **state)
{
	char *text = written(write_deep, NULL);

	(void)state;
	assert_string_equal(text, "[[[[[[[[[[[[[[[[7]]]]]]]]]]]]]]]]\n");
	free(text);
}

static void misuse_too_deep(struct json *j)
{
	for (int i = 0; i <= JSON_DEPTH; i++)
		json__array_begin(j);
}

static void misuse_key_in_array(struct json *j)
{
	json__array_begin(j);
	json__key(j, "k");
}

static void misuse_key_outside(struct json *j)
{
	json__key(j, "k");
}

static void misuse_value_without_key(struct json *j)
{
	json__object_begin(j);
	json__u64(j, 1);
}

static void misuse_two_keys(struct json *j)
{
	json__object_begin(j);
	json__key(j, "k");
	json__key(j, "l");
}

static void misuse_key_without_value(struct json *j)
{
	json__object_begin(j);
	json__key(j, "k");
	json__object_end(j);
}

static void misuse_wrong_end(struct json *j)
{
	json__object_begin(j);
	json__array_end(j);
}

static void misuse_end_of_nothing(struct json *j)
{
	json__array_end(j);
}

static void misuse_unbalanced(struct json *j)
{
	json__array_begin(j);
	json__end(j);
}

static void misuse_empty(struct json *j)
{
	json__end(j);
}

static void misuse_two_values(struct json *j)
{
	json__u64(j, 1);
	json__u64(j, 2);
}

static void misuse_asserts(void **state)
{
	static void (*const misuses[])(struct json * j) = {
		misuse_too_deep,    misuse_key_in_array,
		misuse_key_outside, misuse_value_without_key,
		misuse_two_keys,    misuse_key_without_value,
		misuse_wrong_end,   misuse_end_of_nothing,
		misuse_unbalanced,  misuse_empty,
		misuse_two_values,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(misuses); i++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct rlimit no_core = {0, 0};
			FILE *null = fopen("/dev/null", "w");
			struct json j;

			signal(SIGABRT, SIG_DFL);
			setrlimit(RLIMIT_CORE, &no_core);
			dup2(fileno(null), STDERR_FILENO);
			json__init(&j, null);
			misuses[i](&j);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

static void output_errors_stay_in_the_file(void **state)
{
	FILE *full = fopen("/dev/full", "w");
	struct json j;

	(void)state;
	assert_non_null(full);
	setbuf(full, NULL);
	json__init(&j, full);
	json__str(&j, "lost");
	json__end(&j);
	assert_true(ferror(full));
	fclose(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds),
		cmocka_unit_test(one_document_a_line),
		cmocka_unit_test(strings),
		cmocka_unit_test(hostile_strings),
		cmocka_unit_test(full_depth),
		cmocka_unit_test(misuse_asserts),
		cmocka_unit_test(output_errors_stay_in_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
