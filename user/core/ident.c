// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/ident.h"
#include "core/names.h"

enum dwell_exit ident__set(struct session *s, uint64_t row, struct ident *id)
{
	struct account *account = accounts__find(session__accounts(s), row);

	*id = (struct ident){0};
	if (!account)
		return EXIT_OK;
	/* Many rows may be of one account: it is asked for once. */
	if (!account->cgroup_path)
		account->cgroup_path = names__cgroup(account, &s->arena);
	if (!account->cgroup_path)
		return err__fail("no memory for the report");
	*id = (struct ident){account->tgid, account->tid, account->comm, account->cgroup_path};
	return EXIT_OK;
}

const char *ident__label(struct session *s, const struct ident *id)
{
	const char *comm = id->comm ?: "?";

	switch ((enum group_by)s->config.by) {
	case BY_CGROUP:
		return id->cgroup ?: "?";
	case BY_PROCESS:
		return arena__printf(&s->arena, "%s (%u)", comm, id->pid);
	case BY_THREAD:
		return arena__printf(&s->arena, "%s (%u)", comm, id->tid);
	default:
		return comm;
	}
}
