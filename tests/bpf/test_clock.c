// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* bpf/lib/clock.bpf.h and emit.bpf.h, with times that the test makes up. */
#include "harness.h"

#include <errno.h>

#include "clock_test.h"
#include "tally.h"

#include "clock.btf.skel.h"
#include "clock.raw.skel.h"

static const struct harness_variant btf = {.elf = clock_btf__elf_bytes};
static const struct harness_variant raw = {.elf = clock_raw__elf_bytes, .raw = 1};

/* A run that begins at 1000 in epoch 1; a clock that is on the CPU since @since. */
static struct clock_answer *begin(struct harness *h, uint64_t since)
{
	harness__start(h, NULL);
	assert_int_equal(harness__run(h, "start", STATE_CPU, since, TALLY_NONE), 1);
	harness__cut(h, 1000);
	return h->answer;
}

static void turn(struct harness *h, uint32_t state, uint64_t now, uint32_t slot)
{
	harness__run(h, "turn", state, now, slot);
}

/* The account of @epoch, which ended at @end. */
static const struct thread_rec *account(struct harness *h, uint32_t epoch, uint64_t end)
{
	struct clock_answer *answer = h->answer;

	memset(&answer->rec, 0x55, sizeof(answer->rec));
	harness__run(h, "account", epoch, end);
	assert_int_equal(answer->rec.epoch, epoch);
	return &answer->rec;
}

static uint64_t wall(const struct thread_rec *rec)
{
	uint64_t sum = 0;

	for (int i = STATE_NONE + 1; i < NR_STATES; i++)
		sum += rec->ns[i];
	return sum;
}

static void expect_segment(const struct clock_answer *a, uint32_t state, uint32_t slot,
			   uint32_t epoch, uint64_t inside, uint64_t total)
{
	assert_int_equal(a->seg_state, state);
	assert_int_equal(a->seg_slot, slot);
	assert_int_equal(a->seg_epoch, epoch);
	assert_int_equal(a->inside, inside);
	assert_int_equal(a->total, total);
}

/* ---- one epoch ------------------------------------------------------------------------------- */

static void test_turns_add_up(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = begin(h, 1000);
	const struct thread_rec *rec;

	turn(h, STATE_DISK, 1100, 7);
	expect_segment(a, STATE_CPU, TALLY_NONE, 1, 100, 100);
	assert_int_equal(a->slot, 7);
	turn(h, STATE_RUNQ, 1400, TALLY_NONE);
	expect_segment(a, STATE_DISK, 7, 1, 300, 300);
	turn(h, STATE_CPU, 1450, TALLY_NONE);
	turn(h, STATE_DISK, 1460, 8);
	assert_int_equal(a->seq, 10); /* twice for each turn, and for the epoch */
	harness__cut(h, 2000);
	rec = account(h, 1, 2000);
	assert_int_equal(rec->ns[STATE_CPU], 110);
	assert_int_equal(rec->ns[STATE_RUNQ], 50);
	assert_int_equal(rec->ns[STATE_DISK], 300 + 540);
	assert_int_equal(wall(rec), 1000);
	assert_int_equal(harness__losses(h), 0);
}

static void test_clipped_at_the_start(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = begin(h, 100);
	const struct thread_rec *rec;

	turn(h, STATE_NET, 500, 3); /* an event that came late: its time is before the run */
	expect_segment(a, STATE_CPU, TALLY_NONE, 1, 0, 0);
	assert_int_equal(a->since, 1000);
	turn(h, STATE_CPU, 1200, TALLY_NONE);
	expect_segment(a, STATE_NET, 3, 1, 200, 200);
	harness__cut(h, 2000);
	rec = account(h, 1, 2000);
	assert_int_equal(rec->ns[STATE_NET], 200);
	assert_int_equal(rec->ns[STATE_CPU], 800);
}

/* Blocked before the run and throughout it. */
static void test_never_turned(void **state)
{
	struct harness *h = *state;
	const struct thread_rec *rec;

	harness__start(h, NULL);
	harness__run(h, "start", STATE_POLL, 100, 5);
	harness__cut(h, 1000);
	for (uint32_t epoch = 1; epoch < 9; epoch++) {
		harness__cut(h, 1000 * (epoch + 1));
		rec = account(h, epoch, 1000 * (epoch + 1));
		assert_int_equal(rec->ns[STATE_POLL], 1000);
		assert_int_equal(wall(rec), 1000);
		assert_int_equal(rec->flags, THREAD_OPEN);
		assert_int_equal(rec->open_state, STATE_POLL);
		assert_int_equal(rec->open_slot, 5);
		assert_int_equal(rec->open_ns, 1000);
		assert_int_equal(rec->open_total_ns, 1000 * epoch);
		assert_int_equal(rec->spill_slot, TALLY_NONE);
	}
}

/* The hook that came first has set the state; whoever starts the clock late is told so. */
static void test_started_twice(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = begin(h, 100);

	assert_int_equal(harness__run(h, "start", STATE_DISK, 1500, 3), 0);
	assert_int_equal(a->state, STATE_CPU);
}

/* ---- across epochs --------------------------------------------------------------------------- */

static void test_crossing_one(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = begin(h, 1000);
	const struct thread_rec *rec;

	turn(h, STATE_LOCK, 1800, 4);
	harness__cut(h, 2000);
	/* The clock is behind: what it does not know yet is worked out. */
	rec = account(h, 1, 2000);
	assert_int_equal(rec->ns[STATE_CPU], 800);
	assert_int_equal(rec->ns[STATE_LOCK], 200);
	assert_int_equal(rec->flags, THREAD_OPEN);
	assert_int_equal(rec->open_slot, 4);
	assert_int_equal(rec->open_ns, 200);
	turn(h, STATE_CPU, 2500, TALLY_NONE);
	expect_segment(a, STATE_LOCK, 4, 2, 500, 700);
	/* The clock is ahead: the same account. */
	rec = account(h, 1, 2000);
	assert_int_equal(rec->ns[STATE_CPU], 800);
	assert_int_equal(rec->ns[STATE_LOCK], 200);
	assert_int_equal(rec->flags, 0);
	assert_int_equal(rec->spill_slot, 4);
	assert_int_equal(rec->spill_ns, 200);
	assert_int_equal(rec->open_slot, TALLY_NONE);
	assert_int_equal(rec->open_ns, 0);
	harness__cut(h, 3000);
	rec = account(h, 2, 3000);
	assert_int_equal(rec->ns[STATE_LOCK], 500);
	assert_int_equal(rec->ns[STATE_CPU], 500);
	assert_int_equal(wall(rec), 1000);
}

static void test_crossing_several(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = begin(h, 1000);
	const struct thread_rec *rec;

	turn(h, STATE_SLEEP, 1900, 6);
	for (uint64_t at = 2000; at <= 6000; at += 1000)
		harness__cut(h, at);
	turn(h, STATE_CPU, 6300, TALLY_NONE);
	expect_segment(a, STATE_SLEEP, 6, 6, 300, 4400);
	rec = account(h, 5, 6000);
	assert_int_equal(rec->ns[STATE_SLEEP], 1000);
	assert_int_equal(wall(rec), 1000);
	assert_int_equal(rec->spill_slot, 6);
	assert_int_equal(rec->spill_ns, 1000);
	harness__run(h, "read", 6300);
	assert_int_equal(a->read[STATE_SLEEP], 4400);
	assert_int_equal(a->read[STATE_CPU], 900);
	harness__cut(h, 7000);
	rec = account(h, 6, 7000);
	assert_int_equal(rec->ns[STATE_SLEEP], 300);
	assert_int_equal(rec->ns[STATE_CPU], 700);
}

/* What lies before a cut counts once, also between when the clock notices it and its turn. */
static void test_read_behind_a_cut(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = begin(h, 1000);

	harness__cut(h, 2000);
	harness__run(h, "read", 2300);
	assert_int_equal(a->read[STATE_CPU], 1300);
	harness__run(h, "notice", 0);
	assert_int_equal(a->epoch, 2);
	harness__run(h, "read", 2300);
	assert_int_equal(a->read[STATE_CPU], 1300);
	turn(h, STATE_SLEEP, 2400, 6);
	expect_segment(a, STATE_CPU, TALLY_NONE, 2, 400, 1400);
	harness__run(h, "read", 2500);
	assert_int_equal(a->read[STATE_CPU], 1400);
	assert_int_equal(a->read[STATE_SLEEP], 100);
}

/* A cut is announced a moment ahead: turns until then know of it before it is there. */
static void test_turned_before_the_cut(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = begin(h, 1000);
	const struct thread_rec *rec;

	harness__cut(h, 2000);
	turn(h, STATE_PIPE, 1990, 1);
	turn(h, STATE_RUNQ, 1992, TALLY_NONE);
	expect_segment(a, STATE_PIPE, 1, 2, 0, 0);
	harness__run(h, "read", 1993);
	assert_int_equal(a->read[STATE_CPU], 1000);
	turn(h, STATE_CPU, 2010, TALLY_NONE);
	rec = account(h, 1, 2000);
	assert_int_equal(wall(rec), 1000);
	harness__cut(h, 3000);
	rec = account(h, 2, 3000);
	assert_int_equal(rec->ns[STATE_RUNQ], 10);
	assert_int_equal(rec->ns[STATE_CPU], 990);
}

/* Turned behind the cut, just before it was announced: moves from epoch to epoch, and adds up. */
static void test_turned_in_ignorance(void **state)
{
	struct harness *h = *state;
	const struct thread_rec *rec;

	begin(h, 1000);
	turn(h, STATE_PIPE, 2030, 1);
	harness__cut(h, 2000);
	rec = account(h, 1, 2000);
	assert_int_equal(rec->ns[STATE_CPU], 1030);
	assert_int_equal(rec->ns[STATE_PIPE], 0);
	assert_int_equal(rec->open_ns, 0);
	turn(h, STATE_CPU, 2100, TALLY_NONE);
	rec = account(h, 1, 2000);
	assert_int_equal(rec->ns[STATE_CPU], 1030);
	assert_int_equal(rec->ns[STATE_PIPE], 0);
	assert_int_equal(rec->spill_ns, 0);
	harness__cut(h, 3000);
	rec = account(h, 2, 3000);
	assert_int_equal(rec->ns[STATE_PIPE], 70);
	assert_int_equal(wall(rec), 970);
}

/* Born in the moment between a cut's announcement and the cut. */
static void test_born_before_the_cut(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = begin(h, 1000);
	const struct thread_rec *rec;

	harness__cut(h, 2000);
	harness__run(h, "reset", 0);
	harness__run(h, "start", STATE_RUNQ, 1990, TALLY_NONE);
	harness__run(h, "read", 2010);
	assert_int_equal(a->read[STATE_RUNQ], 10);
	turn(h, STATE_CPU, 2010, TALLY_NONE);
	harness__run(h, "read", 2010);
	assert_int_equal(a->read[STATE_RUNQ], 10);
	harness__cut(h, 3000);
	rec = account(h, 2, 3000);
	assert_int_equal(wall(rec), 1000);
}

static void test_times_that_go_backwards(void **state)
{
	struct harness *h = *state;
	struct clock_answer *a = begin(h, 1000);
	const struct thread_rec *rec;

	turn(h, STATE_DISK, 1500, 1);
	turn(h, STATE_RUNQ, 1490, TALLY_NONE);
	expect_segment(a, STATE_DISK, 1, 1, 0, 0);
	turn(h, STATE_CPU, 1600, TALLY_NONE);
	expect_segment(a, STATE_RUNQ, TALLY_NONE, 1, 100, 100);
	harness__run(h, "read", 1550);
	assert_int_equal(a->read[STATE_CPU], 500);
	turn(h, STATE_DISK, 1, 2);
	harness__cut(h, 2000);
	rec = account(h, 1, 2000);
	assert_int_equal(rec->ns[STATE_CPU], 500);
	assert_int_equal(rec->ns[STATE_RUNQ], 100);
	assert_int_equal(rec->ns[STATE_DISK], 400);
	turn(h, STATE_CPU, 1700, TALLY_NONE);
	turn(h, STATE_DISK, 2200, 3);
	rec = account(h, 1, 2000);
	assert_int_equal(wall(rec), 1000);
	harness__cut(h, 3000);
	rec = account(h, 2, 3000);
	assert_int_equal(wall(rec), 1000);
}

/* A thread whose filter ceased to match is in no state: that time is nobody's. */
static void test_unwatched_time(void **state)
{
	struct harness *h = *state;
	const struct thread_rec *rec;

	begin(h, 1000);
	turn(h, STATE_NONE, 1300, TALLY_NONE);
	harness__cut(h, 2000);
	rec = account(h, 1, 2000);
	assert_int_equal(wall(rec), 300);
	assert_int_equal(rec->flags, 0);
	turn(h, STATE_CPU, 2600, TALLY_NONE);
	harness__cut(h, 3000);
	rec = account(h, 2, 3000);
	assert_int_equal(wall(rec), 400);
}

/* ---- handing over ---------------------------------------------------------------------------- */

static void test_claimed_once(void **state)
{
	struct harness *h = *state;

	begin(h, 1000);
	assert_int_equal(harness__run(h, "claim", 1), 1);
	assert_int_equal(harness__run(h, "claim", 1), 0);
	assert_int_equal(harness__run(h, "claim", 3), 1);
	assert_int_equal(harness__run(h, "claim", 2), 0);
	assert_int_equal(harness__run(h, "claim", 3), 0);
	assert_int_equal(harness__run(h, "claim", 4), 1);
}

#define RECORDS 8

struct records {
	struct thread_rec rec[RECORDS];
	size_t n;
};

static int records__take(void *arg, void *data, size_t size)
{
	struct records *r = arg;

	if (size != sizeof(struct thread_rec) || r->n == RECORDS)
		return -EINVAL;
	memcpy(&r->rec[r->n++], data, size);
	return 0;
}

/* What is in the ring. */
static void records__read(struct harness *h, struct records *r)
{
	struct ring_buffer *ring =
		ring_buffer__new(harness__map_fd(h, "ring"), records__take, r, NULL);
	int n;

	r->n = 0;
	assert_non_null(ring);
	n = ring_buffer__consume(ring);
	ring_buffer__free(ring);
	assert_true(n >= 0);
}

static void test_end_after_the_iterator(void **state)
{
	struct harness *h = *state;
	struct records r;

	begin(h, 1000);
	harness__cut(h, 2000);
	assert_int_equal(harness__run(h, "claim", 1), 1);
	turn(h, STATE_NONE, 2300, TALLY_NONE);
	harness__run(h, "end", 0);
	records__read(h, &r);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.rec[0].epoch, 2);
	assert_int_equal(r.rec[0].flags, THREAD_EXITED);
	assert_int_equal(r.rec[0].ns[STATE_CPU], 300);
	assert_int_equal(wall(&r.rec[0]), 300);
	assert_int_equal(r.rec[0].tgid, getpid());
	assert_int_equal(r.rec[0].tid, gettid());
	assert_int_equal(r.rec[0].row, 1);
	assert_int_equal(harness__run(h, "claim", 2), 0);
}

static void test_end_before_the_iterator(void **state)
{
	struct harness *h = *state;
	struct records r;

	begin(h, 1000);
	turn(h, STATE_FS, 1900, 9);
	harness__cut(h, 2000);
	turn(h, STATE_NONE, 2300, TALLY_NONE);
	harness__run(h, "end", 0);
	records__read(h, &r);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.rec[0].epoch, 1);
	assert_int_equal(r.rec[0].flags, 0);
	assert_int_equal(wall(&r.rec[0]), 1000);
	assert_int_equal(r.rec[0].spill_slot, 9);
	assert_int_equal(r.rec[0].spill_ns, 100);
	assert_int_equal(r.rec[1].epoch, 2);
	assert_int_equal(r.rec[1].flags, THREAD_EXITED);
	assert_int_equal(r.rec[1].ns[STATE_FS], 300);
	/* The iterator comes too late for both. */
	assert_int_equal(harness__run(h, "claim", 1), 0);
	assert_int_equal(harness__run(h, "claim", 2), 0);
}

/* It did not live in the epoch before: nothing is to be said of that one. */
static void test_end_of_a_newborn(void **state)
{
	struct harness *h = *state;
	struct records r;

	begin(h, 1000);
	harness__cut(h, 2000);
	harness__run(h, "reset", 0);
	harness__run(h, "start", STATE_RUNQ, 2100, TALLY_NONE);
	turn(h, STATE_CPU, 2110, TALLY_NONE);
	turn(h, STATE_NONE, 2200, TALLY_NONE);
	harness__run(h, "end", 0);
	records__read(h, &r);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.rec[0].epoch, 2);
	assert_int_equal(r.rec[0].flags, THREAD_EXITED);
	assert_int_equal(wall(&r.rec[0]), 100);
}

static void test_end_with_a_full_ring(void **state)
{
	/* 4096 bytes of records, each behind a header of 8 */
	const uint32_t room = 4096 / (sizeof(struct thread_rec) + 8);
	struct harness *h = *state;

	begin(h, 1000);
	for (uint32_t i = 0; i < room + 3; i++) {
		harness__run(h, "reset", 0);
		harness__run(h, "start", STATE_CPU, 1000, TALLY_NONE);
		turn(h, STATE_NONE, 1100, TALLY_NONE);
		harness__run(h, "end", 0);
	}
	assert_int_equal(harness__loss(h, LOSS_RING_FULL), 3);
	assert_int_equal(harness__losses(h), 3);
}

static void test_another_row(void **state)
{
	struct harness *h = *state;
	const struct thread_rec *rec;
	struct clock_answer *a;
	struct records r;

	a = begin(h, 1000);
	assert_int_equal(harness__run(h, "claim", 1), 1);
	harness__cut(h, 2000);
	turn(h, STATE_CPU, 2400, TALLY_NONE);
	harness__run(h, "rekey", 2);
	turn(h, STATE_DISK, 2500, TALLY_NONE);
	records__read(h, &r);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.rec[0].row, 1);
	assert_int_equal(r.rec[0].epoch, 2);
	assert_true(r.rec[0].flags & THREAD_PARTIAL);
	assert_int_equal(wall(&r.rec[0]), 400);
	harness__cut(h, 3000);
	rec = account(h, 2, 3000);
	assert_int_equal(rec->ns[STATE_CPU], 100);
	assert_int_equal(wall(rec), 600);
	/* for spans nothing happened */
	harness__run(h, "read", 3000);
	assert_int_equal(a->read[STATE_CPU] + a->read[STATE_DISK], 2000);
}

/* The cut before was not handed over yet: its time is the old row's, too. */
static void test_another_row_after_a_cut(void **state)
{
	struct harness *h = *state;
	struct records r;

	begin(h, 1000);
	harness__cut(h, 2000);
	turn(h, STATE_CPU, 2400, TALLY_NONE);
	harness__run(h, "rekey", 2);
	records__read(h, &r);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.rec[0].row, 1);
	assert_int_equal(r.rec[0].epoch, 1);
	assert_int_equal(r.rec[0].flags, 0);
	assert_int_equal(wall(&r.rec[0]), 1000);
	assert_int_equal(r.rec[1].row, 1);
	assert_int_equal(r.rec[1].epoch, 2);
	assert_true(r.rec[1].flags & THREAD_PARTIAL);
	assert_int_equal(harness__run(h, "claim", 1), 0);
	assert_int_equal(harness__run(h, "claim", 2), 1);
}

static void test_rows(void **state)
{
	struct harness *h = *state;
	struct clock_answer *answer;
	struct config config = {0};
	uint64_t row[BY_CPU];

	for (uint32_t by = BY_PROCESS; by < BY_CPU; by++) {
		config.by = by;
		harness__start(h, &config);
		answer = h->answer;
		harness__run(h, "row_of", 0);
		row[by] = answer->rec.row;
		assert_true(row[by] != 0);
		harness__stop(h);
	}
	/* this is the process's first thread */
	assert_int_equal(row[BY_PROCESS], row[BY_THREAD]);
	assert_int_equal(row[BY_PROCESS] >> 32, getpid());
	assert_true(row[BY_COMM] != row[BY_PROCESS]);
}

/* ---- against a model ------------------------------------------------------------------------- */

#define MODEL_EPOCHS 2000
#define MODEL_BORN   5000

/* What a clock must say, kept the plain way: every segment, clipped to its epochs. */
struct model {
	uint64_t start[MODEL_EPOCHS + 2]; /* of each epoch; 0 is before the run */
	uint64_t ns[MODEL_EPOCHS + 2][NR_STATES];
	uint64_t all[NR_STATES];
	uint32_t epoch;
	/* the open segment */
	uint64_t since;
	uint32_t state, slot;
	/* the segment that was open when epoch - 1 ended */
	uint32_t cut_state, cut_slot;
	uint64_t cut_part, cut_total;
};

static uint64_t overlap(uint64_t from, uint64_t to, uint64_t begin, uint64_t end)
{
	if (from < begin)
		from = begin;
	if (to > end)
		to = end;
	return to > from ? to - from : 0;
}

static uint64_t model__end(const struct model *m, uint32_t epoch)
{
	return epoch < m->epoch ? m->start[epoch + 1] : UINT64_MAX;
}

static void model__turn(struct model *m, uint32_t state, uint64_t now, uint32_t slot)
{
	if (now < m->start[m->epoch])
		now = m->start[m->epoch];
	if (now < m->since)
		now = m->since;
	for (uint32_t e = 0; e <= m->epoch; e++)
		m->ns[e][m->state] += overlap(m->since, now, m->start[e], model__end(m, e));
	m->all[m->state] += now - m->since;
	m->since = now;
	m->state = state;
	m->slot = slot;
}

static void model__cut(struct model *m, uint64_t at)
{
	m->cut_state = m->state;
	m->cut_slot = m->slot;
	m->cut_part = overlap(m->since, at, m->start[m->epoch], at);
	m->cut_total = overlap(m->since, at, m->start[1], at);
	m->start[++m->epoch] = at;
}

/* The account of the epoch that ended last, whether the clock has noticed or not. */
static void model__check(const struct model *m, struct harness *h)
{
	struct clock_answer *a = h->answer;
	uint32_t epoch = m->epoch - 1;
	bool ahead = a->epoch > epoch;
	const struct thread_rec *rec = account(h, epoch, m->start[m->epoch]);

	for (uint32_t i = STATE_NONE + 1; i < NR_STATES; i++) {
		/* segments that the model has not closed yet */
		uint64_t open = m->state == i ? overlap(m->since, UINT64_MAX, m->start[epoch],
							m->start[epoch + 1])
					      : 0;

		assert_int_equal(rec->ns[i], m->ns[epoch][i] + open);
	}
	assert_int_equal(wall(rec) + m->ns[epoch][STATE_NONE] +
				 (m->state == STATE_NONE
					  ? overlap(m->since, UINT64_MAX, m->start[epoch],
						    m->start[epoch + 1])
					  : 0),
			 m->start[epoch + 1] - m->start[epoch]);
	if (ahead) {
		assert_int_equal(rec->flags, 0);
		assert_int_equal(rec->spill_slot, m->cut_slot);
		assert_int_equal(rec->spill_ns, m->cut_part);
		assert_int_equal(rec->open_slot, TALLY_NONE);
	} else if (m->cut_state != STATE_NONE) {
		assert_int_equal(rec->flags, THREAD_OPEN);
		assert_int_equal(rec->open_state, m->cut_state);
		assert_int_equal(rec->open_slot, m->cut_slot);
		assert_int_equal(rec->open_ns, m->cut_part);
		assert_int_equal(rec->open_total_ns, m->cut_total);
		assert_int_equal(rec->spill_slot, TALLY_NONE);
	}
}

/* Readings of the clock: never less than before, and together the time that passed. */
static void model__read(const struct model *m, struct harness *h, uint64_t now, uint64_t *seen)
{
	struct clock_answer *a = h->answer;
	uint64_t sum = 0;

	harness__run(h, "read", now);
	for (uint32_t i = 0; i < NR_STATES; i++) {
		uint64_t open = m->state == i ? overlap(m->since, now, 0, UINT64_MAX) : 0;

		assert_int_equal(a->read[i], m->all[i] + open);
		assert_true(a->read[i] >= seen[i]);
		seen[i] = a->read[i];
		sum += a->read[i];
	}
	assert_int_equal(sum, (now > m->since ? now : m->since) - MODEL_BORN);
}

/* The next time, up to 2^19 ns on. */
static uint64_t step(uint64_t *seed, uint64_t now)
{
	uint64_t r = harness__random(seed);

	return now + (r >> 8) % (1ULL << (4 + (r & 15)));
}

static void test_random(void **state)
{
	static struct model m;
	uint64_t seed = 4711, now = MODEL_BORN, last_read = 0, seen[NR_STATES] = {0};
	struct harness *h = *state;
	struct clock_answer *a;
	uint32_t turns = 0, behind = 0;

	memset(&m, 0, sizeof(m));
	harness__start(h, NULL);
	a = h->answer;
	m.since = now;
	m.state = STATE_CPU;
	m.slot = TALLY_NONE;
	harness__run(h, "start", STATE_CPU, now, TALLY_NONE);
	while (m.epoch < MODEL_EPOCHS) {
		uint64_t r = harness__random(&seed);

		now = step(&seed, now);
		if (r % 8 < 5) {
			uint32_t to = (uint32_t)(r >> 8) % NR_STATES,
				 slot = (uint32_t)(r >> 16) % 64;
			/* some had read the time before those that came before them */
			uint64_t at = now - (r >> 60 ? 0 : (r >> 32) % 500);

			/* but whoever read the clock did so on the thread itself */
			if (at < last_read)
				at = last_read;
			model__turn(&m, to, at, slot);
			turn(h, to, at, slot);
			turns++;
		} else if (r % 8 == 5) {
			model__read(&m, h, now, seen);
			last_read = now;
		} else {
			/* a cut is announced a little ahead, and always behind the one before */
			if (now <= m.start[m.epoch])
				now = m.start[m.epoch] + 1;
			model__cut(&m, now + (r >> 8) % 16);
			harness__cut(h, m.start[m.epoch]);
		}
		if (m.epoch > 1) {
			behind += a->epoch < m.epoch;
			model__check(&m, h);
		}
	}
	assert_true(turns > MODEL_EPOCHS && behind > MODEL_EPOCHS);
	assert_int_equal(harness__losses(h), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HARNESS_BOTH(test_turns_add_up),
		HARNESS_BOTH(test_clipped_at_the_start),
		HARNESS_BOTH(test_never_turned),
		HARNESS_BOTH(test_started_twice),
		HARNESS_BOTH(test_crossing_one),
		HARNESS_BOTH(test_crossing_several),
		HARNESS_BOTH(test_read_behind_a_cut),
		HARNESS_BOTH(test_turned_before_the_cut),
		HARNESS_BOTH(test_turned_in_ignorance),
		HARNESS_BOTH(test_born_before_the_cut),
		HARNESS_BOTH(test_times_that_go_backwards),
		HARNESS_BOTH(test_unwatched_time),
		HARNESS_BOTH(test_claimed_once),
		HARNESS_BOTH(test_end_after_the_iterator),
		HARNESS_BOTH(test_end_before_the_iterator),
		HARNESS_BOTH(test_end_of_a_newborn),
		HARNESS_BOTH(test_end_with_a_full_ring),
		HARNESS_BOTH(test_another_row),
		HARNESS_BOTH(test_another_row_after_a_cut),
		HARNESS_BOTH(test_rows),
		HARNESS_BOTH(test_random),
	};

	return harness__main(tests);
}
