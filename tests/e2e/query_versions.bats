#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Versions of PostgreSQL that are not installed: programs that stand in for them have the functions,
# arguments and layouts of each, and do what is known. A number is right, or it is said to be unknown.
# bats file_tags=once

load lib

# version NUMBER WORKLOAD: `$waits` is whether its sessions tell what they wait for
version() {
	query_stand_in "$2" postgres
	check "$T/dwell.out" 'lossless,
		(.rows | map({(.query): [.db, .count, .errors, .rows, .buffers_hit, .buffers_read, .wal_bytes]}) | add) as $seen |
		({"select a from t where b = ?": ["postgresql", 20, 0, 60, 120, 640, 0],
		  "update t set a = ?": ["postgresql", 20, 0, 20, 220, 40, 8000],
		  "select nonsense, ?": ["postgresql", 20, 20, 0, 0, 0, 0],
		  "delete from t where a = ?": ["postgresql", 20, 0, 40, 820, 40, 0],
		  "begin": ["postgresql", 21, 0, 0, 0, 0, 0],
		  "commit": ["postgresql", 21, 0, 0, 0, 0, 0],
		  "update t set a = ? where b = ?": ["postgresql", 1, 0, 1, 0, 0, 0],
		  "update t set a = ? where b = ? or c": ["postgresql", 1, 0, 1, 0, 0, 0]} + if $version == 17 then
		 {"select a from t where b = ? for update nowait": ["postgresql", 1, 1, 0, 0, 0, 0]} else {} end) as $has |
		expect($seen == $has; "\($seen)"),
		(.rows[] | near("states of \(.query)"; .states | map(.) | total; .total_ns; 0.005; 0)),
		(.rows | map({(.query): .waits}) | add) as $waits |
		(if $version < 14 then
			$waits[] | expect(. == null; "waits that nobody can know: \(.)")
		else
			$waits["update t set a = ?"] as $w | $waits["update t set a = ? where b = ? or c"] as $l |
			expect(($w | keys) == (["io", "lwlock"] + [if $version >= 17 then "injection_point" else "ipc" end] | sort);
				"waits: \($w)"),
			between("io"; $w.io; 20 * 3e6; 20 * 3e6 + 2e8),
			between("lwlock"; $w.lwlock; 20 * 2e6; 20 * 2e6 + 2e8),
			expect(($l | keys) == ["lock"]; "waits for the row: \($l)"),
			between("lock"; $l.lock; 50e6; 250e6)
		end),
		expect([.summary.blocked_by[] | [.query, .lock, .mode, .count, .holder_pid, .holder_statements]] ==
			[["update t set a = ? where b = ? or c", "transaction", "Share", 1, $holder,
			  ["begin", "update t set a = ? where b = ?"]]]; "\(.summary.blocked_by)"),
		between("blocked"; .summary.blocked_by[0].total_ns; 50e6; 250e6),
		# each is under way while it calls a function, and is not idle then
		(.summary.transactions |
			expect(.count == 21; "\(.count) transactions"),
			between("BEGIN to COMMIT"; .total_ns; 20 * 10e6; 20 * 10e6 + 2e9),
			between("idle"; .idle.total_ns; 20 * 7e6; .total_ns - 20 * 3e6)),
		expect(.summary.sessions.opened == 2; "\(.summary.sessions.opened) sessions")' \
		--argjson version "$1" --argjson holder "$(sed -n 's/^holder //p' "$T/out")"
}

@test "13: what its sessions wait for is not known; what they count is" {
	version 13 fake_postgres_13
}

@test "14: rows, buffers, WAL, waits, who blocks whom, transactions" {
	version 14 fake_postgres_14
}

@test "16: the same" {
	version 16 fake_postgres_16
}

@test "17: the same, and a class of waits of its own" {
	version 17 fake_postgres
}

@test "18: the same; its states have other numbers" {
	version 18 fake_postgres_18
}

@test "12: it is left out, since it does not tell rows as later ones do" {
	query_stand_in fake_postgres_12 postgres
	grep -q 'postgres is left out: .*exports no InitializeQueryCompletion' "$T/dwell.err"
	check "$T/dwell.out" 'expect(.rows == []; "\(.rows | map(.query))")'
}
