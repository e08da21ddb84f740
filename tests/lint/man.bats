#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What --help, the manual pages and the README say of commands and options is the same.

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
DWELL=$ROOT/build/dwell

setup() {
	[ -x "$DWELL" ] || skip "build/dwell is not built"
	cp -r "$ROOT/user/man" "$BATS_TEST_TMPDIR/man"
	MAN=$BATS_TEST_TMPDIR/man
}

commands() {
	"$DWELL" --help | sed -n 's/^  \([a-z]*\)   *[A-Z].*/\1/p'
}

# The options that `dwell COMMAND --help` lists, a line each: "-p --pid", "--min".
help_options() { # command
	"$DWELL" "$1" --help |
		sed -n 's/^ *\(-[a-zA-Z]\), \(--[a-z][a-z-]*\).*/\1 \2/p; s/^      *\(--[a-z][a-z-]*\).*/\1/p' | sort
}

# The same from the options that a page defines (in scdoc, they begin a line).
page_options() { # page
	sed -n 's/^\*\(-[a-zA-Z]\)\*, \*\(--[a-z][a-z-]*\)\*.*/\1 \2/p; s/^\*\(--[a-z][a-z-]*\)\*.*/\1/p' "$1" | sort
}

# Every option of a command is in its page or in dwell(8), and every option there is one of the command.
pages_match() {
	local command

	for command in $(commands); do
		diff <(help_options "$command") \
			<({
				page_options "$MAN/dwell.8.scd"
				page_options "$MAN/$command.8.scd"
			} | sort -u) || return 1
	done
}

readme_commands() {
	sed -n 's/^| `\([a-z]*\)` | .*?.* | .*/\1/p' "$ROOT/README.md"
}

statuses() { # file
	grep -oE '^\*[0-9]+\*$' "$1" | tr -d '*'
}

@test "options: --help and the manual pages have the same" {
	[ -n "$(commands)" ]
	pages_match
}

@test "options: one that is only in the page is found" {
	printf '*--never*\n\tIs not there.\n' >>"$MAN/why.8.scd"
	run pages_match
	[ "$status" = 1 ]
	[[ $output == *"> --never"* ]]
}

@test "options: one that is only in --help is found" {
	sed -i '/^\*-i\*, \*--interval\*/d' "$MAN/dwell.8.scd"
	run pages_match
	[ "$status" = 1 ]
	[[ $output == *"< -i --interval"* ]]
}

@test "commands: --help, tools.def, the pages and the README have the same" {
	local wanted

	wanted=$(sed -n 's/^TOOL(\([a-z]*\),.*/\1/p' "$ROOT/user/tools.def")
	[ "$(commands)" = "$wanted" ]
	[ "$(readme_commands)" = "$wanted" ]
	for command in $wanted; do
		grep -q "^dwell-$command - " "$MAN/$command.8.scd"
	done
}

# What a page says that a command is, after its name; the same from `dwell --help`.
page_summary() { # command
	sed -n "s/^dwell-$1 - //p" "$MAN/$1.8.scd"
}

summaries_match() {
	local command

	for command in $(commands); do
		diff <("$DWELL" --help | sed -n "s/^  $command  *//p") <(page_summary "$command") || return 1
	done
}

@test "commands: a summary is the same in --help and the page" {
	summaries_match
}

@test "commands: a summary that differs is found" {
	sed -i 's/^dwell-why - /&Not: /' "$MAN/why.8.scd"
	run summaries_match
	[ "$status" = 1 ]
	[[ $output == *"> Not: "* ]]
}

# The numbers of the README's paragraph on exit statuses: each begins a part between semicolons.
readme_statuses() { # file
	sed -n '/^Exit status:/,/^$/p' "$1" | { tr '\n;' ' \n'; echo; } | sed -n 's/^\(Exit status:\)\{0,1\} *\([0-9][0-9]*\) .*/\2/p'
}

statuses_match() { # README
	diff <(statuses "$MAN/dwell.8.scd") <(readme_statuses "$1")
}

@test "exit statuses: the README's and dwell(8)'s are the same" {
	[ "$(statuses "$MAN/dwell.8.scd" | tr '\n' ' ')" = "0 1 2 3 " ]
	statuses_match "$ROOT/README.md"
}

@test "exit statuses: one that only the README or only the page has is found" {
	sed 's/^Exit status: 0/Exit status: 99 a threshold was passed; 0/' "$ROOT/README.md" >"$BATS_TEST_TMPDIR/README.md"
	run statuses_match "$BATS_TEST_TMPDIR/README.md"
	[ "$status" = 1 ]
	sed -i 's/^\*3\*$/*4*/' "$MAN/dwell.8.scd"
	run statuses_match "$ROOT/README.md"
	[ "$status" = 1 ]
}
