// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* bpf/lib/tally.bpf.h and include/hist.h as the kernel runs them. */
/* LDFLAGS: -pthread */
#include "harness.h"

#include <math.h>
#include <pthread.h>

#include "base/hist.h"
#include "tally.h"
#include "tally_test.h"

#include "tally.btf.skel.h"
#include "tally.raw.skel.h"

static const struct harness_variant btf = {.elf = tally_btf__elf_bytes};
static const struct harness_variant raw = {.elf = tally_raw__elf_bytes, .raw = 1};

/* ---- buckets --------------------------------------------------------------------------------- */

struct batch {
	struct harness *h;
	size_t n, checked;
};

static void batch__flush(struct batch *b)
{
	struct tally_answer *answer = b->h->answer;

	memset(answer->index, 0x55, sizeof(answer->index));
	harness__run(b->h, "index_all", 0);
	for (size_t i = 0; i < b->n; i++) {
		if (answer->index[i] != hist__index(answer->value[i]))
			fail_msg("%llu ns: bucket %d in the kernel, %d in user space",
				 (unsigned long long)answer->value[i], answer->index[i],
				 hist__index(answer->value[i]));
	}
	b->checked += b->n;
	b->n = 0;
}

static void batch__add(struct batch *b, uint64_t value)
{
	struct tally_answer *answer = b->h->answer;

	answer->value[b->n++] = value;
	if (b->n == TALLY_BATCH)
		batch__flush(b);
}

static void test_bucket_boundaries(void **state)
{
	struct harness *h = *state;
	struct batch b = {.h = h};

	harness__start(h, NULL);
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		uint64_t edge = (uint64_t)ceil(hist__upper(i));

		for (int off = -1; off <= 1; off++)
			batch__add(&b, edge + (uint64_t)off);
	}
	for (unsigned int bit = 0; bit < 64; bit++) {
		for (int off = -1; off <= 1; off++)
			batch__add(&b, (1ULL << bit) + (uint64_t)off);
	}
	for (uint64_t v = 0; v < 5000; v++)
		batch__add(&b, v);
	batch__add(&b, UINT64_MAX);
	batch__flush(&b);
	assert_true(b.checked > 3 * HIST_BUCKETS + 5000);
}

static void test_bucket_random(void **state)
{
	uint64_t seed = 20240229;
	struct harness *h = *state;
	struct batch b = {.h = h};

	harness__start(h, NULL);
	for (int i = 0; i < 75 * TALLY_BATCH; i++) {
		uint64_t v = harness__random(&seed);

		batch__add(&b, v >> (harness__random(&seed) & 63));
	}
	assert_int_equal(b.checked, 75 * TALLY_BATCH);
}

/* ---- adding ---------------------------------------------------------------------------------- */

#define SLOTS 8

static struct hist *start_tallies(struct harness *h, const struct config *config)
{
	struct hist *hists;

	harness__open(h, config);
	harness__size(h, "tallies", SLOTS * 2);
	harness__load(h);
	hists = harness__map_memory(h, "tallies");
	return hists;
}

static void test_add(void **state)
{
	static const uint64_t totals[] = {0, 7, 8, 1000, 1000, 5000000, UINT64_MAX / 4};
	struct hist expected = {0}, *hists;
	struct harness *h = *state;

	hists = start_tallies(h, NULL);
	for (size_t i = 0; i < sizeof(totals) / sizeof(*totals); i++) {
		int bucket = hist__index(totals[i]);

		harness__run(h, "add", 3, 1, totals[i] / 2, totals[i]);
		harness__run(h, "add_alone", 1, 1, totals[i] / 2, totals[i]);
		expected.sum += totals[i] / 2;
		if (totals[i] > expected.max)
			expected.max = totals[i];
		if (bucket == HIST_ZERO)
			expected.zero++;
		else
			expected.bucket[bucket]++;
	}
	assert_int_equal(expected.zero, 2);
	assert_int_equal(expected.bucket[HIST_BUCKETS - 1], 1);
	assert_memory_equal(&hists[3], &expected, sizeof(expected));
	assert_memory_equal(&hists[1], &expected, sizeof(expected));
	assert_int_equal(hist__count(&hists[2]) + hist__count(&hists[4]), 0);
}

static void test_add_outside_the_run(void **state)
{
	static const struct hist empty;
	struct harness *h = *state;
	struct hist *hists = start_tallies(h, NULL);

	h->window->last = 2;
	harness__run(h, "add", 0, 0, 10, 10);
	harness__run(h, "add", 0, 3, 10, 10);
	harness__run(h, "add_alone", 0, 3, 10, 10);
	harness__run(h, "add", TALLY_NONE, 1, 10, 10);
	harness__run(h, "add", SLOTS * 2, 1, 10, 10);
	for (int i = 0; i < SLOTS * 2; i++)
		assert_memory_equal(&hists[i], &empty, sizeof(empty));
	harness__run(h, "add", 0, 2, 10, 10);
	assert_int_equal(hist__count(&hists[0]), 1);
}

static void test_banks(void **state)
{
	static const struct config config = {.banks = 2, .slots = SLOTS};
	struct harness *h = *state;
	struct hist *hists = start_tallies(h, &config);

	for (uint32_t epoch = 1; epoch <= 5; epoch++)
		harness__run(h, "add", SLOTS - 1, epoch, 100 + epoch, 200 + epoch);
	/* even epochs, then odd ones */
	assert_int_equal(hists[SLOTS - 1].sum, 102 + 104);
	assert_int_equal(hists[SLOTS - 1].max, 204);
	assert_int_equal(hists[2 * SLOTS - 1].sum, 101 + 103 + 105);
	assert_int_equal(hists[2 * SLOTS - 1].max, 205);
}

/* ---- several CPUs at once -------------------------------------------------------------------- */

#define ADDERS 4
#define ADDS   20000

struct adder {
	pthread_t thread;
	struct harness *h;
	int add, max;
	uint64_t from;
};

static void *adder__run(void *arg)
{
	struct adder *a = arg;

	for (uint64_t i = 1; i <= ADDS; i++) {
		harness__run_fd(a->add, (uint64_t[HARNESS_ARGS]){0, 1, i, 1000 * (a->from + i)});
		harness__run_fd(a->max, (uint64_t[HARNESS_ARGS]){a->from + i});
	}
	return NULL;
}

static void test_add_at_once(void **state)
{
	struct adder adders[ADDERS];
	struct tally_answer *answer;
	struct harness *h = *state;
	struct hist *hists = start_tallies(h, NULL);

	answer = h->answer;
	for (int i = 0; i < ADDERS; i++) {
		adders[i] = (struct adder){
			.h = h,
			.add = harness__prog_fd(h, "add"),
			.max = harness__prog_fd(h, "max"),
			.from = (uint64_t)i,
		};
		assert_int_equal(pthread_create(&adders[i].thread, NULL, adder__run, &adders[i]),
				 0);
	}
	for (int i = 0; i < ADDERS; i++)
		pthread_join(adders[i].thread, NULL);
	assert_int_equal(hist__count(&hists[0]), ADDERS * ADDS);
	assert_int_equal(hists[0].sum, (uint64_t)ADDERS * ADDS * (ADDS + 1) / 2);
	if (h->variant->raw) {
		/* without atomics that return a value, of two that come at once one may win */
		assert_in_range(hists[0].max, 1000 * ADDS, 1000 * (ADDS + ADDERS - 1));
		assert_in_range(answer->max, ADDS, ADDS + ADDERS - 1);
	} else {
		assert_int_equal(hists[0].max, 1000 * (ADDS + ADDERS - 1));
		assert_int_equal(answer->max, ADDS + ADDERS - 1);
	}
}

/* ---- slots ----------------------------------------------------------------------------------- */

static void start_slots(struct harness *h, uint32_t keys, uint32_t slots)
{
	harness__open(h, NULL);
	harness__size(h, "tally_slots", keys);
	harness__size(h, "tally_free", slots);
	harness__load(h);
	harness__slots(h, slots);
}

static void test_slots_until_full(void **state)
{
	struct tally_answer *answer;
	struct harness *h = *state;

	start_slots(h, SLOTS, SLOTS);
	answer = h->answer;
	for (uint32_t i = 0; i < SLOTS; i++) {
		harness__run(h, "slot_of", 1, i);
		assert_int_equal(answer->slot, i);
		assert_true(answer->fresh);
		harness__run(h, "slot_of", 1, i);
		assert_int_equal(answer->slot, i);
		assert_false(answer->fresh);
	}
	assert_int_equal(harness__losses(h), 0);
	for (uint32_t i = 0; i < 5; i++) {
		harness__run(h, "slot_of", 2, i);
		assert_int_equal(answer->slot, TALLY_NONE);
		assert_false(answer->fresh);
		assert_int_equal(harness__loss(h, LOSS_MAP_FULL), i + 1);
	}
	/* what was there stays, and costs nothing */
	for (uint32_t i = 0; i < SLOTS; i++) {
		harness__run(h, "slot_of", 1, i);
		assert_int_equal(answer->slot, i);
	}
	assert_int_equal(harness__losses(h), 5);
}

/* The map of keys refuses one although a slot was free: counted too, and the slot is given back. */
static void test_slots_refused(void **state)
{
	struct tally_answer *answer;
	struct harness *h = *state;

	start_slots(h, SLOTS / 2, SLOTS);
	answer = h->answer;
	for (uint32_t i = 0; i < SLOTS / 2; i++)
		harness__run(h, "slot_of", 1, i);
	assert_int_equal(harness__losses(h), 0);
	for (uint32_t i = 0; i < 2 * SLOTS; i++) {
		harness__run(h, "slot_of", 2, i);
		assert_int_equal(answer->slot, TALLY_NONE);
		assert_int_equal(harness__loss(h, LOSS_MAP_FULL), i + 1);
	}
	assert_int_equal(harness__losses(h), 2 * SLOTS);
}

static void test_rows_of_cpus(void **state)
{
	static const struct config by_cpu = {.by = BY_CPU}, by_process = {.by = BY_PROCESS};
	struct tally_answer *answer;
	struct harness *h = *state;

	harness__start(h, &by_cpu);
	answer = h->answer;
	harness__run(h, "cpu_row", 4711);
	assert_true(answer->row & TALLY_ROW_CPU);
	assert_true((answer->row & ~TALLY_ROW_CPU) < (uint64_t)libbpf_num_possible_cpus());
	harness__stop(h);

	harness__start(h, &by_process);
	answer = h->answer;
	harness__run(h, "cpu_row", 4711);
	assert_int_equal(answer->row, 4711);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HARNESS_BOTH(test_bucket_boundaries),
		HARNESS_BOTH(test_bucket_random),
		HARNESS_BOTH(test_add),
		HARNESS_BOTH(test_add_outside_the_run),
		HARNESS_BOTH(test_banks),
		HARNESS_BOTH(test_add_at_once),
		HARNESS_BOTH(test_slots_until_full),
		HARNESS_BOTH(test_slots_refused),
		HARNESS_BOTH(test_rows_of_cpus),
	};

	return harness__main(tests);
}
