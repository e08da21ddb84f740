# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# A MariaDB server of a test's own, on a socket in a directory of its own.

# Skips without MariaDB. $MY_SERVER is its process, "${MY[@]}" runs statements from stdin.
start_mariadb() { # server's options…
	need mariadbd mariadb-install-db mariadb
	MY_DIR=$(mktemp -d /var/tmp/dwell-my.XXXXXX)
	chmod 755 "$MY_DIR"
	timeout 120 mariadb-install-db --no-defaults --datadir="$MY_DIR/data" --skip-test-db \
		--auth-root-authentication-method=normal --user=root --skip-name-resolve \
		--innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 >"$T/install" 2>&1 ||
		fail_with "mariadb-install-db:" "$T/install"
	run_mariadb "$MY_DIR/data" "$@"
}

run_mariadb() { # data server's options…
	start "$T/mariadbd" mariadbd --no-defaults --user=root --datadir="$1" \
		--socket="$MY_DIR/socket" --pid-file="$MY_DIR/pid" --skip-networking --skip-name-resolve \
		--innodb-buffer-pool-size=16M --innodb-flush-log-at-trx-commit=0 "${@:2}" 2>"$T/my.log"
	MY_SERVER=$PID
	MY=(mariadb --no-defaults --socket="$MY_DIR/socket" --user=root --skip-column-names --batch)
	for _ in {1..300}; do
		! "${MY[@]}" -e 'SELECT 1' >"$T/up" 2>&1 || return 0
		sleep 0.1
	done
	fail_with "MariaDB does not start:" "$T/my.log"
}

# However the test went.
stop_mariadb() {
	[ -n "${MY_DIR:-}" ] || return 0
	! kill -KILL "${MY_SERVER:-0}" 2>/dev/null || timeout 20 tail -s 0.05 --pid="$MY_SERVER" -f /dev/null || true
	rm -rf "$MY_DIR"
}
