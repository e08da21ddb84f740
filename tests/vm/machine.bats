#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What a guest has that the machine below may lack, and tests may rely on: disks of a known latency
# ($DWELL_NULL_BLK, $DWELL_SCSI_DEBUG; $DWELL_DISK_NS for each request), kprobes, fentry programs.

BUILD=$BATS_TEST_DIRNAME/../../build/tests/vm

setup() {
	[ -n "${DWELL_VM:-}" ] || skip "for the guests of tests/vm"
	T=$(mktemp -d /var/tmp/machine.XXXXXX) # no overlay: a rename is one
}

teardown() {
	rm -rf "${T:-}"
}

# One request at a time, each from the disk: the smallest and the median of their times are the
# disk's own and a little more. Where the CPUs are short, the median can be any: one of three will do.
disk() { # device fio's operation
	[ -b "$1" ] || {
		echo "$1 is not there"
		return 1
	}
	for _ in 1 2 3; do
		fio --name=disk --filename="$1" --rw="$2" --bs=4k --direct=1 --ioengine=psync \
			--number_ios=100 --size=16m --percentile_list=50 --output-format=json --output="$T/fio"
		jq --arg op "${2#rand}" --argjson ns "$DWELL_DISK_NS" '.jobs[0][$op] |
			{n: .total_ios, min: .clat_ns.min, p50: .clat_ns.percentile["50.000000"]} |
			if .n == 100 and .min > $ns * 0.98 and .p50 > $ns and .p50 < $ns * 2 then empty
			else "not \($ns) ns: \(.)" end' "$T/fio" >"$T/faults"
		cat "$T/faults"
		[ -s "$T/faults" ] || return 0
	done
	return 1
}

@test "null_blk takes its time for reads" {
	disk "$DWELL_NULL_BLK" randread
}

@test "null_blk takes its time for writes" {
	disk "$DWELL_NULL_BLK" randwrite
}

@test "scsi_debug takes its time for reads" {
	disk "$DWELL_SCSI_DEBUG" randread
}

@test "scsi_debug takes its time for writes" {
	disk "$DWELL_SCSI_DEBUG" randwrite
}

@test "a kprobe sees every call" {
	"$BUILD/machine" kprobe "$T"
}

@test "a fentry program sees every call" {
	"$BUILD/machine" fentry "$T"
}
