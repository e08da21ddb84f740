#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell io` against fio on disks whose latency is known: null_blk and scsi_debug, in the virtual
# machines.

# shellcheck disable=SC2030,SC2031 # each test has a LOOP of its own

load lib
load disk

known_disk() {
	[ -n "${DWELL_NULL_BLK:-}" ] || skip "no disk of known latency: in the guests of tests/vm"
	need fio
	on_device "$DWELL_NULL_BLK"
}

# The disk whose latency and number of requests at a time can be set, and who keeps the others.
adjustable_disk() { # ns requests scheduler
	[ -n "${DWELL_SCSI_DEBUG:-}" ] || skip "no disk of known latency: in the guests of tests/vm"
	need fio
	on_device "$DWELL_SCSI_DEBUG"
	# as it was, for those that come later: see clean_up
	RESET=/sys/bus/pseudo/drivers/scsi_debug/ndelay
	echo "$1" >"$RESET"
	echo "$2" >"/sys/block/$DEV/device/queue_depth"
	echo 2 >"/sys/block/$DEV/queue/nomerges"
	echo "$3" >"/sys/block/$DEV/queue/scheduler"
}

# fio's reads on $LOOP, so many at a time: requests that take so many ns each.
known_reads() { # depth requests ns
	fio_on_loop --ioengine=libaio --iodepth="$1" --rw=randread --bs=4k --size=16M --number_ios="$2"
	rows_add_up "$T/out"
	check "$T/out" '$fio[0].jobs[0].read as $truth |
		[.rows[] | select(.dev == $dev and .op == "read" and .count > 0)] as $rows | $rows[0] as $row |
		# what the kernel did not hand over is counted, and only that may be missing
		within("requests"; [$rows[].count] | total; $truth.total_ios - .loss.total; $truth.total_ios),
		between("device p50"; $row.device.p50_ns; $ns * 0.97; $ns * 1.25),
		between("p50"; $row.p50_ns; $truth.clat_ns.percentile["50.000000"] * 0.6 / slow;
			$truth.clat_ns.percentile["50.000000"] * 1.05)' \
		--slurpfile fio "$T/fio" --arg dev "$DEV" --argjson ns "$3"
}

# The device's p50 is fio's within 3 %, less what the way back to fio takes: of 2 ms much under
# emulation, of 20 ms nothing to speak of. The guest has to be quiet, in one of three tries.
seen_by_fio() { # requests ns way-back
	for _ in 1 2 3; do
		known_reads 1 "$1" "$2"
		check "$T/out" '$fio[0].jobs[0].read.clat_ns.percentile["50.000000"] as $truth |
			(.rows[] | select(.dev == $dev and .op == "read" and .count > 0)) as $row |
			within("p50 of the device"; $row.device.p50_ns; $truth * 0.97 - $back; $truth * 1.03),
			within("p50 of the queue"; $row.queue.p50_ns; 0; $truth * 0.03)' \
			--slurpfile fio "$T/fio" --arg dev "$DEV" --argjson back "$3" >"$T/faults" && return
	done
	fail_with "of $2 ns, in the third try:" "$T/faults"
}

@test "a disk of known latency: the device's time is its own, and what fio sees" {
	known_disk
	seen_by_fio 200 "$DWELL_DISK_NS" 200000
	known_reads 8 200 "$DWELL_DISK_NS"
}

@test "a disk that takes 20 ms: the device's time is what fio sees" {
	adjustable_disk 20000000 64 none
	seen_by_fio 60 20000000 0
}

# Who keeps the others: a scheduler, or without one the block layer itself.
@test "a disk that takes one request at a time: of 32, the others wait in the queue" {
	local scheduler

	adjustable_disk "${DWELL_DISK_NS:-0}" 1 none
	for scheduler in none mq-deadline; do
		grep -qw "$scheduler" "/sys/block/$DEV/queue/scheduler" || continue
		adjustable_disk "$DWELL_DISK_NS" 1 "$scheduler"
		known_reads 1 100 "$DWELL_DISK_NS"
		jq -s . "$T/fio" "$T/out" >"$T/one"
		known_reads 32 320 "$DWELL_DISK_NS"
		check "$T/out" 'def clat: .jobs[0].read.clat_ns.mean;
			def row: .rows[] | select(.dev == $dev and .op == "read" and .count > 0);
			def mean($part): $part.total_ns / row.count;
			mean(row.queue) as $queue | mean(row.device) as $device |
			($one[0][1] | [mean(row.queue), mean(row.device)]) as [$queue1, $device1] |
			($fio[0] | clat) as $clat | ($one[0][0] | clat) as $clat1 |
			between("queue of one"; $queue1; 0; $device1 * 0.25),
			between("device"; $device; $device1 * 0.9; $device1 * 1.1),
			# the first 32 find fewer before them: 29.45 of 31 on the average of 320
			between("queue of 32"; $queue / $device; 28; 36),
			between("what the queue adds"; $queue - $queue1; ($clat - $clat1) * 0.95; ($clat - $clat1) * 1.05)' \
			--slurpfile fio "$T/fio" --slurpfile one "$T/one" --arg dev "$DEV" ||
			fail_with "with $scheduler"
	done
}

@test "a disk of known latency: what is under way at both ends, and the depth" {
	local i

	known_disk
	keep_busy
	# The disk may have completed all of them at once, just at one of the ends.
	for ((i = 0; i < 5; i++)); do
		dwell io --json -a --dev "$DEV" -d "$(seconds 0.5)" -o "$T/out.$i"
		check "$T/out.$i" '(.summary.devices[] | select(.dev == $dev)) as $q |
			between("in flight at the start"; [.rows[].in_flight_start] | total; 0; 32 + .loss.total),
			between("in flight at the end"; [.rows[].in_flight_end] | total; 0; 32 + .loss.total),
			# one whose end was lost is under way until its place is taken again
			between("mean depth"; $q.depth_mean; 12; 33 + ([.loss.total, 128] | min)),
			between("greatest depth"; $q.depth_max; 28; 33 + .loss.total)' --arg dev "$DEV"
	done
	jq -s '[.[].rows[]]' "$T"/out.* >"$T/all"
	check "$T/all" 'expect(any(.in_flight_start >= 16); "at the start: \(map(.in_flight_start))"),
		expect(any(.in_flight_end >= 16); "at the end: \(map(.in_flight_end))")'
}

# What fio sees is the time of the uppermost device; those below have theirs.
@test "device-mapper and md on a disk of known latency: each device has its own counts and times" {
	local delayed bs linear=() half=32768 same=false

	known_disk
	need dmsetup python3
	mapped dwell-delay "0 $half delay $DWELL_NULL_BLK 0 20"
	delayed=$NAME
	# a thread of the kernel's passes on what was delayed
	start_dwell io -a --json -d 600 -o "$T/out"
	fio --name=oracle --filename="/dev/$delayed" --direct=1 --thread --ioengine=psync --rw=randread \
		--bs=4k --size=16M --number_ios=50 --output-format=json --output="$T/fio" >/dev/null 2>"$T/err" ||
		fail_with "fio:" "$T/err"
	stop_dwell
	rows_add_up "$T/out"
	check "$T/out" '$fio[0].jobs[0].read as $truth |
		([.rows[] | select(.op == "read" and .count >= 40)] | INDEX(.dev)) as $by |
		$by[$dm] as $dm | $by[$bottom] as $null |
		expect($dm.stacked == "dm" and $dm.below == $bottom and $null.stacked == null;
			"told apart: \($dm | {dev, stacked, below}), \($null | {dev, stacked})"),
		expect($dm.count == 50 and $dm.bytes == 204800; "\($dm.count) on the stacked device"),
		between("requests at the bottom"; $null.count; 50 - .loss.total; 50),
		between("p50 of the stacked device"; $dm.p50_ns; $truth.clat_ns.percentile["50.000000"] * (1 - 0.05 * slow);
			$truth.clat_ns.percentile["50.000000"] * 1.05),
		between("p50 at the bottom"; $null.p50_ns; $ns * 0.97; $ns * 3),
		# it counts jiffies, the one that has begun, too: 4 ms in Debian
		expect($dm.p50_ns >= $null.p50_ns + 16000000; "the delay: \($dm.p50_ns), \($null.p50_ns)")' \
		--slurpfile fio "$T/fio" --arg dm "$delayed" --arg bottom "${DWELL_NULL_BLK#/dev/}" --argjson ns "$DWELL_DISK_NS"
	unstack

	# stripes of two halves: each chunk of 64 KiB is on the other one
	mapped dwell-first "0 $half linear $DWELL_NULL_BLK 0"
	linear+=("$NAME")
	mapped dwell-second "0 $half linear $DWELL_NULL_BLK $half"
	linear+=("$NAME")
	striped "${linear[@]/#//dev/}"
	on_device "/dev/$NAME"
	# there md hands on the very bio that it got, and the kernel tells of that once only
	[[ $(uname -r) != 5.10.* ]] || same=true
	for bs in 4 128; do
		BY=process fio_on_loop --ioengine=libaio --iodepth=4 --rw=read --bs=${bs}k --size=$((bs * 64))k
		rows_add_up "$T/out"
		check "$T/out" '([.rows[] | select(.op == "read" and .comm == "fio")] | INDEX(.dev)) as $by |
			($bs * 65536) as $all |
			expect($by[$md].count == 64 and $by[$md].bytes == $all and $by[$md].stacked == "md"; "md: \($by[$md])"),
			(if $same then empty else
			expect([$dm[] | $by[.].stacked] == ["dm", "dm"]; "dm: \([$dm[] | $by[.].stacked])"),
			expect([$dm[] | $by[.].bytes] | add == $all; "bytes of dm: \([$dm[] | $by[.].bytes])"),
			expect([$dm[] | $by[.].count] | add == (if $bs == 4 then 64 else 128 end);
				"bios of dm: \([$dm[] | $by[.].count])") end),
			between("bytes at the bottom"; $by[$bottom].bytes; $all - .loss.total * $bs * 1024; $all),
			expect($by[$md].p50_ns >= $by[$bottom].p50_ns * 0.95; "above: \($by[$md].p50_ns), below \($by[$bottom].p50_ns)")' \
			--argjson bs $bs --argjson same $same --arg md "$NAME" --arg bottom "${DWELL_NULL_BLK#/dev/}" \
			--argjson dm "[\"${linear[0]}\", \"${linear[1]}\"]"
	done
}

@test "fio, each engine, mixed sizes, on a disk of known latency: p50 and p99" {
	local engine

	known_disk
	for engine in psync libaio io_uring; do
		BY=process MORE="--dev $DEV" fio_on_loop --ioengine=$engine --iodepth=1 --rw=randread \
			--bssplit=4k/50:16k/25:64k/25 --size=16M --number_ios=200
		check "$T/out" '$fio[0].jobs[0].read as $truth | .rows[0] as $row |
			between("requests"; $row.count; $truth.total_ios - .loss.total; $truth.total_ios),
			between("p50"; $row.p50_ns; $truth.clat_ns.percentile["50.000000"] * (1 - 0.05 * slow);
				$truth.clat_ns.percentile["50.000000"] * 1.05),
			between("p99"; $row.p99_ns; $ns; $truth.clat_ns.percentile["99.500000"] * 1.05)' \
			--slurpfile fio "$T/fio" --argjson ns "$DWELL_DISK_NS"
	done
}
