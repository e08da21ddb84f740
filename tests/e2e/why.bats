#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell why` against oracles: a thread waits $ROUNDS times about 5 ms in a known state and measures
# each wait; why must have the same count, the same time in that state, and name the cause.

load lib
load ext4

clean_up() {
	umount_ext4
}

# What can't be provoked on this machine is skipped with the workload's own reason.
measure() { # mode [options of why…]
	local status=0

	dwell why --json -o "$T/why.json" --by thread --exit-status "${@:2}" -- \
		"$W/waits" "$1" "$ROUNDS" 5 >"$T/truth.json" 2>"$T/err" || status=$?
	[ "$status" != 77 ] || skip "$(sed -n 's/^waits: skipped: //p' "$T/err")"
	[ "$status" = 0 ] || fail_with "exit status $status:" "$T/err"
}

oracle() { # mode [options of why…]
	measure "$@"
	check "$T/why.json" 'oracle($truth[0]; true)' --slurpfile truth "$T/truth.json"
}

# The spinners are threads of the same process.
culprit() { # state
	check "$T/why.json" '.rows[] | select(.comm == "victim") | .pid as $pid |
		# of a long wait, who had the CPU first is not known
		[.causes[] | select(.state == "'"$1"'" and (.name | startswith("(") | not))][0].name |
		expect(. == "spinner (\($pid))" or . == "waits (\($pid))";
			"the culprit is \(.), not the spinner of process \($pid)")'
}

@test "lock: a mutex, its holder and its address" {
	oracle lock-mutex
}

@test "lock: a mutex with priority inheritance" {
	oracle lock-pi
}

@test "lock: a robust mutex" {
	oracle lock-robust
}

@test "lock: a mutex waited for with a time limit" {
	oracle lock-timed
}

@test "lock: a writer behind a reader" {
	oracle lock-rwlock
}

@test "lock: a reader behind a writer" {
	oracle lock-rwlock-reader
}

@test "lock: a writer behind a writer" {
	oracle lock-rwlock-writers
}

@test "lock: flock() and the file's path" {
	oracle lock-flock
}

@test "lock: fcntl(F_OFD_SETLKW) and the file's path" {
	oracle lock-fcntl
}

@test "lock: a mutex in a variable, by name" {
	start "$T/locks" "$W/locks" crowd mutex 500 10
	sleep 0.2
	dwell why --json -p "$PID" -d 0.5 -o "$T/why.json" 2>"$T/err"
	check "$T/why.json" '[.rows[].causes[] | select(.kind == "mutex")][0].name |
		expect(. // "" | test("^mutex crowd_mutex 0x[0-9a-f]+ held by [0-9]+ \\(holder\\)$");
			"the cause is called \(.)")'
}

@test "sync: a condition variable is no lock" {
	oracle sync-cond
}

@test "sync: a semaphore" {
	oracle sync-sem
}

@test "sync: a barrier" {
	oracle sync-barrier
}

@test "sync: the end of a thread" {
	oracle sync-join
}

@test "sync: the end of a child" {
	oracle sync-child --max-entries 8192 # each child is a row with causes of its own
}

@test "pipe: reading an empty pipe" {
	oracle pipe-read
}

@test "pipe: writing to a full pipe" {
	oracle pipe-write
}

@test "pipe: a FIFO and its path" {
	oracle pipe-fifo
}

@test "pipe: an eventfd" {
	oracle pipe-eventfd
}

@test "pipe: a signalfd" {
	oracle pipe-signalfd
}

@test "pipe: a terminal and its path" {
	oracle pipe-tty
}

@test "net: TCP and the peer's address" {
	oracle net-tcp
}

@test "net: UDP and the peer's address" {
	oracle net-udp
}

@test "net: a unix socket and its path" {
	oracle net-unix
}

@test "net: connect()" {
	oracle net-connect
}

@test "net: accept() and the port" {
	oracle net-accept
}

@test "poll: epoll_wait()" {
	oracle poll-epoll
}

@test "poll: poll()" {
	oracle poll-poll
}

@test "poll: select()" {
	oracle poll-select
}

@test "poll: io_uring_enter(), though the kernel takes it for disk I/O" {
	oracle poll-uring
}

@test "poll: pause()" {
	oracle poll-signal
}

@test "sleep: nanosleep()" {
	oracle sleep-nanosleep
}

@test "sleep: clock_nanosleep() until a point in time" {
	oracle sleep-clock
}

@test "sleep: poll() of nothing" {
	oracle sleep-poll0
}

@test "sleep: times from 0.1 to 30 ms" {
	oracle sleep-spread
}

@test "disk: direct reads, and the file's path" {
	oracle disk-read
}

@test "disk: fsync" {
	oracle disk-fsync
}

@test "disk and fs: the device and the file, by descriptor and by path" {
	local i device

	mount_ext4
	device=${LOOP#/dev/}
	mkdir "$MOUNT"/{1..40}
	for i in {1..40}; do
		echo "$i" >"$MOUNT/$i/file"
	done
	remount_ext4
	dwell why --json --by comm -o "$T/out" -- sh -c 'cat "$@"; cd "$0/1" && exec dd if=/dev/zero of=out bs=4k count=5 oflag=dsync' \
		"$MOUNT" "$MOUNT"/{1..40}/file >/dev/null 2>&1
	check "$T/out" '[.rows[].causes[] | select(.kind == "file" and (.name | contains($dir)))] as $causes |
		expect([$causes[].device] | unique == [$device]; "devices: \([$causes[] | {name, device}])"),
		expect([$causes[] | select(.name | endswith(" on \($device)") | not)] == []; "names: \([$causes[].name])"),
		expect([$causes[] | select(.name | test("^openat .*/[0-9]+/file on "))] != [];
			"no path of an open: \([$causes[].name])"),
		expect([$causes[] | select(.name | startswith("read "))] != []; "no read: \([$causes[].name])"),
		expect([$causes[] | select(.name | startswith("write \($dir)/1/out on"))] != [];
			"no write: \([$causes[].name])")' --arg dir "$MOUNT" --arg device "$device"
	# a path from the working directory
	remount_ext4
	dwell why --json --by comm -o "$T/out" -- sh -c 'cd "$0" && exec stat -c "" 2/file 3/file 4/file' "$MOUNT" \
		>/dev/null 2>&1
	check "$T/out" 'expect([.rows[].causes[] | select((.name | contains($dir + "/2/file on")) and .device == $device)] != [];
			"no \($dir)/2/file: \([.rows[].causes[].name])")' --arg dir "$MOUNT" --arg device "$device"
}

@test "fs: a file that takes the place and the inode of a removed one is another file" {
	need python3
	mount_ext4
	dwell why --json --by comm -o "$T/out" -- python3 - "$MOUNT" >"$T/inodes" 2>"$T/err" <<-END
		import os, sys
		for name in "first", "second":
		    fd = os.open(sys.argv[1] + "/" + name, os.O_CREAT | os.O_WRONLY)
		    for i in range(20):
		        os.write(fd, b"x" * 4096)
		        os.fsync(fd)
		    print(os.fstat(fd).st_ino)
		    os.close(fd)
		    os.remove(sys.argv[1] + "/" + name)
	END
	[ "$(sort -u "$T/inodes" | wc -l)" = 1 ] || skip "the file system does not use the inode again at once"
	check "$T/out" '[.rows[].causes[] | select(.kind == "file" and (.name | startswith("fsync")))] as $causes |
		("first", "second") as $file | [$causes[] | select(.name | contains($dir + "/" + $file))] as $own |
		expect([$own[].count] | total >= 20; "\($file): \($own), all: \($causes)")' --arg dir "$MOUNT"
}

@test "disk: reading a mapped file page by page" {
	oracle fault-mapped
}

@test "fs: reading a file that is no block device's, and its path" {
	oracle fs-read
}

@test "fs: opening a file" {
	oracle fs-open
}

@test "fs: stat()" {
	oracle fs-stat
}

@test "klock: an inode's lock (rwsem)" {
	need_contention
	oracle klock-inode
}

@test "klock: a pipe's lock (mutex)" {
	need_contention
	oracle klock-pipe
}

@test "fault: a page fault outside of system calls" {
	oracle fault-uffd
}

@test "stop: stopped by a signal" {
	oracle stop-signal
}

@test "runq: waking up on a crowded CPU" {
	oracle runq
	culprit runq
}

@test "preempt: sharing a CPU with spinning threads" {
	oracle preempt
	culprit preempt
}

@test "cpu: running" {
	oracle cpu
}

@test "other: a system call that fits nowhere" {
	oracle other-copy
}

@test "raw tracepoints measure the same" {
	local mode

	for mode in lock-mutex disk-read net-tcp klock-inode fault-uffd runq; do
		[ $mode != klock-inode ] || has_contention || continue
		measure "$mode" --attach raw_tp
		check "$T/why.json" 'oracle($truth[0]; true)' --slurpfile truth "$T/truth.json"
	done
}

@test "grouping by process, thread, command and cgroup gives the same sums" {
	local by threads

	start "$T/demo.out" "$W/demo" $((30 * SLOW))
	sleep 0.3
	start_dwell why -p "$PID" -d 2 --json --by thread
	for by in process comm cgroup; do
		dwell why -p "$PID" -d 2 --json --by "$by" >"$T/$by.json" 2>"$T/err" &
	done
	wait_for '^dwell: tracing' "$T/err"
	await "$DWELL_PID"
	wait %2 %3 %4 2>/dev/null || wait
	threads=$(jq '.rows | length' "$T/dwell.out")
	for by in process comm cgroup; do
		check "$T/$by.json" 'sound, lossless,
			near("wall by '$by'"; [.rows[].wall_ns] | total; .duration_ns * '"$threads"'; 0.001; 0)'
	done
	check "$T/process.json" 'expect([.rows[].pid] == ['"$PID"']; "rows: \([.rows[].pid])")'
	check "$T/comm.json" 'expect([.rows[].comm] | index("ledger") and index("checkout-1");
		"rows: \([.rows[].comm])")'
}

# bats test_tags=once
@test "the verdict names the dominant state, and text shows bars, counts and p99" {
	dwell why -d 1 -- "$W/waits" lock-mutex 100 5 >"$T/out" 2>"$T/err"
	dwell why -o "$T/text" --by thread -n 3 -- "$W/waits" sleep-nanosleep 100 5 >/dev/null
	grep -q 'sleep .*█' "$T/text"
	grep -q 'p99 .*max ' "$T/text"
	head -n 5 "$T/text" | grep -q ' % '
}

@test "--min leaves short waits out of the causes, not out of the states" {
	measure lock-mutex --min 1s
	check "$T/why.json" 'oracle_total(.rows[] | select(.comm == "victim"); $truth[0]),
		expect([.rows[] | select(.comm == "victim").causes[] | select(.state == "lock")] == [];
			"causes: \(.rows)")' --slurpfile truth "$T/truth.json"
}

# bats test_tags=once
@test "-n and --sort: the rows that are asked for" {
	dwell why --json --by thread -n 2 --sort wall_ns -o "$T/out" -- "$W/threads" 5 1 >/dev/null
	check "$T/out" 'expect((.rows | length) == 2; "\(.rows | length) rows"),
		expect(.rows[0].wall_ns >= .rows[1].wall_ns; "not sorted"),
		expect(.summary.more_rows == 4; "more_rows is \(.summary.more_rows)")'
}

# ---- holders of locks ----

@test "a lock's cause names the lock, its holder, and what it did meanwhile" {
	local by

	for by in process thread; do
		dwell why --json --by $by -o "$T/why.json" -- "$W/locks" crowd mutex 40 10 >"$T/truth.json" 2>"$T/err"
		jq '{summary, rows: [{causes: [.rows[].causes[]]}]}' "$T/why.json" >"$T/causes.json"
		[ $by = thread ] || check "$T/causes.json" 'lock_cause($truth[0])' --slurpfile truth "$T/truth.json"
		check "$T/why.json" 'sound, lossless'
	done
	dwell why --json --attach raw_tp -o "$T/why.json" -- "$W/locks" crowd pi 40 10 >"$T/truth.json" 2>"$T/err"
	check "$T/why.json" 'lock_cause($truth[0])' --slurpfile truth "$T/truth.json"
}

@test "intervals: a lock's holder in each of them" {
	dwell why --jsonl -i 200ms -o "$T/why.jsonl" -- "$W/locks" crowd mutex 80 10 >"$T/truth.json" 2>"$T/err"
	jq -s '[.[1:-1][] | [.rows[].causes[] | select(.kind == "mutex")][0].holders[0] | {comm, share}]' \
		"$T/why.jsonl" >"$T/holders.json"
	check "$T/holders.json" 'expect(length >= 2 and all(.comm == "holder" and .share > 0.5 and .share <= 1.001); "holders: \(.)")'
}

@test "a lock that keeps no owner: who let it go is its holder" {
	dwell why --json -o "$T/why.json" -- "$W/waits" lock-rwlock 100 5 >"$T/truth.json" 2>"$T/err"
	check "$T/why.json" '$truth[0] as $t | ([.rows[].causes[] | select(.kind == "rwlock")] | max_by(.total_ns)) |
		expect(.name | endswith("held by \($t.helper_tid) (helper)"); "the cause is called \(.name)")' \
		--slurpfile truth "$T/truth.json"
}

@test "without locks nothing is attached for them" {
	start_sleeper pipe
	start_dwell why --json -d 60 -p "$PID"
	bpf_objects "$DWELL_PID" >"$T/objects"
	sleep 0.3
	stop_dwell
	check "$T/dwell.out" 'expect([.cost.programs[] | select(.name == "on_waking" and .runs > 0)] == [];
		"programs: \(.cost.programs)")'
}
