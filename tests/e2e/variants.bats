#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Every command loads in both variants, whatever was configured; neither falls back in silence.

load lib

commands() {
	sed -n 's/^TOOL(\([a-z0-9_]*\),.*/\1/p' "$ROOT/user/tools.def"
}

# loads VARIANT COMMAND [OPTION…]: it runs, in this variant
loads() {
	dwell "$2" --attach "$1" --json -d 0.05 -o "$T/out" "${@:3}" 2>"$T/err" ||
		fail_with "$1: dwell $2 ${*:3}:" "$T/err"
	check "$T/out" 'expect(.attach == "'"$1"'"; "attached by \(.attach)"),
		expect(.tool == "'"$2"'"; "it is \(.tool)")'
}

each() { # variant
	local command options

	start_sleeper sleep
	for command in $(commands); do
		# what the verifier says of the rest, tests/vm/load tells
		options=(-a "-p $PID" "-p $PID,$$" "-t $PID" "-c sleeper" --kthreads "--min 1ms" "--by thread"
			"--by comm" "--by cgroup" "--max-entries 16")
		[ -z "${DWELL_TEST_FEW:-}" ] || options=(-a "-p $PID,$$")
		for options in "${options[@]}"; do
			# shellcheck disable=SC2086 # options are words
			loads "$1" "$command" $options
		done
		loads "$1" "$command" -- true
		dwell "$command" --attach "$1" --jsonl -i 20ms -d 0.06 -o "$T/out"
		check "$T/out" 'expect(.attach == "'"$1"'"; "attached by \(.attach)")'
	done
	loads "$1" offcpu -u
	loads "$1" offcpu -k
	loads "$1" runq --by cpu
}

@test "tp_btf: every command, every configuration" {
	grep -q bpf_task_storage_get /proc/kallsyms || skip "the kernel has no task storage"
	each tp_btf
}

@test "raw_tp: every command, every configuration" {
	each raw_tp
}

@test "auto takes tp_btf where it can be had" {
	grep -q bpf_task_storage_get /proc/kallsyms || skip "the kernel has no task storage"
	dwell why --json -d 0.05 -o "$T/out" 2>"$T/err"
	check "$T/out" 'expect(.attach == "tp_btf"; "attached by \(.attach)")'
}
