// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <string.h>

#include <bpf/bpf.h>

#include "core/frames.h"
#include "core/stacks.h"
#include "stack.h"

/* The addresses of a stack that was kept; their number. */
static size_t frames__addresses(struct session *s, uint32_t id, uint64_t ips[STACK_FRAMES])
{
	const char *map = id & STACK_MORE ? "stacks_more" : "stacks";
	size_t n = 0;

	if (id >= STACK_LOST)
		return 0;
	id &= ~STACK_MORE;
	if (bpf_map_lookup_elem(object__map_fd(&s->object, map), &id, ips))
		return 0;
	while (n < STACK_FRAMES && ips[n])
		n++;
	return n;
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

	for (size_t i = 0; i < n && i < 4; i++) {
		for (size_t p = 0; p < sizeof(prefixes) / sizeof(*prefixes); p++) {
			if (frames[i].symbol &&
			    !strncmp(frames[i].symbol, prefixes[p], strlen(prefixes[p])))
				own = i + 1;
		}
	}
	return own;
}

const char **frames__names(struct session *s, uint32_t tgid, uint64_t id)
{
	uint32_t user = (uint32_t)(id >> 32), kernel = (uint32_t)id;
	const char **names = arena__array(&s->arena, FRAMES_MAX, sizeof(*names));
	struct sym_frame frames[STACK_FRAMES];
	uint64_t ips[STACK_FRAMES];
	size_t n, own, at = 0;

	if (!names)
		return NULL;
	if (id == STACK_NOT_SEEN)
		names[at++] = "[began before the run]";
	n = frames__addresses(s, kernel, ips);
	if (n) {
		stacks__kernel(s->stacks, ips, n, frames);
		own = frames__own(frames, n);
		if (!frames__append(s, frames + own, n - own, names, &at))
			return NULL;
	}
	if (kernel == STACK_LOST)
		names[at++] = "[kernel stack lost]";
	n = frames__addresses(s, user, ips);
	if (n) {
		stacks__user(s->stacks, tgid, ips, n, frames);
		if (!frames__append(s, frames, n, names, &at))
			return NULL;
	}
	if (user == STACK_LOST)
		names[at++] = "[user stack lost]";
	return names;
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
