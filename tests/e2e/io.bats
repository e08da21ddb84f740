#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell io` against fio: on a loop device, and on a device whose latency is known where the kernel
# has one (null_blk: in the virtual machines).

load lib

LOOP=

clean_up() {
	[[ "$LOOP" != /dev/loop* ]] || losetup -d "$LOOP" 2>/dev/null || true
	LOOP=
}

# What is measured: its path in $LOOP, its name in $DEV.
on_device() { # path
	LOOP=$1
	DEV=${1#/dev/}
}

# A loop device of 64 MiB in $LOOP, its name in $DEV.
loop() {
	need fio losetup
	truncate -s 64M "$DWELL_TEST_DIR/disk"
	losetup --show -f "$DWELL_TEST_DIR/disk" >"$T/loop" 2>"$T/err" ||
		skip "no loop device: $(cat "$T/err")"
	on_device "$(cat "$T/loop")"
}

# Runs fio on $LOOP under dwell, with these options.
fio_on_loop() { # options of fio…
	dwell io --json --by process -o "$T/out" -- fio --name=oracle --filename="$LOOP" --direct=1 \
		--thread --norandommap --randrepeat=1 --output-format=json --output="$T/fio" "$@" \
		>/dev/null 2>"$T/err" || fail_with "exit status $?:" "$T/err"
}

# What holds for every row.
rows_add_up() { # file
	check "$1" 'sound, lossless, (.rows[] |
		near("queue and device of \(.dev) \(.op)"; .queue.total_ns + .device.total_ns; .total_ns; 0; 0),
		expect(.count == (.hist.zero + ([.hist.buckets[][1]] | total)); "count is not the sum"),
		expect(.max_ns <= .total_ns; "max_ns is more than total_ns: \(.)"))'
}

# Every request is there, with its bytes; and no part of a request is outside of fio's own measure,
# which has the system calls and the way back to the CPU besides.
oracle() { # read|write
	rows_add_up "$T/out"
	check "$T/out" '$fio[0].jobs[0][$op] as $truth |
		[.rows[] | select(.dev == $dev and .op == $op)] as $rows |
		# an end that the kernel hid leaves a request under way, until its address is used again
		(([$rows[].in_flight_end] | total) + .loss.reasons.missed) as $hidden |
		between("requests"; [$rows[].count] | total; $truth.total_ios - $hidden; $truth.total_ios),
		between("bytes"; [$rows[].bytes] | total; $truth.io_bytes - $hidden * 16384; $truth.io_bytes),
		expect(([$rows[] | .errors, .requeues] | total) == 0; "errors, requeues: \($rows)"),
		expect([$rows[].comm] | unique == ["fio"]; "submitted by \([$rows[].comm])"),
		between("mean"; ([$rows[].total_ns] | total) / $truth.total_ios; $truth.clat_ns.mean * 0.2;
			$truth.clat_ns.mean * 1.02),
		between("p50"; $rows[0].p50_ns; 1000; $truth.clat_ns.percentile["50.000000"] * 1.05),
		between("max"; [$rows[].max_ns] | max; 1000; $truth.clat_ns.max * 1.02)' \
		--slurpfile fio "$T/fio" --arg dev "$DEV" --arg op "$1"
}

@test "fio, psync: counts, bytes and times" {
	loop
	fio_on_loop --ioengine=psync --rw=randwrite --bs=4k --size=8M
	oracle write
	fio_on_loop --ioengine=psync --rw=randread --bssplit=4k/50:16k/50 --size=8M
	oracle read
}

@test "fio, libaio: a deep queue" {
	loop
	fio_on_loop --ioengine=libaio --iodepth=16 --rw=randread --bs=4k --size=8M
	oracle read
}

@test "raw_tp sees the same" {
	loop
	dwell io --attach raw_tp --json --by process -o "$T/out" -- fio --name=oracle --filename="$LOOP" \
		--direct=1 --thread --output-format=json --output="$T/fio" --ioengine=psync --rw=write \
		--bs=8k --size=4M >/dev/null 2>"$T/err" || fail_with "exit status $?:" "$T/err"
	oracle write
}

@test "only the target's requests" {
	loop
	start "$T/busy" sh -c "while :; do dd if=/dev/zero of=$LOOP bs=64k count=16 oflag=direct 2>/dev/null; done"
	start_sleeper sleep
	dwell io --json -d 0.3 -p "$PID" -o "$T/out"
	check "$T/out" 'expect(.rows == []; "rows: \(.rows)")'
	dwell io --json -d 0.5 -c dd --by comm -o "$T/out"
	check "$T/out" 'expect([.rows[] | select(.count > 0).comm] | unique == ["dd"]; "rows: \(.rows)")'
	dwell io --json -d 0.5 --by process -o "$T/out"
	rows_add_up "$T/out"
	check "$T/out" 'expect([.rows[] | select(.dev == $dev and .comm == "dd")] != []; "rows: \(.rows)")' \
		--arg dev "$DEV"
}

@test "intervals: every request is in one of them" {
	loop
	dwell io --jsonl -i 50ms -o "$T/out" -- fio --name=oracle --filename="$LOOP" --direct=1 --thread \
		--output-format=json --output="$T/fio" --ioengine=psync --rw=randwrite --bs=4k --size=16M \
		--rate_iops=4000 >/dev/null 2>"$T/err" || fail_with "exit status $?:" "$T/err"
	jq -s '{reports: length, rows: (map(.rows[])), open: ([.[-1].rows[].in_flight_end] | add),
		missed: (map(.loss.reasons.missed) | add)}' "$T/out" >"$T/sums"
	check "$T/sums" 'expect(.reports > 3; "\(.reports) reports"),
		([.rows[] | select(.dev == $dev and .op == "write").count] | total) as $count |
		$fio[0].jobs[0].write.total_ios as $truth |
		between("requests"; $count; $truth - .missed - (.open // 0); $truth)' \
		--slurpfile fio "$T/fio" --arg dev "$DEV"
}

# fio's reads on $LOOP, so many at a time: requests that take $DWELL_DISK_NS each.
known_reads() { # depth requests
	fio_on_loop --ioengine=libaio --iodepth="$1" --rw=randread --bs=4k --size=16M --number_ios="$2"
	rows_add_up "$T/out"
	check "$T/out" '$fio[0].jobs[0].read as $truth |
		[.rows[] | select(.dev == $dev and .op == "read")][0] as $row |
		expect($row.count == $truth.total_ios; "\($row.count) requests of \($truth.total_ios)"),
		between("device p50"; $row.device.p50_ns; $ns * 0.97; $ns * 1.25),
		between("p50"; $row.p50_ns; $truth.clat_ns.percentile["50.000000"] * 0.8;
			$truth.clat_ns.percentile["50.000000"] * 1.05)' \
		--slurpfile fio "$T/fio" --arg dev "$DEV" --argjson ns "$DWELL_DISK_NS"
}

@test "a disk of known latency: the device's time is its own" {
	[ -n "${DWELL_NULL_BLK:-}" ] || skip "no disk of known latency: in the guests of tests/vm"
	on_device "$DWELL_NULL_BLK"
	known_reads 1 200
	check "$T/out" '.rows[] | select(.dev == $dev and .op == "read") |
		between("queue p50"; .queue.p50_ns; 0; $ns * 0.25)' \
		--arg dev "$DEV" --argjson ns "$DWELL_DISK_NS"
	known_reads 8 200
}

@test "a disk that takes one request at a time: the others wait in the queue" {
	[ -n "${DWELL_SCSI_DEBUG:-}" ] || skip "no disk of known latency: in the guests of tests/vm"
	on_device "$DWELL_SCSI_DEBUG"
	echo mq-deadline >"/sys/block/$DEV/queue/scheduler" || skip "no scheduler that keeps a queue"
	echo 1 >"/sys/block/$DEV/device/queue_depth"
	known_reads 8 200
	check "$T/out" '.rows[] | select(.dev == $dev and .op == "read") |
		between("queue p50"; .queue.p50_ns; $ns * 5; $ns * 10)' \
		--arg dev "$DEV" --argjson ns "$DWELL_DISK_NS"
}

@test "text: a histogram, and both parts" {
	loop
	dwell io -o "$T/text" -- dd if=/dev/zero of="$LOOP" bs=64k count=16 oflag=direct 2>"$T/err"
	grep -q 'p50 .*p95 .*p99 .*max ' "$T/text" || fail_with "histogram:" "$T/text"
	grep -Eq '^DEVICE +OP +FLAGS +COUNT +BYTES' "$T/text" || fail_with "heading:" "$T/text"
	grep -Eq "^$DEV +write .* 1.00MiB" "$T/text" || fail_with "row:" "$T/text"
}
