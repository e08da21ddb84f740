// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* bpf/lib/lock.bpf.h: a lock knows how many threads wait for it. */
#include "harness.h"

#include "base/time.h"
#include "holder_test.h"
#include "lock.h"

typedef uint32_t u32; /* as the skeletons say */
#include "holder.btf.skel.h"
#include "holder.raw.skel.h"

static const struct harness_variant btf = {.elf = holder_btf__elf_bytes};
static const struct harness_variant raw = {.elf = holder_raw__elf_bytes, .raw = 1};

#define LENGTH (50 * NSEC_PER_MSEC)

/* The driver has run since a moment ago; the run begins with harness__cut(). */
static const struct holder_answer *begin(struct harness *h, uint64_t now)
{
	static const struct config config = {.lock_what = LOCK_KERNEL, .slots = 16, .banks = 1};
	static const char *const maps[] = {"tally_slots", "tally_free", "tallies",
					   "lock_logs",   "lock_parts", "thread_refs"};

	harness__open(h, &config);
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		harness__size(h, maps[i], config.slots);
	harness__size(h, "clocks", 16);
	harness__load(h);
	harness__slots(h, config.slots);
	assert_int_equal(harness__run(h, "start", now - 2 * LENGTH), 0);
	return h->answer;
}

/* What the part of kind @kind has: its waits, and in *@ns how long they were. */
static uint64_t part(struct harness *h, enum lock_part_kind kind, uint64_t *ns)
{
	int fd = harness__map_fd(h, "lock_parts");
	struct lock_part_key key, *prev = NULL;
	struct lock_part val;
	uint64_t count = 0;

	*ns = 0;
	while (!bpf_map_get_next_key(fd, prev, &key)) {
		prev = &key;
		if (key.part != kind || bpf_map_lookup_elem(fd, &key, &val))
			continue;
		count += val.count;
		*ns += val.ns;
	}
	return count;
}

/* The driver goes to sleep for the lock at @at, and is its only waiter… */
static void sleeps(struct harness *h, uint64_t at)
{
	const struct holder_answer *a = h->answer;

	assert_int_equal(harness__run(h, "sleep", at), 0);
	assert_int_equal(a->state, STATE_KLOCK);
	assert_int_equal(a->waiters, 1);
}

/* …until somebody is about to wake it… */
static void is_woken(struct harness *h)
{
	const struct holder_answer *a = h->answer;

	assert_int_equal(harness__run(h, "waking"), 0);
	assert_int_equal(a->waiters, 0);
}

/* …and in any case until it is runnable. */
static void is_runnable(struct harness *h)
{
	const struct holder_answer *a = h->answer;

	assert_int_equal(harness__run(h, "wakeup"), 0);
	assert_int_equal(a->state, STATE_RUNQ);
	assert_int_equal(a->waiters, 0);
}

static void test_waits(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now(), ns;

	begin(h, now);
	harness__cut(h, now - 2 * LENGTH);
	sleeps(h, now - LENGTH);
	is_woken(h);
	is_runnable(h);
	assert_int_equal(part(h, PART_WAIT, &ns), 1);
	assert_true(ns >= LENGTH);
	assert_int_equal(harness__losses(h), 0);
}

/* Who wakes it comes before it has left its CPU, as it may on another one. */
static void test_woken_early(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now(), ns;
	const struct holder_answer *a = begin(h, now);

	harness__cut(h, now - 2 * LENGTH);
	is_woken(h);
	assert_false(a->logged);
	sleeps(h, now - LENGTH);
	is_runnable(h);
	/* It was a wait like any other, but that nobody knows who let go of the lock. */
	assert_int_equal(part(h, PART_WAIT, &ns), 1);
	assert_true(ns >= LENGTH);
	assert_int_equal(part(h, PART_RELEASE, &ns), 0);
	assert_int_equal(part(h, PART_UNRELEASED, &ns), 0);
	/* The next one is counted as ever. */
	assert_int_equal(harness__run(h, "in", time__now()), 0);
	sleeps(h, time__now());
	is_woken(h);
	assert_int_equal(harness__losses(h), 0);
}

/* The programs are there before the run begins: what ends until then is not told of, but ends. */
static void test_before_the_run(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now(), ns;

	begin(h, now);
	sleeps(h, now - LENGTH);
	is_woken(h);
	is_runnable(h);
	assert_int_equal(part(h, PART_WAIT, &ns), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HARNESS_BOTH(test_waits),
		HARNESS_BOTH(test_woken_early),
		HARNESS_BOTH(test_before_the_run),
	};

	return harness__main(tests);
}
