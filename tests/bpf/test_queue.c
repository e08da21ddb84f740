// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* bpf/lib/sched.bpf.h for waits for a CPU alone, bpf/lib/culprit.bpf.h: who had it meanwhile. */
#include "harness.h"

#include <sched.h>

#include "base/hist.h"
#include "base/time.h"
#include "queue_test.h"
#include "tally.h"

#include "queue.btf.skel.h"
#include "queue.raw.skel.h"

static const struct harness_variant btf = {.elf = queue_btf__elf_bytes};
static const struct harness_variant raw = {.elf = queue_raw__elf_bytes, .raw = 1};

#define SLOTS  64
#define LENGTH (50 * NSEC_PER_MSEC)
#define US     1000ULL

/* A run that begins at @begin, with the driver on the one CPU where the log is. */
static struct queue_answer *begin(struct harness *h, uint64_t begin)
{
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(sched_getcpu(), &cpu);
	assert_int_equal(sched_setaffinity(0, sizeof(cpu), &cpu), 0);
	harness__open(h, &(struct config){.slots = SLOTS, .banks = 1});
	harness__size(h, "clocks", 16);
	harness__size(h, "tally_slots", SLOTS);
	harness__size(h, "tally_free", SLOTS);
	harness__size(h, "tallies", SLOTS);
	harness__size(h, "names", SLOTS);
	harness__load(h);
	harness__slots(h, SLOTS);
	harness__cut(h, begin);
	assert_int_equal(harness__run(h, "start", begin), 0);
	return h->answer;
}

/* What was charged to process @tgid; 0: to those without a name. */
static uint64_t charged(struct harness *h, uint32_t tgid)
{
	int slots = harness__map_fd(h, "tally_slots"), fd = harness__map_fd(h, "tallies");
	struct tally_key key = {.row = 1,
				.id = tgid,
				.id2 = !tgid,
				.state = STATE_RUNQ,
				.kind = CAUSE_TASK,
				.syscall = SYSCALL_NONE};
	struct hist hist;
	uint32_t slot;

	if (bpf_map_lookup_elem(slots, &key, &slot))
		return 0;
	assert_int_equal(bpf_map_lookup_elem(fd, &slot, &hist), 0);
	return hist.sum;
}

static void assert_between(uint64_t value, double least, double most)
{
	if ((double)value < least || (double)value > most)
		fail_msg("%llu is not in %.0f to %.0f", (unsigned long long)value, least, most);
}

static void test_wait(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now();
	struct queue_answer *a = begin(h, now);

	assert_int_equal(harness__run(h, "wait", now + LENGTH, now + LENGTH + 1000, 0), 0);
	assert_int_equal(a->waits, 1);
	assert_int_equal(a->wait_state, STATE_PREEMPT);
	assert_int_equal(a->wait_ns, 1000);
	assert_int_equal(a->state, STATE_OTHER);
	assert_int_equal(harness__losses(h), 0);
}

/* The driver's account of @epoch, which is the last one or the one before. */
static void expect_times(struct harness *h, uint64_t epoch, uint64_t end, uint64_t other,
			 uint64_t pushed_off)
{
	struct queue_answer *a = h->answer;

	assert_int_equal(harness__run(h, "account", epoch, end), 0);
	for (int i = STATE_NONE + 1; i < NR_STATES; i++) {
		uint64_t ns = 0;

		if (i == STATE_OTHER)
			ns = other;
		if (i == STATE_PREEMPT)
			ns = pushed_off;
		assert_int_equal(a->rec.ns[i], ns);
	}
}

/* A clock that keeps few states: all of the time is there, also of epochs slept through. */
static void test_account(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now();

	begin(h, now);
	assert_int_equal(harness__run(h, "wait", now + LENGTH, now + LENGTH + 1000, 0), 0);
	expect_times(h, 1, now + 2 * LENGTH, 2 * LENGTH - 1000, 1000);
	harness__cut(h, now + 2 * LENGTH);
	expect_times(h, 1, now + 2 * LENGTH, 2 * LENGTH - 1000, 1000);
	assert_int_equal(harness__run(h, "wait", now + 3 * LENGTH, now + 3 * LENGTH + 500, 0), 0);
	expect_times(h, 1, now + 2 * LENGTH, 2 * LENGTH - 1000, 1000);
	expect_times(h, 2, now + 4 * LENGTH, 2 * LENGTH - 500, 500);
	harness__cut(h, now + 4 * LENGTH);
	harness__cut(h, now + 5 * LENGTH);
	harness__cut(h, now + 6 * LENGTH);
	expect_times(h, 4, now + 6 * LENGTH, LENGTH, 0);
	assert_int_equal(harness__run(h, "wait", now + 7 * LENGTH, now + 7 * LENGTH + 10, 0), 0);
	expect_times(h, 5, now + 8 * LENGTH, 2 * LENGTH - 10, 10);
	assert_int_equal(harness__losses(h), 0);
}

/* It ran since its wait began, and no hook saw it: how long that wait was is not known. */
static void test_unseen(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now();
	struct queue_answer *a = begin(h, now);

	assert_int_equal(harness__run(h, "wait", now, now + LENGTH, 1), 0);
	assert_int_equal(a->wait_state, STATE_OTHER);
	assert_int_equal(a->state, STATE_OTHER);
	assert_int_equal(harness__loss(h, LOSS_MISSED), 1);
	assert_int_equal(harness__losses(h), 1);
}

/* A long wait behind two: each is charged for what it ran, the first one for its end only. */
static void test_long_wait(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now();

	begin(h, now);
	harness__run(h, "run", 21, now);
	harness__run(h, "run", 22, now + 3000 * US);
	assert_int_equal(harness__run(h, "charge", now + 1000 * US, now + 5000 * US), 0);
	assert_int_equal(charged(h, 21), 2000 * US);
	assert_int_equal(charged(h, 22), 2000 * US);
	assert_int_equal(charged(h, 0), 0);
}

/* Short waits, each behind three: their shares are right, and no more than was waited. */
static void test_short_waits(void **state)
{
	static const uint64_t ran[] = {60 * US, 30 * US, 10 * US};
	uint64_t now = time__now(), waited = 0, sum = 0;
	struct harness *h = *state;

	begin(h, now);
	for (int i = 0; i < 5000; i++) {
		uint64_t from = now;

		for (uint32_t tgid = 1; tgid <= 3; now += ran[tgid - 1], tgid++)
			harness__run(h, "run", tgid, now);
		assert_int_equal(harness__run(h, "charge", from, now), 0);
		waited += now - from;
		harness__run(h, "run", 9, now);
		now += 100 * US;
	}
	for (uint32_t tgid = 0; tgid <= 3; tgid++)
		sum += charged(h, tgid);
	assert_between(sum, (double)(waited - 1100 * US), (double)waited);
	for (uint32_t tgid = 1; tgid <= 3; tgid++)
		assert_between(charged(h, tgid),
			       (double)waited * ((double)ran[tgid - 1] / 100000.0 - 0.12),
			       (double)waited * ((double)ran[tgid - 1] / 100000.0 + 0.12));
	assert_int_equal(charged(h, 9), 0);
}

/* 64 runs are remembered: of waits that are longer, the first part is nobody's. */
static void test_forgotten(void **state)
{
	uint64_t now = time__now(), waited = 0;
	struct harness *h = *state;

	begin(h, now);
	for (int i = 0; i < 300; i++) {
		uint64_t from = now;

		for (int n = 0; n < 128; n++, now += 50 * US)
			harness__run(h, "run", 31, now);
		assert_int_equal(harness__run(h, "charge", from, now), 0);
		waited += now - from;
	}
	assert_between(charged(h, 0) + charged(h, 31), (double)waited * 0.98, (double)waited);
	assert_between(charged(h, 31), (double)waited * 0.38, (double)waited * 0.62);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HARNESS_BOTH(test_wait),        HARNESS_BOTH(test_account),
		HARNESS_BOTH(test_unseen),      HARNESS_BOTH(test_long_wait),
		HARNESS_BOTH(test_short_waits), HARNESS_BOTH(test_forgotten),
	};

	return harness__main(tests);
}
