#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell runq` against the kernel's own account, /proc/…/schedstat, and the known culprit.

load lib

measure() { # mode [options of runq…]
	local status=0

	dwell runq --json -o "$T/runq.json" --by thread --exit-status "${@:2}" -- \
		"$W/waits" "$1" "$ROUNDS" 5 >"$T/truth.json" 2>"$T/err" || status=$?
	[ "$status" != 77 ] || skip "$(sed -n 's/^waits: skipped: //p' "$T/err")"
	[ "$status" = 0 ] || fail_with "exit status $status:" "$T/err"
}

oracle() { # mode
	measure "$1"
	check "$T/runq.json" 'runq_oracle($truth[0])' --slurpfile truth "$T/truth.json"
}

@test "waking up on a crowded CPU" {
	oracle runq
	check "$T/runq.json" '.rows[] | select(.comm == "victim") |
		expect(.preempt_ns < .total_ns * 0.3; "preempt_ns is \(.preempt_ns) of \(.total_ns)")'
}

@test "sharing a CPU with spinning threads" {
	oracle preempt
	# It always wants the CPU: whenever a spinner runs, it waits for that. Of long waits, the first
	# part may be without a name.
	check "$T/runq.json" '$truth[0].detail.crowd_ns as $crowd |
		.rows[] | select(.comm == "victim") | .pid as $pid |
		([.culprits[] | select(.comm == "(others, earlier)").total_ns] | total) as $unknown |
		expect(.preempt_ns > .total_ns * 0.7; "preempt_ns is \(.preempt_ns) of \(.total_ns)"),
		between("waits for the spinners"; [.culprits[] | select(.pid == $pid).total_ns] | total;
			$crowd * 0.97 - 1000000 - $unknown; $crowd * 1.03 + 1000000)' \
		--slurpfile truth "$T/truth.json"
}

@test "percentiles of run-queue waits are those of schedstat's" {
	measure runq
	# The samples are the victim's waits, but for a few at its start and end.
	check "$T/runq.json" '.rows[] | select(.comm == "victim") |
		between("p50_ns"; .p50_ns; ($truth[0].samples | rank(0.35)) * 0.95;
			($truth[0].samples | rank(0.65)) * 1.05),
		between("max_ns"; .max_ns; ($truth[0].samples | max) * 0.99; .total_ns)' \
		--slurpfile truth "$T/truth.json"
}

@test "--by cpu: one row per CPU, and the crowded one is known" {
	measure preempt --by cpu
	check "$T/runq.json" '(.rows | max_by(.total_ns)) as $row |
		expect(.rows | length <= $ncpu; "\(.rows | length) rows"),
		expect($row.cpu == $ncpu - 1; "the crowded CPU is \($row.cpu)")' \
		--argjson ncpu "$(nproc --all)"
}

@test "by process, the sum is that of its threads" {
	start "$T/demo.out" "$W/demo" $((30 * SLOW))
	sleep 0.3
	side_by_side "$PID" 2 runq --json --by thread -- runq --json
	check "$T/beside.out" 'expect([.rows[].pid] == ['"$PID"']; "rows: \(.rows)"),
		expect(.rows[0].count > 100; "\(.rows[0].count) waits"),
		near("waits"; .rows[0].count; [$threads[0].rows[].count] | total; 0.001; 0),
		near("time"; .rows[0].total_ns; [$threads[0].rows[].total_ns] | total; 0.01; 0)' \
		--slurpfile threads "$T/dwell.out"
}

# One process always wants the CPU, another one has it for a moment every 2 ms, and a third one, of which
# alone dwell is told, mostly gets it right behind that moment.
behind_a_hog() { # program…
	local cpu=$(($(nproc --all) - 1)) hog blink

	mkfifo "$T/never"
	start "$T/hog.out" taskset -c "$cpu" sh -c 'while :; do :; done'
	hog=$PID
	# shellcheck disable=SC2016 # the inner shell expands that
	start "$T/blink.out" taskset -c "$cpu" chrt -f 10 \
		bash -c 'exec 9<>"$0"; while :; do read -rt 0.002 -u 9; done' "$T/never"
	blink=$PID
	start "$T/victim.out" taskset -c "$cpu" nice -n 5 "$@"
	sleep 0.3
	dwell runq --json -d $((4 * SLOW)) -p "$PID" -o "$T/runq.json"
	[ "$(awk '/^voluntary/ { print $2 }' "/proc/$blink/status")" -gt 500 ] ||
		fail_with "who has a moment had few" "/proc/$blink/status"
	check "$T/runq.json" '.rows[0] as $row | ([$row.culprits[].total_ns] | total) as $charged |
		([$row.culprits[] | select(.pid == '"$hog"').total_ns] | total) as $hog |
		([$row.culprits[] | select(.pid == '"$blink"').total_ns] | total) as $blink |
		expect($row.count > 100; "\($row.count) waits"),
		between("charged"; $charged; $row.total_ns * 0.9; $row.total_ns * 1.02),
		between("of that the hog"; $hog / $charged; 0.65; 1),
		between("and who has a moment"; $blink / $charged; 0; 0.3)'
}

@test "-p: who has the CPU while a process wants it all the time" {
	behind_a_hog sh -c 'while :; do :; done'
}

@test "-p: who has the CPU when a process wakes up" {
	# shellcheck disable=SC2016 # the inner shell expands that
	behind_a_hog bash -c 'exec 9<>"$0"; while :; do read -rt 0.003 -u 9; done' "$T/never"
}

@test "a crowd: culprits are few for each, add up, and fill no map" {
	# 40 processes on one CPU: each waits for all the others
	start "$T/crowd" taskset -c 0 sh -c 'ln -s "$(command -v sh)" "$0/spin"
		for i in $(seq 40); do "$0/spin" -c "while :; do :; done" & done; wait' "$T"
	sleep 0.5
	dwell runq --json -d 2 -c spin -o "$T/runq.json"
	check "$T/runq.json" 'lossless, expect((.rows | length) == 40; "\(.rows | length) rows"),
		(.rows[] | expect((.culprits | length) <= 9; "\(.culprits | length) culprits of \(.pid)")),
		([.rows[].total_ns] | total) as $total |
		# charged to nobody: the wait that goes on at the end, and what completed no period
		between("culprits"; [.rows[].culprits[].total_ns] | total;
			([.rows[] | .total_ns - .max_ns - 250000000 | if . > 0 then . * 0.8 else 0 end] | total);
			$total),
		([.rows[] | .pid as $pid | .culprits[] | select(.pid == $pid)] | length) as $selves |
		expect($selves == 0; "\($selves) processes waited for themselves")'
}

# Each waits a few times, up to more often than a thread keeps to itself, and says by the kernel's account how
# long and how often. Then it ends, which may be another wait.
@test "processes that end after few waits: each has those that the kernel counted" {
	dwell runq --json -o "$T/runq.json" -- taskset -c 0 sh -c '
		while :; do :; done &
		for i in $(seq 48); do
			sh -c "for n in \$(seq $((i % 8))); do /bin/true; done
				read -r _ waited times </proc/self/schedstat
				echo \"{\\\"pid\\\":\$\$,\\\"waited\\\":\$waited,\\\"times\\\":\$times}\""
		done >"$0"
		kill $!' "$T/truth"
	check "$T/runq.json" 'lossless,
		(.rows | INDEX(.pid)) as $rows |
		expect($truth | length == 48; "\($truth | length) processes"),
		($truth[] | ($rows[.pid | tostring] // {count: 0, total_ns: 0}) as $row |
			between("waits of \(.pid)"; $row.count; .times - 1; .times + 2),
			between("time of \(.pid)"; $row.total_ns; .waited * 0.98 - 50000;
				.waited * 1.02 + 50000 + 2 * $row.max_ns),
			expect($row.hist.buckets | map(.[1]) | add == $row.count; "\($row.hist) of \($row.count)"))' \
		--slurpfile truth "$T/truth"
}

# Commands have tallies from their first wait on, processes that end early have none: it must not show.
# Each reads its own clock at an event; where the hypervisor comes in between, one sees it in a wait.
@test "a storm of processes: their waits are the same by process and by command" {
	local other stolen

	ln -s "$(command -v sh)" "$T/storm"
	start_dwell runq --json --by comm -a -d 60 -o "$T/comm.json"
	other=$DWELL_PID
	start_dwell runq --json -a -d 60 -o "$T/process.json"
	stolen=$(steal)
	"$T/storm" -c 'for i in $(seq 200); do
			"$0" -c "for n in \$(\"\$0\" -c \"echo $i\"); do \"\$0\" -c :; done" "$0"
		done' "$T/storm" >"$T/out"
	stop_dwell
	DWELL_PID=$other
	stop_dwell
	check "$T/process.json" '(1000000 + $stolen) as $apart | [.rows[] | select(.comm == "storm")] as $storm |
		[$comm[0].rows[] | select(.comm == "storm")] as $row |
		expect($row | length == 1; "\($row | length) rows of the command"),
		between("processes"; $storm | length; 500; 100000),
		near("waits"; [$storm[].count] | total; $row[0].count; 0.001; 3),
		near("time"; [$storm[].total_ns] | total; $row[0].total_ns; 0.01; $apart),
		near("pushed off"; [$storm[].preempt_ns] | total; $row[0].preempt_ns; 0.01; $apart),
		near("longest"; [$storm[].max_ns] | max; $row[0].max_ns; 0.01; $apart)' \
		--slurpfile comm "$T/comm.json" --argjson stolen $(($(steal) - stolen))
}

# bats test_tags=once
@test "text: a histogram, percentiles and culprits" {
	dwell runq -o "$T/text" -- "$W/waits" preempt 100 5 >/dev/null
	grep -q '█' "$T/text"
	grep -q 'p50 .*p95 .*p99 .*max ' "$T/text"
	grep -q 'waits .*%' "$T/text"
}
