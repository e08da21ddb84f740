/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* System calls of this architecture: their names, and what being blocked in one means. */
#ifndef DWELL_SYSCALLS_H
#define DWELL_SYSCALLS_H

#include <stdint.h>

#include "cause.h"

/* From the C library's own table; NULL if the number has no name. */
const char *syscalls__name(unsigned int nr);

/* Fills the kernel side's table: enum syscall_class by number. */
void syscalls__classes(uint8_t classes[NR_SYSCALLS]);

#endif
