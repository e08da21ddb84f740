/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
#ifndef LOADER_TEST_H
#define LOADER_TEST_H

struct loader_answer {
	unsigned int tgid; /* whom to watch */
	unsigned int switches;
	unsigned int threads;
};

#define LOADER_PAIRS 1000

struct loader_pair {
	unsigned int first;
	unsigned int second;
};

#endif
