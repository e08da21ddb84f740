/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) OR (GPL-2.0 OR BSD-3-Clause) */
/* What user space tells the programs at uprobes about the file that the probe is in. */
#ifndef DWELL_PROBE_H
#define DWELL_PROBE_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define PROBE_FILES 64 /* different programs that are probed at once */
#define PROBE_DATA  8  /* variables of each */

/* Map `probe_data`, by the number of the file, which is the probes' cookie. */
struct probe_data {
	/* From the address of the first point's probe to the variable, bytes; 0: it has none. */
	__s64 delta[PROBE_DATA];
};

#endif
