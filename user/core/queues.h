/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The depth of block devices' queues over time: see struct request_device in include/request.h. */
#ifndef DWELL_QUEUES_H
#define DWELL_QUEUES_H

#include "core/session.h"
#include "request.h"

struct queue;

struct queues {
	struct shared shared;
	struct request_device *devices;       /* in it */
	struct queue *queue[REQUEST_DEVICES]; /* NULL: not seen yet */
	bool gone_told[REQUEST_DEVICES];
};

/* @qs is all zero. 0 or -errno. */
int queues__attach(const struct session *s, struct queues *qs);
void queues__detach(struct queues *qs);

/* One more point of each queue's depth, up to now: once a second or so, while the epoch runs. */
void queues__sample(const struct session *s, struct queues *qs);

/* The devices' table of the epoch that is reported; the next one begins. */
enum dwell_exit queues__table(struct session *s, struct queues *qs, struct report_table *table);

#endif
