# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What the scripts here share: a server and a disk of their own, and command lines with {names}.
# shellcheck shell=bash

PATH=$PATH:/usr/sbin:/sbin
scratch=$(mktemp -d /var/tmp/dwell-bench.XXXXXX)
server=
servers=()
loop=
postgres=
pg=()

bench_cleanup() {
	[ -z "$server" ] || { kill "${servers[@]}"; wait "${servers[@]}"; } 2>/dev/null || true
	[ -z "$loop" ] || losetup -d "$loop" || true
	rm -rf "$scratch"
}

# A PostgreSQL server with pgbench's tables, begun by PREFIX…: $server, $postgres (its program, a file
# of its own: who else looks at PostgreSQL on this machine does not count), ${pg[@]} (before a client).
# It is in $scratch/$pg_name; there can be several.
pg_name=pg
pg_start() { # prefix…
	local bin user=nobody home=$scratch/$pg_name

	bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
	[ -n "$bin" ] || return 1
	! id postgres >/dev/null 2>&1 || user=postgres
	mkdir "$home"
	chmod 755 "$scratch"
	chown "$user" "$home"
	pg=(env -C "$home" PATH="$bin:$PATH" PGHOST="$home" PGUSER=test PGDATABASE=postgres
		setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups)
	postgres=$home/postgres
	cp "$(readlink -f "$bin/postgres")" "$postgres"
	"${pg[@]}" initdb -D "$home/data" -U test -A trust --no-sync >/dev/null
	"$@" "${pg[@]}" "$postgres" -D "$home/data" -k "$home" -c listen_addresses= \
		-c autovacuum=off -c max_wal_size=8GB >"$home/log" 2>&1 &
	server=$!
	servers+=("$server")
	until "${pg[@]}" pg_isready -q; do
		kill -0 "$server" 2>/dev/null || return 1
		sleep 0.1
	done
	"${pg[@]}" pgbench -q -i -s 1 2>/dev/null
}

pg_pid() {
	head -n 1 "$scratch/$pg_name/data/postmaster.pid"
}

# A block device that is a file: $loop
loop_start() {
	truncate -s 256M "$scratch/disk"
	loop=$(losetup --find --show --direct-io=on "$scratch/disk" 2>/dev/null ||
		losetup --find --show "$scratch/disk" 2>/dev/null)
}

# Makes what a command line needs besides its program, unless it is there; else what is missing is
# in $lacking.
bench_prepare() { # command line
	lacking=
	if [[ $1 == *{p[go]* ]] && [ -z "$server" ]; then
		pg_start || lacking=PostgreSQL
	fi
	if [[ $1 == *{loop}* ]] && [ -z "$loop" ]; then
		loop_start || lacking="a loop device"
	fi
	[ -z "$lacking" ]
}

# Rows of a table in this folder: all, or those whose first column is WANTED
bench_rows() { # file wanted
	grep -v '^#' "tests/bench/$1" | awk -F'\t' -v wanted="$2" 'wanted == "" || $1 == wanted'
}

# How much a tool says that it lost, in what it wrote: a number, or nothing
bench_lost() { # file
	[ ! -f "$1" ] || sed -n 's/^dwell: LOST \([0-9]*\).*/\1/p; s/^Lost \([0-9]*\) events.*/\1/p' "$1" | tail -n 1
}

# How many frames the stacks have, on average, that a tool wrote: folded ones without what dwell adds,
# or keys of bpftrace's maps; or nothing
bench_frames() { # file
	[ ! -f "$1" ] || awk -F';' '
		sub(/ [0-9]+$/, "") && NF > 1 {
			stacks++
			for (i = 2; i <= NF; i++)
				frames += $i !~ /^\[.* /
		}
		/^@ns\[.*, $/ { inside = 1; stacks++ }
		/^\]/ { inside = 0 }
		inside && /^    [^ ]/ { frames++ }
		END { if (stacks) printf "%.1f\n", frames / stacks }' "$1"
}

# A command line with its {names} filled in; further ones as NAME=VALUE
bench_fill() { # command line, name=value…
	local line=$1 pair here

	here=$PWD/tests/bench
	for pair in "dwell=$PWD/build/dwell" "floor=$PWD/build/tests/workloads/empties" \
		"clock=sched_switch sched_wakeup task_newtask sched_process_exit" \
		"workloads=$PWD/build/tests/workloads" "bench=$here" "scratch=$scratch" "loop=$loop" \
		"postgres=$postgres" \
		"pgbench=${pg[*]} pgbench -n" "postmaster=${server:+$(pg_pid)}" "${@:2}"; do
		line=${line//"{${pair%%=*}}"/${pair#*=}}
	done
	printf '%s' "$line"
}
