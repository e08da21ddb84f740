/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* noframe, static and at fixed addresses. */
/* CFLAGS: -fomit-frame-pointer -fno-optimize-sibling-calls -Wno-return-type */
/* CFLAGS: -DNOFRAME_STATIC -no-pie */
/* LDFLAGS: -static */
#include "noframe.c"
