#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell file` against a program that knows what it did with which file and how long its fsyncs took,
# against strace, fio and PostgreSQL.

load lib
load ext4
load postgres

clean_up() {
	umount_ext4
	[[ "$DISK" != /dev/loop* ]] || losetup -d "$DISK" 2>/dev/null || true
	stop_postgres
}

DISK=

# A loop device, $DISK, of which a read (or write) takes NS, and every tenth three times as long.
slow_disk() { # NS [writes]
	need losetup
	start "$T/slowdisk" "$W/slowdisk" "$@"
	wait_for '^/proc' "$T/slowdisk" 5 || { [ ! -e /dev/fuse ] && skip "no FUSE"; }
	losetup --show -f "$(cat "$T/slowdisk")" >"$T/loop" 2>"$T/err" || skip "no loop device: $(cat "$T/err")"
	DISK=$(cat "$T/loop")
}

# Requests of io_uring under dwell: what they measured is in $T/truth, $ROW is the one row of an operation.
urings() { # WORK FILE N [RING], options of dwell from $MORE
	local status=0

	# shellcheck disable=SC2086 # words
	dwell file --exit-status --json -o "$T/out" ${MORE:-} -- "$W/urings" "$@" >"$T/truth" 2>"$T/err" ||
		status=$?
	[ $status != 77 ] || skip "$(tail -n 1 "$T/err")"
	[ $status = 0 ] || fail_with "exit status $status:" "$T/err"
	! grep -q 'io_uring request' "$T/err" || skip "this kernel does not tell which request ends"
	rows_add_up "$T/out"
}

# Of the rows of an operation against the samples' sum, $all, their number, $n, and what the slow disk takes
# for them, $device: a text for each fault. Under emulation it is the CPU that is slow.
urings_check() { # expression [end of the file's path]
	check "$T/out" '($truth[0].samples | total) as $all | ($truth[0].samples | length) as $n |
		(if slow > 1 then $n * 20000000 else $all end) as $device |
		def row($op): [.rows[] | select(.op == $op and (.path | endswith($file)))] |
			if length == 1 then .[0] else {count: 0, states: {}} end;
		'"$1" --slurpfile truth "$T/truth" --arg file "${2:-$DISK}"
}

# Of one operation: the number holds always. The times hold where nobody takes the CPUs: of three tries.
urings_known() { # operation requests-of-a-sample expression WORK FILE N [RING]
	for _ in 1 2 3; do
		urings "${@:4}"
		urings_check 'row("'"$1"'") as $row | expect($row.count == '"$2"' * $n; "\($row.count) requests")' "$5"
		! urings_check 'row("'"$1"'") as $row | '"$3" "$5" >"$T/faults" 2>&1 || return 0
	done
	fail_with "${*:4}:" "$T/faults"
}

# The workload on $DIR; its truth is in $T/truth, dwell's report in $T/out.
measure() { # options…
	DIR=${DIR:-$DWELL_TEST_DIR}
	dwell file --json -o "$T/out" "$@" -- "$W/files" "$DIR" 100 >"$T/truth" 2>"$T/err" ||
		fail_with "exit status $?:" "$T/err"
}

# What holds for every row: parts add up.
rows_add_up() { # file
	check "$1" 'sound, lossless, (.rows[] |
		same("states of \(.op) \(.path)"; .states | map(.) | total; .total_ns),
		expect(.journal_ns <= (.states.fs // 0); "more journal than fs: \(.)"),
		expect(.errors <= .count; "more failed than called: \(.)"),
		expect(.count == (.hist.zero + ([.hist.buckets[][1]] | total)); "count is not the sum: \(.)"),
		(select(.op == "read") |
			expect(.hit.count + .miss.count == .count and .misses == .miss.count; "hits, misses: \(.)"),
			same("time of hits and misses"; .hit.total_ns + .miss.total_ns; .total_ns)),
		expect(.max_ns <= .total_ns; "max_ns is more than total_ns: \(.)"))'
}

@test "counts, bytes and errors by file are exact, and fsync takes what the program measured" {
	local attach

	for attach in auto raw_tp; do
		measure --attach "$attach"
		rows_add_up "$T/out"
		check "$T/out" 'files_oracle($truth[0])' --slurpfile truth "$T/truth"
	done
	# on kernels that can look up what is mapped at an address
	dwell file --json -o "$T/out" -- "$W/files" "$DIR" 2 >/dev/null 2>&1
	check "$T/out" 'expect([.rows[] | select(.op == "msync" and (.path | test("/mapped$|not known"))).count] == [1];
		"msync: \([.rows[] | select(.op == "msync")])")'
}

@test "p99 is what the program measured" {
	measure --by op
	check "$T/out" '$truth[0].fsync as $t | .rows[] | select(.op == "fsync") |
		expect(.count == ($t | length); "\(.count) fsyncs"),
		between("p50"; .p50_ns; ($t | rank(0.49)) * 0.97; ($t | rank(0.51)) * 1.03),
		between("p99"; .p99_ns; ($t | rank(0.98)) * 0.97; ($t | rank(0.99)) * 1.03)' \
		--slurpfile truth "$T/truth"
}

@test "counts are strace's, in the same run" {
	need strace
	strace -o "$T/strace" true || skip "strace cannot trace here"
	dwell file --json -o "$T/out" -- strace -y -T -o "$T/strace" "$W/files" "$DWELL_TEST_DIR" 50 \
		>"$T/truth" 2>"$T/err" || fail_with "exit status $?:" "$T/err"
	awk -v dir="$DWELL_TEST_DIR" 'BEGIN {
		split("read pread64 readv preadv preadv2|write pwrite64|fsync|fdatasync|sync_file_range|" \
			"open openat|close|stat newfstatat|getdents64|unlink unlinkat|rename renameat2|" \
			"copy_file_range|sendfile", ops, "|")
		for (i in ops) { n = split(ops[i], calls, " "); for (j = 1; j <= n; j++) op[calls[j]] = calls[1] }
	}
	index($0, dir "/") || index($0, "<" dir ">") {
		call = $0; sub(/\(.*/, "", call)
		if (call in op) { count[op[call]]++; if ($0 ~ /= -1 E/) errors[op[call]]++ }
	}
	END { for (o in count) printf "{\"op\":\"%s\",\"count\":%d,\"errors\":%d}\n",
		o == "getdents64" ? "getdents" : o, count[o], errors[o] }' "$T/strace" >"$T/expected"
	[ "$(wc -l <"$T/expected")" -ge 12 ] || fail_with "strace:" "$T/expected"
	# strace itself looks for what it says is deleted
	check "$T/out" '[.rows[] | select(.path | startswith($dir) and (endswith(" (deleted)") | not))] as $rows |
		$expected[] |
		. as $e | [$rows[] | select(.op == $e.op)] as $own |
		expect(([$own[].count] | total) == $e.count and ([$own[].errors] | total) == $e.errors;
			"strace: \($e), dwell: \([$own[] | {op, path, count, errors}])")' \
		--slurpfile expected "$T/expected" --arg dir "$DWELL_TEST_DIR"
}

@test "fsync on ext4: the states add up, and the journal's part is seen" {
	mount_ext4
	DIR=$MOUNT
	measure
	rows_add_up "$T/out"
	check "$T/out" '[.rows[] | select(.op == "fsync" and (.path | startswith($dir)))] as $rows |
		([$rows[].total_ns] | total) as $all |
		expect(([$rows[].count] | total) == 100; "\([$rows[].count]) fsyncs"),
		between("fsync"; $all; ($truth[0].fsync | total) * 0.97; $truth[0].fsync | total),
		between("journal"; [$rows[].journal_ns] | total; $all * 0.2; $all)' \
		--arg dir "$DIR" --slurpfile truth "$T/truth"
	dwell file -o "$T/text" -- "$W/files" "$DIR" 100 >/dev/null 2>"$T/err"
	grep -Eq '^fsync .*fs [0-9]+%.*; journal [0-9]+% +/.*/(zero|one)$' "$T/text" ||
		fail_with "no journal:" "$T/text"
}

@test "reads from the cache and from the disk are told apart" {
	local before after

	mount_ext4
	dd if=/dev/zero of="$MOUNT/data" bs=64k count=64 status=none
	remount_ext4
	dwell file --json -o "$T/out" -- dd if="$MOUNT/data" of=/dev/null bs=64k iflag=direct status=none
	rows_add_up "$T/out"
	check "$T/out" '.rows[] | select(.op == "read" and .path == $path) |
		expect(.count == 65; "\(.count) reads"),
		between("misses"; .misses; 50; 64),
		expect(.miss.p50_ns > .hit.p50_ns; "misses are faster: \(.miss), \(.hit)")' --arg path "$MOUNT/data"
	cat "$MOUNT/data" >/dev/null
	read -r before _ <"/sys/block/${LOOP#/dev/}/stat"
	dwell file --json -o "$T/out" -- dd if="$MOUNT/data" of=/dev/null bs=64k status=none
	read -r after _ <"/sys/block/${LOOP#/dev/}/stat"
	# a kernel may have reclaimed what nobody had asked for just now: then the device was read
	check "$T/out" '.rows[] | select(.op == "read" and .path == $path) |
		expect(.count == 65 and .misses <= $read and .hit.count == 65 - .misses; "cached: \(.)")' \
		--arg path "$MOUNT/data" --argjson read $((after - before))
}

@test "io_uring: requests, bytes and times are fio's" {
	need fio
	dwell file --json -o "$T/out" -- fio --name=oracle --filename="$DWELL_TEST_DIR/uring" --ioengine=io_uring \
		--iodepth=8 --rw=randrw --bs=4k --size=4M --direct=1 --thread --output-format=json --output="$T/fio" \
		>/dev/null 2>"$T/err" || skip "fio has no io_uring here: $(tail -n 1 "$T/err")"
	! grep -q 'io_uring request' "$T/err" || skip "this kernel does not tell which request ends"
	rows_add_up "$T/out"
	check "$T/out" '("read", "write") as $op | $fio[0].jobs[0][$op] as $truth |
		[.rows[] | select(.op == "uring_\($op)" and .path == $path)] as $rows |
		expect([$rows[].count] == [$truth.total_ios]; "\($op): \([$rows[].count]), not \($truth.total_ios)"),
		expect([$rows[].bytes] == [$truth.io_bytes]; "\($op): \([$rows[].bytes]) bytes, not \($truth.io_bytes)"),
		between("mean \($op)"; $rows[0].mean_ns; $truth.clat_ns.mean * 0.2; $truth.lat_ns.mean * 1.05)' \
		--slurpfile fio "$T/fio" --arg path "$DWELL_TEST_DIR/uring"
}

@test "io_uring: a read from the device is disk, whoever submits it and however its end is told" {
	local ring attach

	slow_disk 20000000
	for ring in plain defer; do
		for attach in auto raw_tp; do
			MORE="--attach $attach" urings_known uring_read 1 '
				between("time"; $row.total_ns; $all * 0.97; $all),
				between("disk"; $row.states.disk; $device * 0.97; $all),
				expect($row.misses == $n and $row.miss.total_ns == $row.total_ns; "misses: \($row)")' \
				direct "$DISK" 20 $ring
		done
		# the device is ready while the thread computes: when, nobody tells
		urings_known uring_read 1 '
			between("disk"; $row.states.disk // 0; 0; $all * 0.3),
			between("not known"; $row.states.other; $row.total_ns * 0.6; $row.total_ns)' late "$DISK" 10 $ring
	done
	# the kernel's own thread submits and looks for ends, and neither leaves a trace: nothing is known
	urings_known uring_read 1 'expect($row.states == {other: $row.total_ns}; "states: \($row)"),
		expect($row.misses == 0 and $row.hit.count == 0; "hits or misses: \($row)")' \
		direct "$DISK" 10 polled
	# behind a read, for which it waits first
	urings_known uring_fsync 1 'row("uring_read") as $read |
		expect($read.count == $n; "\($read.count) reads"),
		between("disk of reads"; $read.states.disk; $device * 0.97; $read.total_ns),
		between("syncs, not begun"; $row.states.other; $device * 0.97; $row.total_ns)' linked "$DISK" 10
}

@test "io_uring: a read from the cache is done by who submits it" {
	local ring

	dd if=/dev/zero of="$DWELL_TEST_DIR/data" bs=4k count=500 status=none
	for ring in plain defer; do
		urings_known uring_read 1 '
			expect($row.bytes == $n * 4096; "\($row.bytes) bytes"),
			expect($row.misses == 0 and $row.hit.count == $n; "misses: \($row)"),
			expect($row.states.cpu > 0 and ($row.states | del(.cpu, .runq, .preempt)) == {}; "states: \($row)")' \
			cached "$DWELL_TEST_DIR/data" 500 $ring
	done
}

@test "io_uring: a registered ring's number is not taken for a descriptor" {
	dd if=/dev/zero of="$DWELL_TEST_DIR/data" bs=4k count=20 status=none
	echo >"$DWELL_TEST_DIR/input"
	# its number is 0: as a descriptor, that is a file here
	urings cached "$DWELL_TEST_DIR/data" 20 registered <"$DWELL_TEST_DIR/input"
	urings_check 'expect(row("uring_read").count == $n; "\(row("uring_read").count) reads"),
		expect([.rows[] | select(.path | endswith("/input"))] == []; "the input: \([.rows[] | {op, path, count}])")' \
		"$DWELL_TEST_DIR/data"
}

@test "io_uring: what a worker does has its states, and what waits for a worker not those of others" {
	local attach

	slow_disk 20000000 writes
	for attach in auto raw_tp; do
		MORE="--attach $attach" urings_known uring_fsync 1 '
			between("time"; $row.total_ns; $all * 0.97; $all),
			between("disk"; $row.states.disk; $device * 0.97; $all)' fsync "$DISK" 20
	done
	# the worker goes to sleep before the thread that it wakes tells the end, or is not seen to
	urings_known uring_fsync 1 '
		between("disk"; $row.states.disk; $all * 0.3; $all),
		between("disk and not known"; $row.states.disk + ($row.states.other // 0); $device * 0.97; $all)' \
		fsync "$DISK" 20 defer
	# one after the other: the second waits as long as the first takes, the third as long as the two…
	urings_known uring_write 4 '
		between("disk"; $row.states.disk; $device * 0.97; $all),
		between("disk and waits for the worker"; $row.states.disk + $row.states.sync;
			$row.total_ns * (if slow > 1 then 0.8 else 0.97 end); $row.total_ns),
		between("waits for the worker"; $row.states.sync; $all * 0.8; $all * 2.2)' queue "$DISK" 10
}

@test "io_uring: why names the file that a worker waits for" {
	slow_disk 20000000 writes
	for _ in 1 2 3; do
		dwell why --json -o "$T/out" -- "$W/urings" fsync "$DISK" 10 >"$T/truth" 2>"$T/err" || skip "$(tail -n 1 "$T/err")"
		! urings_check '[.rows[].causes[] | select(.state == "disk" and (.name | startswith("io_uring \($file)")))] as $causes |
			between("disk"; [$causes[].total_ns] | total; $device * 0.97; $all)' >"$T/faults" 2>&1 || return 0
	done
	fail_with "why:" "$T/faults"
}

@test "io_uring: the states and the journal of a sync on ext4" {
	mount_ext4
	truncate -s 4M "$MOUNT/data"
	urings_known uring_fsync 1 '
		between("time"; $row.total_ns; $all * 0.8; $all),
		between("journal"; $row.journal_ns; $row.total_ns * 0.2; $row.states.fs)' fsync "$MOUNT/data" 100
}

@test "paths are those that a container sees, and of files that are gone" {
	need unshare pivot_root
	mkdir "$DWELL_TEST_DIR/root" "$DWELL_TEST_DIR/work"
	# shellcheck disable=SC2016 # for the new shell
	dwell file --json -o "$T/out" -- unshare -m sh -ec '
		mount --rbind / "$1/root"
		cd "$1/root"
		pivot_root . mnt
		cd /
		exec "$2" "$1/work" 10' - "$DWELL_TEST_DIR" "$W/files" >"$T/truth" 2>"$T/err"
	[ -s "$T/truth" ] || fail_with "no container:" "$T/err"
	check "$T/out" '("zero", "one") as $file | ("open", "write", "fsync", "stat", "close") as $op |
		expect([.rows[] | select(.op == $op and .path == "\($dir)/\($file)").count] | length == 1;
			"no \($op) of \($dir)/\($file): \([.rows[] | select(.op == $op).path])")' \
		--arg dir "$DWELL_TEST_DIR/work"
}

@test "filters: only the target's files; rows by process, command, operation and mount" {
	start "$T/busy" "$W/files" "$DWELL_TEST_DIR" busy
	local busy=$PID

	start_sleeper sleep
	dwell file --json -d 0.3 -p "$PID" -o "$T/out"
	check "$T/out" 'expect(.rows == []; "rows: \(.rows)")'
	dwell file --json -d 0.3 -p "$busy" -o "$T/out"
	rows_add_up "$T/out"
	check "$T/out" 'expect([.rows[] | {op, path}] | sort_by(.op) == [{op: "read", path: $path}, {op: "write", path: $path}];
			"rows: \([.rows[] | {op, path}])"),
		expect([.rows[].count] | max > 1000; "counts: \([.rows[].count])"),
		expect([.rows[] | .bytes == .count * 64] | all; "bytes: \([.rows[].bytes])")' \
		--arg path "$DWELL_TEST_DIR/busy"
	dwell file --json -d 0.3 -c files --by comm -o "$T/out"
	check "$T/out" 'expect([.rows[].comm] | unique == ["files"]; "rows: \([.rows[].comm])")'
	dwell file --json -d 0.3 -a --by process -o "$T/out"
	check "$T/out" 'expect([.rows[] | select(.pid == $pid).op] | sort == ["read", "write"]; "rows: \(.rows)"),
		expect([.rows[].path | values] == []; "a path with --by process")' --argjson pid "$busy"
	dwell file --json -d 0.3 -a --by op -o "$T/out"
	check "$T/out" 'expect(([.rows[].op] | unique | length) == (.rows | length); "an operation twice"),
		expect([.rows[].op] | contains(["read", "write"]); "rows: \([.rows[].op])")'
	dwell file --json -d 0.3 -p "$busy" --by mount -o "$T/out"
	check "$T/out" 'expect([.rows[].mount] | unique == [$mount]; "mounts: \([.rows[].mount])")' \
		--arg mount "$(stat -c %m "$DWELL_TEST_DIR")"
}

@test "intervals: every operation is in one of them" {
	dwell file --jsonl -i 50ms -o "$T/out" -- "$W/files" "$DWELL_TEST_DIR" 200 >"$T/truth" 2>"$T/err" ||
		fail_with "exit status $?:" "$T/err"
	jq -s '{reports: length, rows: (map(.rows[]))}' "$T/out" >"$T/sums"
	check "$T/sums" '[.rows[] | select(.path and (.path | startswith($dir)))] as $rows |
		({fsync: 200, write: 401, rename: 200} | to_entries[] | . as $e |
			expect(([$rows[] | select(.op == $e.key).count] | total) == $e.value;
				"\($e.key): \([$rows[] | select(.op == $e.key).count] | total)"))' --arg dir "$DWELL_TEST_DIR"
}

@test "--min: slow operations only" {
	measure --min 20us
	check "$T/out" 'expect([.rows[].hist.buckets[]] | length > 0; "nothing"),
		([.rows[] | select(.op == "fsync" and (.path | startswith($t[0].dir))).count] | total) as $n |
		expect($n == ([$t[0].fsync[] | select(. > 20500)] | length) or $n == ([$t[0].fsync[] | select(. > 19500)] | length);
			"\($n) fsyncs"),
		expect([.rows[] | select(.mean_ns < 20000)] == []; "short ones: \([.rows[] | select(.mean_ns < 20000)])")' \
		--slurpfile t "$T/truth"
}

@test "100,000 files: bounded, and the loss is shown" {
	dwell file --json -o "$T/out" -- "$W/files" "$DWELL_TEST_DIR" many 100000 2>"$T/err" ||
		fail_with "exit status $?:" "$T/err"
	check "$T/out" 'expect(.rows | length <= 8192; "\(.rows | length) rows"),
		(([.rows[].count] | total) + .loss.reasons.map_full) as $n |
		within("operations and losses"; $n; 300000; 300200),
		expect(.cost.max_rss_bytes < 100000000; "memory: \(.cost.max_rss_bytes)")'
	grep -q '^dwell: LOST .*max-entries' "$T/err" || fail_with "the loss is not shown" "$T/err"
	# rows that are not by file have room for all
	dwell file --json --by op -o "$T/out" -- "$W/files" "$DWELL_TEST_DIR" many 20000
	check "$T/out" 'lossless, expect([.rows[] | select(.op == "unlink").count] == [20000]; "\(.rows)")'
}

# A file has three histograms here, of 2.7 KB, and its rows. --max-entries only says how many may be.
@test "memory: of what there is room for only what is used; a few KB for each file more" {
	local n

	for n in 500 5000; do
		dwell file --json --max-entries 65536 -o "$T/out" -- "$W/files" "$DWELL_TEST_DIR" many $n
		check "$T/out" 'lossless, expect(([.rows[] | select(.op == "unlink").count] | total) == $n; "\(.rows | length) rows")' \
			--argjson n $n
		jq .cost.max_rss_bytes "$T/out"
	done >"$T/rss"
	awk 'NR == 1 { few = $1 } END { each = ($1 - few) / 4500; printf "%.0f bytes for each file more\n", each
		exit !(few < 40e6 && each > 0 && each < 12000) }' "$T/rss" >"$T/each" || fail_with "memory:" "$T/each"
}

@test "paths that are too long are marked" {
	dwell file --json -o "$T/out" -- "$W/files" "$DWELL_TEST_DIR" deep 2>"$T/err" ||
		fail_with "exit status $?:" "$T/err"
	check "$T/out" 'expect([.rows[] | select(.op == "write" and (.path | startswith("…/"))).path | endswith("/deep")] == [true];
			"the beginning: \([.rows[] | select(.op == "write").path])"),
		expect([.rows[] | select(.op == "stat" and (.path | endswith("…")))] | length == 1;
			"the end: \([.rows[] | select(.op == "stat").path])")'
}

@test "PostgreSQL's checkpoint: which files, how long, and which queries waited" {
	local checkpointer query

	start_postgres -c checkpoint_timeout=1h -c full_page_writes=on
	start_pgbench
	checkpointer=$(pgrep -P "$PG_SERVER" -f checkpointer)
	start_dwell query --json -d 60 -p "$PG_SERVER" -o "$T/query"
	query=$DWELL_PID
	start_dwell file --json -d 60 -p "$checkpointer"
	"${PG[@]}" psql -qc CHECKPOINT
	stop_dwell
	DWELL_PID=$query
	stop_dwell
	rows_add_up "$T/dwell.out"
	check "$T/dwell.out" '[.rows[] | select(.path | startswith($dir))] as $rows |
		expect([$rows[] | select(.op == "write" and (.path | test("/base/[0-9]+/[0-9]+")))] != [];
			"no data was written: \([$rows[] | {op, path}])"),
		expect([$rows[] | select((.op == "fsync" or .op == "fdatasync") and (.path | test("/base/[0-9]+/[0-9]+")))] != [];
			"no data was synced: \([$rows[] | {op, path}])"),
		expect([$rows[] | select(.path | endswith("/global/pg_control"))] != []; "no pg_control: \([$rows[].path])")' \
		--arg dir "$PG_DIR/data"
	check "$T/query" '[.rows[] | select(.query == "end")][0] as $commit |
		expect($commit.count > 0; "no commits: \([.rows[].query])"),
		expect([$commit.states | (.disk, .fs, .sync, .klock) // 0] | add > 0; "commits waited for nothing: \($commit)"),
		expect([.rows[] | select(.query == "checkpoint").count] == [1]; "no checkpoint: \([.rows[].query])")'
}

@test "bad input: one line" {
	run dwell file --by cpu
	refused 2 "--by takes"
	run dwell syscall --by file
	refused 2 "--by takes"
	run dwell file --by path
	refused 2 "by"
	run dwell file --sort nothing
	refused 2 "there is no column"
	run dwell file -u
	refused 2 "-u"
}

@test "text: a histogram, states and files" {
	dwell file -o "$T/text" -- "$W/files" "$DWELL_TEST_DIR" 50 >/dev/null
	grep -q 'p50 .*p95 .*p99 .*max ' "$T/text" || fail_with "histogram:" "$T/text"
	grep -Eq '^OP +CALLS +ERRORS +BYTES +TOTAL .*MISSES +STATES +FILE$' "$T/text" || fail_with "heading:" "$T/text"
	grep -Eq "^fsync +25 +0 .*% +$DWELL_TEST_DIR/zero$" "$T/text" || fail_with "row:" "$T/text"
}
