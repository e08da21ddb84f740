# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# An ext4 of a test's own, with a journal, on a loop device.

LOOP=
MOUNT=
SLOW_GROUP=

# Skips where there can be none. It is mounted at $MOUNT, from $LOOP.
mount_ext4() {
	need mkfs.ext4 losetup
	truncate -s 64M "$DWELL_TEST_DIR/disk"
	mkfs.ext4 -q -F "$DWELL_TEST_DIR/disk"
	losetup --show -f "$DWELL_TEST_DIR/disk" >"$T/loop" 2>"$T/err" ||
		skip "no loop device: $(cat "$T/err")"
	LOOP=$(cat "$T/loop")
	mkdir "$T/ext4"
	mount -t ext4 "$LOOP" "$T/ext4" 2>"$T/err" || skip "no ext4: $(cat "$T/err")"
	MOUNT=$T/ext4
}

# Nothing of it is in the cache afterwards.
remount_ext4() {
	umount "$MOUNT"
	mount -t ext4 "$LOOP" "$MOUNT"
}

# slow_ext4 PID WRITES: of this process and its children the disk takes so many writes per second
slow_ext4() {
	local device

	device=$(stat -c '%Hr:%Lr' "$LOOP")
	if [ -d /sys/fs/cgroup/blkio ]; then
		SLOW_GROUP=/sys/fs/cgroup/blkio/dwell-test.$$
		mkdir "$SLOW_GROUP"
		echo "$device $2" >"$SLOW_GROUP/blkio.throttle.write_iops_device"
	else
		grep -qw io /sys/fs/cgroup/cgroup.controllers 2>/dev/null ||
			skip "no cgroup can throttle a disk"
		echo +io >/sys/fs/cgroup/cgroup.subtree_control
		SLOW_GROUP=/sys/fs/cgroup/dwell-test.$$
		mkdir "$SLOW_GROUP"
		echo "$device wiops=$2" >"$SLOW_GROUP/io.max"
	fi
	echo "$1" >"$SLOW_GROUP/cgroup.procs"
}

# However the test went.
umount_ext4() {
	# once who was in it is gone
	[ -z "$SLOW_GROUP" ] || timeout 20 sh -c 'until rmdir "$0" 2>/dev/null; do sleep 0.1; done' "$SLOW_GROUP" || true
	[ -z "$MOUNT" ] || umount -l "$MOUNT" 2>/dev/null || true
	[[ "$LOOP" != /dev/loop* ]] || losetup -d "$LOOP" 2>/dev/null || true
}
