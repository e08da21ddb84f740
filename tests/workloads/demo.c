/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * demo [SECONDS [SYNC]]: a little shop in one process (5 s), with troubles of its own:
 *
 *   ledger       takes the mutex "orders", writes ledger.db and calls fsync() with the mutex held
 *   checkout-N   want the same mutex for next to nothing, and wait for the ledger's fsync
 *   journal      writes and fsyncs journal.log, in nobody's way
 *   mailer       waits on a pipe for what the checkouts have sold
 *   cleaner      sleeps, mostly
 *   report-N     burn CPU: one more than there are CPUs, so that everyone queues
 *
 * SYNC: "after" has the ledger call fsync() once it has let go of the mutex, "held" (the default)
 * as above. With SYNC given it prints at the end how many orders were sold.
 */
#include "workload.h"

#define CHECKOUTS     5
#define REPORTS_MAX   64
#define LEDGER_BLOCK  (64 * 1024)
#define LEDGER_BLOCKS 32 /* written one by one, with the mutex held */

struct shop {
	_Atomic bool closed;
	_Atomic uint64_t sold;
	bool sync_after;
	pthread_mutex_t orders;
	const char *ledger, *journal;
	int mail[2];
};

static bool shop__open(struct shop *shop)
{
	return !atomic_load_explicit(&shop->closed, memory_order_relaxed);
}

/* Appends @size bytes at @*offset, and with @sync waits until they are on the disk. */
static void append(int fd, const char *data, size_t size, off_t *offset, bool sync)
{
	workload__sys(pwrite(fd, data, size, *offset), "pwrite");
	if (sync)
		workload__sys(fsync(fd), "fsync");
	*offset = (*offset + (off_t)size) % (16 << 20);
}

static int create(const char *path)
{
	return (int)workload__sys(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), path);
}

static void *ledger(void *arg)
{
	static char block[LEDGER_BLOCK];
	struct shop *shop = arg;
	int fd = create(shop->ledger);
	off_t offset = 0;

	memset(block, '1', sizeof(block));
	while (shop__open(shop)) {
		pthread_mutex_lock(&shop->orders);
		for (int i = 0; i < LEDGER_BLOCKS; i++)
			append(fd, block, sizeof(block), &offset, !shop->sync_after);
		pthread_mutex_unlock(&shop->orders);
		if (shop->sync_after)
			workload__sys(fsync(fd), "fsync");
		workload__sleep(WORKLOAD_MSEC);
	}
	close(fd);
	return NULL;
}

static void *checkout(void *arg)
{
	struct shop *shop = arg;

	while (shop__open(shop)) {
		pthread_mutex_lock(&shop->orders);
		workload__burn(20000);
		pthread_mutex_unlock(&shop->orders);
		atomic_fetch_add(&shop->sold, 1);
		(void)!write(shop->mail[1], "sold", 4);
		workload__sleep(WORKLOAD_MSEC);
	}
	return NULL;
}

static void *journal(void *arg)
{
	static const char line[4096] = "journal";
	struct shop *shop = arg;
	int fd = create(shop->journal);
	off_t offset = 0;

	while (shop__open(shop)) {
		append(fd, line, sizeof(line), &offset, true);
		workload__burn(100000);
	}
	close(fd);
	return NULL;
}

/* Ends when the other end of the pipe is closed. */
static void *mailer(void *arg)
{
	struct shop *shop = arg;
	char order[4];

	while (read(shop->mail[0], order, sizeof(order)) > 0)
		workload__burn(50000);
	return NULL;
}

static void *cleaner(void *arg)
{
	struct shop *shop = arg;

	while (shop__open(shop)) {
		workload__sleep(50 * WORKLOAD_MSEC);
		workload__burn(WORKLOAD_MSEC);
	}
	return NULL;
}

static void *report(void *arg)
{
	struct shop *shop = arg;

	while (shop__open(shop))
		workload__burn(5 * WORKLOAD_MSEC);
	return NULL;
}

static pthread_t hire(struct shop *shop, void *(*job)(void *), const char *name, int number)
{
	char full[16];
	pthread_t thread;

	workload__pth(pthread_create(&thread, NULL, job, shop), "pthread_create");
	if (number)
		snprintf(full, sizeof(full), "%s-%d", name, number);
	else
		snprintf(full, sizeof(full), "%s", name);
	pthread_setname_np(thread, full);
	return thread;
}

static int reports(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < REPORTS_MAX ? (int)cpus + 1 : REPORTS_MAX;
}

int main(int argc, char **argv)
{
	struct shop shop = {.orders = PTHREAD_MUTEX_INITIALIZER};
	uint64_t seconds = argc > 1 ? workload__number(argv[1], 1, 3600) : 5;
	pthread_t staff[3 + CHECKOUTS + REPORTS_MAX], reader;
	int n = 0;

	shop.sync_after = argc > 2 && !strcmp(argv[2], "after");
	if (argc > 3 || (argc > 2 && !shop.sync_after && strcmp(argv[2], "held")))
		workload__die("usage: demo [SECONDS [held|after]]");
	shop.ledger = workload__tmpfile("ledger.db");
	shop.journal = workload__tmpfile("journal.log");
	workload__sys(pipe2(shop.mail, O_CLOEXEC), "pipe2");
	reader = hire(&shop, mailer, "mailer", 0);
	staff[n++] = hire(&shop, ledger, "ledger", 0);
	staff[n++] = hire(&shop, journal, "journal", 0);
	staff[n++] = hire(&shop, cleaner, "cleaner", 0);
	for (int i = 1; i <= CHECKOUTS; i++)
		staff[n++] = hire(&shop, checkout, "checkout", i);
	for (int i = 1; i <= reports(); i++)
		staff[n++] = hire(&shop, report, "report", i);
	workload__sleep(seconds * WORKLOAD_SEC);
	atomic_store(&shop.closed, true);
	for (int i = 0; i < n; i++)
		pthread_join(staff[i], NULL);
	close(shop.mail[1]);
	pthread_join(reader, NULL);
	if (argc > 2)
		printf("%ju\n", (uintmax_t)shop.sold);
	return 0;
}
