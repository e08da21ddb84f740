/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Whom a lock's holder waits for himself, and so on; and who wait for each other for good. */
#ifndef DWELL_LOCKCHAINS_H
#define DWELL_LOCKCHAINS_H

#include "core/lockrows.h"

/*
 * Who waits for whom, from the longest waiter of @row on: "query ← mutex A (worker 7) ← mutex B
 * (logger 9) ← fsync /var/log/…", each a string.
 */
enum dwell_exit lockchains__follow(struct lockrows *r, struct lockrow *row);

/* "ping (7) waits for mutex a, which pong (8) has, and pong waits for mutex b, which ping has" */
const char *lockchains__verdict(struct lockrows *r);

#endif
