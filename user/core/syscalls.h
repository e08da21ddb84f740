/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* System calls of this architecture: their names, and what being blocked in one means. */
#ifndef DWELL_SYSCALLS_H
#define DWELL_SYSCALLS_H

#include <stdint.h>

#include "cause.h"
#include "file.h"

/* From the C library's own table and, of later ones, from ours; NULL if it has no name. */
const char *syscalls__name(unsigned int nr);

/* "EAGAIN", also those that are the kernel's own ("ERESTARTSYS"); NULL if it has no name. */
const char *syscalls__error(unsigned int error);

/* Fills file_config.call: the file operation by number. */
void syscalls__files(uint8_t calls[NR_SYSCALLS]);

/* Fills the kernel side's table: enum syscall_class by number. */
void syscalls__classes(uint8_t classes[NR_SYSCALLS]);

#endif
