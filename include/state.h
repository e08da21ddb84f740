/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/*
 * The states of a thread's clock. At each moment a watched thread is in exactly one of them.
 *
 * Append only: the numbers travel between the kernel side and user space, the names are JSON keys.
 */
#ifndef DWELL_STATE_H
#define DWELL_STATE_H

/* X(enumerator, JSON key, what the thread is doing, idle) - idle: waits that ask for no remedy */
#define DWELL_STATES(X)                                                                            \
	X(STATE_CPU, "cpu", "runs on a CPU", 0)                                                    \
	X(STATE_RUNQ, "runq", "waits for a CPU after a wake-up", 0)                                \
	X(STATE_PREEMPT, "preempt", "waits for a CPU that was taken from it", 0)                   \
	X(STATE_DISK, "disk", "waits for the disk", 0)                                             \
	X(STATE_FS, "fs", "waits inside the file system", 0)                                       \
	X(STATE_LOCK, "lock", "waits for a lock", 0)                                               \
	X(STATE_SYNC, "sync", "waits for another thread", 0)                                       \
	X(STATE_KLOCK, "klock", "waits for a kernel lock", 0)                                      \
	X(STATE_NET, "net", "waits for a socket", 0)                                               \
	X(STATE_PIPE, "pipe", "waits for a pipe or terminal", 0)                                   \
	X(STATE_POLL, "poll", "is idle, polling", 1)                                               \
	X(STATE_SLEEP, "sleep", "sleeps on a timer", 1)                                            \
	X(STATE_FAULT, "fault", "waits in a page fault", 0)                                        \
	X(STATE_STOP, "stop", "is stopped", 1)                                                     \
	X(STATE_OTHER, "other", "waits for something not classified", 0)

enum dwell_state {
	STATE_NONE = 0, /* not watched, or not known yet: never charged */
#define X(id, ...) id,
	DWELL_STATES(X)
#undef X
		NR_STATES, /* 16: a power of two, so that an index can be masked for the verifier */
};

#define STATE_MASK (NR_STATES - 1)

_Static_assert(NR_STATES == 16, "state arrays are indexed with STATE_MASK");

#endif
