// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* bpf/lib/span.bpf.h, with times that the test makes up. */
#include "harness.h"

#include "clock_test.h"

#include "span.btf.skel.h"
#include "span.raw.skel.h"

static const struct harness_variant btf = {.elf = span_btf__elf_bytes};
static const struct harness_variant raw = {.elf = span_raw__elf_bytes, .raw = 1};

#define DEPTH 4 /* SPAN_DEPTH */

/* Kinds of spans. */
enum { A = 1, B, C, D, E };

/* A run that begins at 1000, and a thread that runs since then. */
static struct clock_answer *start(struct harness *h)
{
	harness__start(h, NULL);
	assert_int_equal(harness__run(h, "start", STATE_CPU, 1000), 1);
	harness__cut(h, 1000);
	return h->answer;
}

static void turn(struct harness *h, uint32_t state, uint64_t now)
{
	harness__run(h, "turn", state, now);
}

static bool begin(struct harness *h, uint64_t kind, uint64_t now)
{
	return harness__run(h, "begin", kind, now);
}

static bool end(struct harness *h, uint64_t kind, uint64_t now)
{
	return harness__run(h, "end", kind, now);
}

/* The span that was closed: its states add up to its latency. */
static void expect_span(const struct clock_answer *a, uint64_t from, uint64_t latency)
{
	uint64_t sum = 0;

	for (int i = 0; i < NR_STATES; i++)
		sum += a->read[i];
	assert_int_equal(a->start, from);
	assert_int_equal(a->latency, latency);
	assert_int_equal(sum, latency);
}

/* A switch that no hook saw is told of later, with the time at which it was. */
static void test_unseen_switch(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = start(h);

	turn(h, STATE_RUNQ, 1100);
	assert_true(begin(h, A, 1300)); /* it runs, since 1200 */
	turn(h, STATE_CPU, 1200);
	turn(h, STATE_DISK, 1400);
	assert_true(end(h, A, 1500));
	expect_span(a, 1300, 200);
	assert_int_equal(a->read[STATE_RUNQ], 0);
	assert_int_equal(a->read[STATE_CPU], 100);
	assert_int_equal(a->read[STATE_DISK], 100);
}

static void test_adds_up(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = start(h);

	turn(h, STATE_DISK, 1100);
	turn(h, STATE_CPU, 1150);
	assert_true(begin(h, A, 1200));
	assert_int_equal(a->depth, 1);
	turn(h, STATE_LOCK, 1250);
	turn(h, STATE_RUNQ, 1300);
	turn(h, STATE_CPU, 1310);
	turn(h, STATE_LOCK, 1320);
	turn(h, STATE_CPU, 1400);
	assert_true(end(h, A, 1425));
	expect_span(a, 1200, 225);
	assert_int_equal(a->read[STATE_CPU], 50 + 10 + 25);
	assert_int_equal(a->read[STATE_RUNQ], 10);
	assert_int_equal(a->read[STATE_LOCK], 50 + 80);
	assert_int_equal(a->depth, 0);
	assert_int_equal(harness__losses(h), 0);
}

/* In a wait when it begins, and in another when it ends. */
static void test_inside_segments(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = start(h);

	turn(h, STATE_DISK, 1100);
	assert_true(begin(h, A, 1150));
	turn(h, STATE_NET, 1200);
	assert_true(end(h, A, 1270));
	expect_span(a, 1150, 120);
	assert_int_equal(a->read[STATE_DISK], 50);
	assert_int_equal(a->read[STATE_NET], 70);
}

static void test_nested(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = start(h);

	assert_true(begin(h, A, 1100));
	turn(h, STATE_DISK, 1110);
	turn(h, STATE_CPU, 1120);
	assert_true(begin(h, B, 1130));
	assert_true(begin(h, B, 1140));
	assert_int_equal(a->depth, 3);
	turn(h, STATE_LOCK, 1150);
	turn(h, STATE_CPU, 1160);
	assert_true(end(h, B, 1170));
	expect_span(a, 1140, 30);
	assert_int_equal(a->read[STATE_LOCK], 10);
	assert_int_equal(a->read[STATE_DISK], 0);
	assert_true(end(h, B, 1180));
	expect_span(a, 1130, 50);
	assert_true(end(h, A, 1190));
	expect_span(a, 1100, 90);
	assert_int_equal(a->read[STATE_DISK], 10);
	assert_int_equal(a->read[STATE_LOCK], 10);
	assert_int_equal(harness__losses(h), 0);
}

static void test_across_cuts(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = start(h);

	assert_true(begin(h, A, 1900));
	turn(h, STATE_DISK, 1950);
	harness__cut(h, 2000);
	turn(h, STATE_CPU, 2100);
	assert_true(begin(h, B, 2200));
	turn(h, STATE_SLEEP, 2300);
	for (uint64_t at = 3000; at <= 9000; at += 1000)
		harness__cut(h, at);
	turn(h, STATE_CPU, 9500);
	assert_true(end(h, B, 9600));
	expect_span(a, 2200, 7400);
	assert_int_equal(a->read[STATE_SLEEP], 7200);
	assert_true(end(h, A, 9700));
	expect_span(a, 1900, 7800);
	assert_int_equal(a->read[STATE_DISK], 150);
	assert_int_equal(a->read[STATE_SLEEP], 7200);
	assert_int_equal(a->read[STATE_CPU], 50 + 200 + 200);
}

static void test_end_without_begin(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = start(h);

	assert_false(end(h, A, 1100));
	assert_int_equal(harness__loss(h, LOSS_SPAN_ORPHAN), 1);
	/* Its begin was before the run: the spans that are open are none of its business. */
	assert_true(begin(h, B, 1200));
	assert_false(end(h, A, 1210));
	assert_int_equal(harness__loss(h, LOSS_SPAN_ORPHAN), 2);
	assert_true(end(h, B, 1300));
	expect_span(a, 1200, 100);
	assert_int_equal(harness__losses(h), 2);
}

static void test_inner_never_ended(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = start(h);

	assert_true(begin(h, A, 1100));
	assert_true(begin(h, B, 1110));
	assert_true(begin(h, C, 1120));
	assert_true(end(h, A, 1200));
	expect_span(a, 1100, 100);
	assert_int_equal(a->depth, 0);
	assert_int_equal(harness__loss(h, LOSS_SPAN_ORPHAN), 2);
	assert_false(end(h, B, 1210));
	assert_int_equal(harness__losses(h), 3);
}

static void test_too_deep(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = start(h);

	/* A recursion: all of one kind. */
	for (uint64_t i = 0; i < DEPTH; i++)
		assert_true(begin(h, A, 1100 + i));
	assert_false(begin(h, A, 1110));
	assert_false(begin(h, A, 1111));
	assert_int_equal(harness__loss(h, LOSS_SPAN_DEPTH), 2);
	assert_int_equal(a->depth, DEPTH);
	assert_false(end(h, A, 1200));
	assert_false(end(h, A, 1210));
	for (uint64_t i = 0; i < DEPTH; i++) {
		assert_true(end(h, A, 1300 + 10 * i));
		expect_span(a, 1100 + DEPTH - 1 - i, 200 + 10 * i - (DEPTH - 1 - i));
	}
	assert_int_equal(a->depth, 0);
	assert_int_equal(harness__losses(h), 2);
	assert_false(end(h, A, 1400));
	assert_int_equal(harness__loss(h, LOSS_SPAN_ORPHAN), 1);
}

static void test_too_deep_of_another_kind(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = start(h);

	for (uint64_t kind = A; kind <= D; kind++)
		assert_true(begin(h, kind, 1100 + kind));
	assert_false(begin(h, E, 1110));
	assert_false(end(h, E, 1120));
	for (uint64_t kind = D; kind >= A; kind--) {
		assert_true(end(h, kind, 1200));
		expect_span(a, 1100 + kind, 100 - kind);
	}
	assert_int_equal(harness__losses(h), 1);
}

/* ---- against a model ------------------------------------------------------------------------- */

struct open_span {
	uint64_t kind, start, ns[NR_STATES];
};

struct model {
	uint64_t now, ns[NR_STATES]; /* the time in each state so far */
	uint32_t state;
	struct open_span open[64];
	uint32_t depth;
	uint64_t orphans, too_deep;
};

static void model__pass(struct model *m, uint64_t ns)
{
	m->now += ns;
	m->ns[m->state] += ns;
}

static void model__begin(struct model *m, struct harness *h, uint64_t kind)
{
	struct open_span *span = &m->open[m->depth++];

	span->kind = kind;
	span->start = m->now;
	memcpy(span->ns, m->ns, sizeof(m->ns));
	m->too_deep += m->depth > DEPTH;
	assert_int_equal(begin(h, kind, m->now), m->depth <= DEPTH);
}

/* Ends the innermost one, or (@skip) one further out as after a longjmp. */
static void model__end(struct model *m, struct harness *h, uint32_t skip)
{
	struct clock_answer *a = h->answer;
	const struct open_span *span;

	m->depth -= 1 + skip;
	m->orphans += skip;
	span = &m->open[m->depth];
	assert_int_equal(end(h, span->kind, m->now), m->depth < DEPTH);
	if (m->depth >= DEPTH)
		return;
	assert_int_equal(a->depth, m->depth);
	expect_span(a, span->start, m->now - span->start);
	for (int i = 0; i < NR_STATES; i++)
		assert_int_equal(a->read[i], m->ns[i] - span->ns[i]);
}

static void test_random(void **state)
{
	struct model m = {.now = 1000, .state = STATE_CPU};
	struct harness *h = *state;
	uint64_t seed = 42;

	start(h);
	for (int i = 0; i < 40000; i++) {
		uint64_t r = harness__random(&seed);

		model__pass(&m, (r >> 8) % 300);
		switch (r % 8) {
		case 0:
		case 1:
			/* kinds differ by depth, so that it is known which one an end means */
			if (m.depth < DEPTH + 3)
				model__begin(&m, h, 100 + m.depth);
			break;
		case 2:
		case 3:
			if (m.depth)
				model__end(&m, h, 0);
			break;
		case 4:
			if (m.depth > 1 && m.depth <= DEPTH)
				model__end(&m, h, 1 + (r >> 32) % (m.depth - 1));
			break;
		case 5:
			harness__cut(h, m.now);
			break;
		default:
			m.state = (uint32_t)(r >> 32) % NR_STATES;
			turn(h, m.state, m.now);
		}
	}
	assert_true(m.too_deep > 100 && m.orphans > 100);
	assert_int_equal(harness__loss(h, LOSS_SPAN_DEPTH), m.too_deep);
	assert_int_equal(harness__loss(h, LOSS_SPAN_ORPHAN), m.orphans);
	assert_int_equal(harness__losses(h), m.too_deep + m.orphans);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HARNESS_BOTH(test_adds_up),
		HARNESS_BOTH(test_unseen_switch),
		HARNESS_BOTH(test_inside_segments),
		HARNESS_BOTH(test_nested),
		HARNESS_BOTH(test_across_cuts),
		HARNESS_BOTH(test_end_without_begin),
		HARNESS_BOTH(test_inner_never_ended),
		HARNESS_BOTH(test_too_deep),
		HARNESS_BOTH(test_too_deep_of_another_kind),
		HARNESS_BOTH(test_random),
	};

	return harness__main(tests);
}
