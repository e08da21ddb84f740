// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdio.h>
#include <string.h>

#include <bpf/btf.h>

#include "core/features.h"

const struct feature_text feature_texts[NR_FEATURES] = {
	[FEATURE_TASK_STORAGE] = {"task storage",
				  "raw tracepoints, and a hash for the threads' clocks: an event "
				  "costs more"},
	[FEATURE_TASK_REGS] = {"a task's registers by a helper",
			       "they are read from the top of its stack: the same in the end"},
	[FEATURE_SWITCH_STATE] = {"`sched_switch` hands over the state",
				  "it is read from the task, which may have been woken since"},
	[FEATURE_CONTENTION] = {"`contention_begin` and `contention_end`",
				"time on kernel locks is not in `klock`, but in the state of the "
				"system call: `fs`, `pipe`, `other`…"},
	[FEATURE_COOKIE] = {"a probe knows its cookie",
			    "`query` measures one build of SQLite or MariaDB at a time"},
	[FEATURE_UPROBE_MULTI] = {"`uprobe_multi`",
				  "a uprobe is a perf event, which needs CAP_SYS_ADMIN"},
	[FEATURE_PEEK] = {"`bpf_rdonly_cast`",
			  "files are looked up by probe reads: a call costs `file` 0.1 µs more"},
};

/* Whether enum @type has a value of this name. */
static bool features__enum_value(const struct btf *btf, const char *type, const char *value)
{
	int id = btf__find_by_name_kind(btf, type, BTF_KIND_ENUM);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, (__u32)id);

	for (int i = 0; t && i < btf_vlen(t); i++) {
		if (!strcmp(btf__name_by_offset(btf, btf_enum(t)[i].name_off), value))
			return true;
	}
	return false;
}

unsigned int features__tracepoint_args(const struct btf *btf, const char *name)
{
	char symbol[128];
	const struct btf_type *t;
	int id;

	snprintf(symbol, sizeof(symbol), "btf_trace_%s", name);
	id = btf__find_by_name_kind(btf, symbol, BTF_KIND_TYPEDEF);
	if (id < 0)
		return 0;
	t = btf__type_by_id(btf, btf__type_by_id(btf, id)->type); /* pointer */
	t = btf__type_by_id(btf, t->type);                        /* to a function */
	return btf_is_func_proto(t) ? btf_vlen(t) - 1 : 0;        /* after void *data */
}

bool features__has(const struct btf *btf, enum feature feature)
{
	switch (feature) {
	case FEATURE_TASK_STORAGE: /* 4cf1bc1f1045, 5.11 */
		return features__enum_value(btf, "bpf_func_id", "BPF_FUNC_task_storage_get");
	case FEATURE_TASK_REGS: /* dd6e10fbd9fb, 5.15 */
		return features__enum_value(btf, "bpf_func_id", "BPF_FUNC_task_pt_regs");
	case FEATURE_SWITCH_STATE: /* fa2c3254d7cf, 5.18 */
		return features__tracepoint_args(btf, "sched_switch") >= 4;
	case FEATURE_CONTENTION: /* 16edd9b511a1, 5.19 */
		return features__tracepoint_args(btf, "contention_begin") > 0;
	case FEATURE_COOKIE: /* 7adfc6c9b315, 5.15 */
		return features__enum_value(btf, "bpf_func_id", "BPF_FUNC_get_attach_cookie");
	case FEATURE_UPROBE_MULTI: /* 89ae89f53d20, 6.6 */
		return features__enum_value(btf, "bpf_attach_type", "BPF_TRACE_UPROBE_MULTI");
	case FEATURE_PEEK: /* a35b9af4ec2c, 6.2 */
		return btf__find_by_name_kind(btf, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
	case NR_FEATURES:
		break;
	}
	return false;
}

/*
 * x86-64 with CONFIG_X86_FRED leaves 16 bytes, whatever the CPU can do
 * (TOP_OF_KERNEL_STACK_PADDING; "x86/fred: Reserve space for the FRED stack frame", 6.9).
 * BTF has no trace of the constant itself; this function exists with that option only.
 */
unsigned int features__stack_padding(const struct btf *btf)
{
	return btf__find_by_name_kind(btf, "cpu_init_fred_exceptions", BTF_KIND_FUNC) < 0 ? 0 : 16;
}

unsigned int features__run_queue(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, ".data..percpu", BTF_KIND_DATASEC);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, (__u32)id);

	for (__u16 i = 0; t && i < btf_vlen(t); i++) {
		const struct btf_var_secinfo *var = &btf_var_secinfos(t)[i];
		const struct btf_type *of = btf__type_by_id(btf, var->type);

		if (of && !strcmp(btf__name_by_offset(btf, of->name_off), "runqueues"))
			return var->offset;
	}
	return 0;
}
