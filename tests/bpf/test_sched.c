// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* bpf/lib/sched.bpf.h: switches, and those that the kernel kept from the hooks. */
/* LDFLAGS: -pthread */
#include "harness.h"

#include <pthread.h>
#include <sys/wait.h>

#include "base/time.h"
#include "sched_test.h"
#include "state.h"

#include "sched.btf.skel.h"
#include "sched.raw.skel.h"

static const struct harness_variant btf = {.elf = sched_btf__elf_bytes};
static const struct harness_variant raw = {.elf = sched_raw__elf_bytes, .raw = 1};

#define INTERRUPTIBLE 1 /* include/linux/sched.h */
#define LENGTH        (50 * NSEC_PER_MSEC)

/* A run that began a second ago; the driver has been in @state since @since. */
static struct sched_answer *begin(struct harness *h, uint32_t state, uint64_t since)
{
	harness__open(h, NULL);
	harness__size(h, "clocks", 16);
	harness__load(h);
	harness__cut(h, since - NSEC_PER_SEC);
	assert_int_equal(harness__run(h, "start", state, since), 0);
	return h->answer;
}

/* The driver says TASK_RUNNING throughout: it goes to no sleep, whatever the hook is told. */
static void test_seen(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now();
	struct sched_answer *a = begin(h, STATE_CPU, now - LENGTH);

	assert_int_equal(harness__run(h, "out", INTERRUPTIBLE, now), 0);
	assert_int_equal(a->cpu_ns, LENGTH);
	assert_int_equal(a->state, STATE_PREEMPT);
	assert_int_equal(a->waits, 0);
	assert_int_equal(harness__run(h, "in", now + 1000), 0);
	assert_int_equal(a->state, STATE_CPU);
	assert_int_equal(a->waits, 1);
	assert_int_equal(a->wait_ns, 1000);
	assert_int_equal(harness__losses(h), 0);
}

/* It leaves a CPU that nobody saw it get: the wait is counted, and ends when its run began. */
static void test_in_unseen(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now();
	struct sched_answer *a = begin(h, STATE_SLEEP, now - LENGTH);

	assert_int_equal(harness__run(h, "out", INTERRUPTIBLE, now), 0);
	assert_int_equal(a->waits, 1);
	assert_int_equal(a->wait_state, STATE_SLEEP);
	assert_int_equal(a->wait_ns + a->cpu_ns, LENGTH);
	assert_int_not_equal(a->state, STATE_SLEEP);
	assert_int_not_equal(a->state, STATE_CPU);
	assert_int_equal(a->since, now);
	assert_int_equal(harness__loss(h, LOSS_MISSED), 1);
	assert_int_equal(harness__losses(h), 1);
}

/* It gets a CPU though it was on one: how long it ran there is not known, and not claimed. */
static void test_out_unseen(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now();
	struct sched_answer *a = begin(h, STATE_CPU, now - LENGTH);

	assert_int_equal(harness__run(h, "in", now), 0);
	assert_int_equal(a->state, STATE_CPU);
	assert_int_equal(a->cpu_ns, 0);
	assert_int_equal(a->other_ns, LENGTH);
	assert_int_equal(harness__loss(h, LOSS_MISSED), 1);
	assert_int_equal(harness__losses(h), 1);
}

/* It gets a CPU from its sleep: how much of that was a wait for the CPU is not known. */
static void test_wakeup_unseen(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now();
	struct sched_answer *a = begin(h, STATE_SLEEP, now - LENGTH);

	assert_int_equal(harness__run(h, "in", now), 0);
	assert_int_equal(a->state, STATE_CPU);
	assert_int_equal(a->waits, 1);
	assert_int_equal(a->wait_state, STATE_SLEEP);
	assert_int_equal(a->wait_ns, LENGTH);
	assert_int_equal(harness__loss(h, LOSS_MISSED), 1);
	assert_int_equal(harness__losses(h), 1);
}

/* Between its exit and its last switch, a thread is counted: its account is still to come. */
static void test_ending(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now();

	begin(h, STATE_CPU, now - LENGTH);
	assert_int_equal(harness__stat(h).ending, 0);
	assert_int_equal(harness__run(h, "ending"), 0);
	assert_int_equal(harness__stat(h).ending, 1);
	assert_int_equal(harness__stat(h).ended, 0);
	assert_int_equal(harness__run(h, "die", now), 0);
	assert_int_equal(harness__stat(h).ended, 1);
	assert_int_equal(harness__losses(h), 0);
}

/* A thread that was exiting before anybody looked was not counted, and is not counted off. */
static void test_ended_only(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now();

	begin(h, STATE_CPU, now - LENGTH);
	assert_int_equal(harness__run(h, "die", now), 0);
	assert_int_equal(harness__stat(h).ending, 0);
	assert_int_equal(harness__stat(h).ended, 0);
}

static void *nothing(void *arg)
{
	return arg;
}

/* What a new process says of itself */
static int alone_in_child(struct harness *h)
{
	pid_t pid = fork();
	int status = -1;

	if (!pid)
		_exit(harness__run(h, "alone"));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A process with one thread is told from one that has, or had, more. */
static void test_alone(void **state)
{
	struct harness *h = *state;
	struct bpf_link *link;
	pthread_t thread;

	begin(h, STATE_CPU, time__now());
	link = bpf_program__attach(bpf_object__find_program_by_name(h->obj, "on_newtask"));
	assert_non_null(link);
	assert_int_equal(alone_in_child(h), 1);
	assert_int_equal(harness__run(h, "alone"), 1);
	assert_int_equal(pthread_create(&thread, NULL, nothing, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_equal(harness__run(h, "alone"), 0);
	assert_int_equal(alone_in_child(h), 1);
	assert_int_equal(bpf_link__destroy(link), 0);
}

/* Its clock is what a thread had that was before it, and whose end no hook saw. */
static void test_end_unseen(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now();

	begin(h, STATE_CPU, now);
	assert_int_equal(harness__run(h, "fresh", 0), 0);
	harness__stop(h);
	begin(h, STATE_CPU, NSEC_PER_SEC + 1); /* after the machine began */
	assert_int_equal(harness__run(h, "fresh", 0), 1);
	assert_int_equal(harness__losses(h), 0);
}

/* Who dies leaves nothing to one that comes to its place. */
static void test_died(void **state)
{
	struct harness *h = *state;
	uint64_t now = time__now();

	begin(h, STATE_CPU, now - 1000);
	assert_int_equal(harness__run(h, "die", now), 0);
	assert_int_equal(harness__run(h, "fresh", 0), 1);
	assert_int_equal(harness__losses(h), 0);
}

/* One more thread than there are clocks is counted. */
static void test_no_clock(void **state)
{
	struct harness *h = *state;
	struct bpf_link *link;

	harness__open(h, NULL);
	harness__size(h, "clocks", 1);
	harness__load(h);
	harness__cut(h, time__now());
	assert_int_equal(harness__run(h, "start", STATE_CPU, time__now()), 0);
	assert_int_equal(harness__loss(h, LOSS_THREAD), 0);
	link = bpf_program__attach(bpf_object__find_program_by_name(h->obj, "on_newtask"));
	assert_non_null(link);
	assert_int_equal(alone_in_child(h), 0);
	assert_int_equal(bpf_link__destroy(link), 0);
	assert_int_not_equal(harness__loss(h, LOSS_THREAD), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HARNESS_BOTH(test_seen),       HARNESS_BOTH(test_in_unseen),
		HARNESS_BOTH(test_out_unseen), HARNESS_BOTH(test_wakeup_unseen),
		HARNESS_BOTH(test_ending),     HARNESS_BOTH(test_ended_only),
		HARNESS_BOTH(test_alone),      HARNESS_BOTH(test_end_unseen),
		HARNESS_BOTH(test_died),       HARNESS_BOTH(test_no_clock),
	};

	return harness__main(tests);
}
