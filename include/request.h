/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/*
 * Block requests: what is kept of one under way, how its tallies are keyed, and what is counted
 * beside them.
 *
 * A tally's key has the request's device in `id`, its operation in `aux`, its error in `id2`; the
 * slot of REQUEST_DIRECT is also the number of a struct request_group. Of these tallies, sums and
 * maxima are in struct request_counts: on one line of the cache, in place of three.
 */
#ifndef DWELL_REQUEST_H
#define DWELL_REQUEST_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* tally_key.state of a request's tallies */
enum request_part {
	REQUEST_DIRECT, /* from its issue to its completion, of one that was in no queue */
	REQUEST_QUEUED, /* from its insertion to its completion, of the others; their parts: */
	REQUEST_QUEUE,  /* …to its (last) issue */
	REQUEST_DEVICE, /* from there to its completion */
};

/* tally_key.aux: REQ_OP_* (include/linux/blk_types.h) and these */
#define REQUEST_OP        0xff
#define REQUEST_SYNC      0x100
#define REQUEST_META      0x200
#define REQUEST_AHEAD     0x400
#define REQUEST_FUA       0x800
#define REQUEST_WRITEBACK 0x1000 /* of the page cache, by a thread of the kernel's */

#define REQUEST_SIZES 16 /* by powers of two of a sector: 512 bytes, 1 KiB… 16 MiB and more */

/* What is counted of the requests of a group that completed in an epoch, or happened in it. */
struct request_counts {
	__u64 bytes;    /* transferred, without error */
	__u64 queue_ns; /* of the parts of their time, the sums… */
	__u64 device_ns;
	__u64 max_ns; /* …and the greatest: of the whole, and of its parts */
	__u64 queue_max_ns;
	__u64 device_max_ns;
	__u64 pad[2];
	/* [1]: that began where the group's last one ended. Buckets have 32 bits, too. */
	__u32 sizes[2][REQUEST_SIZES];
	/* Another line of the cache, of what is rare. */
	__u64 before;     /* completed, but begun before the run */
	__u64 requeues;   /* given back by the driver */
	__u64 partial;    /* completions of a part only */
	__u64 bio_merges; /* bios that became a part of a request… */
	__u64 rq_merges;  /* …and requests that did */
	__u64 pad2[3];
};

/* The first line of the cache is only read; who submits writes the second, who completes others. */
struct request_group {
	__u64 row;                                  /* thread_rec.row of who submitted them */
	__u32 dev;                                  /* major << 20 | minor */
	__u32 op;                                   /* as tally_key.aux */
	__u32 device;                               /* its struct request_device, or DEVICE_NONE */
	__u32 error;                                /* as tally_key.id2 */
	__u32 slot_queued, slot_queue, slot_device; /* the other tallies */
	__u32 ready;                                /* all of these are set */
	__u32 pad[6];
	__u64 next; /* sector behind the last request */
	__u64 pad2[7];
	struct request_counts counts[2]; /* by the bank: see include/tally.h */
};

_Static_assert(sizeof(struct request_group) == 640, "lines of 64 bytes");

/*
 * A request, in the array `requests`, near the place that its address says. The kernel uses
 * requests again and again: an entry that is idle remembers whose it was. One line of the cache,
 * which who completes the request only reads: so it stays with who submits, and is written there
 * without waiting for it.
 */
struct request_rec {
	__u64 request;  /* its address */
	__u64 inserted; /* ns */
	__u64 issued;   /* ns; 0: it waits for that; of a bio its sector, and REQUEST_BIO */
	char comm[16];  /* of who submitted it, as are… */
	__u32 tgid, tid;
	__u32 slot;      /* its group: TALLY_NONE if it is not counted */
	__u32 size;      /* bytes, when it was issued first; of which some may be completed then */
	__u32 begun;     /* requests that had the entry, this one included */
	__u16 device;    /* its struct request_device, or REQUEST_NOWHERE */
	__u8 requeued;   /* enum request_requeued */
	__u8 sequential; /* it begins where the group's last one ended */
};

_Static_assert(sizeof(struct request_rec) == 64, "a line of the cache");

/* It is a bio, to a device that has no requests: it is in no queue. No time, and no sector. */
#define REQUEST_BIO (1ULL << 63)

#define REQUEST_NOWHERE 0xffff /* its group has no place, or its device has none */

enum request_requeued {
	REQUEUED_BACK = 1,   /* the driver gave it back: it may be inserted again */
	REQUEUED_BEFORE = 2, /* that was so, and it is in the queue again */
};

/*
 * The end of the request of the same number in `requests`: that which is written by who completes
 * it. It is under way if `ended` is not what `begun` is there; if they are further apart than one,
 * the kernel did not hand over ends.
 */
struct request_end {
	__u32 ended; /* requests that had the entry, and ended or are given up */
	__u32 bytes; /* of the one under way, completed in parts… */
	__s32 error; /* …of which one failed: blk_status_t; before 5.16 a negative errno */
	__u32 pad;
};

/*
 * A device's queue since dwell was attached, of what is watched. Each request adds
 * request__load(its begin) to `in`, and request__load(its end) to `out`, modulo 2^64: so the lowest
 * REQUEST_DEPTH_BITS of in - out are the depth, and the area under it up to the moment t is
 * depth * t less the other bits, modulo 2^48 ns, whatever the order in which CPUs add. The first
 * line is of who submits, the second of who completes.
 */
struct request_device {
	__u32 dev;   /* ~0 for 0:0; 0: a free entry */
	__u32 depth; /* the greatest since user space set it to 0, less an eighth at most */
	__u64 in;
	__u32 look; /* when `in` is there, the depth is looked at again: that costs a cache miss */
	__u32 pad[11];
	__u64 out;
	__u64 pad2[7];
};

_Static_assert(sizeof(struct request_device) == 128, "two lines");

#define REQUEST_DEPTH_BITS 16
#define REQUEST_DEPTH      ((1U << REQUEST_DEPTH_BITS) - 1)

static inline __attribute__((always_inline)) __u64 request__load(__u64 ns)
{
	return ns << REQUEST_DEPTH_BITS | 1;
}

#define REQUEST_DEVICES 256 /* a power of two */
#define DEVICE_NONE     0xffffffffU

/* In the ring: one that took as long as window.slow_ns, or longer. */
struct request_slow {
	__u64 inserted;      /* ns */
	__u64 total, device; /* ns */
	__u64 sector;        /* of 512 bytes, from the disk's begin */
	__u64 stack;         /* with which it was submitted: see include/stack.h */
	__u32 dev, op;       /* as in struct request_group */
	__u32 tgid, tid;
	char comm[16];
	__u32 size;  /* bytes */
	__s32 error; /* as in struct request_end */
	__u32 epoch; /* that it ended in */
	__u32 pad;
};

_Static_assert(sizeof(struct request_slow) == 88, "no hidden padding");

/* name_key.kind of a device's name, and of a row's with --by file; below are enum cause_kind */
#define NAME_DEVICE   0x10000
#define NAME_ROW_FILE 0x10001

/*
 * thread_rec.row with --by file: a device and a hash of the inode's number (of its file system), or
 * ROW_BLOCK and the device that is read or written without a file.
 */
#define ROW_BLOCK   (1ULL << 63)
#define ROW_NO_FILE 2 /* it is not known: no bit of a device's number */

#endif
