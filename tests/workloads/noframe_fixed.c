/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* noframe at fixed addresses: not position-independent. */
/* CFLAGS: -fomit-frame-pointer -fno-optimize-sibling-calls -Wno-return-type */
/* CFLAGS: -fno-pie -no-pie */
/* LDFLAGS: -ldl */
#include "noframe.c"
