#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell lock` against oracles: threads that wait for locks as often and as long as they say, while
# a thread whose doing is known has them.

load lib

# What can't be provoked on this machine is skipped with the workload's own reason.
measure() { # mode of waits [options of lock…]
	local status=0

	dwell lock --json -o "$T/lock.json" --exit-status "${@:2}" -- \
		"$W/waits" "$1" 100 5 >"$T/truth.json" 2>"$T/err" || status=$?
	[ "$status" != 77 ] || skip "$(sed -n 's/^waits: skipped: //p' "$T/err")"
	[ "$status" = 0 ] || fail_with "exit status $status:" "$T/err"
}

# One row of this kind: each wait once, as long as it was, and the thread that had the lock.
oracle() { # mode, kind [options of lock…]
	measure "$1" "${@:3}"
	check "$T/lock.json" 'lock_oracle($truth[0]; "'"$2"'")' --slurpfile truth "$T/truth.json"
}

# A kernel lock, which a thread "holder" of the workload has.
holder_of() { # mode, kind [options of lock…]
	run dwell lock --kernel -d 0.05 "${@:3}" 2>&1
	[ "$status" != 3 ] || skip "$output"
	oracle "$1" "$2" --kernel "${@:3}"
	check "$T/lock.json" '[.rows[] | select(.kind | startswith("'"$2"'"))] | max_by(.total_ns) |
		expect(.holders[0].comm == "holder" and .holders[0].share > 0.97 and .holders[0].count >= .count * 0.97;
			"holders: \(.holders)")'
}

crowd() { # kind [options of lock…]; $HOLD: rounds, ms, and how often the holder syncs a file
	# shellcheck disable=SC2086 # words
	dwell lock --json -o "$T/lock.json" --user "${@:2}" -- \
		"$W/locks" crowd "$1" ${HOLD:-40 10} >"$T/truth.json" 2>"$T/err"
	check "$T/lock.json" 'lock_crowd($truth[0])' --slurpfile truth "$T/truth.json"
}

@test "a mutex" {
	oracle lock-mutex mutex
}

@test "a mutex with priority inheritance" {
	oracle lock-pi pi
}

@test "a robust mutex" {
	oracle lock-robust robust
}

@test "a mutex waited for with a time limit" {
	oracle lock-timed mutex
}

@test "a wait that ends with its time: who has the lock, and that nobody let it go" {
	oracle lock-expired mutex
	check "$T/lock.json" '.loss.total as $lost | [.rows[] | select(.kind == "mutex")][0] |
		within("waits without a release"; .unreleased; .count - $lost; .count)'
}

@test "a writer behind a reader: who let it go had it" {
	oracle lock-rwlock rwlock
}

@test "a reader behind a writer" {
	oracle lock-rwlock-reader rwlock
}

@test "a writer behind a writer" {
	oracle lock-rwlock-writers rwlock
}

@test "a lock of futex_wait() and futex_wake()" {
	oracle lock-futex2 mutex
}

@test "flock() and the file's path" {
	oracle lock-flock flock
	check "$T/lock.json" '$truth[0].detail.path as $path |
		expect([.rows[] | select(.kind == "flock")][0].name | contains($path);
			"\([.rows[].name]) do not name \($path)")' --slurpfile truth "$T/truth.json"
}

@test "events are no locks, unless they are asked for" {
	local mode kind

	while read -r mode kind; do
		measure "$mode" --user
		check "$T/lock.json" '[.rows[] | select(.total_ns > 20000000)] |
			expect(length == 0; "'"$mode"' gives locks: \(map({kind, count, total_ns}))")'
		oracle "$mode" "$kind" --user --events
	done <<-END
		sync-cond cond
		sync-sem sem
		sync-barrier barrier
		sync-join join
	END
}

@test "futex_wait(), futex_waitv(), and waits that are moved to another word: once each" {
	local mode

	for mode in sync-waitv sync-requeue sync-futex2 sync-requeue2; do
		measure "$mode" --user
		check "$T/lock.json" 'expect([.rows[] | select(.total_ns > 20000000)] == []; "\(.rows)")'
		oracle "$mode" futex --user --events
	done
}

@test "an inode's lock, by name" {
	holder_of klock-inode rwsem
	check "$T/lock.json" 'expect([.rows[] | select(.kind | startswith("rwsem"))][0] |
		.space == "kernel" and .name == "inode i_rwsem"; "rows: \([.rows[] | {kind, name}])")'
}

@test "a pipe's lock, by name" {
	holder_of klock-pipe mutex
	check "$T/lock.json" 'expect([.rows[] | select(.kind == "mutex")][0] |
		.space == "kernel" and .name == "pipe mutex"; "rows: \([.rows[] | {kind, name}])")'
}

@test "four threads want a mutex: who had it, and what it did" {
	crowd mutex
}

@test "the holder computes, sleeps and syncs a file" {
	HOLD="20 10 2" crowd mutex
}

@test "held for 1 ms, and for 50 ms" {
	HOLD="100 1" crowd mutex
	HOLD="10 50" crowd mutex
}

@test "each holder has the stack where it let go" {
	dwell lock --json -o "$T/lock.json" --user -- "$W/locks" chain 10 10 >"$T/truth.json" 2>"$T/err"
	check "$T/lock.json" '(.rows[] | select(.name == "chain_first") | .holders[0]) |
		expect(.stack | index("chain__logger"); "\(.comm) lets go in \(.stack)")'
	check "$T/lock.json" '(.rows[] | select(.name == "chain_second") | .holders[0]) |
		expect(.stack | index("member__run"); "\(.comm) lets go in \(.stack)")'
}

@test "four threads want a mutex with priority inheritance" {
	crowd pi
}

@test "four threads want a robust mutex" {
	crowd robust
}

@test "four threads want to write" {
	crowd rwlock
}

@test "raw tracepoints measure the same" {
	crowd mutex --attach raw_tp
	oracle lock-rwlock-writers rwlock --attach raw_tp
}

@test "raw tracepoints measure the same: kernel locks" {
	holder_of klock-inode rwsem --attach raw_tp
}

@test "in a PID namespace of its own, the holder is the same" {
	local attach

	unshare -pf --mount-proc true || skip "no PID namespaces"
	for attach in auto raw_tp; do
		dwell lock --json -o "$T/lock.json" --user --attach $attach -- \
			unshare -pf --mount-proc --kill-child "$W/locks" crowd mutex 20 5 >"$T/truth.json" 2>"$T/err"
		check "$T/lock.json" '[.rows[] | select(.kind == "mutex")][0] | . as $row |
			[.holders[] | select(.comm == "holder")] |
			expect(length == 1 and .[0].count >= $row.count * 0.99 and .[0].tid > 100;
				"holders: \($row.holders)")'
	done
}

@test "a chain of three, in order" {
	dwell lock --json -o "$T/lock.json" --user -- "$W/locks" chain 30 20 >"$T/truth.json" 2>"$T/err"
	check "$T/lock.json" '$truth[0] as $t |
		([.rows[] | select(.chain[0] == "query \($t.query.tid)")][0].chain // []) as $chain |
		expect(($chain | length) == 4; "chain: \($chain)"),
		expect($chain[1] // "" | startswith("mutex chain_second "); "chain: \($chain)"),
		expect($chain[2] // "" | startswith("mutex chain_first "); "chain: \($chain)"),
		expect($chain[1] // "" | contains("(worker \($t.worker.tid))"); "chain: \($chain)"),
		expect($chain[2] // "" | contains("(logger \($t.logger))"); "chain: \($chain)"),
		expect($chain[3] == "clock_nanosleep"; "chain: \($chain)")' --slurpfile truth "$T/truth.json"
}

# Of threads that wait often, few stacks are looked at: each stands for others, also where the wait goes on.
@test "waits that go on: their place has their whole time" {
	start "$T/open" "$W/locks" open
	wait_for '^ready' "$T/open"
	start_dwell lock --json --user -p "$PID"
	# shellcheck disable=SC2153 # start() sets it
	kill -USR1 "$PID"
	wait_for '^{' "$T/open" 40
	stop_dwell
	check "$T/dwell.out" '[.rows[] | select(.name == "open_mutex")][0] |
		expect(.waiters == 301 or .waiters == 300; "\(.waiters) waiters"),
		expect(.caller == "open__last"; "waits in \(.wait_stack)")'
}

# A deadlock that began before or while dwell looked.
@test "a deadlock is found" {
	local attach

	start "$T/truth.json" "$W/locks" deadlock 60
	wait_for '^{' "$T/truth.json"
	for attach in auto raw_tp; do
		dwell lock --json --attach $attach -o "$T/lock.json" -p "$PID" -d 0.2 2>"$T/err"
		check "$T/lock.json" '.summary.verdict as $v | $truth[0] as $t |
			expect($v // "" | startswith("Deadlock: ") and contains("ping (\($t.ping)) waits for mutex") and
				contains("pong (\($t.pong)) waits for mutex"); "verdict: \($v)"),
			expect([.rows[].holders[0].tid] | sort == ([$t.ping, $t.pong] | sort);
				"holders: \([.rows[].holders])")' --slurpfile truth "$T/truth.json"
	done
	start_dwell lock --json --user -a
	start "$T/second.json" "$W/locks" deadlock 60
	wait_for '^{' "$T/second.json"
	stop_dwell
	check "$T/dwell.out" '$truth[0] as $t |
		expect(.summary.verdict // "" | contains("ping (\($t.ping))") and contains("pong (\($t.pong))");
			"verdict: \(.summary.verdict)")' --slurpfile truth "$T/second.json"
}

@test "rows by caller, task and holder have the same waits" {
	local by

	for by in lock caller task holder; do
		dwell lock --json -o "$T/$by.json" --user --by $by -- \
			"$W/locks" crowd mutex 20 10 >"$T/$by.truth" 2>"$T/err"
		check "$T/$by.json" '$truth[0] as $t | ($t.waiters | map(.blocked_ns) | add) as $low |
			($t.waiters | map(.total_ns) | add) as $high |
			sound, between("all waits by '$by'"; [.rows[].total_ns] | total; $low * 0.97; $high * 1.03)' \
			--slurpfile truth "$T/$by.truth"
	done
	check "$T/task.json" 'expect([.rows[] | select(.comm == "waiter") | .waiters] == [1, 1, 1, 1];
		"rows by task: \([.rows[] | {comm, waiters}])")'
	check "$T/holder.json" '$truth[0].holder.tid as $tid |
		expect(.rows[0].name == "holder (\($tid))"; "rows by holder: \([.rows[].name])")' \
		--slurpfile truth "$T/holder.truth"
}

@test "intervals: all waits, each in one of them" {
	dwell lock --jsonl -i 100ms -o "$T/lock.jsonl" --user -- \
		"$W/locks" crowd mutex 40 10 >"$T/truth.json" 2>"$T/err"
	jq -s '{rows: map(.rows[] | select(.kind == "mutex")), loss: .[-1].loss}' "$T/lock.jsonl" >"$T/all.json"
	check "$T/all.json" '$truth[0] as $t | ($t.waiters | map(.count) | add) as $count |
		between("waits"; [.rows[].count] | total; $count * 0.98; $count),
		between("waits of waiters"; [.rows[].waiter_threads[].count] | total; $count * 0.98; $count),
		between("time"; [.rows[].total_ns] | total; ($t.waiters | map(.blocked_ns) | add) * 0.97;
			($t.waiters | map(.total_ns) | add) * 1.03)' --slurpfile truth "$T/truth.json"
}

# Who is not measured can still have the lock.
@test "filters: the waits of one thread, of another process, of a command" {
	local waiter holder

	start "$T/locks" "$W/locks" crowd mutex 1000 10
	sleep 0.3
	waiter=$(grep -lx waiter /proc/"$PID"/task/*/comm | sed -n '1s,.*/\([0-9]*\)/comm,\1,p')
	holder=$(grep -lx holder /proc/"$PID"/task/*/comm | sed -n '1s,.*/\([0-9]*\)/comm,\1,p')
	dwell lock --json --user -t "$waiter" -d 0.5 -o "$T/lock.json" 2>"$T/err"
	check "$T/lock.json" 'expect([.rows[] | .waiter_threads[].tid] == ['"$waiter"']; "rows: \(.rows)"),
		expect(.rows[0].holders[0] | .tid == '"$holder"' and .share > 0.9; "holders: \(.rows[0].holders)")'
	dwell lock --json --user -c waiter -d 0.5 -o "$T/lock.json" 2>"$T/err"
	check "$T/lock.json" '[.rows[] | select(.name == "crowd_mutex")][0] |
		expect(.waiters == 4 and .holders[0].tid == '"$holder"'; "row: \(.)")'
	start_sleeper sleep
	dwell lock --json --user -p "$PID" -d 0.2 -o "$T/lock.json" 2>"$T/err"
	check "$T/lock.json" 'expect(.rows == []; "rows: \(.rows)")'
}

@test "--min leaves out short waits" {
	measure lock-mutex --user --min 1s
	check "$T/lock.json" 'expect(.rows == []; "rows: \(.rows)")'
}

@test "text: the table, who held it, where it was waited for; --hist; --folded" {
	dwell lock --user --hist -o "$T/out" -- "$W/waits" lock-mutex 50 5 >/dev/null 2>&1
	grep -qE '^KIND .* NAME .* WAITS .* HELD BY' "$T/out"
	grep -qE '^  held by +helper \([0-9]+\) (99|100) %: sleep ' "$T/out"
	grep -q '^  chain .*victim .* ← mutex .* ← clock_nanosleep' "$T/out"
	grep -q '^  waits in ' "$T/out"
	grep -qE '^count 50 ' "$T/out"
	dwell lock --user --folded -o "$T/out" -- "$W/waits" lock-mutex 50 5 >/dev/null 2>&1
	grep -qE '^waits;.*;\[mutex .*\];\[held by helper\] [0-9]+$' "$T/out"
}

@test "an unknown --by is refused" {
	run dwell lock --by cpu -d 0.1 2>&1
	refused 2 "--by"
}
