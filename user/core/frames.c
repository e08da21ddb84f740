// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/str.h"
#include "core/frames.h"
#include "core/stacks.h"

static const char *const ends[NR_STACK_ENDS] = {
#define X(id, key, text) [id] = "[truncated: " text "]",
	DWELL_STACK_ENDS(X)
#undef X
};

/* A stack that was kept, and its addresses; without frames if there is none. */
static void frames__get(struct session *s, uint32_t id, struct stack *stack,
			uint64_t ips[STACK_FRAMES])
{
	stack->n = 0;
	stack->end = STACK_COMPLETE;
	if (id >= STACK_IDS ||
	    bpf_map_lookup_elem(object__map_fd(&s->object, "stacks"), &id, stack))
		stack->n = 0;
	if (stack->n > STACK_FRAMES)
		stack->n = STACK_FRAMES;
	for (uint32_t i = 0; i < stack->n; i++)
		ips[i] = stack->ip[i];
}

#define AT(field) .offset = offsetof(struct frame, field)
const struct column frame_columns[] = {
	{.key = "kind", .type = COL_STR, AT(kind)},
	{.key = "symbol", .type = COL_STR, AT(symbol)},
	{.key = "module", .type = COL_STR, AT(module)},
	{.key = "offset", .type = COL_MAYBE, AT(offset)},
	{.key = "address", .type = COL_HEX, AT(address)},
	{.key = "file", .type = COL_STR, AT(file)},
	{.key = "line", .type = COL_MAYBE, AT(line)},
	COLUMN_END,
};
#undef AT

/* Frames and their names while they are put together. */
struct frames {
	struct session *s;
	const char **names;
	struct frame *frames;
	size_t n;
	bool failed; /* no memory */
};

/* The innermost frames are of the tracepoint and of dwell's program: they tell nothing. */
static size_t frames__own(const struct sym_frame *frames, size_t n)
{
	static const char *const prefixes[] = {"bpf_prog_", "bpf_trace_run", "__bpf_trace_",
					       "__traceiter_"};
	size_t own = 0;

	for (size_t i = 0; i < n && i < 6; i++) {
		for (size_t p = 0; p < sizeof(prefixes) / sizeof(*prefixes); p++) {
			if (frames[i].symbol &&
			    !strncmp(frames[i].symbol, prefixes[p], strlen(prefixes[p])))
				own = i + 1;
		}
	}
	return own;
}

/* "[module+0x1234]" */
static const char *frames__place(struct session *s, const struct sym_frame *frame)
{
	char text[512];

	stacks__print_name(frame, text, sizeof(text));
	return arena__printf(&s->arena, "%s", text);
}

/*
 * "symbol"; by --lines "symbol file.c:12"; by --full-frames "symbol+0x1f (libc.so.6) file.c:12".
 * @place: what stands for the symbol where there is none.
 */
static const char *frames__text(const struct frames *to, const struct frame *f, const char *place)
{
	const char *slash = f->file ? strrchr(f->file, '/') : NULL;
	bool full = to->s->run.full_frames && f->symbol, inlined = f->offset == TABLE_UNKNOWN;
	bool bare = f->module && *f->module == '[';
	char text[1536];
	size_t len = 0;

	if (!full && !f->file)
		return f->symbol ?: place;
	str__append(text, sizeof(text), &len, "%s", f->symbol ?: place);
	if (full && !inlined)
		str__append(text, sizeof(text), &len, "+0x%" PRIx64, f->offset);
	if (full && f->module)
		str__append(text, sizeof(text), &len, bare ? " %s" : " (%s)", f->module);
	if (f->symbol && inlined)
		str__append(text, sizeof(text), &len, " [inlined]");
	if (f->file)
		str__append(text, sizeof(text), &len, " %s:%" PRIu64, slash ? slash + 1 : f->file,
			    f->line);
	return arena__printf(&to->s->arena, "%s", text);
}

static void frames__put(struct frames *to, const struct frame *f, const char *name)
{
	if (!name)
		to->failed = true;
	to->frames[to->n] = *f;
	to->names[to->n++] = name;
}

/* What is no frame. */
static void frames__note(struct frames *to, const char *text)
{
	const struct frame note = {"note",        NULL, NULL,         TABLE_UNKNOWN,
				   TABLE_UNKNOWN, NULL, TABLE_UNKNOWN};

	frames__put(to, &note, text);
}

static void frames__set_line(struct frame *f, const struct line *line)
{
	f->file = line->file;
	f->line = line->file && line->line ? line->line : TABLE_UNKNOWN;
}

/* The frame @from, behind those that were inlined into it. */
static void frames__add(struct frames *to, const struct sym_frame *from, const char *kind)
{
	struct frame f = {"inlined",           NULL, from->module, TABLE_UNKNOWN,
			  from->module_offset, NULL, TABLE_UNKNOWN};

	for (size_t i = 0; i + 1 < from->n_lines; i++) {
		f.symbol = from->lines[i].function;
		frames__set_line(&f, &from->lines[i]);
		frames__put(to, &f, frames__text(to, &f, "[inlined]"));
	}
	f.kind = kind;
	f.symbol = from->symbol;
	f.offset = f.symbol ? from->offset : TABLE_UNKNOWN;
	f.file = NULL;
	f.line = TABLE_UNKNOWN;
	if (from->n_lines)
		frames__set_line(&f, &from->lines[from->n_lines - 1]);
	frames__put(to, &f, frames__text(to, &f, f.symbol ? NULL : frames__place(to->s, from)));
}

/* The kernel's frames of @id, without dwell's own: their number. */
static size_t frames__kernel(struct session *s, uint32_t id, struct sym_frame *frames)
{
	uint64_t ips[STACK_FRAMES];
	struct stack stack;
	size_t own;

	frames__get(s, id, &stack, ips);
	stacks__kernel(s->stacks, ips, stack.n, frames);
	own = frames__own(frames, stack.n);
	memmove(frames, frames + own, (stack.n - own) * sizeof(*frames));
	for (size_t i = 0; i < stack.n - own; i++)
		frames[i].module = frames[i].module ?: frames[i].symbol ? "[kernel]" : NULL;
	return stack.n - own;
}

/* The user frames of @id: their number; *@end: why there are no more of them, or NULL. */
static size_t frames__user(struct session *s, uint32_t tgid, uint32_t id, struct sym_frame *frames,
			   const char **end)
{
	uint64_t ips[STACK_FRAMES];
	struct stack stack;

	frames__get(s, id, &stack, ips);
	/* A row may be of several processes: the stack knows whose addresses it has. */
	if (stack.n && stack.tgid)
		tgid = stack.tgid;
	stacks__user(s->stacks, tgid, stack.n ? stack.space : 0, ips, stack.n, frames);
	for (uint32_t i = 0; s->run.addresses && i < stack.n; i++)
		frames[i].symbol = NULL;
	*end = stack.n && stack.end < NR_STACK_ENDS ? ends[stack.end] : NULL;
	return stack.n;
}

#define NOTES 3 /* at most, of one stack */

const char **frames__names(struct session *s, uint32_t tgid, uint64_t id, struct table_list *list)
{
	struct sym_frame kernel[STACK_FRAMES], user[STACK_FRAMES];
	struct frames to = {.s = s};
	const char *end;
	size_t nkernel = frames__kernel(s, (uint32_t)id, kernel);
	size_t nuser = frames__user(s, tgid, (uint32_t)(id >> 32), user, &end);
	size_t max = nkernel + nuser + NOTES;

	for (size_t i = 0; i < nuser; i++)
		max += user[i].n_lines;
	to.names = arena__array(&s->arena, max + 1, sizeof(*to.names));
	to.frames = arena__array(&s->arena, max, sizeof(*to.frames));
	if (!to.names || !to.frames)
		return NULL;
	if (id == STACK_NOT_SEEN)
		frames__note(&to, "[began before the run]");
	for (size_t i = 0; i < nkernel; i++)
		frames__add(&to, &kernel[i], "kernel");
	if ((uint32_t)id == STACK_LOST)
		frames__note(&to, "[kernel stack lost]");
	for (size_t i = 0; i < nuser; i++)
		frames__add(&to, &user[i], "user");
	if (id >> 32 == STACK_LOST)
		end = "[user stack lost]";
	if (end)
		frames__note(&to, end);
	if (list)
		*list = (struct table_list){to.frames, to.n};
	return to.failed ? NULL : to.names;
}

void frames__count(struct session *s, uint64_t id, uint64_t count, struct report *report)
{
	uint64_t ips[STACK_FRAMES];
	struct stack stack;

	frames__get(s, (uint32_t)(id >> 32), &stack, ips);
	if (stack.n && stack.end < NR_STACK_ENDS)
		report->stack_ends[stack.end] += count;
}

/* How the names begin of what locks are made of. "[module+0x…" stands for what has no symbol. */
static const char *const primitives[] = {
	/* glibc and musl */
	"pthread_",
	"__pthread_",
	"___pthread_",
	"lll_",
	"__lll_",
	"futex_",
	"__futex_",
	"__GI_",
	"__new_sem_",
	"sem_wait",
	"sem_timedwait",
	"sem_clockwait",
	"do_futex_wait",
	"syscall",
	"__syscall",
	"__timedwait",
	"__wait",
	"__internal_",
	"[libc.so",
	"[libpthread",
	"__clone",
	"cnd_",
	"mtx_",
	"[vdso",
	/* C++ */
	"std::mutex",
	"std::timed_mutex",
	"std::recursive_",
	"std::shared_",
	"std::__shared_",
	"std::lock",
	"std::unique_lock",
	"std::scoped_lock",
	"std::condition_variable",
	"std::__condvar",
	"std::__atomic",
	"std::_V2::condition_variable",
	"__gthread_",
	/* Rust */
	"std::sys",
	"std::sync",
	"std::thread",
	"<std::sync",
	"<std::sys",
	"lock_api::",
	"<lock_api::",
	"parking_lot",
	"<parking_lot",
	"core::",
	"<core::",
	/* PostgreSQL */
	"PGSemaphoreLock",
	"LWLock",
	/* Go */
	"runtime.",
	"sync.(*Mutex)",
	"sync.(*RWMutex)",
	"sync.runtime_",
	"internal/sync.",
	/* Java */
	"Unsafe_Park",
	"Parker::park",
	"PlatformEvent::park",
	"PlatformMonitor::",
	"Monitor::",
	"Mutex::",
	"ObjectMonitor::",
	"ObjectSynchronizer::",
	"SharedRuntime::",
	"OptoRuntime::",
	"Runtime1::",
	"InterpreterRuntime::monitor",
	"_complete_monitor_",
	"monitorenter_",
	"os::Platform",
	"SafepointMech",
	/* Python */
	"PyThread_acquire_lock",
	"take_gil",
	"[python3",
	"[libpython3",
	"PyEval_RestoreThread",
	"PyEval_AcquireThread",
	"PyMutex_Lock",
	"_PyMutex_",
	"_PySemaphore_",
	"_PyParkingLot_",
	/* the kernel */
	"__schedule",
	"schedule",
	"__mutex_lock",
	"mutex_lock",
	"__down_",
	"down_",
	"rwsem_",
	"__rwsem",
	"rt_mutex_",
	"__rt_mutex",
	"rtlock_",
	"native_queued_",
	"queued_",
	"pv_queued_",
	"_raw_",
	"do_raw_",
	"__pv_queued",
	"percpu_",
	"__percpu_",
	"inode_lock",
	"pipe_lock",
	"mmap_read_lock",
	"mmap_write_lock",
	"osq_",
	"bpf_",
	"__bpf_",
	"__traceiter_",
	/* what is told in place of frames */
	"[truncated",
	"[user stack",
	"[kernel stack",
	"[began",
};

/*
 * Functions that wait for a lock and for nothing else, and its kind. A name that ends in a sign is
 * how such names begin.
 */
static const struct {
	const char *name;
	const char *kind;
} lockers[] = {
	{"parking_lot::raw_mutex::RawMutex::lock_slow", "mutex"},
	{"parking_lot::raw_fair_mutex::RawFairMutex::lock_slow", "mutex"},
	{"parking_lot::raw_rwlock::RawRwLock::lock_", "rwlock"},
	{"parking_lot::raw_rwlock::RawRwLock::upgrade_slow", "rwlock"},
	{"parking_lot::raw_rwlock::RawRwLock::wait_for_readers", "rwlock"},
	/* Rust's std; the second until 1.79 */
	{"std::sys::sync::rwlock::futex::RwLock::", "rwlock"},
	{"<std::sys::sync::rwlock::futex::RwLock>::", "rwlock"},
	{"std::sys::unix::locks::futex_rwlock::RwLock::", "rwlock"},
	{"std::sys::unix::locks::futex_mutex::Mutex::", "mutex"},
	/* HotSpot: a monitor that is entered, or entered again after Object.wait() */
	{"ObjectMonitor::enter", "monitor"},
	{"ObjectMonitor::EnterI", "monitor"},
	{"ObjectMonitor::ReenterI", "monitor"},
	{"java.util.concurrent.locks.ReentrantLock.", "lock"},
	{"java.util.concurrent.locks.ReentrantLock$", "lock"},
	{"java.util.concurrent.locks.ReentrantReadWriteLock$", "rwlock"},
	/* CPython */
	{"take_gil", "GIL"},
	/*
	 * MariaDB: rows, metadata, InnoDB's latches; Debian's names nothing in its engines but
	 * whom the server calls, and what waits in there waits for a row or a latch.
	 */
	{"lock_wait", "row lock"},
	{"MDL_wait::timed_wait", "metadata lock"},
	{"srw_mutex_impl<", "latch"},
	{"ssux_lock_impl<", "latch"},
	{"srw_lock_", "latch"},
	{"sux_lock<", "latch"},
	{"handler::ha_", "engine lock"},
	/* PostgreSQL */
	{"LWLockAcquire", "lwlock"},
	{"LWLockAcquireOrWait", "lwlock"},
	{"LWLockWaitForVar", "lwlock"},
};

static bool frames__is_locker(const char *name, const char *locker)
{
	size_t len = strlen(locker);

	if (strncmp(name, locker, len))
		return false;
	return !isalnum((unsigned char)locker[len - 1]) || !name[len] || strchr("(<:", name[len]);
}

const char *frames__lock(const char *const *names)
{
	for (; names && *names; names++) {
		const char *name = *names;

		/* Those of perf maps begin with what they return: "void java.util…". */
		if (!strncmp(name, "void ", 5) || !strncmp(name, "boolean ", 8))
			name = strchr(name, ' ') + 1;
		for (size_t i = 0; i < sizeof(lockers) / sizeof(*lockers); i++) {
			if (frames__is_locker(name, lockers[i].name))
				return lockers[i].kind;
		}
	}
	return NULL;
}

static bool frames__is_primitive(const char *name)
{
	for (size_t i = 0; i < sizeof(primitives) / sizeof(*primitives); i++) {
		if (!strncmp(name, primitives[i], strlen(primitives[i])))
			return true;
	}
	return false;
}

bool frames__idle_goroutines(const char *const *names)
{
	for (; names && *names; names++) {
		if (!strcmp(*names, "runtime.notesleep") || !strcmp(*names, "runtime.stopm"))
			return true;
	}
	return false;
}

const char *frames__caller(const char *const *names)
{
	for (; names && *names; names++) {
		if (!frames__is_primitive(*names))
			return *names;
	}
	return NULL;
}
