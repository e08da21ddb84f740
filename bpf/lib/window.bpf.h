/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The epochs of the run: see struct window. User space moves them on; programs only read. */
#ifndef DWELL_WINDOW_BPF_H
#define DWELL_WINDOW_BPF_H

#include "lib/compat.bpf.h"
#include "config.h"

volatile struct window window SEC(".data.core");

static __always_inline u64 window__start(u32 epoch)
{
	return window.start[epoch & 3];
}

#endif
