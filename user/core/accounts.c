// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Without memory an entry is not added, and HASH_ADD says so by a NULL `hh.tbl`. */
#define HASH_NONFATAL_OOM 1

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/accounts.h"

static struct account *accounts__get(struct accounts *a, const struct thread_rec *rec)
{
	struct account *account = accounts__find(a, rec->row);

	if (account || a->n >= a->max)
		return account;
	account = calloc(1, sizeof(*account));
	if (!account)
		return NULL;
	account->row = rec->row;
	HASH_ADD(hh, a->by_row, row, sizeof(account->row), account);
	if (!account->hh.tbl) {
		free(account);
		return NULL;
	}
	a->n++;
	return account;
}

/* Threads beyond ACCOUNTS_NAMES, or without memory, are known by number only: that is no error. */
static void accounts__name(struct accounts *a, const struct thread_rec *rec)
{
	struct account_name *name = NULL;

	HASH_FIND(hh, a->by_tid, &rec->tid, sizeof(rec->tid), name);
	if (!name) {
		if (a->names >= ACCOUNTS_NAMES)
			return;
		name = calloc(1, sizeof(*name));
		if (!name)
			return;
		name->tid = rec->tid;
		HASH_ADD(hh, a->by_tid, tid, sizeof(name->tid), name);
		if (!name->hh.tbl) {
			free(name);
			return;
		}
		a->names++;
	}
	memcpy(name->comm, rec->comm, sizeof(rec->comm));
}

const char *accounts__comm(const struct accounts *a, uint32_t tid)
{
	struct account_name *name = NULL;

	HASH_FIND(hh, a->by_tid, &tid, sizeof(tid), name);
	return name ? name->comm : NULL;
}

static uint64_t accounts__wall(const struct thread_rec *rec)
{
	uint64_t wall = 0;

	for (int i = STATE_NONE + 1; i < NR_STATES; i++)
		wall += rec->ns[i];
	return wall;
}

int accounts__add(struct accounts *a, const struct thread_rec *rec)
{
	uint64_t wall = accounts__wall(rec);
	struct account *account;

	/* Threads that did not match all along, and those that were dead before, have no time. */
	if (!wall)
		return 0;
	accounts__name(a, rec);
	account = accounts__get(a, rec);
	if (!account && a->n < a->max)
		return -ENOMEM;
	if (!account) {
		a->lost++;
		return 0;
	}
	/* A process is named after its leader; a row of others after who came first. */
	if (!account->tgid || rec->tid == rec->tgid) {
		account->tgid = rec->tgid;
		account->tid = rec->tid;
		account->cgroup = rec->cgroup;
		memcpy(account->comm, rec->comm, sizeof(rec->comm));
	}
	if (!(rec->flags & THREAD_PARTIAL))
		account->threads++;
	if (rec->flags & THREAD_EXITED)
		account->exited++;
	for (int i = STATE_NONE + 1; i < NR_STATES; i++)
		account->ns[i] += rec->ns[i];
	account->wall_ns += wall;
	return 0;
}

struct account *accounts__find(const struct accounts *a, uint64_t row)
{
	struct account *account = NULL;

	HASH_FIND(hh, a->by_row, &row, sizeof(row), account);
	return account;
}

void accounts__reset(struct accounts *a)
{
	struct account *account, *next;
	struct account_name *name, *next_name;

	for (account = a->by_row; account; account = next) {
		next = account->hh.next;
		HASH_DELETE(hh, a->by_row, account);
		free(account);
	}
	for (name = a->by_tid; name; name = next_name) {
		next_name = name->hh.next;
		HASH_DELETE(hh, a->by_tid, name);
		free(name);
	}
	a->n = 0;
	a->names = 0;
	a->lost = 0;
}
