// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/err.h"
#include "capture.h"

static void returns_what_its_name_says(void **state)
{
	static struct capture c;

	(void)state;
	capture__begin(&c, STDERR_FILENO);
	assert_int_equal(err__fail("no %s", "luck"), 1);
	assert_int_equal(err__usage("what is %d?", 42), 2);
	assert_int_equal(err__unsupported("needs %s", "BTF"), 3);
	assert_string_equal(capture__end(&c),
			    "dwell: no luck\ndwell: what is 42?\ndwell: needs BTF\n");
}

static void shows_by_level(void **state)
{
	static const struct {
		enum log_level level;
		const char *shown;
	} cases[] = {
		{LOG_QUIET, "dwell: e\n"},
		{LOG_NOTE, "dwell: e\ndwell: n\n"},
		{LOG_DEBUG, "dwell: e\ndwell: n\ndwell: d\n"},
	};
	static struct capture c;

	(void)state;
	assert_int_equal(log__level(), LOG_NOTE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		log__set_level(cases[i].level);
		assert_int_equal(log__level(), cases[i].level);
		capture__begin(&c, STDERR_FILENO);
		err__fail("e");
		log__note("n");
		log__debug("d");
		assert_string_equal(capture__end(&c), cases[i].shown);
	}
	log__set_level(LOG_NOTE);
}

/* A datagram socket keeps the bounds of writes. */
static void writes_once(void **state)
{
	int sock[2], saved;
	char buf[8192];
	ssize_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, sock), 0);
	saved = dup(STDERR_FILENO);
	assert_true(dup2(sock[1], STDERR_FILENO) >= 0);
	err__fail("%s", "first");
	log__note("%-3000s|", "second");
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);

	n = recv(sock[0], buf, sizeof(buf), MSG_DONTWAIT);
	assert_int_equal(n, strlen("dwell: first\n"));
	n = recv(sock[0], buf, sizeof(buf), MSG_DONTWAIT);
	assert_int_equal(n, strlen("dwell: ") + 3001 + 1);
	assert_memory_equal(buf, "dwell: second ", 14);
	assert_int_equal(recv(sock[0], buf, sizeof(buf), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	close(sock[0]);
	close(sock[1]);
}

static void is_one_safe_line(void **state)
{
	static const struct {
		const char *arg, *shown;
	} cases[] = {
		{"a\nb", "dwell: a?b\n"},
		{"trailing\n\n", "dwell: trailing\n"},
		{"\n", "dwell: \n"},
		{"", "dwell: \n"},
		{"\x1b[31mred\a", "dwell: ?[31mred?\n"},
		{"bad \xff\xc0 utf-8", "dwell: bad ?? utf-8\n"},
		{"good ä€😀", "dwell: good ä€😀\n"},
		{"%s%n", "dwell: %s%n\n"},
	};
	static struct capture c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		capture__begin(&c, STDERR_FILENO);
		err__fail("%s", cases[i].arg);
		assert_string_equal(capture__end(&c), cases[i].shown);
	}
}

static void cuts_what_is_too_long(void **state)
{
	static struct capture c;
	const char *shown;
	size_t len;

	(void)state;
	capture__begin(&c, STDERR_FILENO);
	err__fail("%*s", 1000000, "end");
	shown = capture__end(&c);
	len = strlen(shown);
	assert_int_equal(len, strlen("dwell: ") + 4095 + 1);
	assert_string_equal(shown + len - 5, " …\n");

	/* the longest that is whole */
	capture__begin(&c, STDERR_FILENO);
	err__fail("%*s", 4095, "end");
	shown = capture__end(&c);
	assert_string_equal(shown + strlen(shown) - 5, " end\n");
}

/* In the "C" locale "%ls" can't convert this. */
static void shows_the_format_when_it_fails(void **state)
{
	static struct capture c;

	(void)state;
	capture__begin(&c, STDERR_FILENO);
	assert_int_equal(err__fail("bad: %ls", L"\x20ac"), EXIT_FAIL);
	assert_string_equal(capture__end(&c), "dwell: bad: %ls\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(returns_what_its_name_says),
		cmocka_unit_test(shows_by_level),
		cmocka_unit_test(writes_once),
		cmocka_unit_test(is_one_safe_line),
		cmocka_unit_test(cuts_what_is_too_long),
		cmocka_unit_test(shows_the_format_when_it_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
