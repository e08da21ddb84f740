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
