// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* LDFLAGS: -Wl,-Bstatic -lsqlite3 -Wl,-Bdynamic -lz -lm -ldl */
/* The same with SQLite linked in: there is no library by whose name it could be found. */
#include "lite.c"
