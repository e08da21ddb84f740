/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Which number a thread has: that of its clock. Task storage would do, but what the kernel
 * allocates there for a new thread takes longer than all else that is done for it.
 *
 * A hash by the task's address: a thread sits at home, or, if that was taken, in another of its
 * seats. Numbers that are free again are handed out last in, first out: their clocks are in the
 * cache.
 */
#ifndef DWELL_SEAT_BPF_H
#define DWELL_SEAT_BPF_H

#include "lib/compat.bpf.h"
#include "seat.h"

struct seat {
	u64 task;   /* its address, or 0 */
	u32 number; /* 0: not yet, or no longer */
	u32 strays; /* whose home this is, one of those sits elsewhere, or did */
};

/* CONFIG_MEMORY: no look-up in a map is as quick. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct seat[1 << SEAT_BITS]);
} mem_seats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, SEAT_NUMBERS);
	__type(value, u32);
} seat_free SEC(".maps");

/* The last one that a CPU took back, or 0: its next thread's, without a lock that all ask for. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} seat_spares SEC(".maps");

/* How many numbers were handed out, whether or not they are free again. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} seat_numbers SEC(".maps");

/*
 * The address as a number, which is what the verifier takes a pointer for of which a byte was
 * written: the highest, as it is in every address of the kernel.
 */
static __always_inline u64 seat__key(struct task_struct *task)
{
	volatile u64 slot = (u64)task;

	((volatile u8 *)&slot)[7] = 0xff;
	return slot;
}

/*
 * Where seat number @i is of those that @key may sit in; 0: its home. Tasks are bigger than a page
 * of 4 kB, and those that are made together are near each other: with a seat for each page of a
 * megabyte, they share what the processor remembers of pages. Where such a block begins is hashed.
 */
static __always_inline u32 seat__place(u32 key, u32 i)
{
	u32 hash = (key >> 20) * 0x9e3779b1U, block = (hash >> 16) + i * (hash >> 8 | 1);

	return (block << 8 | (key >> 12 & 0xff)) & ((1 << SEAT_BITS) - 1);
}

static __always_inline struct seat *seat__at(u32 key, u32 i)
{
	u64 place = seat__place(key, i);
	struct seat *seats = (void *)&mem_seats;

	/* A place within the map would be none that libbpf knows. */
	barrier_var(seats);
	barrier_var(place);
	return &seats[place & ((1 << SEAT_BITS) - 1)];
}

/* Seat number @i for @key becomes @to's if it is @from's; true: it was. */
VERIFIED_ONCE int seat__pass(u64 key, u32 i, u64 from, u64 to)
{
	struct seat *seat = seat__at(key, i);

	return *(volatile u64 *)&seat->task == from &&
	       (from == to || compat__claim64(&seat->task, from, to));
}

/* In which of its seats @key sits, or comes to sit if it is 0 that is looked for there. */
VERIFIED_ONCE int seat__which(u64 key, u64 from)
{
	u32 i;

	for (i = 0; i < SEAT_TRIES; i++) {
		if (seat__pass(key, i, from, key))
			break;
	}
	return i;
}

/* Is it certain that @key has no number? */
static __always_inline bool seat__is_unknown(u64 key)
{
	struct seat *home = seat__at(key, 0);

	return !home->strays && *(volatile u64 *)&home->task != key;
}

/* The number of @key, 0: it has none. */
VERIFIED_ONCE int seat__of(u64 key)
{
	u32 i;

	if (seat__is_unknown(key))
		return 0;
	i = seat__which(key, key);
	return i < SEAT_TRIES ? *(volatile u32 *)&seat__at(key, i)->number : 0;
}

/* The same of @task, quickly if it sits at home. */
static __always_inline u32 seat__find(struct task_struct *task)
{
	struct seat *home = seat__at(compat__low(task), 0);

	if (likely(*(volatile u64 *)&home->task == (u64)task))
		return *(volatile u32 *)&home->number;
	return seat__of(seat__key(task));
}

/* A number that nobody has; 0: array @map has no element number - 1 for one more. */
static __always_inline u32 seat__number(void *map)
{
	u32 number = 0, *given, *spare = bpf_map_lookup_elem(&seat_spares, &number);

	if (likely(spare && *spare))
		number = __sync_lock_test_and_set(spare, 0);
	if (likely(number) || !bpf_map_pop_elem(&seat_free, &number))
		return number;
	number = 0;
	given = bpf_map_lookup_elem(&seat_numbers, &number);
	if (!given)
		return 0;
	number = *(volatile u32 *)given;
	if (!bpf_map_lookup_elem(map, &number))
		return 0;
	return __sync_fetch_and_add(given, 1) + 1;
}

/* Whose @number it was is gone. What interrupts this may do the same. */
static __always_inline void seat__give_back(u32 number)
{
	u32 zero = 0, *spare = bpf_map_lookup_elem(&seat_spares, &zero);

	if (likely(spare))
		number = __sync_lock_test_and_set(spare, number);
	if (unlikely(number))
		bpf_map_push_elem(&seat_free, &number, BPF_ANY);
}

/* @key sits down with @number where it can; false: nowhere. */
VERIFIED_ONCE int seat__sit_somewhere(u64 key, u32 number)
{
	u32 i = seat__which(key, 0);

	if (i >= SEAT_TRIES) {
		seat__give_back(number);
		return false;
	}
	*(volatile u32 *)&seat__at(key, i)->number = number;
	if (i)
		seat__at(key, 0)->strays = 1;
	return true;
}

/* @key sits down at home with @number; false: that is taken. */
static __always_inline bool seat__sit(u64 key, u32 number)
{
	struct seat *home = seat__at(key, 0);

	if (unlikely(!compat__claim64(&home->task, 0, key)))
		return false;
	*(volatile u32 *)&home->number = number;
	return true;
}

/* Nobody sits there any more; the number may be another's at once. */
static __always_inline void seat__vacate(struct seat *seat)
{
	u32 number = seat->number;

	*(volatile u32 *)&seat->number = 0;
	compat__wmb();
	*(volatile u64 *)&seat->task = 0;
	if (number)
		seat__give_back(number);
}

VERIFIED_ONCE int seat__leave_somewhere(u64 key)
{
	u32 i = seat__which(key, key);

	if (i < SEAT_TRIES)
		seat__vacate(seat__at(key, i));
	return 0;
}

/* @key leaves its seat. */
static __always_inline void seat__leave(u64 key)
{
	struct seat *home = seat__at(key, 0);

	if (likely(*(volatile u64 *)&home->task == key))
		seat__vacate(home);
	else
		seat__leave_somewhere(key);
}

#endif
