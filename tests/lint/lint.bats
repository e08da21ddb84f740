#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# tools/lint itself: each check must find what it is for, in a small tree that is right otherwise.

bats_require_minimum_version 1.5.0

user='LGPL-2.1 OR BSD-2-Clause'
bpf='GPL-2.0 OR BSD-3-Clause'

# FILE with its license line, and the rest from stdin.
put() {
	local license=$user

	mkdir -p "$(dirname "$1")"
	case $1 in
	include/*) license="($user) OR ($bpf)" ;;
	bpf/* | vmlinux/*) license=$bpf ;;
	esac
	{
		echo "/* SPDX-License-Identifier: $license */"
		cat
	} >"$1"
}

page() {
	printf '%s(8)\n; SPDX-License-Identifier: %s\n\n# NAME\n\n%s - is a name\n' "$1" "$user" "$1"
}

setup() {
	lint=$BATS_TEST_DIRNAME/../../tools/lint
	cp "$BATS_TEST_DIRNAME/../../.clang-format" "$BATS_TEST_TMPDIR"
	cd "$BATS_TEST_TMPDIR" || exit
	mkdir -p user/man user/core tests/e2e tools
	put include/state.h <<<'#include "hist.h"'
	put include/hist.h </dev/null
	put vmlinux/vmlinux.h </dev/null
	put bpf/lib/clock.bpf.h <<<'#include "state.h"'
	printf '#include "vmlinux.h"\n#include <bpf/bpf_helpers.h>\n#include "lib/clock.bpf.h"\n' | put bpf/why.bpf.c
	put user/base/err.h <<<'#include "../../include/hist.h"'
	put user/base/err.c <<<'#include "base/err.h"'
	put user/core/session.h <<<'#include "base/err.h"'
	printf '#include <bpf/libbpf.h>\n#include "core/session.h"\n#include "why.btf.skel.h"\n' | put user/tools/why.c
	printf '#include "tools.def"\n#include "version.h"\n' | put user/main.c
	put user/tools.def <<<'TOOL(why, "why")'
	page dwell >user/man/dwell.8.scd
	page dwell-why >user/man/why.8.scd
	printf '# SPDX-License-Identifier: %s\n' "$user" >tests/e2e/why.bats
	printf '| command | what |\n|---|---|\n| why | why |\n' >README.md
	printf '#!/bin/sh\n# SPDX-License-Identifier: %s\ntrue\n' "$user" >tools/script
}

# The check finds nothing now.
holds() {
	run "$lint" --root . "$1"
	echo "$output"
	[ "$status" -eq 0 ]
}

# The check fails with a line that has the text.
breaks() {
	run "$lint" --root . "$1"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ "$output" == *"$2"* ]]
}

@test "a good tree passes every check" {
	for check in $("$lint" --list); do
		holds "$check"
	done
}

@test "an unknown check is an error" {
	run -2 "$lint" nothing
}

@test "rooms: user/base must not include user/core" {
	put user/base/str.c <<<'#include "core/session.h"'
	breaks rooms "user/base/str.c: includes user/core/session.h"
}

@test "rooms: not by a relative path either" {
	put user/base/str.c <<<'  #  include "../core/session.h"'
	breaks rooms "user/base/str.c: includes user/core/session.h"
}

@test "rooms: user/base must not include libbpf" {
	put user/base/str.c <<<'#include <bpf/libbpf.h>'
	breaks rooms "user/base/str.c"
}

@test "rooms: user/core must not include user/tools" {
	put user/tools/why.h </dev/null
	put user/core/sink.c <<<'#include "tools/why.h"'
	breaks rooms "user/core/sink.c: includes user/tools/why.h"
}

@test "rooms: user/core must not include a skeleton" {
	put user/core/sink.c <<<'#include "why.btf.skel.h"'
	breaks rooms "user/core/sink.c: includes skeleton"
}

@test "rooms: tools must not include each other" {
	put user/tools/why.h </dev/null
	put user/tools/runq.c <<<'#include "why.h"'
	breaks rooms "user/tools/runq.c: includes user/tools/why.h"
}

@test "rooms: bpf/lib must not include a program" {
	put bpf/lib/span.bpf.h <<<'#include "../why.bpf.c"'
	breaks rooms "bpf/lib/span.bpf.h: includes bpf/why.bpf.c"
}

@test "rooms: bpf must not include user space" {
	put bpf/lib/span.bpf.h <<<'#include "../../user/base/err.h"'
	breaks rooms "bpf/lib/span.bpf.h: includes user/base/err.h"
}

@test "rooms: include must not include anything else" {
	put include/loss.h <<<'#include "../user/base/err.h"'
	breaks rooms "include/loss.h: includes user/base/err.h"
}

@test "rooms: user space must not include the kernel's types" {
	put user/core/sink.c <<<'#include <bpf/bpf_helpers.h>'
	breaks rooms "user/core/sink.c"
}

@test "rooms: a header that is nowhere" {
	put user/core/sink.c <<<'#include "core/nowhere.h"'
	breaks rooms 'user/core/sink.c: includes "core/nowhere.h", which is not in the tree'
}

@test "complete: a command without its files" {
	echo 'TOOL(runq, "sched")' >>user/tools.def
	breaks complete "runq: bpf/sched.bpf.c is missing"
	for file in user/tools/runq.c user/man/runq.8.scd tests/e2e/runq.bats; do
		[[ "$output" == *"runq: $file is missing"* ]]
	done
	[[ "$output" == *"runq: README.md's table of commands has no row for it"* ]]
}

@test "complete: a command may share another's object" {
	echo 'TOOL(runq, "why")' >>user/tools.def
	echo '| dwell runq | runq |' >>README.md
	cp user/tools/why.c user/tools/runq.c
	cp user/man/why.8.scd user/man/runq.8.scd
	cp tests/e2e/why.bats tests/e2e/runq.bats
	holds complete
}

@test "complete: files without a command" {
	put bpf/io.bpf.c </dev/null
	put user/tools/io.c </dev/null
	page dwell-io >user/man/io.8.scd
	breaks complete "bpf/io.bpf.c: no row of user/tools.def uses it"
	[[ "$output" == *"user/tools/io.c: user/tools.def has no such command"* ]]
	[[ "$output" == *"user/man/io.8.scd: user/tools.def has no such command"* ]]
}

@test "complete: a part of an object needs no command" {
	put bpf/why_part.bpf.c </dev/null
	holds complete
}

@test "complete: a row that the build would not see" {
	echo 'TOOL( runq , "why" )' >>user/tools.def
	breaks complete "not of the form"
}

@test "complete: no tools.def, or an empty one" {
	: >user/tools.def
	breaks complete "no rows"
	rm user/tools.def
	breaks complete "user/tools.def is missing"
}

@test "format: blanks for a tab" {
	put user/base/str.c <<<'int f(void)
{
        return 0;
}'
	breaks format "user/base/str.c:3: from here on"
}

@test "format: a comment that is too long" {
	put user/base/str.c <<<"/* $(printf 'x%.0s' {1..100}) */"
	breaks format "user/base/str.c:2: more than 100 columns"
}

@test "banned: strcpy, but not in a comment or as part of a name" {
	put user/base/str.c <<<'/* strcpy() is bad */
void my_strcpy(void);
 * atoi(): no'
	holds banned
	put user/base/str.c <<<'	strcpy(a, b);'
	breaks banned "user/base/str.c:2"
}

@test "banned: exit() outside of main.c" {
	put user/main.c <<<'	exit(1);'
	holds banned
	put user/core/sink.c <<<'	exit(1);'
	breaks banned "user/core/sink.c:2"
}

@test "spdx: none, the wrong one, or not in line 1" {
	echo 'int x;' >user/base/str.c
	breaks spdx "user/base/str.c"
	echo "/* SPDX-License-Identifier: $bpf */" >user/base/str.c
	breaks spdx "user/base/str.c"
	printf '\n/* SPDX-License-Identifier: %s */\n' "$user" >user/base/str.c
	breaks spdx "user/base/str.c"
	rm user/base/str.c
	printf '#!/bin/sh\ntrue\n' >tools/script
	breaks spdx "tools/script"
}

@test "shell: an unquoted variable" {
	printf '#!/bin/sh\nrm %s\n' "\$1" >tools/script
	breaks shell "tools/script:2"
}

@test "man: a page that scdoc rejects, and one that mandoc does not like" {
	echo '#HEADING' >>user/man/why.8.scd
	breaks man "user/man/why.8.scd: "
	head -n 2 user/man/dwell.8.scd >user/man/why.8.scd
	breaks man "user/man/why.8.scd"
}

@test "size: a large file" {
	head -c 102401 /dev/zero >tools/blob
	breaks size "tools/blob: larger than 100 kB"
}

@test "blanks: at the end of a line, and no newline at the end of a file" {
	printf 'int x; \n' | put user/base/str.c
	breaks blanks "user/base/str.c:2: trailing blanks"
	printf 'int x;' | put user/base/str.c
	breaks blanks "user/base/str.c: no newline at the end"
}
