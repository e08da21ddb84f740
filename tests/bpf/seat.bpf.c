// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* Seats for addresses that the test makes up. The other variant has none. */
#include "lib/loss.bpf.h"
#include "lib/window.bpf.h"
#ifndef DWELL_RAW
#include "lib/seat.bpf.h"

__u32 answer SEC(".data.test");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} places SEC(".maps");

static __always_inline u32 sits(u64 key)
{
	u32 number = seat__number(&places);

	return number && (seat__sit(key, number) || seat__sit_somewhere(key, number)) ? number : 0;
}

/* args: key; its number, or 0 */
SEC("raw_tp")
int take(struct bpf_raw_tracepoint_args *ctx)
{
	return sits(ctx->args[0]);
}

SEC("raw_tp")
int find(struct bpf_raw_tracepoint_args *ctx)
{
	return seat__of(ctx->args[0]);
}

SEC("raw_tp")
int leave(struct bpf_raw_tracepoint_args *ctx)
{
	seat__leave(ctx->args[0]);
	return 0;
}

/* Is the driver's key the address of its task? */
SEC("raw_tp")
int key(void *ctx)
{
	return seat__key(bpf_get_current_task_btf()) == bpf_get_current_task();
}

/* The lower half of the driver's key */
SEC("raw_tp")
int low(void *ctx)
{
	return seat__key(bpf_get_current_task_btf());
}

/* As take(), find() and leave(), of the driver itself. */
SEC("raw_tp")
int take_self(void *ctx)
{
	return sits(seat__key(bpf_get_current_task_btf()));
}

SEC("raw_tp")
int find_self(void *ctx)
{
	return seat__find(bpf_get_current_task_btf());
}

SEC("raw_tp")
int leave_self(void *ctx)
{
	seat__leave(seat__key(bpf_get_current_task_btf()));
	return 0;
}
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";
