/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * fake_postgres: what dwell sees of PostgreSQL's versions, of which Debian has one: functions and
 * variables of these names, with the arguments and layouts of version PG (their sources:
 * src/include/executor/instrument.h, storage/lock.h, tcop/cmdtag.h, utils/backend_status.h,
 * utils/wait_event.h). It says "ready", waits for a line on its standard input, and runs statements
 * of known numbers in two sessions, a process for each; of the second it says "holder PID".
 */
#ifndef PG
#define PG 17
#endif
#include "workload.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define SERVER __attribute__((noinline, noclone, used))

/* What an argument says that nobody reads is to be there all the same. */
#define KEEP(value) __asm__ volatile("" : : "r"(value) : "memory")

#define ROUNDS 20

/* ---- layouts ------------------------------------------------------------------------------- */

enum backend_state {
	STATE_UNDEFINED,
#if PG >= 18
	STATE_STARTING,
#endif
	STATE_IDLE,
	STATE_RUNNING,
	STATE_IDLEINTRANSACTION,
	STATE_FASTPATH,
	STATE_IDLEINTRANSACTION_ABORTED,
	STATE_DISABLED,
};

struct buffer_usage {
	int64_t shared_hit, shared_read, shared_dirtied, shared_written;
	int64_t local_hit, local_read, local_dirtied, local_written;
	int64_t temp_read, temp_written;
	int64_t time[PG >= 17 ? 6 : PG >= 15 ? 4 : 2];
};

struct wal_usage {
	int64_t records, full_page_images;
	uint64_t bytes;
#if PG >= 18
	int64_t buffers_full;
#endif
};

#if PG >= 13
struct completion {
	int tag;
	uint64_t rows;
};
#endif

struct link {
	struct link *prev, *next;
};

struct proc {
	struct link links;
	struct link *list;
	void *semaphore;
	int wait_status;
	int latch[3], latch_owner;
	uint32_t xids[PG >= 14 ? 3 : 2];
	int pid;
	uint32_t wait_event_info;
};

struct tag {
	uint32_t field[3];
	uint16_t field4;
	uint8_t type, method;
};

struct lock {
	struct tag tag;
	uint32_t granted, waited;
	struct link holders; /* of proclock.of_lock */
};

struct proclock {
	struct lock *lock;
	struct proc *proc, *leader;
	uint32_t holds, releases;
	struct link of_lock, of_proc;
};

struct locallock {
	struct tag tag;
	int mode;
	uint32_t hash;
	struct lock *lock;
	struct proclock *proclock;
};

#define LOCKTAG_TRANSACTION 5
#define SHARE_LOCK          5
#define EXCLUSIVE_LOCK      7

/* What all sessions share. */
static struct {
	struct proc procs[2];
	struct lock lock;
	struct proclock held;
} * shared;

/* ---- what dwell looks for ------------------------------------------------------------------ */

struct buffer_usage pgBufferUsage;
#if PG >= 13
struct wal_usage pgWalUsage;
#endif
#if PG >= 14
uint32_t *my_wait_event_info;
#endif
struct proc *MyProc;
void *MyProcPort;

void pgstat_report_activity(enum backend_state state, const char *text);
void AbortCurrentTransaction(void);
#if PG >= 13
void InitializeQueryCompletion(struct completion *done);
void EndCommand(const struct completion *done, int dest, bool undecorated);
#else
void EndCommand(const char *tag, int dest);
#endif
/* Up to 16 it has two arguments, from 18 on one; 17 calls it where it is not to wait, too. */
int ProcSleep(struct locallock *lock, const void *methods, bool no_wait);

SERVER void pgstat_report_activity(enum backend_state state, const char *text)
{
	KEEP(state);
	KEEP(text);
}

SERVER void AbortCurrentTransaction(void)
{
	KEEP(0);
}

#if PG >= 13
SERVER void InitializeQueryCompletion(struct completion *done)
{
	done->tag = 0;
	done->rows = 0;
}

SERVER void EndCommand(const struct completion *done, int dest, bool undecorated)
{
	KEEP(done);
	KEEP(dest);
	KEEP((int)undecorated);
}
#else
SERVER void EndCommand(const char *tag, int dest)
{
	KEEP(tag);
	KEEP(dest);
}
#endif

static void waits(uint32_t event, long milliseconds)
{
	struct timespec time = {0, milliseconds * 1000000};

	MyProc->wait_event_info = event;
	nanosleep(&time, NULL);
	MyProc->wait_event_info = 0;
}

SERVER int ProcSleep(struct locallock *lock, const void *methods, bool no_wait)
{
	KEEP(lock);
	KEEP(methods);
	if (no_wait)
		return 2;
	waits(0x03000005, 50);
	return 0;
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void ends(uint64_t rows)
{
#if PG >= 13
	struct completion done;

	InitializeQueryCompletion(&done);
	done.tag = 77;
	done.rows = rows;
	EndCommand(&done, 2, false);
#else
	(void)rows;
	EndCommand("SELECT 1 and more than that", 2);
#endif
}

/* Of all that a server counts each has its own number, so that none can be taken for another. */
static void counts(int64_t hit, int64_t read, uint64_t wal)
{
	pgBufferUsage.shared_hit += hit;
	pgBufferUsage.shared_read += read;
	pgBufferUsage.shared_dirtied += 100003;
	pgBufferUsage.shared_written += 200003;
	pgBufferUsage.local_hit += 1;
	pgBufferUsage.local_read += 2;
	pgBufferUsage.local_dirtied += 300007;
	pgBufferUsage.local_written += 400009;
	pgBufferUsage.temp_read += 500009;
	pgBufferUsage.temp_written += 600011;
	for (size_t i = 0; i < sizeof(pgBufferUsage.time) / sizeof(*pgBufferUsage.time); i++)
		pgBufferUsage.time[i] += 700001;
#if PG >= 13
	pgWalUsage.records += 800011;
	pgWalUsage.full_page_images += 900001;
	pgWalUsage.bytes += wal;
#else
	(void)wal;
#endif
#if PG >= 18
	pgWalUsage.buffers_full += 1000003;
#endif
}

/* A text has come from the client, so that it is in memory. */
static void runs(const char *text)
{
	KEEP(*(const volatile char *)text);
	pgstat_report_activity(STATE_RUNNING, text);
}

static void simple(const char *text, uint64_t rows, enum backend_state then)
{
	runs(text);
	ends(rows);
	pgstat_report_activity(then, NULL);
}

/* Parse, Bind and Execute, which has a copy of the text where it may end the transaction. */
static void extended(const char *text)
{
	char copy[64];

	snprintf(copy, sizeof(copy), "%s", text);
	runs(text);
	runs(text);
	runs(copy);
	counts(40, 0, 0);
	ends(2);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* With a call of a function by its number, as for large objects: it has no text. */
static void transaction(void)
{
	simple("BEGIN", 0, STATE_IDLEINTRANSACTION);
	waits(0x06000000, 2);
	pgstat_report_activity(STATE_FASTPATH, NULL);
	waits(0x0a000003, 3);
	pgstat_report_activity(STATE_IDLEINTRANSACTION, NULL);
	waits(0x06000000, 5);
	simple("COMMIT", 0, STATE_IDLE);
}

static void round_of(void)
{
	runs("SELECT a FROM t WHERE b = 4711");
	counts(5, 30, 0);
	ends(3);
	pgstat_report_activity(STATE_IDLE, NULL);

	runs("UPDATE t SET a = 4712");
	counts(10, 0, 400);
	waits(0x0a000011, 3);                         /* IO */
	waits(0x01000042, 2);                         /* LWLock */
	waits(PG >= 17 ? 0x0b000001 : 0x08000001, 1); /* injection point; IPC */
	ends(1);
	pgstat_report_activity(STATE_IDLE, NULL);

	runs("SELECT nonsense, 4713");
	AbortCurrentTransaction();
	pgstat_report_activity(STATE_IDLE, NULL);

	extended("DELETE FROM t WHERE a = $1");
	transaction();
}

/* until the last process that has the pipe's other end closes it */
static void await_end(int pipe)
{
	char c;

	while (read(pipe, &c, 1) > 0)
		;
}

static void becomes(int number)
{
	static int port;

	MyProc = &shared->procs[number];
	MyProc->pid = MyProc->latch_owner = getpid();
	MyProcPort = &port;
#if PG >= 14
	my_wait_event_info = &MyProc->wait_event_info;
#endif
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* The row is the second session's, until it is told that the first one has waited for it. */
static void holds(int to_wait, int waited)
{
	becomes(1);
	printf("holder %d\n", (int)getpid());
	fflush(stdout);
	simple("BEGIN", 0, STATE_IDLEINTRANSACTION);
	simple("UPDATE t SET a = 1 WHERE b = 2", 1, STATE_IDLEINTRANSACTION);
	shared->held = (struct proclock){
		.lock = &shared->lock,
		.proc = MyProc,
		.leader = MyProc,
		.holds = 1 << EXCLUSIVE_LOCK,
		.of_lock = {&shared->lock.holders, &shared->lock.holders},
	};
	shared->lock.holders = (struct link){&shared->held.of_lock, &shared->held.of_lock};
	close(to_wait);
	await_end(waited);
	simple("COMMIT", 0, STATE_IDLE);
}

static void waits_for_row(void)
{
	struct locallock lock = {.mode = SHARE_LOCK, .lock = &shared->lock};

	lock.tag.type = LOCKTAG_TRANSACTION;
#if PG == 17
	runs("SELECT a FROM t WHERE b = 2 FOR UPDATE NOWAIT");
	ProcSleep(&lock, NULL, true);
	AbortCurrentTransaction();
	pgstat_report_activity(STATE_IDLE, NULL);
#endif
	runs("UPDATE t SET a = 3 WHERE b = 2 OR c");
	ProcSleep(&lock, NULL, false);
	ends(1);
	pgstat_report_activity(STATE_IDLE, NULL);
}

int main(void)
{
	int to_wait[2], waited[2];
	char line[16];

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		workload__die("mmap: %s", strerror(errno));
	workload__sys(pipe(to_wait), "pipe");
	workload__sys(pipe(waited), "pipe");
	fprintf(stderr, "ready\n");
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	if (!workload__sys(fork(), "fork")) {
		close(waited[1]);
		holds(to_wait[1], waited[0]);
		_exit(0);
	}
	close(to_wait[1]);
	if (!workload__sys(fork(), "fork")) {
		becomes(0);
		for (int i = 0; i < ROUNDS; i++)
			round_of();
		await_end(to_wait[0]);
		waits_for_row();
		_exit(0); /* which closes the pipe */
	}
	close(waited[1]);
	while (wait(NULL) > 0)
		;
	return 0;
}
