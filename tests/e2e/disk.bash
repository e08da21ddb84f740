# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Block devices under fio, for tests of `dwell io`; load lib first.

# shellcheck disable=SC2034 # for those who load this

LOOP=
MOUNTS=()
GROUP=
ZRAM=
MAPPED=()
MD=
RESET= # of the disk whose latency a test changed

clean_up() {
	local dir

	# a file system on the device, or the device's file on one
	for dir in "${MOUNTS[@]}" / "${MOUNTS[@]}"; do
		if [ "$dir" != / ]; then
			umount "$dir" 2>/dev/null || true
		elif [[ "$LOOP" == /dev/loop* ]]; then
			losetup -d "$LOOP" 2>/dev/null || true
		fi
	done
	unstack
	[ -z "$RESET" ] || echo "$DWELL_DISK_NS" >"$RESET"
	[ -z "$GROUP" ] || rmdir "$GROUP" 2>/dev/null || true
	LOOP=
}

# What is measured: its path in $LOOP, its name in $DEV.
on_device() { # path
	LOOP=$1
	DEV=${1#/dev/}
}

# A loop device of 64 MiB in $LOOP, its name in $DEV.
loop() { # directory of its file, if it is not the test's
	local file=${1:-$DWELL_TEST_DIR}/disk

	need fio losetup
	truncate -s 64M "$file"
	losetup --show -f "$file" >"$T/loop" 2>"$T/err" ||
		skip "no loop device: $(cat "$T/err")"
	on_device "$(cat "$T/loop")"
}

# A zram device of 64 MiB: it has no requests, and does at once what it gets.
zram() {
	need fio
	ZRAM=$(cat /sys/class/zram-control/hot_add 2>/dev/null) || skip "no zram"
	echo 64M >"/sys/block/zram$ZRAM/disksize"
	on_device "/dev/zram$ZRAM"
}

# A device of device-mapper: its name in $NAME.
mapped() { # name table
	dmsetup --noudevsync --noudevrules create "$1" --table "$2" 2>"$T/err" ||
		skip "device-mapper: $(cat "$T/err")"
	MAPPED=("$1" "${MAPPED[@]}")
	NAME=$(dmsetup --noheadings -c -o blkdevname info "$1")
}

# An array of level 0, chunks of 64 KiB, without any data of its own on the disks: its name in $NAME.
striped() { # path…
	[ -e /sys/module/md_mod/parameters/new_array ] || skip "no md"
	echo md99 >/sys/module/md_mod/parameters/new_array
	MD=/dev/md99
	python3 - "$MD" "$@" <<-'END' 2>"$T/err" || fail_with "md:" "$T/err"
		import fcntl, os, struct, sys, time
		disks = [os.stat(path).st_rdev for path in sys.argv[2:]]
		for i in range(200):
		    if os.path.exists(sys.argv[1]):
		        break
		    time.sleep(0.02)
		md = os.open(sys.argv[1], os.O_RDWR)
		# include/uapi/linux/raid/md_u.h: SET_ARRAY_INFO, ADD_NEW_DISK, RUN_ARRAY
		fcntl.ioctl(md, 0x40480923, struct.pack("18i", 0, 90, 0, 0, 0, 0, len(disks), len(disks), 99, 1,
		    0, 0, 0, 0, 0, 0, 0, 65536))
		for i, dev in enumerate(disks):
		    fcntl.ioctl(md, 0x40140921, struct.pack("5i", i, os.major(dev), os.minor(dev), i, 6))
		fcntl.ioctl(md, 0x400c0930, struct.pack("3i", 0, 0, 0))
		os.close(md)
		os.close(os.open(sys.argv[1], os.O_RDONLY))  # who opens it first reads partitions
	END
	NAME=md99
}

unstack() {
	local name

	if [ -n "$MD" ]; then
		echo clear >/sys/block/md99/md/array_state || true
	fi
	for name in "${MAPPED[@]}"; do
		dmsetup --noudevsync --noudevrules remove --retry "$name" || true
	done
	if [ -n "$ZRAM" ]; then
		echo 1 >"/sys/block/zram$ZRAM/reset"
		echo "$ZRAM" >/sys/class/zram-control/hot_remove
	fi
	MD='' MAPPED=() ZRAM=
} 2>/dev/null

mounted() { # what directory options of mount…
	mkdir -p "$2"
	mount "${@:3}" "$1" "$2" 2>"$T/err" || skip "it cannot be mounted: $(cat "$T/err")"
	MOUNTS=("$2" "${MOUNTS[@]}")
}

# A file system on $LOOP, mounted on $MNT.
file_system() {
	need mkfs.ext4
	loop
	mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$LOOP"
	MNT=$T/mnt
	mounted "$LOOP" "$MNT"
}

# Runs fio on $LOOP under dwell, with these options; $BY: --by, $MORE: more of dwell's.
fio_on_loop() { # options of fio…
	# shellcheck disable=SC2086 # words
	dwell io --json --by "${BY:-process}" ${MORE:-} -o "$T/out" -- fio --name=oracle --filename="$LOOP" --direct=1 \
		--thread --norandommap --randrepeat=1 --output-format=json --output="$T/fio" "$@" \
		>/dev/null 2>"$T/err" || fail_with "exit status $?:" "$T/err"
}

# From here on up to 32 requests of $LOOP are under way.
keep_busy() {
	local i busy

	# --thread: fio's processes leave the group with which they would be killed
	start "$T/fio.out" fio --name=busy --filename="$LOOP" --direct=1 --thread --ioengine=libaio --iodepth=32 \
		--rw=randread --bs=4k --size=16M --time_based --runtime=60
	for ((i = 0; i < 1000; i++)); do
		read -r _ _ _ _ _ _ _ _ busy _ <"/sys/block/$DEV/stat"
		[ "$busy" -lt 32 ] || return 0
		sleep 0.02
	done
	fail_with "never 32 requests under way, but $busy:" "$T/fio.out"
}

# What holds for every row.
rows_add_up() { # file
	check "$1" 'sound, lossless, (.rows[] |
		near("queue and device of \(.dev) \(.op)"; .queue.total_ns + .device.total_ns; .total_ns; 0; 0),
		expect(.count == (.hist.zero + ([.hist.buckets[][1]] | total)); "count is not the sum"),
		expect(.max_ns <= .total_ns; "max_ns is more than total_ns: \(.)"))'
}
