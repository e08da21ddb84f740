# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# A PostgreSQL server of a test's own, on a socket in a directory of its own.

# Skips without PostgreSQL. $PG_SERVER is its process, "${PG[@]}" runs a client. With $PG_WAL, its
# log is in that directory.
start_postgres() {
	local bin user

	need setpriv
	bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
	[ -x "$bin/initdb" ] && [ -x "$bin/pgbench" ] || skip "PostgreSQL is not installed"
	user=nobody
	! id postgres >/dev/null 2>&1 || user=postgres
	PG_DIR=$(mktemp -d /var/tmp/dwell-pg.XXXXXX)
	chown "$user" "$PG_DIR"
	PG=(env -C "$PG_DIR" PATH="$bin:$PATH" PGHOST="$PG_DIR" PGUSER=test PGDATABASE=postgres
		setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups)
	[ -z "${PG_WAL:-}" ] || install -d -o "$user" "$PG_WAL"
	timeout 60 "${PG[@]}" initdb ${PG_WAL:+-X "$PG_WAL"} -D "$PG_DIR/data" -U test -A trust --no-sync \
		>"$T/initdb" 2>&1 || fail_with "initdb:" "$T/initdb"
	start "$T/postgres" "${PG[@]}" postgres -D "$PG_DIR/data" -k "$PG_DIR" \
		-c listen_addresses= -c logging_collector=off -c autovacuum=off "$@" 2>"$T/pg.log"
	PG_SERVER=$PID
	for _ in {1..200}; do
		! "${PG[@]}" pg_isready -q || return 0
		sleep 0.1
	done
	fail_with "PostgreSQL does not start:" "$T/pg.log"
}

# Four clients at work on it, for longer than any test takes: $PGBENCH.
start_pgbench() {
	timeout 60 "${PG[@]}" pgbench -q -i -s 1 >"$T/pgbench.init" 2>&1 ||
		fail_with "pgbench:" "$T/pgbench.init"
	start "$T/pgbench" "${PG[@]}" pgbench -n -c 4 -j 2 -T 120
	PGBENCH=$PID
	sleep 1
}

# Their sessions go on, if a test has stopped them: the server waits for those.
stop_pgbench() {
	kill -KILL -- "-$PGBENCH"
	# shellcheck disable=SC2046 # a list
	kill -CONT $(pgrep -P "$PG_SERVER")
}

# However the test went: shared memory and files outlive a server that is killed.
stop_postgres() {
	[ -n "${PG_DIR:-}" ] || return 0
	if [ -n "${PG_SERVER:-}" ] && kill -INT "$PG_SERVER" 2>/dev/null; then
		timeout 20 tail -s 0.05 --pid="$PG_SERVER" -f /dev/null || true
	fi
	rm -rf "$PG_DIR"
}
