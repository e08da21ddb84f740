#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What query costs pgbench at one client, where statements take some 20 us and every hit of a probe
# counts: ratios to a server that nobody looks at, and to programs that do nothing on the same points.
# The figures are printed, beside bpftrace's that makes a histogram, as `make bench-query` prints them.
# bats file_tags=once

load lib

FACTOR=${DWELL_COST_FACTOR:-1}

# limits WORK TRACERS RATIO EMPTIES [STATEMENTS]: the medians of many short runs in turns are within these,
# of tps and of what empty programs add to so many statements (-: whatever that is). How dear a probe is
# beside a statement is the machine's: where empty programs alone come close to the ratio, what is added to
# theirs counts. What others do on the machine is in some of the runs: there are more where a limit is
# exceeded.
limits() {
	local i

	compgen -G '/usr/lib/postgresql/*/bin/pgbench' >"$T/pgbench" || skip "PostgreSQL is not installed"
	[[ $2 != *bpftrace* ]] || need bpftrace
	: >"$T/runs"
	for ((i = 0; i < 4; i++)); do
		DWELL=$DWELL DWELL_WORKLOADS=$W WORK="^$1\$" TRACERS=$2 RUNS=$T/more timeout 200 \
			"$ROOT/tests/bench/query" 25 >"$T/table" 2>"$T/err" ||
			fail_with "tests/bench/query:" "$T/err"
		cat "$T/more" >>"$T/runs"
		"$ROOT/tests/bench/query.awk" "$T/runs" >"$T/table"
		# us each: what runs differ by when others have the machine comes on top
		! awk -v ratio="$3" -v empties="$4" -v n="${5:-1}" -v factor="$FACTOR" '
			BEGIN { within = empties == "-" }
			$2 == "dwell" { fast = $4 >= 1 - (1 - ratio) * factor; added = $7 }
			$2 == "empty" && 1 - $4 > (1 - ratio) * 0.75 { fast = 1 }
			$2 == "empty" { within = added <= ($7 * empties + 0.5 * n) * factor }
			END { exit !(fast && within) }' "$T/table" || break
	done
	sed 's/^/# /' "$T/table" >&3
	[ $i -lt 4 ] || fail_with "less than $3 of the tps, or more than $4 times what empty programs add:" \
		"$T/table"
}

@test "select-only, prepared: the tps, and what is added beside empty programs" {
	limits prepared "dwell empty bpftrace" 0.80 1.6
}

@test "select-only, simple: the tps, and what is added beside empty programs" {
	limits simple "dwell empty bpftrace" 0.85 1.6
}

# Seven statements in a transaction, which takes some 200 us where the disk takes none to be synced.
@test "TPC-B with fsync: the tps, and what is added beside empty programs" {
	limits tpcb "dwell empty bpftrace" 0.82 2.5 7
}

@test "TPC-B whose commits take 5 ms, as on a disk: the tps, and what is added" {
	limits tpcb-5ms dwell 0.97 -
}
