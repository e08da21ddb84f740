// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/placement.h"

#define LOOK(args, returns, ...)                                                                   \
	placement__find((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}),    \
			args, returns)
#define FIND(args, ...) LOOK(args, false, __VA_ARGS__)

static void expect(struct placement p, uint32_t offset, bool emulated)
{
	assert_int_equal(p.offset, offset);
	assert_int_equal(p.emulated, emulated);
}

static void test_at_once(void **state)
{
	(void)state;
	expect(FIND(4, 0x55, 0x48, 0x89, 0xe5), 0, true); /* push rbp */
	expect(FIND(4, 0x41, 0x57, 0x41, 0x56), 0, true); /* push r15 */
	expect(FIND(0, 0x70, 0x10, 0xc3), 0, true);       /* jo */
}

static void test_behind_others(void **state)
{
	(void)state;
	expect(FIND(4, 0xf3, 0x0f, 0x1e, 0xfa, 0x55), 4, true); /* endbr64; push rbp */
	/* test rdi,rdi; js +0x20 */
	expect(FIND(2, 0x48, 0x85, 0xff, 0x78, 0x20), 3, true);
	/* mov rax,[rip+disp]; cmp dword [rax],0; push rbx */
	expect(FIND(4, 0x48, 0x8b, 0x05, 1, 2, 3, 4, 0x83, 0x38, 0, 0x53), 10, true);
	/* sub rsp,0x38; mov rax,fs:[0x28]; mov [rsp+0x28],rax; xor eax,eax; push */
	expect(FIND(4, 0x48, 0x83, 0xec, 0x38, 0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0, 0x48,
		    0x89, 0x44, 0x24, 0x28, 0x31, 0xc0, 0x53),
	       20, true);
}

static void test_arguments_stay(void **state)
{
	(void)state;
	/* mov edi,1; push rbx: the first argument is gone */
	expect(FIND(1, 0xbf, 1, 0, 0, 0, 0x53), 0, false);
	expect(FIND(0, 0xbf, 1, 0, 0, 0, 0x53), 5, true);
	/* mov rsi,rax; push */
	expect(FIND(2, 0x48, 0x89, 0xc6, 0x53), 0, false);
	expect(FIND(1, 0x48, 0x89, 0xc6, 0x53), 3, true);
	/* mov r15,rdi; push: the argument is read, not written */
	expect(FIND(1, 0x49, 0x89, 0xff, 0x53), 3, true);
	/* sub esi,2 */
	expect(FIND(2, 0x83, 0xee, 0x02, 0x53), 0, false);
}

/* A probe on the return must find the return address where the call has put it. */
static void test_return_address(void **state)
{
	(void)state;
	/* sub rsp,0x38; push */
	expect(LOOK(0, false, 0x48, 0x83, 0xec, 0x38, 0x53), 4, true);
	expect(LOOK(0, true, 0x48, 0x83, 0xec, 0x38, 0x53), 0, false);
	/* endbr64; test rdi,rdi; push */
	expect(LOOK(0, true, 0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x85, 0xff, 0x53), 7, true);
	/* mov r8d,1; push: the fifth argument */
	expect(FIND(5, 0x41, 0xb8, 1, 0, 0, 0, 0x53), 0, false);
	expect(FIND(4, 0x41, 0xb8, 1, 0, 0, 0, 0x53), 6, true);
}

/* What the function jumps back to would be hit more than once a call. */
static void test_jumped_to(void **state)
{
	(void)state;
	/* test rdi,rdi; push rbx; nop…; jmp back to the push */
	expect(FIND(1, 0x48, 0x85, 0xff, 0x53, 0x90, 0xeb, 0xfc), 0, false);
	expect(FIND(1, 0x48, 0x85, 0xff, 0x53, 0x90, 0xeb, 0xfe), 3, true);
	/* by a long jump */
	expect(FIND(1, 0x48, 0x85, 0xff, 0x53, 0xe9, 0xfa, 0xff, 0xff, 0xff), 0, false);
}

static void test_unknown(void **state)
{
	(void)state;
	expect(FIND(1, 0x0f, 0x05, 0x53), 0, false);       /* syscall */
	expect(FIND(1, 0xc5, 0xf8, 0x77, 0x53), 0, false); /* vzeroupper */
	expect(FIND(1, 0xc3), 0, false);
}

/* Hostile code: every byte string of three, and every end. */
static void test_bounds(void **state)
{
	uint8_t code[16];

	(void)state;
	for (uint32_t i = 0; i < 1U << 16; i++) {
		memset(code, (int)(i & 0xff), sizeof(code));
		memcpy(code, &i, 3);
		for (size_t size = 0; size <= sizeof(code); size++)
			assert_true(placement__find(code, size, 4, size & 1).offset <= size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_once),        cmocka_unit_test(test_behind_others),
		cmocka_unit_test(test_arguments_stay), cmocka_unit_test(test_jumped_to),
		cmocka_unit_test(test_unknown),        cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_return_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
