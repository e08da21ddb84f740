/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* noframe, whose unwind table is in .debug_frame only. */
/* CFLAGS: -fomit-frame-pointer -fno-optimize-sibling-calls -Wno-return-type */
/* CFLAGS: -fno-asynchronous-unwind-tables -fno-unwind-tables */
/* LDFLAGS: -ldl */
#include "noframe.c"
