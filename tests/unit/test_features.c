// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/btf.h>

#include "core/features.h"

/* Where the tests' types end up: those of a kernel that lacks everything, and can be added to. */
static struct btf *empty(void)
{
	struct btf *btf = btf__new_empty();

	assert_non_null(btf);
	assert_true(btf__add_int(btf, "int", 4, BTF_INT_SIGNED) > 0);
	return btf;
}

/* typedef void (*btf_trace_NAME)(void *, …@args of int) */
static void add_tracepoint(struct btf *btf, const char *name, int args)
{
	int proto = btf__add_func_proto(btf, 0), pointer;

	for (int i = 0; i <= args; i++)
		assert_int_equal(btf__add_func_param(btf, NULL, 1), 0);
	pointer = btf__add_ptr(btf, proto);
	assert_true(btf__add_typedef(btf, name, pointer) > 0);
}

static void helpers(void **state)
{
	struct btf *btf = empty();

	(void)state;
	assert_false(features__has(btf, FEATURE_TASK_STORAGE));
	assert_true(btf__add_enum(btf, "bpf_func_id", 4) > 0);
	assert_int_equal(btf__add_enum_value(btf, "BPF_FUNC_unspec", 0), 0);
	assert_false(features__has(btf, FEATURE_TASK_STORAGE));
	assert_int_equal(btf__add_enum_value(btf, "BPF_FUNC_task_storage_get", 156), 0);
	assert_true(features__has(btf, FEATURE_TASK_STORAGE));
	assert_false(features__has(btf, FEATURE_TASK_REGS));
	assert_int_equal(btf__add_enum_value(btf, "BPF_FUNC_task_pt_regs", 175), 0);
	assert_true(features__has(btf, FEATURE_TASK_REGS));
	btf__free(btf);
}

static void tracepoints(void **state)
{
	struct btf *old = empty(), *new = empty();

	(void)state;
	add_tracepoint(old, "btf_trace_sched_switch", 3);
	add_tracepoint(new, "btf_trace_sched_switch", 4);
	add_tracepoint(new, "btf_trace_contention_begin", 2);
	assert_int_equal(features__tracepoint_args(old, "sched_switch"), 3);
	assert_int_equal(features__tracepoint_args(new, "sched_switch"), 4);
	assert_int_equal(features__tracepoint_args(new, "sched_wakeup"), 0);
	assert_false(features__has(old, FEATURE_SWITCH_STATE));
	assert_true(features__has(new, FEATURE_SWITCH_STATE));
	assert_false(features__has(old, FEATURE_CONTENTION));
	assert_true(features__has(new, FEATURE_CONTENTION));
	btf__free(old);
	btf__free(new);
}

static void stack_padding(void **state)
{
	struct btf *btf = empty();
	int proto = btf__add_func_proto(btf, 0);

	(void)state;
	assert_int_equal(features__stack_padding(btf), 0);
	assert_true(btf__add_func(btf, "cpu_init_fred_exceptions", BTF_FUNC_STATIC, proto) > 0);
	assert_int_equal(features__stack_padding(btf), 16);
	btf__free(btf);
}

static void peek(void **state)
{
	struct btf *btf = empty();
	int proto = btf__add_func_proto(btf, 0);

	(void)state;
	assert_false(features__has(btf, FEATURE_PEEK));
	assert_true(btf__add_func(btf, "bpf_rdonly_cast", BTF_FUNC_GLOBAL, proto) > 0);
	assert_true(features__has(btf, FEATURE_PEEK));
	btf__free(btf);
}

static void run_queue(void **state)
{
	struct btf *btf = empty();
	int other = btf__add_var(btf, "cpu_number", BTF_VAR_GLOBAL_ALLOCATED, 1);
	int queues = btf__add_var(btf, "runqueues", BTF_VAR_GLOBAL_ALLOCATED, 1);

	(void)state;
	assert_int_equal(features__run_queue(btf), 0);
	assert_true(btf__add_datasec(btf, ".data..percpu", 8192) > 0);
	assert_int_equal(btf__add_datasec_var_info(btf, other, 64, 4), 0);
	assert_int_equal(features__run_queue(btf), 0);
	assert_int_equal(btf__add_datasec_var_info(btf, queues, 4096, 4), 0);
	assert_int_equal(features__run_queue(btf), 4096);
	btf__free(btf);
}

/* Each has its words for the table. */
static void texts(void **state)
{
	(void)state;
	for (int i = 0; i < NR_FEATURES; i++) {
		assert_non_null(feature_texts[i].name);
		assert_non_null(feature_texts[i].without);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(helpers),       cmocka_unit_test(tracepoints),
		cmocka_unit_test(stack_padding), cmocka_unit_test(run_queue),
		cmocka_unit_test(peek),          cmocka_unit_test(texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
