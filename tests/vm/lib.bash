# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What the scripts of the kernel matrix share.

CACHE=${XDG_CACHE_HOME:-/var/cache}/dwell-vm
export PATH=$PATH:/usr/sbin:/sbin

# The kernels of the matrix, oldest first. A series is a prefix of version numbers: 7 is any 7.x.
SERIES=(5.10 6.1 6.12 6.18 7)

die() {
	echo "${0##*/}: $*" >&2
	exit 2
}

# Where the libraries of the unpacked emulator are, for LD_LIBRARY_PATH
libraries() { # tree
	echo "$1/usr/lib/x86_64-linux-gnu:$1/lib/x86_64-linux-gnu"
}

# Dies where a guest has a disk of its own instead of this directory.
need_shared() {
	[[ $PWD/ != /var/tmp/* ]] || die "guests do not see /var/tmp: run this from a directory elsewhere"
}
