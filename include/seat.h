/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* The table that tells which clock is whose: lib/seat.bpf.h. */
#ifndef DWELL_SEAT_H
#define DWELL_SEAT_H

/* Seats are 1 << SEAT_BITS, twice the threads: 2 MB. */
#define SEAT_BITS 17

/*
 * How many seats a thread may sit in. With as many threads as there can be, one of 2^16 finds none
 * free, which is counted; with a tenth of them none does.
 */
#define SEAT_TRIES 16

/* Threads that have one at once; numbers begin with 1. */
#define SEAT_NUMBERS 65536

#endif
