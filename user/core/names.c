// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include <bpf/bpf.h>

#include "base/str.h"
#include "core/mounts.h"
#include "core/names.h"
#include "core/proc.h"
#include "core/syscalls.h"

static const struct {
	const char *key;
	const char *text;
	bool idle;
} states[NR_STATES] = {[STATE_NONE] = {"none", "is not watched", false},
#define X(id, key, text, idle) [id] = {key, text, idle},
		       DWELL_STATES(X)
#undef X
};

static const char *const kinds[NR_CAUSES] = {[CAUSE_NONE] = "none",
#define X(id, key, ids) [id] = key,
					     DWELL_CAUSES(X)
#undef X
};

const char *names__state(enum dwell_state state)
{
	return states[state].key;
}

const char *names__state_text(enum dwell_state state)
{
	return states[state].text;
}

bool names__state_idle(enum dwell_state state)
{
	return states[state].idle;
}

const char *names__states(const uint64_t *ns, unsigned int max, unsigned int percent,
			  struct arena *arena)
{
	uint64_t total = 0, last = UINT64_MAX;
	unsigned int after = 0; /* of states that are equally long, the next ones */
	char text[128] = "";
	size_t len = 0;

	for (int i = STATE_NONE + 1; i < NR_STATES; i++)
		total += ns[i];
	for (unsigned int n = 0; n < max; n++) {
		unsigned int best = STATE_NONE;

		for (unsigned int i = STATE_NONE + 1; i < NR_STATES; i++) {
			if ((ns[i] < last || (ns[i] == last && i > after)) &&
			    (!best || ns[i] > ns[best]))
				best = i;
		}
		if (!best || !ns[best] || (n && ns[best] * 100 < total * percent))
			break;
		str__append(text, sizeof(text), &len, "%s%s %.0f%%", n ? ", " : "",
			    names__state((enum dwell_state)best),
			    100.0 * (double)ns[best] / (double)total);
		last = ns[best];
		after = best;
	}
	return arena__printf(arena, "%s", text);
}

const char *names__kind(enum cause_kind kind)
{
	return kind < NR_CAUSES ? kinds[kind] : "?";
}

/* "openat", or "syscall 999". */
static const char *names__syscall(const struct tally_key *key, struct arena *arena)
{
	const char *name = syscalls__name(key->syscall);

	/* Of what has no call, requests of io_uring alone have a file. */
	if (key->syscall == SYSCALL_NONE)
		return key->kind == CAUSE_KLOCK ? "" : "io_uring";
	return name ?: arena__printf(arena, "syscall %u", key->syscall);
}

/* What the kernel side kept under the key's ids; false if it kept nothing. */
static bool names__kept(const struct object *o, const struct tally_key *key, struct name *name)
{
	struct name_key at = {.id = key->id, .id2 = key->id2, .kind = key->kind};

	return !bpf_map_lookup_elem(object__map_fd(o, "names"), &at, name) && name->len > 0;
}

/* Turns components, last first, into a path. */
static char *names__path(const struct name *name, struct arena *arena)
{
	uint32_t len = name->len < sizeof(name->text) ? name->len : sizeof(name->text) - 1;
	/* A path that a program gave may begin and end with a slash; two marks. */
	char *path = arena__alloc(arena, len + 16), *out = path;
	size_t end = len;

	if (!path)
		return NULL;
	if (name->flags & NAME_TRUNCATED)
		out = mempcpy(out, "…", strlen("…"));
	/* From the last component, which is the first directory, back to the first. */
	while (end > 0) {
		size_t begin = end - 1;

		while (begin > 0 && name->text[begin - 1])
			begin--;
		/* Roots and names of pseudo files stand for themselves. */
		if (name->text[begin] != '/' && name->text[begin] != '[')
			*out++ = '/';
		out = mempcpy(out, name->text + begin, strnlen(name->text + begin, end - begin));
		end = begin;
	}
	if (name->flags & NAME_CUT)
		out = mempcpy(out, "…", strlen("…"));
	*out = '\0';
	return path;
}

/* The path that the kernel side kept under @key; false if none. */
static bool names__look(const struct object *o, const struct name_key *key, struct name *name)
{
	return !bpf_map_lookup_elem(object__map_fd(o, "names"), key, name) && name->len;
}

char *names__path_of(const struct object *o, const struct name_key *key, struct arena *arena)
{
	struct name name;

	return names__look(o, key, &name) ? names__path(&name, arena) : NULL;
}

const char *names__kept_path(const struct object *o, const struct name_key *key, uint32_t dev,
			     struct arena *arena)
{
	char mount[4096];
	const char *path;
	struct name name;

	if (!names__look(o, key, &name))
		return NULL;
	path = names__path(&name, arena);
	if (!path || !(name.flags & NAME_BELOW_MOUNT) || (name.flags & NAME_TRUNCATED))
		return path;
	if (mounts__of_device(NULL, dev, mount, sizeof(mount)))
		snprintf(mount, sizeof(mount), "[%u:%u]", dev >> 20, dev & 0xfffff);
	return arena__printf(arena, "%s%s", mount, path);
}

static const char *names__file(const struct object *o, const struct tally_key *key,
			       struct arena *arena)
{
	uint32_t dev = (uint32_t)key->id2;
	struct name name;

	if (names__kept(o, key, &name))
		return names__path(&name, arena);
	return arena__printf(arena, "inode %" PRIu64 " of device %u:%u", (uint64_t)key->id,
			     dev >> 20, dev & 0xfffff);
}

static const char *names__inet(const struct tally_key *key, const char *call, struct arena *arena)
{
	unsigned char addr[16];
	char host[INET6_ADDRSTRLEN];
	bool v6 = key->kind == CAUSE_IN6;
	unsigned int port = key->aux & SOCK_PORT;

	memcpy(addr, &key->id, 8);
	memcpy(addr + 8, &key->id2, 8);
	inet_ntop(v6 ? AF_INET6 : AF_INET, addr, host, sizeof(host));
	if ((key->aux & SOCK_LOCAL_PORT) && !key->id && !key->id2)
		return arena__printf(arena, "%s port %u", call, port);
	if (key->aux & SOCK_LOCAL_PORT)
		return arena__printf(arena, "%s port %u, peer %s%s%s", call, port, v6 ? "[" : "",
				     host, v6 ? "]" : "");
	return arena__printf(arena, "%s %s%s%s:%u", call, v6 ? "[" : "", host, v6 ? "]" : "", port);
}

static const char *names__unix(const struct object *o, const struct tally_key *key,
			       const char *call, struct arena *arena)
{
	struct name name;

	if (!names__kept(o, key, &name))
		return arena__printf(arena, "%s unix socket without a name", call);
	name.text[name.len < NAME_SIZE ? name.len : NAME_SIZE] = '\0';
	/* An abstract address begins with a NUL, shown as @ by custom. */
	if (!name.text[0])
		return arena__printf(arena, "%s unix:@%s", call, name.text + 1);
	return arena__printf(arena, "%s unix:%s", call, name.text);
}

static bool names__writes(unsigned int nr)
{
	return nr == SYS_write || nr == SYS_writev || nr == SYS_splice || nr == SYS_sendfile ||
	       nr == SYS_tee || nr == SYS_vmsplice;
}

static const char *names__pipe(const struct object *o, const struct tally_key *key, uint32_t tgid,
			       const char *call, struct arena *arena)
{
	char comm[THREAD_COMM + 1];
	struct name name;
	uint32_t peer;

	if (names__kept(o, key, &name) && name.text[0])
		return arena__printf(arena, "%s %s", call, names__path(&name, arena));
	if (!tgid || proc__pipe_peer(key->id, tgid, !names__writes(key->syscall), &peer))
		return arena__printf(arena, "%s pipe:[%" PRIu64 "]", call, (uint64_t)key->id);
	proc__comm(peer, comm);
	return arena__printf(arena, "%s pipe:[%" PRIu64 "], other end: %s (%u)", call,
			     (uint64_t)key->id, comm, peer);
}

/* A lock's address and its holder. */
static const char *names__lock(const struct accounts *accounts, const struct tally_key *key,
			       uint32_t tgid, struct arena *arena)
{
	const char *kind = names__kind(key->kind), *known;
	char comm[THREAD_COMM + 1];
	uint32_t tid = (uint32_t)key->id2;

	if (!tid)
		return arena__printf(arena, "%s 0x%" PRIx64 NAMES_NO_HOLDER, kind,
				     (uint64_t)key->id);
	if (tgid)
		tid = proc__outer_tid(tgid, tid);
	known = accounts__comm(accounts, tid);
	if (known)
		str__copy(comm, sizeof(comm), known);
	else
		proc__comm(tid, comm);
	return arena__printf(arena, "%s 0x%" PRIx64 " held by %u (%s)", kind, (uint64_t)key->id,
			     tid, comm);
}

/* "kernel rwsem (read)". */
const char *names__klock_type(uint32_t flags)
{
	bool read = flags & LCB_F_READ;

	if (flags & LCB_F_MUTEX)
		return flags & LCB_F_SPIN ? "kernel mutex (spinning)" : "kernel mutex";
	if (flags & LCB_F_RT)
		return "kernel rt lock";
	if (flags & LCB_F_PERCPU)
		return read ? "kernel percpu rwsem (read)" : "kernel percpu rwsem (write)";
	if (flags & LCB_F_SPIN) {
		if (!(flags & (LCB_F_READ | LCB_F_WRITE)))
			return "kernel spinlock";
		return read ? "kernel rwlock (read)" : "kernel rwlock (write)";
	}
	return read ? "kernel rwsem (read)" : "kernel rwsem (write)";
}

const char *names__klock_class(uint32_t aux)
{
	static const char *const classes[NR_KLOCK_CLASSES] = {
		[KLOCK_MMAP] = "mmap_lock",
		[KLOCK_SIGNAL] = "siglock",
		[KLOCK_INODE] = "inode i_rwsem",
		[KLOCK_PIPE] = "pipe mutex",
	};
	uint32_t class = aux >> KLOCK_CLASS_SHIFT;

	return class < NR_KLOCK_CLASSES ? classes[class] : NULL;
}

static const char *names__klock(const struct tally_key *key, const char *call, struct arena *arena)
{
	const char *class = names__klock_class(key->aux);

	return arena__printf(arena, "%s 0x%" PRIx64 "%s%s%s%s", names__klock_type(key->aux),
			     (uint64_t)key->id, class ? " " : "", class ?: "", *call ? " in " : "",
			     call);
}

const char *names__task(const struct object *o, const struct accounts *accounts,
			const struct tally_key *key, struct arena *arena)
{
	const char *known = accounts__comm(accounts, (uint32_t)key->id);
	char comm[THREAD_COMM + 1];
	struct name name;

	if (key->id2)
		return "(others, earlier)";
	if (!key->id)
		return "(idle: the CPU was waking up)";
	/* What the kernel side kept is from the first time: an exec may have come since. */
	if (known)
		return arena__printf(arena, "%s", known);
	if (!proc__comm((uint32_t)key->id, comm))
		return arena__printf(arena, "%s", comm);
	if (!names__kept(o, key, &name))
		return "?";
	name.text[THREAD_COMM] = '\0';
	return arena__printf(arena, "%s", name.text);
}

static const char *names__culprit(const struct object *o, const struct accounts *accounts,
				  const struct tally_key *key, struct arena *arena)
{
	const char *task = names__task(o, accounts, key, arena);

	if (!task || !key->id || key->id2)
		return task;
	return arena__printf(arena, "%s (%" PRIu64 ")", task, (uint64_t)key->id);
}

static const char *names__stop(uint32_t task_state)
{
	/* include/linux/sched.h */
	if (task_state & 0x8)
		return "traced (a debugger has it)";
	if (task_state & 0x4)
		return "stopped by a signal";
	return "frozen (cgroup freezer or suspend)";
}

const char *names__cause(const struct object *o, const struct accounts *accounts,
			 const struct tally_key *key, uint32_t tgid, struct arena *arena)
{
	const char *call = names__syscall(key, arena);
	uint64_t addr = key->id;
	struct name name;

	switch ((enum cause_kind)key->kind) {
	case CAUSE_FILE:
	case CAUSE_TTY:
	case CAUSE_ANON:
		return arena__printf(arena, "%s %s", call, names__file(o, key, arena));
	case CAUSE_PATH:
		if (!names__kept(o, key, &name))
			return call;
		return arena__printf(arena, "%s %s", call, names__path(&name, arena));
	case CAUSE_FLOCK:
		return arena__printf(arena, "file lock %s", names__file(o, key, arena));
	case CAUSE_IN4:
	case CAUSE_IN6:
		return names__inet(key, call, arena);
	case CAUSE_UNIX:
		return names__unix(o, key, call, arena);
	case CAUSE_SOCK:
		return arena__printf(arena, "%s socket of family %u", call, key->aux);
	case CAUSE_PIPE:
		return names__pipe(o, key, tgid, call, arena);
	case CAUSE_MUTEX:
	case CAUSE_PI:
	case CAUSE_ROBUST:
		return names__lock(accounts, key, tgid, arena);
	case CAUSE_RWLOCK:
		if (!key->id2)
			return arena__printf(arena, "rwlock 0x%" PRIx64, addr);
		return names__lock(accounts, key, tgid, arena);
	case CAUSE_COND:
		return arena__printf(arena, "condition variable 0x%" PRIx64, addr);
	case CAUSE_SEM:
		return arena__printf(arena, "semaphore 0x%" PRIx64, addr);
	case CAUSE_BARRIER:
		return arena__printf(arena, "barrier 0x%" PRIx64, addr);
	case CAUSE_JOIN:
		return "the end of a thread";
	case CAUSE_FUTEX:
		return arena__printf(arena, "futex 0x%" PRIx64, addr);
	case CAUSE_CHILD:
		return arena__printf(arena, "child process (%s)", call);
	case CAUSE_KLOCK:
		return names__klock(key, call, arena);
	case CAUSE_FAULT:
		return "page fault";
	case CAUSE_STOP:
		return names__stop(key->aux);
	case CAUSE_KTHREAD:
		return "kernel thread";
	case CAUSE_TASK:
		return names__culprit(o, accounts, key, arena);
	case CAUSE_SYSCALL:
	case CAUSE_IPC:
	case CAUSE_POLL:
	case CAUSE_SIGNAL:
	case CAUSE_TIMER:
		return call;
	case CAUSE_NONE:
	case NR_CAUSES:
		break;
	}
	return "?";
}

const char *names__cgroup_id(uint64_t id, struct arena *arena)
{
	char path[4096];

	if (mounts__cgroup(id, path, sizeof(path)))
		return arena__printf(arena, "id %" PRIu64, id);
	return arena__printf(arena, "%s", path);
}

const char *names__cgroup(const struct account *account, struct arena *arena)
{
	char path[4096];

	if (proc__cgroup(account->tgid, path, sizeof(path)))
		return names__cgroup_id(account->cgroup, arena);
	return arena__printf(arena, "%s", path);
}
