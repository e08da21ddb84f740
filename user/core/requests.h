/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Names for what include/request.h has as numbers. */
#ifndef DWELL_REQUESTS_H
#define DWELL_REQUESTS_H

#include "core/devices.h"
#include "core/session.h"
#include "request.h"

/* The operation in request_group.op: "write"; "other" for one without a name. Never NULL. */
const char *requests__op(uint32_t aux);

/* The operations that are called by the first @len characters of @name: 1 << REQ_OP_*; 0: none. */
uint64_t requests__ops(const char *name, size_t len);

/* Its flags: "sync,meta", "" without any; in the session's arena. NULL without memory. */
const char *requests__flags(struct session *s, uint32_t aux);

/*
 * Device @dev (major << 20 | minor) as it was called when it was seen first, or else as @now says;
 * "8:0" if nobody knows. In the session's arena; NULL without memory.
 */
const char *requests__device(struct session *s, uint32_t dev, const struct device *now);

/* An error of include/request.h as "EIO"; "?" for one without a name. Never NULL. */
const char *requests__error(uint32_t error);

#endif
