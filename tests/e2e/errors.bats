#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Bad input, bad surroundings, and death: one clear line on stderr, and the right exit status.

load lib

bad() { # status text dwell's arguments…
	run dwell "${@:3}"
	refused "$1" "$2"
}

# bats test_tags=once
@test "usage: unknown command, option, operand" {
	bad 2 "command" # none at all
	bad 2 "nonsense" nonsense
	bad 2 "--nonsense" why --nonsense
	bad 2 "operand" why operand
	bad 2 "-u" why -u
	bad 2 "folded" why --folded
}

# bats test_tags=once
@test "usage: bad numbers and durations" {
	bad 2 "x" why -p x
	bad 2 "0" why -p 0
	bad 2 "-5" why -p -5
	bad 2 "1,,2" why -p 1,,2
	bad 2 "99999999999" why -p 99999999999
	bad 2 "-1" why -d -1
	bad 2 "abc" why -d abc
	bad 2 "5x" why -d 5x
	bad 2 "0" why -d 0
	bad 2 "0" why -i 0
	bad 2 "--rows" why -n many
	bad 2 "--max-entries" why --max-entries 0
}

# bats test_tags=once
@test "usage: bad choices and combinations" {
	bad 2 "by" why --by planet
	bad 2 "cpu" why --by cpu
	bad 2 "colour" why --sort colour
	bad 2 "attach" why --attach glue
	bad 2 "one of" why -p $$ -a
	bad 2 "one of" why -p $$ -- true
	bad 2 "only one" why --json --jsonl
	bad 2 "jsonl" why --json -i 1
	bad 2 "longer" why -i 5 -d 1
	bad 2 "c" why -c ""
	bad 2 "15" why -c a-name-that-is-much-too-long
}

# bats test_tags=once
@test "targets that aren't there, or aren't what they should be" {
	local pid tid

	start "$T/out" true
	await "$PID" 5
	bad 1 "no process $PID" why -p "$PID"
	bad 1 "no thread $PID" why -t "$PID"
	bad 1 "/no/such/cgroup" why --cgroup /no/such/cgroup
	bad 1 "not a cgroup" why --cgroup /tmp
	bad 1 "/etc/passwd" why --cgroup /etc/passwd
	start "$T/ready" "$W/sleeper" pipe
	wait_for '^ready' "$T/ready"
	read -r _ pid tid <"$T/ready"
	bad 1 "-p $pid" why -p "$tid" # of a thread: says whose
}

# bats test_tags=once
@test "programs that cannot be executed" {
	local program

	for program in /no/such/program no-such-program-in-the-path /etc/passwd; do
		run dwell why -- $program
		[ "$status" = 1 ] || fail_with "exit status $status: $output"
		# it is tried when all is ready, so that its start isn't missed: a note may come first
		[[ ${lines[-1]} == "dwell: $program cannot be executed: "* ]] || fail_with "$output"
	done
}

@test "a target that vanishes before dwell is ready is no crash" {
	local i

	for i in {1..5}; do
		start "$T/out" sleep "0.0$i"
		run dwell why --json -d 0.2 -p "$PID"
		[ "$status" = 0 ] || refused 1 "no process $PID"
	done
}

# bats test_tags=once
@test "--help prints on stdout and exits 0; so does --version" {
	local command

	for command in why offcpu runq; do
		dwell $command --help >"$T/out" 2>"$T/err"
		grep -q -- --pid "$T/out"
		[ ! -s "$T/err" ]
	done
	dwell --help | grep -q offcpu
	dwell --version | grep -q '^dwell '
}

# bats test_tags=once
@test "stdout closed, full or a broken pipe: exit status 1 and a line that says so" {
	local status=0 format

	[ -w /dev/full ] || skip "no /dev/full"
	for format in $(few text json jsonl); do
		[ "$format" = text ] && format= || format=--$format
		# shellcheck disable=SC2086 # none, or one
		dwell why -d 0.2 $format >/dev/full 2>"$T/err" || status=$?
		[ $status = 1 ] || fail_with "/dev/full: exit status $status" "$T/err"
		grep -q '^dwell: .*written' "$T/err"
		# shellcheck disable=SC2086
		dwell why -d 0.2 $format >&- 2>"$T/err" && fail_with "closed: exit status 0" "$T/err"
		status=0
		# shellcheck disable=SC2086
		{ dwell why -d 0.3 $format 2>"$T/err" || echo $? >"$T/status"; } | true
		[ "$(cat "$T/status")" = 1 ] || fail_with "pipe: exit status $(cat "$T/status")" "$T/err"
	done
	for format in --help --version; do
		dwell $format >/dev/full 2>"$T/err" && fail_with "$format: exit status 0" "$T/err"
		grep -q '^dwell: ' "$T/err"
	done
}

# bats test_tags=once
@test "-o: a directory that isn't there, a full disk" {
	bad 1 "/no/such/dir/file" why -d 0.2 -o /no/such/dir/file
	[ -w /dev/full ] || skip "no /dev/full"
	run dwell why -d 0.2 -o /dev/full
	[ "$status" = 1 ]
	[[ $output == *"/dev/full"* ]]
}

@test "no privileges: exit status 3 and what is missing" {
	need setpriv
	cp "$DWELL" "$T/dwell"
	chmod 755 "$T" "$T/dwell"
	run timeout 20 setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
		--inh-caps=-all "$T/dwell" why -d 0.2
	[ "$status" != 126 ] || skip "$T is not open to others"
	refused 3 "CAP_BPF"
}

@test "no BTF, or not BTF: exit status says it is not supported" {
	echo nonsense >"$T/btf"
	run dwell why -d 0.2 --btf "$T/btf"
	[ "$status" = 1 ] || [ "$status" = 3 ] || fail_with "exit status $status: $output"
	[[ $output == *"$T/btf"* ]]
	run dwell why -d 0.2 --btf /no/such/btf
	[ "$status" = 1 ] || [ "$status" = 3 ] || fail_with "exit status $status: $output"
	[[ $output == *"/no/such/btf"* ]]
}

@test "--btf: the kernel's own types from a file" {
	[ -r /sys/kernel/btf/vmlinux ] || skip "the kernel has no BTF"
	cp /sys/kernel/btf/vmlinux "$T/btf"
	dwell why --json -d 0.3 -a --btf "$T/btf" >"$T/out"
	check "$T/out" 'sound, expect(.rows != []; "no rows")'
}

@test "maps of 16 entries: the loss is shown as a loss, and the states stay whole" {
	local command

	for command in $(few why offcpu runq); do
		dwell "$command" --json --by thread --max-entries 16 -o "$T/out" -- "$W/demo" 2 2>"$T/err"
		check "$T/out" 'expect(.loss.total > 0; "no loss"),
			expect(.loss.total == (.loss.reasons | map(.) | total); "loss: \(.loss)")'
		grep -q '^dwell: LOST ' "$T/err" || fail_with "no loss on stderr:" "$T/err"
	done
	dwell why --json --max-entries 16 -d 1 -o "$T/out" -a 2>"$T/err"
	check "$T/out" sound
}

@test "SIGINT, SIGTERM and SIGHUP: the full report, exit status 0" {
	local signal

	start_sleeper pipe
	for signal in INT TERM HUP; do
		start_dwell why --json -p "$PID"
		sleep 0.3
		kill -$signal "$DWELL_PID"
		await "$DWELL_PID" 10 || fail_with "SIG$signal: exit status $?" "$T/dwell.err"
		check "$T/dwell.out" 'sound, expect((.rows | length) == 1; "\(.rows | length) rows"),
			between("duration"; .duration_ns; 250000000; 2000000000)'
	done
}

# dwell's objects, once it has some of every kind, in $T/objects
list_bpf_objects() {
	local kind

	bpf_objects "$DWELL_PID" >"$T/objects"
	for kind in prog map link; do
		grep -q "^$kind " "$T/objects" || fail_with "no $kind while it runs:" "$T/objects"
	done
}

@test "SIGKILL: no program, map or link remains" {
	local command

	need bpftool
	for command in $(few why offcpu runq); do
		start_dwell "$command" -a -d 60
		list_bpf_objects
		kill -KILL "$DWELL_PID"
		await "$DWELL_PID" 10 || true
		await_bpf_gone "$T/objects"
	done
}

@test "a normal end leaves nothing behind either" {
	need bpftool
	start_dwell why --json -a
	list_bpf_objects
	stop_dwell
	await_bpf_gone "$T/objects"
	start_dwell why --json -o "$T/out" -- sleep 1
	list_bpf_objects
	await "$DWELL_PID" 10
	await_bpf_gone "$T/objects"
}

@test "SIGKILL of dwell does not take the program with it, nor hold it back" {
	start_dwell why -o "$T/out" -- sh -c "echo \$\$ >'$T/pid'; exec sleep 20"
	for _ in {1..200}; do
		[ ! -s "$T/pid" ] || break
		sleep 0.02
	done
	kill -KILL "$DWELL_PID"
	await "$DWELL_PID" 10 || true
	kill -0 "$(cat "$T/pid")"
	kill "$(cat "$T/pid")"
}

# bats test_tags=once
@test "no word on stdout but the report" {
	dwell why --json -d 0.3 -a >"$T/out" 2>"$T/err"
	jq -e . "$T/out" >/dev/null
	grep -q '^dwell: tracing' "$T/err"
	! grep -qv '^dwell: ' "$T/err" || fail_with "foreign lines on stderr:" "$T/err"
}
