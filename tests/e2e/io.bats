#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell io` against fio on a loop device.

# shellcheck disable=SC2030,SC2031 # each test has a LOOP of its own

load lib
load disk

# Every request is there, with its bytes; and no part of a request is outside of fio's own measure,
# which has the system calls and the way back to the CPU besides. That is lat: what a device without
# a queue does at once is done in the call that submits it, before clat begins.
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
		between("mean"; ([$rows[].total_ns] | total) / $truth.total_ios; $truth.clat_ns.mean * 0.02;
			$truth.lat_ns.mean * 1.02),
		between("p50"; $rows[0].p50_ns; 1000; $truth.clat_ns.percentile["50.000000"] * 1.05),
		between("max"; [$rows[].max_ns] | max; 1000; $truth.lat_ns.max * 1.02)' \
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

@test "a device without requests: bios" {
	local attach

	zram
	for attach in auto raw_tp; do
		BY=process MORE="--dev $DEV --attach $attach" fio_on_loop --ioengine=psync --rw=randwrite \
			--bssplit=4k/50:64k/50 --size=8M
		oracle write
		# of all devices, once there is one such
		BY=process MORE="--attach $attach" fio_on_loop --ioengine=libaio --iodepth=4 --rw=read --bs=16k --size=8M
		oracle read
		check "$T/out" '.rows[] | select(.dev == $dev and .op == "read") |
			expect(.sizes == {"16.0KiB": 512} and .sequential > 0.99 and .stacked == null;
				"sizes, sequence: \(.)"),
			expect(.queue.total_ns == 0; "a queue: \(.queue)")' --arg dev "$DEV"
	done
	# its sector, though the bio that ends does not have it any more
	MORE="--dev $DEV --min 1ns" fio_on_loop --ioengine=psync --rw=read --bs=4k --size=64k --offset=1M
	check "$T/out" '[.summary.slowest[] | .sector] | sort as $sectors |
		expect($sectors == [range(2048; 2176; 8)]; "sectors: \($sectors)")'
	MORE="--dev $DEV" fio_on_loop --ioengine=psync --rw=trim --bs=64k --size=1M
	check "$T/out" 'expect([.rows[] | {op, count, bytes}] == [{op: "discard", count: 16, bytes: 1048576}];
		"discards: \(.rows)")'
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

# 64 entries for the device's 128 requests: those that find none near theirs are somewhere else.
@test "few entries: requests are kept elsewhere, or counted as lost" {
	loop
	BY=all MORE="--dev $DEV --max-entries 64" fio_on_loop --ioengine=libaio --iodepth=32 \
		--rw=randread --bs=4k --size=16M
	check "$T/out" '$fio[0].jobs[0].read as $truth | ([.rows[].count] | total) as $n |
		between("requests and losses"; $n + .loss.total; $truth.total_ios; $truth.total_ios * 1.01),
		between("requests"; $n; $truth.total_ios * 0.5; $truth.total_ios)' --slurpfile fio "$T/fio"
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

@test "text: a histogram, and both parts" {
	loop
	dwell io -o "$T/text" -- dd if=/dev/zero of="$LOOP" bs=64k count=16 oflag=direct 2>"$T/err"
	grep -q 'p50 .*p95 .*p99 .*max ' "$T/text" || fail_with "histogram:" "$T/text"
	grep -Eq '^DEVICE +OP +FLAGS +COUNT +IOPS +BYTES +SEQ +ERRORS +OPEN' "$T/text" || fail_with "heading:" "$T/text"
	grep -Eq "^$DEV( \\(on [^)]*\\))? +write .* 1.00MiB" "$T/text" || fail_with "row:" "$T/text"
}

@test "only what was asked for: device and operation" {
	loop
	local other rw=(--ioengine=psync --rw=randrw --rwmixread=50 --bs=4k --size=4M)
	MORE="--dev $LOOP --op read" fio_on_loop "${rw[@]}"
	check "$T/out" '$fio[0].jobs[0].read.total_ios as $reads |
		expect([.rows[] | .dev, .op] | unique == ([$dev, "read"] | unique); "rows: \(.rows)"),
		between("reads"; [.rows[].count] | total; $reads - .loss.total; $reads)' \
		--slurpfile fio "$T/fio" --arg dev "$DEV"
	MORE="--dev $DEV --op discard,flush" fio_on_loop "${rw[@]}"
	check "$T/out" 'expect(.rows == []; "rows: \(.rows)")'
	other=$(find /sys/block/*/mq -maxdepth 0 ! -path "*/$DEV/*" | head -n 1)
	[ -n "$other" ] || skip "there is no other disk"
	MORE="--dev $(basename "${other%/mq}")" fio_on_loop "${rw[@]}"
	check "$T/out" 'expect([.rows[] | select(.dev == $dev)] == []; "rows: \(.rows)")' --arg dev "$DEV"
}

@test "a partition is a range of its disk" {
	loop
	losetup -d "$LOOP"
	# the table of a PC: one entry of type Linux, 2048 sectors from the begin, 32768 sectors long
	printf '\0\0\0\0\x83\0\0\0\0\x08\0\0\0\x80\0\0' |
		dd of="$DWELL_TEST_DIR/disk" bs=1 seek=446 conv=notrunc 2>"$T/err"
	printf '\x55\xaa' | dd of="$DWELL_TEST_DIR/disk" bs=1 seek=510 conv=notrunc 2>"$T/err"
	losetup -P "$LOOP" "$DWELL_TEST_DIR/disk" 2>/dev/null
	[ -b "${LOOP}p1" ] || skip "loop devices have no partitions here"
	# one half inside: the partition is from 1 MiB to 17 MiB
	MORE="--dev ${DEV}p1" fio_on_loop --ioengine=psync --rw=write --bs=64k --offset=9M --size=16M
	check "$T/out" 'between("bytes"; [.rows[].bytes] | total; (8 * 1048576) - .loss.total * 65536; 8 * 1048576),
		expect([.rows[].dev] | unique == [$dev]; "rows: \(.rows)")' --arg dev "$DEV"
}

@test "what is wrong with a device or an operation is said in one line" {
	run dwell io --dev nosuch -d 1
	refused 2 "there is no block device 'nosuch'"
	run dwell io --dev /dev/null -d 1
	refused 2 "/dev/null is not a block device"
	run dwell io --op scribble -d 1
	refused 2 "there is no operation 'scribble'"
	run dwell io --by cpu -d 1
	refused 2 "--by takes"
}

@test "a device that is removed meanwhile" {
	[ -e /dev/loop-control ] || skip "no loop devices"
	need python3 losetup
	loop
	losetup -d "$LOOP"
	on_device /dev/loop77
	python3 -c 'import fcntl; fcntl.ioctl(open("/dev/loop-control"), 0x4C80, 77)' 2>"$T/err" ||
		skip "no more loop devices: $(cat "$T/err")"
	start_dwell io --json -a --dev "$DEV" -d 60 -o "$T/out"
	losetup "$LOOP" "$DWELL_TEST_DIR/disk"
	dd if="$LOOP" of=/dev/null bs=64k count=16 iflag=direct 2>"$T/err"
	losetup -d "$LOOP"
	python3 - <<-END
		import fcntl, time
		for i in range(200):
		    try:
		        fcntl.ioctl(open("/dev/loop-control"), 0x4C81, 77)
		        break
		    except OSError:
		        time.sleep(0.02)
	END
	[ ! -e /sys/block/loop77 ] || skip "it could not be removed"
	stop_dwell
	LOOP=
	check "$T/out" 'between("bytes"; [.rows[] | select(.dev == "loop77" and .op == "read").bytes] | total;
		1048576 - .loss.total * 65536; 4 * 1048576)'
	grep -q '^dwell: loop77 was removed' "$T/dwell.err" || fail_with "it is not told:" "$T/dwell.err"
}

@test "errors: counted by name, their bytes not" {
	mounted none "$T/small" -t tmpfs -o size=1M
	loop "$T/small"
	fio_on_loop --ioengine=psync --rw=write --bs=64k --size=8M --ignore_error=,ENOSPC:EIO --continue_on_error=all
	check "$T/out" '[.rows[] | select(.dev == $dev and .op == "write")] as $rows |
		$fio[0].jobs[0] as $job |
		expect($job.total_err > 100; "fio saw \($job.total_err) errors"),
		expect(([$rows[].errors] | total) == $job.total_err; "\([$rows[].errors]) of \($job.total_err) errors"),
		expect([$rows[].error_codes | keys[]] - ["EIO", "ENOSPC"] == []; "codes: \([$rows[].error_codes])"),
		expect(([$rows[].error_codes | map(.) | add] | total) == $job.total_err; "codes: \([$rows[].error_codes])"),
		expect(([$rows[].bytes] | total) <= 1048576; "bytes: \([$rows[].bytes])")' \
		--slurpfile fio "$T/fio" --arg dev "$DEV"
}

@test "--min: the slowest, one by one, with who submitted them" {
	loop
	MORE="--min 1ns" BY=all fio_on_loop --ioengine=libaio --iodepth=4 --rw=randread --bs=4k --size=4M
	check "$T/out" '.summary.slowest as $slow |
		[.rows[] | select(.dev == $dev)] as $rows |
		expect(($slow | length) == 64; "\($slow | length) slow requests"),
		expect([$slow[].total_ns] == ([$slow[].total_ns] | sort | reverse); "not sorted"),
		expect($slow[0].total_ns == ([.rows[].max_ns] | max); "the slowest is \($slow[0])"),
		([$slow[] | select(.dev == $dev)][]  |
			expect(.comm == "fio" and .op == "read" and .bytes == 4096; "not fio'"'"'s: \(.)"),
			expect(.queue_ns + .device_ns == .total_ns; "parts: \(.)"),
			expect(.sector < 131072 and .sector % 8 == 0; "sector: \(.)"),
			expect(.at_ns <= $last; "after the end: \(.)"),
			expect(.stack | any(test("io_submit|aio_read")); "stack: \(.stack)"))' \
		--arg dev "$DEV" --argjson last "$(jq .duration_ns "$T/out")"
	MORE="--min 10s" BY=all fio_on_loop --ioengine=psync --rw=randread --bs=4k --size=1M
	check "$T/out" 'expect(([.rows[].count] | total) == 0 and .summary.slowest == []; "rows: \(.rows)")'
}

# The 64 slowest of all are listed: no request that is not is slower than these.
@test "the limit of what is listed adapts, and loses none" {
	loop
	BY=all fio_on_loop --ioengine=psync --rw=randread --bs=4k --size=16M
	check "$T/out" '.summary.slowest as $slow | ($slow[-1].total_ns) as $least |
		# by the histograms: requests in the buckets above that of the least
		def index($ns): ($ns * 1e-9 | log2 * 16 | floor);
		([.rows[].hist.buckets[] | select(.[0] > index($least))[1]] | total) as $above |
		expect(($slow | length) == 64 and $above <= 64 and .loss.reasons.slow == 0;
			"\($slow | length) listed, \($above) slower than the least")'
}

@test "a run that begins in the midst of requests loses none of them" {
	local i

	loop
	keep_busy
	for ((i = 0; i < 8; i++)); do
		dwell io --json -a --dev "$DEV" -d 0.3 -o "$T/out.$i" 2>>"$T/err"
		check "$T/out.$i" '(.summary.devices[] | select(.dev == $dev)) as $q |
			between("greatest depth"; $q.depth_max; 1; 33 + .loss.total)' --arg dev "$DEV"
	done
	# A kernel may keep what an interrupt completes from every tracer, perf too: all that are under
	# way then, but seldom. What begins before its end can be seen is lost by every run.
	jq -s '[.[].loss.total] | sort' -c "$T"/out.* >"$T/lost"
	jq -e '.[3] == 0' "$T/lost" >/dev/null || fail_with "lost: $(cat "$T/lost")" "$T/err"
}

@test "queues: the depth is the time in them" {
	loop
	BY=all fio_on_loop --ioengine=libaio --iodepth=16 --rw=randread --bs=4k --size=16M
	check "$T/out" '(.summary.devices[] | select(.dev == $dev)) as $q |
		([.rows[] | select(.dev == $dev).total_ns] | total) as $total |
		within("mean depth"; $q.depth_mean; $total / .duration_ns * 0.95; $total / .duration_ns * 1.05),
		between("greatest depth"; $q.depth_max; 12; 17),
		expect($q.stacked == "loop" and $q.in_flight == .loss.reasons.missed; "queue: \($q)")' \
		--arg dev "$DEV"
}

@test "bios that are merged are a part of their request" {
	loop
	echo 1 >"/sys/block/$DEV/queue/nomerges"
	echo 0 >"/sys/block/$DEV/queue/nomerges"
	BY=all fio_on_loop --ioengine=libaio --iodepth=16 --iodepth_batch_submit=16 --iodepth_batch_complete_min=16 \
		--rw=write --bs=4k --size=8M
	check "$T/out" '[.rows[] | select(.dev == $dev and .op == "write")] as $rows |
		expect(([$rows[].bio_merges] | total) > 0; "no merges: \($rows)"),
		between("requests and merged bios"; [$rows[] | .count, .bio_merges] | total;
			2048 - .loss.total; 2048),
		between("bytes"; [$rows[].bytes] | total; 8388608 - .loss.total * 65536; 8388608),
		between("sequential share"; $rows[0].sequential; 0.9; 1)' --arg dev "$DEV"
}

@test "by file: direct I/O of libaio and io_uring, cached writes" {
	local engine

	file_system
	for engine in psync libaio io_uring; do
		# all of it is on the disk before: else fio writes it, within the measured time
		dd if=/dev/zero of="$MNT/$engine" bs=1M count=2 conv=fsync 2>"$T/err"
		BY=file MORE="--dev $DEV" LOOP=$MNT/$engine fio_on_loop --ioengine=$engine --rw=randwrite \
			--bs=4k --size=2M --overwrite=1 || fail_with "$engine:" "$T/err"
		check "$T/out" '[.rows[] | select(.file == $file and .op == "write")] as $rows |
			between("requests of \($file)"; [$rows[].count] | total; $fio[0].jobs[0].write.total_ios - .loss.total;
				$fio[0].jobs[0].write.total_ios)' --slurpfile fio "$T/fio" --arg file "$MNT/$engine"
	done
	dwell io --by file --dev "$DEV" --json -o "$T/out" -- dd if=/dev/zero of="$MNT/a file" bs=64k count=32 \
		conv=fsync 2>"$T/err"
	check "$T/out" 'between("bytes"; [.rows[] | select(.file == $file).bytes] | total;
		2097152 - .loss.total * 1048576; 2097152)' --arg file "$MNT/a file"
}

@test "write-back is told from what threads write, and is of the cgroup that made it" {
	local root

	file_system
	start_dwell io --by cgroup --json -a --dev "$DEV" -d 60 -o "$T/out"
	root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	if [ -n "$root" ] && grep -q io "$root/cgroup.controllers" && grep -q memory "$root/cgroup.controllers"; then
		echo "+io +memory" >"$root/cgroup.subtree_control"
		GROUP=$root/dwell-test
		mkdir -p "$GROUP"
	fi
	(
		[ -z "$GROUP" ] || echo "$BASHPID" >"$GROUP/cgroup.procs"
		exec dd if=/dev/zero of="$MNT/file" bs=64k count=32 2>/dev/null
	)
	sync -f "$MNT/file"
	stop_dwell
	check "$T/out" '[.rows[] | select(.flags | contains("writeback"))] as $rows |
		between("bytes written back"; [$rows[].bytes] | total; 2097152 - .loss.total * 1048576; 4194304),
		expect($group == "" or ([$rows[] | select(.cgroup == $group).bytes] | total) >= 2000000;
			"not of \($group): \($rows)")' --arg group "${GROUP:+/dwell-test}"
}

@test "a flush is that one's who asked for it, though a thread of the kernel's sends it" {
	local attach

	loop
	grep -q 'write back' "/sys/block/$DEV/queue/write_cache" || skip "the device has no cache to flush"
	for attach in auto raw_tp; do
		MORE="--dev $DEV --attach $attach" fio_on_loop --ioengine=psync --rw=write --bs=4k --size=1M --fsync=1
		rows_add_up "$T/out"
		check "$T/out" '[.rows[] | select(.op == "flush")] as $rows | $fio[0].jobs[0].sync.total_ios as $truth |
			between("flushes"; [$rows[].count] | total; $truth - .loss.total; $truth),
			expect($truth > 200 and ([.rows[].comm] | unique) == ["fio"]; "of \([.rows[] | {comm, op}])")' \
			--slurpfile fio "$T/fio"
	done
}

@test "a journal's writes, which wait for a flush, are the journal's" {
	file_system
	start_dwell io --by comm --json -a --dev "$DEV" -d 60 -o "$T/out"
	for _ in {1..20}; do
		dd if=/dev/zero of="$MNT/file" bs=4k count=1 conv=fsync status=none
	done
	stop_dwell
	check "$T/out" '[.rows[] | select((.op == "flush" or (.flags | contains("fua"))) and .count > 0)] as $rows |
		expect($rows != []; "no flushes: \(.rows)"),
		expect([$rows[].comm | select(startswith("jbd2/") | not)] - ["dd"] == []; "of \([$rows[] | {comm, op, flags}])"),
		expect([.rows[] | select(.count > 0 and (.flags | contains("writeback") | not)).comm |
			select(startswith("kworker"))] == []; "of kworkers: \([.rows[] | {comm, op, flags, count}])")'
}

# As on the disks of io_known.bats: a loop device on a file that takes 20 ms for a read, and 60 ms for
# every tenth: so long that a CPU that comes a little late to fio is less than 5 % of it. fio's clat is
# from the end of its submission (psync: from the begin of its call) until it has reaped the
# completion: all of the request, and the way back to fio's CPU besides. Its buckets are 1.6 % wide,
# dwell's 4.4 %.
@test "fio, each engine, mixed sizes, on a slow loop device: counts, p50 and p99" {
	local engine file

	need_natively fio losetup
	start "$T/slowdisk" "$W/slowdisk" 20000000
	wait_for '^/proc' "$T/slowdisk" 5 || { [ ! -e /dev/fuse ] && skip "no FUSE"; }
	file=$(cat "$T/slowdisk")
	losetup --show -r -f "$file" >"$T/loop" 2>"$T/err" || skip "no loop device: $(cat "$T/err")"
	on_device "$(cat "$T/loop")"
	for engine in psync libaio io_uring; do
		# a busy machine may let fio have its CPU later than that; counts hold always
		for _ in 1 2 3; do
			dwell io --json --by process --dev "$DEV" -o "$T/out" -- "${AT_ONCE[@]}" fio --name=oracle \
				--filename="$LOOP" --direct=1 --thread --randrepeat=1 --ioengine=$engine --iodepth=1 \
				--rw=randread --bssplit=4k/50:16k/25:64k/25 --number_ios=100 --size=64M \
				--output-format=json --output="$T/fio" >/dev/null 2>"$T/err" ||
				fail_with "$engine: exit status $?:" "$T/err"
			rows_add_up "$T/out"
			check "$T/out" '$fio[0].jobs[0].read as $truth | .rows[0] as $row |
				expect((.rows | length) == 1 and $truth.total_ios == 100; "rows: \(.rows)"),
				within("requests"; $row.count; $truth.total_ios - .loss.total; $truth.total_ios),
				within("bytes"; $row.bytes; $truth.io_bytes - .loss.total * 65536; $truth.io_bytes)' \
				--slurpfile fio "$T/fio"
			! check "$T/out" '$fio[0].jobs[0].read.clat_ns as $clat | .rows[0] as $row |
				near("p50"; $row.p50_ns; $clat.percentile["50.000000"]; 0.05; 0),
				near("p99"; $row.p99_ns; $clat.percentile["99.000000"]; 0.05; 0),
				near("mean"; $row.mean_ns; $clat.mean; 0.05; 0)' --slurpfile fio "$T/fio" \
				>"$T/faults" || break
		done
		[ ! -s "$T/faults" ] || fail_with "$engine:" "$T/faults"
	done
}

# Of fio's own measure, the way into the kernel and back is a part too: the device's books are without.
@test "fio, large requests: their time is the device's own books', and p50 below fio's" {
	local ms0 ms1

	loop
	read -r _ _ _ ms0 _ <"/sys/block/$DEV/stat"
	BY=process MORE="--dev $DEV" fio_on_loop --ioengine=psync --rw=randread --bs=512k --size=64M --loops=32
	read -r _ _ _ ms1 _ <"/sys/block/$DEV/stat"
	# the books begin with the request's allocation, before its bios are in it, and end in whole milliseconds
	check "$T/out" '$fio[0].jobs[0].read as $truth | [.rows[] | select(.op == "read")] as $rows |
		expect(($rows | length) == 1; "\($rows | length) rows"),
		within("bytes"; $rows[0].bytes; $truth.io_bytes - .loss.total * 524288; $truth.io_bytes),
		between("time"; $rows[0].total_ns; ($ms - 1) * 1000000 * 0.7; ($ms + 1) * 1000000 * 1.01),
		between("p50"; $rows[0].p50_ns; 0; $truth.clat_ns.percentile["50.000000"] * 1.05)' \
		--slurpfile fio "$T/fio" --argjson ms $((ms1 - ms0))
}
