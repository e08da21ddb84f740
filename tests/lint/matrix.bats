#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What the kernel matrix makes of a guest's TAP: a failure must not look like a success.

# The TAP on stdin; its file's exit status.
judge() { # status
	run awk -v kernel=6.1 -v test=why -v status="$1" -f "$BATS_TEST_DIRNAME/../vm/judge.awk"
	echo "$output"
	[ "$status" = 0 ]
}

@test "passed, failed and skipped tests are counted, the latter two by name" {
	judge 1 <<-'END'
		1..3
		ok 1 a: b
		not ok 2 c
		# why
		ok 3 d # skip no moon
	END
	[ "${lines[0]}" = "6.1 why 1 1 1 0" ]
	[ "${lines[1]}" = "fail 6.1 why c" ]
	[ "${lines[2]}" = "skip 6.1 why d: no moon" ]
}

@test "what passed on a later try is unsteady" {
	judge 0 <<-'END'
		1..2
		ok 1 a
		# (first try) # too early
		# (first try) # far too early
		ok 2 b
	END
	[ "${lines[0]}" = "6.1 why 2 0 0 1" ]
	[ "${lines[1]}" = "unsteady 6.1 why a" ]
}

@test "no plan, missing results and an exit status without a failure are failures" {
	judge 124 <<<"Killed"
	[ "${lines[0]}" = "6.1 why 0 1 0 0" ]
	judge 0 <<<"1..2"
	[ "${lines[0]}" = "6.1 why 0 2 0 0" ]
	judge 3 <<-'END'
		1..1
		ok 1 a
	END
	[ "${lines[0]}" = "6.1 why 1 1 0 0" ]
}
