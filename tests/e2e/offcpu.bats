#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell offcpu` against oracles: total, count and percentiles by state, and whose stack it is.

load lib

measure() { # mode [options of offcpu…]
	local status=0

	dwell offcpu --json -o "$T/offcpu.json" --by thread --exit-status "${@:2}" -- \
		"$W/waits" "$1" 200 5 >"$T/truth.json" 2>"$T/err" || status=$?
	[ "$status" != 77 ] || skip "$(sed -n 's/^waits: skipped: //p' "$T/err")"
	[ "$status" = 0 ] || fail_with "exit status $status:" "$T/err"
}

# The victim's rows in the state: all its waits, the time, and a stack with this function.
oracle() { # mode function [options…]
	measure "$1" "${@:3}"
	check "$T/offcpu.json" 'lossless,
		$truth[0] as $t |
		([.rows[] | select(.tid == $t.tid and (.state as $s | $t.states | index($s)))]) as $rows |
		between("time in \($t.states)"; $rows | map(.total_ns) | total;
			$t.blocked_ns * 0.97; $t.total_ns * 1.03),
		expect(($t.exact_count | not) or ($rows | map(.count) | total) == $t.count;
			"\($rows | map(.count) | total) waits instead of \($t.count)"),
		expect($function == "" or ($rows | max_by(.total_ns).stack | any(contains($function)));
			"no \($function) in \($rows | max_by(.total_ns).stack)")' \
		--slurpfile truth "$T/truth.json" --arg function "$2"
}

@test "lock" {
	oracle lock-mutex mutex__block
}

@test "sync" {
	oracle sync-sem sem__block
}

@test "pipe" {
	oracle pipe-read fd__read_byte
}

@test "net" {
	oracle net-tcp socket__recv
}

@test "poll" {
	oracle poll-epoll epoll__block
}

@test "sleep" {
	oracle sleep-nanosleep sleep__relative
}

@test "disk" {
	oracle disk-read ""
}

@test "fs" {
	oracle fs-read fs__read
}

@test "klock" {
	oracle klock-inode inode__block
}

@test "fault" {
	oracle fault-uffd uffd__touch
}

@test "stop" {
	oracle stop-signal stop__block
}

@test "other" {
	oracle other-copy uffd__copy
}

@test "-k: kernel stacks only" {
	oracle pipe-read pipe_read -k
	check "$T/offcpu.json" 'expect([.rows[].stack[] | select(contains("fd__read_byte"))] == [];
		"user frames: \(.rows)")'
}

@test "-u: user stacks only" {
	oracle pipe-read fd__read_byte -u
	check "$T/offcpu.json" 'expect([.rows[].stack[] | select(contains("pipe_read"))] == [];
		"kernel frames: \(.rows)")'
}

@test "percentiles of times from 0.1 to 30 ms are within 2.2 % of the exact ones" {
	measure sleep-spread
	check "$T/offcpu.json" '$truth[0] as $t |
		[.rows[] | select(.tid == $t.tid and .state == "sleep")] as $rows |
		expect(($rows | length) == 1; "\($rows | length) rows"),
		# what dwell sees lies between the samples with and without the time on the CPU
		((["p50_ns", 0.5], ["p95_ns", 0.95], ["p99_ns", 0.99]) as [$key, $share] |
			between($key; $rows[0][$key];
				($t.blocked | rank($share)) * 0.978; ($t.samples | rank($share)) * 1.022)),
		between("max_ns"; $rows[0].max_ns; ($t.blocked | max) * 0.999; ($t.samples | max)),
		between("total"; $rows[0].total_ns; $t.blocked_ns * 0.97; $t.total_ns)' \
		--slurpfile truth "$T/truth.json"
}

@test "the histogram's buckets hold every wait" {
	measure sleep-spread
	check "$T/offcpu.json" '.rows[] |
		expect(.hist.zero + ([.hist.buckets[][1]] | total) == .count;
			"\(.hist) does not hold \(.count) waits"),
		near("mean"; .mean_ns; .total_ns / ([.count, 1] | max); 0.001; 1)'
}

@test "--folded: well-formed lines whose sum is the total" {
	local where

	for where in none root leaf; do
		dwell offcpu --folded --state-frame "$where" -o "$T/$where" -- \
			"$W/waits" lock-mutex 200 5 >/dev/null
		[ -s "$T/$where" ]
		! grep -vqE '^[^;]+(;[^;]+)* [0-9]+$' "$T/$where" || fail_with "malformed:" "$T/$where"
	done
	! grep -qE '\[(lock|sync)\]' "$T/none"
	grep -qE '^[^;]+;\[lock\];.*mutex__block' "$T/root"
	grep -qE '^[^;]+;.*mutex__block.*;\[lock\] [0-9]+$' "$T/leaf"
	# 200 waits of 5 ms, in µs
	sum=$(awk '/;\[lock\];/ { n += $NF } END { print n }' "$T/root")
	[ "$sum" -ge 990000 ] && [ "$sum" -le 1100000 ] || fail_with "the sum is $sum µs"
}

@test "--folded has the sum of the JSON of the same program" {
	dwell offcpu --folded --by thread -o "$T/folded" -- "$W/waits" sleep-spread 200 >"$T/a"
	measure sleep-spread
	folded=$(awk '/sleep__spread/ { n += $NF } END { print n * 1000 }' "$T/folded")
	check "$T/offcpu.json" 'near("folded"; '"$folded"';
		[.rows[] | select(.stack | any(contains("sleep__spread"))).total_ns] | total; 0.03; 0)'
}

@test "text: stacks with their time, the heaviest last" {
	dwell offcpu -o "$T/text" -- "$W/waits" lock-mutex 100 5 >/dev/null
	grep -q mutex__block "$T/text"
	grep -q 'waits, mean' "$T/text"
}

@test "--min leaves out short waits" {
	measure sleep-spread --min 10ms
	check "$T/offcpu.json" 'expect([.rows[] | select(.hist and .count > 0) |
		select(.max_ns < 10000000)] == []; "short rows: \(.rows)"),
		expect(([.rows[] | select(.tid == $truth[0].tid and .state == "sleep").count] | total) ==
			([$truth[0].blocked[] | select(. >= 10000000)] | length);
			"not all waits of 10 ms and longer")' --slurpfile truth "$T/truth.json"
}
