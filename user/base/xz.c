// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "base/xz.h"

#include <errno.h>
#include <lzma.h>
#include <stdlib.h>

#define XZ_MEMORY (128U << 20) /* for a dictionary: 64 MiB is the largest that `xz -9` makes */
#define XZ_ROOM   (1U << 20)   /* for the data, at first */

int xz__unpack(const void *packed, size_t n, size_t max, void **data, size_t *bytes)
{
	lzma_ret ret = LZMA_BUF_ERROR;
	size_t in, out = 0, room = max < XZ_ROOM ? max : XZ_ROOM;
	uint8_t *to = NULL, *more;

	for (; ret == LZMA_BUF_ERROR; room = room > max / 4 ? max : room * 4) {
		uint64_t memory = XZ_MEMORY;

		more = realloc(to, room);
		if (!more) {
			free(to);
			return -ENOMEM;
		}
		to = more;
		in = out = 0;
		ret = lzma_stream_buffer_decode(&memory, 0, NULL, packed, &in, n, to, &out, room);
		if (room == max)
			break;
	}
	if (ret != LZMA_OK) {
		free(to);
		return ret == LZMA_MEM_ERROR ? -ENOMEM : -EINVAL;
	}
	*data = to;
	*bytes = out;
	return 0;
}
