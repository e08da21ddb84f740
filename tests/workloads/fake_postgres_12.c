/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* fake_postgres of another version. */
#define PG 12
#include "fake_postgres.c"
