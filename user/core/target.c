// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/str.h"
#include "core/proc.h"
#include "core/target.h"
#include "thread.h"

#define CGROUP_ROOT_INO 1 /* fs/kernfs: the root's id */
#define CGROUP_LEVELS   64

static enum dwell_exit target__only_one(const struct target *t)
{
	int kinds = (t->pids.n > 0) + (t->tids.n > 0) + (t->comm != NULL) + (t->cgroup != NULL) +
		    t->all + (t->program != NULL);

	if (kinds > 1)
		return err__usage(
			"only one of -p, -t, -c, --cgroup, -a and -- PROGRAM can be given");
	return EXIT_OK;
}

/* "pid 12 (sh), 34 (cat), …" */
static void target__describe(struct target *t, const char *what, const struct option_list *ids)
{
	char comm[THREAD_COMM + 1], safe[3 * THREAD_COMM];
	size_t len = 0;

	str__append(t->text, sizeof(t->text), &len, "%s ", what);
	for (uint32_t i = 0; i < ids->n; i++) {
		proc__comm(ids->value[i], comm);
		str__printable(safe, sizeof(safe), comm, 0);
		if (len > sizeof(t->text) - 48) {
			str__append(t->text, sizeof(t->text), &len, ", %u more", ids->n - i);
			break;
		}
		str__append(t->text, sizeof(t->text), &len, "%s%u (%s)", i ? ", " : "",
			    ids->value[i], safe);
	}
}

static enum dwell_exit target__pids(struct target *t, struct config *config)
{
	for (uint32_t i = 0; i < t->pids.n; i++) {
		uint32_t pid = t->pids.value[i], tgid;

		if (proc__tgid(pid, &tgid))
			return err__fail("there is no process %u", pid);
		if (tgid != pid)
			return err__fail("%u is a thread of process %u: use -t %u or -p %u", pid,
					 tgid, pid, tgid);
		if (pid == (uint32_t)getpid())
			return err__fail("%u is dwell itself, which is never measured", pid);
	}
	config->filter = t->pids.n == 1 ? FILTER_TGID : FILTER_TGIDS;
	config->tgid = t->pids.value[0];
	t->ids = t->pids;
	target__describe(t, "pid", &t->ids);
	return EXIT_OK;
}

static enum dwell_exit target__tids(struct target *t, struct config *config)
{
	uint32_t tgid;

	for (uint32_t i = 0; i < t->tids.n; i++) {
		if (proc__tgid(t->tids.value[i], &tgid))
			return err__fail("there is no thread %u", t->tids.value[i]);
	}
	config->filter = FILTER_TIDS;
	t->ids = t->tids;
	target__describe(t, "thread", &t->ids);
	return EXIT_OK;
}

static enum dwell_exit target__comm(struct target *t, struct config *config)
{
	if (!*t->comm)
		return err__usage("-c wants a command name");
	if (strlen(t->comm) >= THREAD_COMM)
		return err__usage("a command name has at most %d bytes: '%s' is longer",
				  THREAD_COMM - 1, t->comm);
	config->filter = FILTER_COMM;
	memset(config->comm, 0, sizeof(config->comm));
	memcpy(config->comm, t->comm, strlen(t->comm));
	snprintf(t->text, sizeof(t->text), "command %s", t->comm);
	return EXIT_OK;
}

/* How deep the directory @fd is below the root of the cgroup tree; -1 if that is not in sight. */
static int target__cgroup_level(int fd)
{
	struct stat st;
	int level, up;

	for (level = 0; level < CGROUP_LEVELS; level++) {
		if (fstat(fd, &st))
			break;
		if (st.st_ino == CGROUP_ROOT_INO) {
			close(fd);
			return level;
		}
		up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		if (up < 0)
			return -1;
		fd = up;
	}
	close(fd);
	return -1;
}

static enum dwell_exit target__cgroup(struct target *t, struct config *config)
{
	int fd = open(t->cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC), level;
	struct statfs fs;
	struct stat st;

	if (fd < 0)
		return err__fail("the cgroup %s cannot be opened: %s", t->cgroup, strerror(errno));
	if (fstatfs(fd, &fs) || fstat(fd, &st)) {
		close(fd);
		return err__fail("the cgroup %s cannot be read: %s", t->cgroup, strerror(errno));
	}
	if (fs.f_type != CGROUP2_SUPER_MAGIC) {
		close(fd);
		return err__fail("%s is not a cgroup v2 directory", t->cgroup);
	}
	level = target__cgroup_level(fd);
	if (level < 0)
		return err__unsupported("the root of the cgroup tree is not visible from %s: run "
					"dwell in the host's cgroup namespace",
					t->cgroup);
	config->filter = FILTER_CGROUP;
	config->cgroup_id = st.st_ino;
	config->cgroup_level = (uint32_t)level;
	snprintf(t->text, sizeof(t->text), "cgroup %s", t->cgroup);
	return EXIT_OK;
}

enum dwell_exit target__resolve(struct target *t, int program_pid, struct config *config)
{
	enum dwell_exit status = target__only_one(t);

	if (status)
		return status;
	config->self = (uint32_t)getpid();
	if (t->pids.n)
		return target__pids(t, config);
	if (t->tids.n)
		return target__tids(t, config);
	if (t->comm)
		return target__comm(t, config);
	if (t->cgroup)
		return target__cgroup(t, config);
	if (t->program) {
		config->filter = FILTER_TGID;
		config->tgid = (uint32_t)program_pid;
		config->follow = 1;
		snprintf(t->text, sizeof(t->text), "%s (pid %d) and its descendants", t->program[0],
			 program_pid);
		return EXIT_OK;
	}
	snprintf(t->text, sizeof(t->text), "the whole machine");
	return EXIT_OK;
}
