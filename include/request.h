/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* Block requests: what is kept of one under way, and how its tallies are keyed. */
#ifndef DWELL_REQUEST_H
#define DWELL_REQUEST_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* tally_key.state of a request's tallies; id is its device, aux its operation, id2 its error. */
enum request_part {
	REQUEST_TOTAL,  /* from its insertion to its completion */
	REQUEST_QUEUE,  /* …to its (last) issue */
	REQUEST_DEVICE, /* from there to its completion */
	REQUEST_BYTES,  /* `sum` is of bytes */
	REQUEST_AGAIN,  /* requeued by the driver: a count */
	REQUEST_BEFORE, /* completed, but begun before the run: a count */
};

/* tally_key.aux: REQ_OP_* (include/linux/blk_types.h) and these */
#define REQUEST_OP    0xff
#define REQUEST_SYNC  0x100
#define REQUEST_META  0x200
#define REQUEST_AHEAD 0x400
#define REQUEST_FUA   0x800

/* A request under way, in the map `requests` by its address. */
struct request_rec {
	__u64 row;      /* thread_rec.row of who submitted it; 0: not watched */
	__u64 inserted; /* ns */
	__u64 issued;   /* ns; 0: not yet */
	__u64 bytes;    /* completed */
	__u32 dev;      /* as in makedev(3) of the kernel: major << 20 | minor */
	__u32 op;
	__u32 error;    /* blk_status_t */
	__u32 requeued; /* it is about to be inserted again */
};

_Static_assert(sizeof(struct request_rec) == 48, "no hidden padding");

/* name_key.kind of a device's name; below it are those of enum cause_kind */
#define NAME_DEVICE 0x10000

#endif
