// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <string.h>

#include <bpf/bpf.h>

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

/* Appends the names of @n frames to @names, *@at the number of them; false without memory. */
static bool frames__append(struct session *s, const struct sym_frame *frames, size_t n,
			   const char **names, size_t *at)
{
	char text[512];

	for (size_t i = 0; i < n; i++) {
		stacks__print_name(&frames[i], text, sizeof(text));
		names[*at] = arena__printf(&s->arena, "%s", text);
		if (!names[*at])
			return false;
		(*at)++;
	}
	return true;
}

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

static bool frames__kernel(struct session *s, uint32_t id, const char **names, size_t *at)
{
	struct sym_frame frames[STACK_FRAMES];
	uint64_t ips[STACK_FRAMES];
	struct stack stack;
	size_t own;

	frames__get(s, id, &stack, ips);
	stacks__kernel(s->stacks, ips, stack.n, frames);
	own = frames__own(frames, stack.n);
	if (!frames__append(s, frames + own, stack.n - own, names, at))
		return false;
	if (id == STACK_LOST)
		names[(*at)++] = "[kernel stack lost]";
	return true;
}

static bool frames__user(struct session *s, uint32_t tgid, uint32_t id, const char **names,
			 size_t *at)
{
	struct sym_frame frames[STACK_FRAMES];
	uint64_t ips[STACK_FRAMES];
	struct stack stack;

	frames__get(s, id, &stack, ips);
	/* A row may be of several processes: the stack knows whose addresses it has. */
	stacks__user(s->stacks, stack.n && stack.tgid ? stack.tgid : tgid, ips, stack.n, frames);
	for (uint32_t i = 0; s->run.addresses && i < stack.n; i++)
		frames[i].symbol = NULL;
	if (!frames__append(s, frames, stack.n, names, at))
		return false;
	if (id == STACK_LOST)
		names[(*at)++] = "[user stack lost]";
	else if (stack.n && stack.end < NR_STACK_ENDS && ends[stack.end])
		names[(*at)++] = ends[stack.end];
	return true;
}

const char **frames__names(struct session *s, uint32_t tgid, uint64_t id)
{
	const char **names = arena__array(&s->arena, FRAMES_MAX, sizeof(*names));
	size_t at = 0;

	if (!names)
		return NULL;
	if (id == STACK_NOT_SEEN)
		names[at++] = "[began before the run]";
	if (!frames__kernel(s, (uint32_t)id, names, &at) ||
	    !frames__user(s, tgid, (uint32_t)(id >> 32), names, &at))
		return NULL;
	return names;
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
	/* Go */
	"runtime.futex",
	"runtime.lock",
	"runtime.note",
	"runtime.semasleep",
	"runtime.mPark",
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
	"os::PlatformEvent",
	"SafepointMech",
	/* Python */
	"PyThread_acquire_lock",
	"take_gil",
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
};

static bool frames__is_primitive(const char *name)
{
	for (size_t i = 0; i < sizeof(primitives) / sizeof(*primitives); i++) {
		if (!strncmp(name, primitives[i], strlen(primitives[i])))
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
