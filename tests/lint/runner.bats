#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# The test runner itself: what fails must not look like a success.

setup() {
	cd "$BATS_TEST_TMPDIR" || exit
	unset TEST TEST_TAGS TAP_DIR
	mkdir -p tests/unit tests/lint build/tests/unit
	cp "$BATS_TEST_DIRNAME/../run" tests/run
}

# A test program of suite unit: NAME, and its body on stdin.
program() {
	: >"tests/unit/test_$1.c"
	{
		echo '#!/bin/sh'
		cat
	} >"build/tests/unit/test_$1"
	chmod +x "build/tests/unit/test_$1"
}

last_line() {
	echo "${lines[${#lines[@]} - 1]}"
}

# The run's exit status and last line.
expect() { # status, line
	run tests/run unit
	echo "$output"
	[ "$status" -eq "$1" ]
	[ "$(last_line)" = "$2" ]
}

# Runs suite e2e with one test that passes from its Nth run on (and if FILE is there), called "a (b) [c] d*".
e2e_with_luck() { # N [FILE]
	mkdir -p tests/e2e
	# bats would take the inner tests for the outer file's if they stood at the beginning of a line
	printf '@test "%s" {\n%s\n}\n' x true 'a (b) [c] d*' "
		echo x >>'$PWD/tries'
		[ \$(wc -l <'$PWD/tries') -ge $1 ] && [ -e '$PWD/${2-}' ] || { echo too early; false; }" >tests/e2e/a.bats
	rm -f tries
	# bats cannot run within bats unless it sees nothing of the outer one
	run env -i PATH=/usr/bin:/bin UNSTEADY_MAX="${MAX-3}" UNSTEADY_PAUSE="${PAUSE-0}" \
		UNSTEADY_STAT="${STAT-}" tests/run e2e
	echo "$output"
}

@test "passing tests are counted, over several files" {
	program a <<<'echo 1..2; echo ok 1 - x; echo ok 2 - y'
	program b <<<'echo 1..1; echo ok 1 - z'
	expect 0 "3 passed, 0 failed, 0 skipped"
}

@test "a failing test is counted and its diagnostics are shown" {
	program a <<<'echo 1..2; echo ok 1 - x; echo not ok 2 - y; echo "# 1 != 2"; exit 1'
	expect 1 "1 passed, 1 failed, 0 skipped"
	[[ "$output" == *"not ok 2 - y"*"# 1 != 2"* ]]
}

@test "skipped tests are counted and listed with their reasons" {
	program a <<'END'
echo 1..3
echo ok 1 x '# skip no moon'
echo '# no sun'
echo not ok 2 '# SKIP y'
echo ok 3 z
END
	expect 0 "1 passed, 0 failed, 2 skipped"
	[[ "$output" == *"test_a.c: x: no moon"* ]]
	[[ "$output" == *"test_a.c: y: no sun"* ]]
}

@test "a program that dies counts what it did not come to" {
	program a <<<'echo 1..3; echo ok 1 - x; kill -SEGV $$'
	expect 1 "1 passed, 2 failed, 0 skipped"
	[[ "$output" == *"2 of 3 planned results are missing"* ]]
}

@test "a program that dies after its last test fails" {
	program a <<<'echo 1..1; echo ok 1 - x; echo "ERROR: LeakSanitizer"; exit 23'
	expect 1 "1 passed, 1 failed, 0 skipped"
	[[ "$output" == *"LeakSanitizer"* ]]
}

@test "a program without any output fails, whatever its exit status" {
	program a <<<'exit 0'
	expect 1 "0 passed, 1 failed, 0 skipped"
	[[ "$output" == *"no TAP plan"* ]]
}

@test "a program that was not built fails" {
	: >tests/unit/test_a.c
	expect 1 "0 passed, 1 failed, 0 skipped"
}

@test "a program that hangs is killed and fails" {
	program a <<<'echo 1..1; exec sleep 100'
	TEST_TIMEOUT=0.2 expect 1 "0 passed, 2 failed, 0 skipped"
}

@test "a bats file is run as well" {
	printf '@test "x" {\n\ttrue\n}\n@test "y" {\n\tskip "no moon"\n}\n@test "z" {\n\tfalse\n}\n' >tests/lint/a.bats
	# bats cannot run within bats unless it sees nothing of the outer one
	run env -i PATH=/usr/bin:/bin tests/run lint
	echo "$output"
	[ "$status" -eq 1 ]
	[ "$(last_line)" = "1 passed, 1 failed, 1 skipped" ]
	[[ "$output" == *"a.bats: y: no moon"* ]]
}

@test "an end-to-end test that passes on its second or third try is listed as unsteady" {
	local try

	[ "$(id -u)" = 0 ] || skip "needs root"
	for try in 2 3; do
		e2e_with_luck $try
		[ "$status" -eq 0 ]
		[ "$(last_line)" = "2 passed, 0 failed, 0 skipped" ]
		[[ "$output" == *"unsteady"*"a (b) [c] d*"*"too early"* ]]
	done
}

@test "there is no fourth try, and no further one beyond the limits" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	e2e_with_luck 4
	[ "$status" -eq 1 ]
	[ "$(last_line)" = "1 passed, 1 failed, 0 skipped" ]
	[[ "$output" != *unsteady* ]]
	MAX=0 e2e_with_luck 2
	[ "$status" -eq 1 ]
	MAX=1 e2e_with_luck 2
	[ "$status" -eq 0 ]
	MAX=1 e2e_with_luck 3
	[ "$status" -eq 1 ]
}

@test "the third try waits until the hypervisor is quiet" {
	local i

	[ "$(id -u)" = 0 ] || skip "needs root"
	for i in {1..60}; do
		echo "cpu $i 0 0 0 0 0 0 $i" >stat.new
		mv stat.new stat
		sleep 0.1
		[ "$i" -lt 60 ] || touch over
	done 3>&- &
	PAUSE=1 STAT=$PWD/stat e2e_with_luck 1 over
	wait
	[ "$status" -eq 0 ]
	[[ "$output" == *"unsteady"*"a (b) [c] d*"*"too early"* ]]
}

@test "a steady run says nothing of it" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	e2e_with_luck 1
	[ "$status" -eq 0 ]
	[[ "$output" != *unsteady* ]]
}

@test "TEST_TAGS chooses tests, TAP_DIR keeps what they said" {
	mkdir tap
	printf '@test "x" {\n\tfalse\n}\n# bats test_tags=once\n@test "y" {\n\tfalse\n}\n' >tests/lint/a.bats
	run env -i PATH=/usr/bin:/bin TEST_TAGS='!once' TAP_DIR="$PWD/tap" tests/run lint
	echo "$output"
	[ "$status" -eq 1 ]
	[ "$(last_line)" = "0 passed, 1 failed, 0 skipped" ]
	grep '^not ok 1 x' tap/a
	[ "$(cat tap/a.status)" = 1 ]
}

@test "TEST chooses one file; an unknown name or suite is an error" {
	program a <<<'echo 1..1; echo ok 1'
	program b <<<'echo 1..1; echo not ok 1'
	TEST=a expect 0 "1 passed, 0 failed, 0 skipped"
	TEST=nothing run tests/run unit
	[ "$status" -eq 2 ]
	run tests/run nothing
	[ "$status" -eq 2 ]
}
