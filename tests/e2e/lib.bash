# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What the end-to-end tests share. Every test ends, whatever dwell does: what runs in the foreground
# does so under `timeout`, what runs in the background is killed in teardown.
#
# A test with the tag `once` tells of user space, of this machine's speed, or takes very long: the
# kernel matrix (tests/vm) leaves it out.

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
DWELL=${DWELL:-$ROOT/build/dwell}
W=${DWELL_WORKLOADS:-$ROOT/build/tests/workloads}
LIMIT=${DWELL_TEST_LIMIT:-60}    # seconds for anything in the foreground
SLOW=${DWELL_TEST_SLOW:-1}       # how much longer than on a machine of today things may take
ROUNDS=${DWELL_TEST_ROUNDS:-200} # waits of an oracle

setup() {
	T=$BATS_TEST_TMPDIR
	PIDS=()
	HALTED=() # processes that a failed test may leave stopped
	# For the workloads' files: on a disk, which /tmp need not be.
	DWELL_TEST_DIR=$(mktemp -d /var/tmp/dwell-e2e.XXXXXX)
	export DWELL_TEST_DIR
}

teardown() {
	local pid

	# whole groups: a program's children must not outlive the test either
	for pid in "${PIDS[@]}"; do
		kill -KILL -- "-$pid" "$pid" 2>/dev/null || true
	done
	[ ${#HALTED[@]} = 0 ] || kill -KILL "${HALTED[@]}" 2>/dev/null || true
	for pid in "${PIDS[@]}"; do
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$DWELL_TEST_DIR"
	if declare -F clean_up >/dev/null; then
		clean_up
	fi
}

# skip unless these programs are there
need() {
	local program

	for program; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
}

# The same in a guest, which has what the host happens to have; natively tools/install-deps brings them
need_natively() {
	local program

	[ -z "${DWELL_VM:-}" ] || need "$@"
	for program; do
		command -v "$program" >/dev/null || fail_with "$program is missing: sudo tools/install-deps"
	done
}

dwell() {
	timeout -k 5 "$LIMIT" "$DWELL" "$@"
}

# seconds N: N, and as many times more as this machine is slower
seconds() {
	awk -v n="$1" -v slow="$SLOW" 'BEGIN { print n * slow }'
}

# few ITEM…: these; the first only where everything takes long ($DWELL_TEST_FEW) and the others would
# tell the same of a kernel
few() {
	if [ -n "${DWELL_TEST_FEW:-}" ]; then
		echo "$1"
	else
		echo "$@"
	fi
}

# fails, and shows the file
fail_with() { # message [file]
	echo "$1"
	[ $# -lt 2 ] || sed 's/^/    /' "$2"
	return 1
}

# wait_for PATTERN FILE [SECONDS]: until a line of the file matches
wait_for() {
	local i

	for ((i = 0; i < ${3:-20} * 50; i++)); do
		! grep -qe "$1" "$2" 2>/dev/null || return 0
		sleep 0.02
	done
	fail_with "no line like '$1' in $2 after ${3:-20} s:" "$2"
}

# await PID [SECONDS]: the exit status of a child in the background; 137 if it had to be killed
await() {
	timeout "${2:-$LIMIT}" tail -s 0.05 --pid="$1" -f /dev/null || kill -KILL "$1" || true
	wait "$1"
}

# What a program in the background is started with: a session of its own, so that it can be killed
# with its children; an end if the test itself is killed; and signals as they are on a terminal
# (background jobs of a script ignore SIGINT).
ALONE=(setsid env "--default-signal=INT,QUIT")
! command -v setpriv >/dev/null || ALONE+=(setpriv --pdeathsig KILL)

# For a client whose times are the truth, and its server: a client waits for a CPU itself, too, and
# for the server to have one.
AT_ONCE=(chrt --rr 1)

at_once() { # PID: of a process with all its threads, and what these start
	chrt --all-tasks --rr --pid 1 "$1"
}

# The steal of all CPUs so far: what the hypervisor gave to others. In ns.
steal() {
	awk -v hz="$(getconf CLK_TCK)" '$1 == "cpu" { printf "%.0f", $9 * 1e9 / hz }' /proc/stat
}

# A program in the background, with stdout in a file; its pid and process group come in $PID.
start() { # file of stdout, program…
	"${ALONE[@]}" "${@:2}" >"$1" 3>&- &
	PID=$!
	PIDS+=("$PID")
}

# dwell in the background; returns when it traces. $DWELL_PID; stderr is in $T/dwell.err.
start_dwell() {
	: >"$T/dwell.err"
	"${ALONE[@]}" "$DWELL" "$@" >"$T/dwell.out" 2>"$T/dwell.err" 3>&- &
	DWELL_PID=$!
	PIDS+=("$DWELL_PID")
	wait_for '^dwell: tracing' "$T/dwell.err"
}

# Ends it as Ctrl-C does; its exit status.
stop_dwell() {
	kill -INT "$DWELL_PID" 2>/dev/null || true
	await "$DWELL_PID" 20 || fail_with "dwell's exit status is $?:" "$T/dwell.err"
}

# query, of a workload that stands in for the server NAME: it begins when dwell looks.
query_stand_in() { # workload NAME
	cp "$W/$1" "$T/$2"
	mkfifo "$T/go"
	start "$T/out" sh -c 'exec "$1" <"$0" 2>"$0.err"' "$T/go" "$T/$2"
	exec 7>"$T/go"
	wait_for '^ready' "$T/go.err"
	start_dwell query -d 120 --json -p "$PID" -v
	echo go >&7
	exec 7>&-
	await "$PID"
	stop_dwell
}

# skip unless the kernel tells of contended locks (5.19): they count as what the system call is then
has_contention() {
	[ -d /sys/kernel/tracing/events/lock/contention_begin ] || [ ! -d /sys/kernel/tracing/events ]
}

need_contention() {
	has_contention || skip "this kernel does not tell of contended kernel locks"
}

# Stops processes, until none of their threads can run: what is measured from one halt to the next
# has no wait and no slice that is under way at its ends.
halt() { # PID…
	local i pid stat=()

	HALTED=("$@")
	kill -STOP "$@"
	for pid; do
		stat+=("/proc/$pid"/task/*/stat)
	done
	for ((i = 0; i < 500; i++)); do
		grep -qvsE '^[0-9]+ \(.*\) [TZX] ' "${stat[@]}" || return 0
		sleep 0.02
	done
	fail_with "some of $* cannot be stopped"
}

resume() { # PID…
	HALTED=()
	kill -CONT "$@"
}

# Two dwells over the same SECONDS of the life of process PID: dwell as start_dwell() does, with its
# report in $T/dwell.out, and another one with these arguments, with its report in $T/beside.out.
side_by_side() { # PID SECONDS dwell's arguments… -- the other's arguments…
	local pid=$1 seconds=$2 own=() other

	shift 2
	while [ "$1" != -- ]; do
		own+=("$1")
		shift
	done
	halt "$pid"
	start_dwell "${@:2}" -d 120 -p "$pid" -o "$T/beside.out"
	other=$DWELL_PID
	start_dwell "${own[@]}" -d 120 -p "$pid"
	resume "$pid"
	sleep "$seconds"
	halt "$pid"
	stop_dwell
	DWELL_PID=$other
	stop_dwell
	resume "$pid"
}

# A process that only sleeps, in $PID.
start_sleeper() {
	start "$T/sleeper.$1" "$W/sleeper" "$1"
	wait_for '^ready' "$T/sleeper.$1"
}

# check FILE FILTER [jq's options…]: the filter yields texts, each of which is a fault
check() {
	local faults

	# callers may run without `set -e`
	if ! faults=$(jq -r -L "$BATS_TEST_DIRNAME" "${@:3}" "include \"check\"; $2" "$1"); then
		echo "jq cannot evaluate this on $1: $2"
		fail_with "its $(wc -c <"$1") bytes end in '$(tail -c 100 "$1" | tr -d '\0')'"
		return 1
	fi
	# of no document at all jq has no fault to tell
	[ -s "$1" ] || [ -p "$1" ] || fail_with "$1 is empty" || return 1
	[ -z "$faults" ] || fail_with "$faults"
}

# Fails unless the last `run` ended with this status and one line on stderr (in $output, with
# run's 2>&1) that begins with "dwell: " and contains the text.
refused() { # status text
	[ "$status" = "$1" ] || fail_with "exit status $status instead of $1: $output"
	[ "${#lines[@]}" = 1 ] || fail_with "not one line: $output"
	[[ $output == "dwell: "*"$2"* ]] || fail_with "'$output' does not say '$2'"
}

# The BPF objects that a process holds, one a line: "prog 12", "map 34", "link 56". Ids are not used
# again soon: the kernel counts them up.
bpf_objects() { # PID
	sed -nE 's/^(prog|map|link)_id:\s*([0-9]+)$/\1 \2/p' "/proc/$1"/fdinfo/* | sort -u
}

# Fails unless all of these objects are gone; the kernel frees them a moment after their last user.
await_bpf_gone() { # file of bpf_objects
	local i kind id left

	for ((i = 0; i < 250; i++)); do
		left=
		while read -r kind id; do
			! bpftool "$kind" show id "$id" >/dev/null 2>&1 || left+=" $kind $id"
		done <"$1"
		[ -n "$left" ] || return 0
		sleep 0.02
	done
	fail_with "there still are BPF objects of dwell's:$left"
}
