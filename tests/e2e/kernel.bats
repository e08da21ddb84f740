#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What differs from kernel to kernel, against oracles, in as few runs as it takes: all states and
# kinds of locks, every command, both ways to attach. It is what the kernel matrix (tests/vm) runs on
# every kernel; the other files, which go into detail, it runs when it is asked to.

load lib
load disk

# waits MODE… -- COMMAND OPTION…: these modes, one after the other, under one run of dwell, whose
# report is in $T/out. The truth of each is in $T/truth.json.
waits() {
	local modes=()

	while [ "$1" != -- ]; do
		modes+=("$1")
		shift
	done
	# shellcheck disable=SC2016 # the inner shell's
	dwell "${@:2}" --json -o "$T/out" --exit-status -- sh -c 'waits=$1 count=$2; shift 2
		for mode; do
			"$waits" "$mode" "$count" 5 || [ $? = 77 ] || exit 1
		done' - "$W/waits" $((ROUNDS / 4)) "${modes[@]}" >"$T/truth.json" 2>"$T/err" ||
		fail_with "exit status $?:" "$T/err"
	[ "$(jq -r .mode "$T/truth.json")" = "$(printf '%s\n' "${modes[@]}")" ] ||
		fail_with "some could not be provoked:" "$T/err"
}

@test "why: all states, with their causes" {
	local modes

	mapfile -t modes < <("$W/waits" --list | grep -vE '^runq$|^lock-(expired|futex2)|^sync-(futex2|requeue|waitv)')
	has_contention || mapfile -t modes < <(printf '%s\n' "${modes[@]}" | grep -v ^klock)
	[ ${#modes[@]} -ge 42 ] || fail_with "modes: ${modes[*]}"
	waits "${modes[@]}" -- why --by thread --max-entries 16384
	check "$T/out" 'sound, lossless,
		($truth[] as $t | oracle_thread($t; true) | "\($t.mode): \(.)")' --slurpfile truth "$T/truth.json"
}

@test "why, by raw tracepoints: the states that look at memory, sockets and files" {
	waits lock-mutex sync-child pipe-fifo net-tcp disk-read fs-open fault-uffd preempt -- \
		why --by thread --max-entries 16384 --attach raw_tp
	check "$T/out" 'sound, lossless,
		($truth[] as $t | oracle_thread($t; true) | "\($t.mode): \(.)")' --slurpfile truth "$T/truth.json"
}

@test "offcpu: time by user and kernel stack" {
	local attach

	for attach in auto raw_tp; do
		waits lock-mutex -- offcpu --by thread --attach $attach
		check "$T/out" 'sound, lossless, $truth[0] as $t |
			[.rows[] | select(.tid == $t.tid and .state == "lock")] as $rows |
			expect([$rows[].count] | total == $t.count; "\([$rows[].count]) waits of \($t.count)"),
			between("time"; [$rows[].total_ns] | total; $t.blocked_ns * 0.97; $t.total_ns * 1.03),
			expect($rows[0].stack | any(contains("futex_wait")); "stack: \($rows[0].stack)"),
			# of the first waits the code may not be known yet, which its stacks say
			expect($rows | map(.stack) | any(any(contains("wait__"))); "stacks: \($rows | map(.stack))"),
			($rows[].stack | expect(any(contains("wait__") or . == "[truncated: code not known yet]");
				"a stack: \(.)"))' \
			--slurpfile truth "$T/truth.json"
	done
}

@test "runq: waits for a CPU are schedstat's" {
	local attach

	for attach in auto raw_tp; do
		waits runq -- runq --by thread --attach $attach
		check "$T/out" 'runq_oracle($truth[0])' --slurpfile truth "$T/truth.json"
	done
}

@test "lock: each kind, with its holder, and events when they are asked for" {
	local attach

	for attach in auto raw_tp; do
		waits lock-pi lock-robust lock-rwlock lock-flock sync-cond sync-sem sync-barrier -- \
			lock --user --events --attach $attach
		check "$T/out" '$truth[] as $t | lock_oracle($t; $t.kind) | "\($t.mode): \(.)"' \
			--slurpfile truth "$T/truth.json"
	done
	dwell lock --user --json -o "$T/out" -- "$W/locks" crowd mutex 20 10 >"$T/truth.json" 2>"$T/err"
	check "$T/out" 'lock_crowd($truth[0])' --slurpfile truth "$T/truth.json"
}

@test "lock: the kernel's, by name and holder" {
	run dwell lock --kernel -d 0.05 2>&1
	[ "$status" != 3 ] || skip "$output"
	waits klock-inode -- lock --kernel
	check "$T/out" 'lock_oracle($truth[0]; "rwsem"),
		([.rows[] | select(.kind | startswith("rwsem"))] | max_by(.total_ns) |
			expect(.name == "inode i_rwsem"; "it is called \(.name)"),
			expect(.holders[0] | .comm == "holder" and .share > 0.97; "holders: \(.holders)"))' \
		--slurpfile truth "$T/truth.json"
}

@test "syscall: counts, errors and times, cut by intervals or not" {
	local attach

	for attach in auto raw_tp; do
		dwell syscall --jsonl -i 100ms --by thread --attach $attach -o "$T/out" -- \
			"$W/calls" 100 >"$T/truth" 2>"$T/err" || fail_with "exit status $?:" "$T/err"
		jq -s '.' "$T/out" >"$T/all"
		check "$T/all" '$truth[0] as $t | (.[] | sound, lossless),
			expect(length >= 2; "\(length) intervals"),
			([.[].rows[] | select(.tid == $t.tid)] | group_by(.syscall) | map({key: .[0].syscall,
				value: {count: map(.count) | add, ns: map(.total_ns) | add, failed: map(.failed) | add}}) |
				from_entries) as $rows |
			($t.calls | to_entries[] |
				expect($rows[.key].count == .value; "\(.key): \($rows[.key].count) calls, not \(.value)")),
			($t.errors | to_entries[] | expect($rows[.key].failed == (.value | map(.) | add);
				"\(.key): \($rows[.key].failed) failed, not \(.value)")),
			between("clock_nanosleep"; $rows.clock_nanosleep.ns;
				$t.samples | map([., 2000000] | min) | total; $t.sleep_ns)' --slurpfile truth "$T/truth"
	done
}

@test "file: counts, bytes and errors by path" {
	local attach

	for attach in auto raw_tp; do
		dwell file --json -o "$T/out" --attach $attach -- "$W/files" "$DWELL_TEST_DIR" 50 \
			>"$T/truth" 2>"$T/err" || fail_with "exit status $?:" "$T/err"
		check "$T/out" 'sound, lossless, files_oracle($truth[0])' --slurpfile truth "$T/truth"
	done
}

# Of what was preempted in dwell's own hook, as kernels from 7.0 on do, the time would stand out only
# where little else was measured: in short intervals.
@test "syscall: the states of calls add up, wherever their thread is preempted" {
	start "$T/busy" "$W/calls" yield
	dwell syscall --jsonl -i 50ms -d "$(seconds 2)" -o "$T/out" -p "$PID" --by thread 2>"$T/err"
	jq -s '{rows: map(.rows[] | select(.syscall == "sched_yield"))}' "$T/out" >"$T/all"
	check "$T/all" 'expect([.rows[] | select(.states.preempt)] | length > 10; "\(.rows)"),
		(.rows[] | same("states of \(.count) calls"; .states | map(.) | total; .total_ns))'
}

@test "io: the file that cached writes are of, from the middle of a large folio, too" {
	file_system
	# shellcheck disable=SC2016 # the inner shell's
	dwell io --by file --dev "$DEV" --json -o "$T/out" -- sh -c '
		dd if=/dev/zero of="$0" bs=64k count=32 conv=fsync &&
			dd if=/dev/zero of="$0" bs=4k seek=9 count=1 conv=notrunc,fsync' "$MNT/a file" 2>"$T/err"
	check "$T/out" 'within("bytes"; [.rows[] | select(.file == $file).bytes] | total;
		2101248 - .loss.total * 1048576; 2101248)' --arg file "$MNT/a file"
}

@test "io: counts, bytes, and the device's time" {
	local attach

	if [ -n "${DWELL_NULL_BLK:-}" ]; then
		on_device "$DWELL_NULL_BLK"
	else
		loop
	fi
	for attach in auto raw_tp; do
		dwell io --json --by all --dev "$LOOP" --attach $attach -o "$T/out" -- \
			dd if="$LOOP" of=/dev/null bs=16k count=100 iflag=direct 2>"$T/err"
		check "$T/out" 'sound, .loss.total as $lost | [.rows[] | select(.op == "read")] as $rows |
			within("requests"; [$rows[].count] | total; 100 - $lost; 100),
			within("bytes"; [$rows[].bytes] | total; (100 - $lost) * 16384; 100 * 16384),
			(select($ns > 0) | between("device p50"; $rows[0].device.p50_ns; $ns * 0.97; $ns * 1.25))' \
			--argjson ns "$([ "$LOOP" != "${DWELL_NULL_BLK:-}" ] && echo 0 || echo "$DWELL_DISK_NS")"
	done
}

@test "query: statements of SQLite, counted and measured as the program does" {
	local attach

	for attach in auto raw_tp; do
		dwell query --json --attach $attach -o "$T/out" -- sh -c 'echo go | "$0" "$1"' "$W/lite" "$ROUNDS" \
			>"$T/truth.json" 2>"$T/err" || fail_with "exit status $?:" "$T/err"
		check "$T/out" 'lite_oracle($truth[0])' --slurpfile truth "$T/truth.json"
	done
}

@test "it is killed: nothing stays in the kernel, and what it watched goes on" {
	start "$T/waits" "$W/waits" lock-mutex 50000 2
	start_dwell why -p "$PID" -d 120
	bpf_objects "$DWELL_PID" >"$T/objects"
	[ -s "$T/objects" ] || fail_with "no BPF objects are known"
	kill -KILL "$DWELL_PID"
	await_bpf_gone "$T/objects"
	kill -0 "$PID"
}
