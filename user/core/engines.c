// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/engines.h"

#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

static const char *const postgresql_names[] = {"postgres", "postmaster", NULL};

static const struct probe_point postgresql_points[] = {
	{"pg_activity", "pgstat_report_activity", 2, 0},
	{"pg_end_command", "EndCommand", 1, 0},
	{"pg_abort", "AbortCurrentTransaction", 0, 0},
	{"pg_worker", "BecomeLockGroupMember", 0, POINT_OPTIONAL},
	{"pg_lock_wait", "ProcSleep", 1, POINT_OPTIONAL},
	{"pg_lock_got", "ProcSleep", 0, POINT_OPTIONAL | POINT_RETURN},
	/* 13's: before, EndCommand() has another argument, which says no number of rows. */
	{NULL, "InitializeQueryCompletion", 0, 0},
};

/* In the order of enum pg_datum in bpf/query_postgresql.bpf.c. */
static const char *const postgresql_data[] = {
	"pgBufferUsage", "pgWalUsage", "my_wait_event_info", "MyProc", "MyProcPort", NULL,
};

/* ---- layouts ------------------------------------------------------------------------------- */

#define OFFSET_MAX 65536 /* of a field; more is no field */

/* The displacement of "OP reg, [reg + disp]" at @code, if its base is no frame; else 0. */
static uint64_t displacement(const uint8_t *code, size_t size)
{
	uint8_t mod = code[2] >> 6, base = code[2] & 7;
	int32_t far = 0;

	if (base == 4 || base == 5)
		return 0;
	if (mod == 1)
		return size >= 4 && (int8_t)code[3] > 0 ? code[3] : 0;
	if (mod != 2 || size < 7)
		return 0;
	memcpy(&far, code + 3, sizeof(far));
	return far > 0 && far < OFFSET_MAX ? (uint64_t)far : 0;
}

#ifdef __x86_64__
/*
 * const char *sqlite3_sql(sqlite3_stmt *p) { return p ? ((Vdbe *)p)->zSql : 0; } has one load from
 * the statement: mov disp(%reg), %reg.
 */
static bool sqlite__layout(const uint8_t *code, size_t size, uint64_t *cookie)
{
	*cookie = 0;
	for (size_t i = 0; i + 4 <= size && i < 64 && !*cookie; i++) {
		if ((code[i] & 0xf8) == 0x48 && code[i + 1] == 0x8b)
			*cookie = displacement(code + i, size - i);
	}
	return *cookie && !(*cookie & 7);
}
#elif defined(__aarch64__)
/* The same: ldr xT, [xN, #imm]. */
static bool sqlite__layout(const uint8_t *code, size_t size, uint64_t *cookie)
{
	uint32_t insn;

	*cookie = 0;
	for (size_t i = 0; i + 4 <= size && i < 64 && !*cookie; i += 4) {
		memcpy(&insn, code + i, sizeof(insn));
		if ((insn & 0xffc00000) == 0xf9400000 && (insn >> 5 & 31) < 29)
			*cookie = (insn >> 10 & 0xfff) * 8;
	}
	return *cookie != 0;
}
#endif

/*
 * void THD::inc_sent_row_count(ha_rows count) adds to the field: add %rsi, disp(%rdi), or
 * add disp(%rdi), %rsi.
 */
#ifdef __x86_64__
static bool mysql__layout(const uint8_t *code, size_t size, uint64_t *cookie)
{
	*cookie = 0;
	for (size_t i = 0; i + 4 <= size && i < 64 && !*cookie; i++) {
		if (code[i] == 0x48 && (code[i + 1] == 0x01 || code[i + 1] == 0x03) &&
		    (code[i + 2] & 0x3f) == 0x37)
			*cookie = displacement(code + i, size - i);
	}
	return *cookie && !(*cookie & 7);
}
#elif defined(__aarch64__)
#define mysql__layout sqlite__layout /* ldr xT, [x0, #imm]; add; str */
#endif

/* void echoCommand(client *c) { addReplyBulk(c, c->argv[1]); } loads argv: mov disp(%rdi), %reg. */
#ifdef __x86_64__
static bool valkey__layout(const uint8_t *code, size_t size, uint64_t *cookie)
{
	*cookie = 0;
	for (size_t i = 0; i + 4 <= size && i < 64 && !*cookie; i++) {
		if ((code[i] & 0xfb) == 0x48 && code[i + 1] == 0x8b && (code[i + 2] & 7) == 7)
			*cookie = displacement(code + i, size - i);
	}
	return *cookie && !(*cookie & 7);
}
#elif defined(__aarch64__)
#define valkey__layout sqlite__layout /* ldr xT, [x0, #imm] */
#endif

/* ---- the table ----------------------------------------------------------------------------- */

static const char *const sqlite_paths[] = {
	"/usr/lib/libsqlite3.so.0",         "/usr/lib/*/libsqlite3.so.0",
	"/usr/lib64/libsqlite3.so.0",       "/usr/local/lib/libsqlite3.so.0",
	"/usr/local/lib/*/libsqlite3.so.0", NULL,
};

static const struct probe_point sqlite_points[] = {
	{"lite_stepped", "sqlite3_step", 0, POINT_RETURN},
	{"lite_step", "sqlite3_step", 1, 0},
	{"lite_reset", "sqlite3_reset", 1, 0},
	{"lite_reset", "sqlite3_finalize", 1, 0},
};

static const char *const mysql_names[] = {"mariadbd", "mysqld", NULL};

/* dispatch_command(enum_server_command, THD *, char *, uint, …) has another end from 10.6 on. */
#define MARIADB_POINTS(dispatch)                                                                   \
	{                                                                                          \
		{"my_done", dispatch, 0, POINT_RETURN}, {"maria_dispatch", dispatch, 2, 0},        \
			{"maria_log", "_Z17general_log_writeP3THD19enum_server_commandPKcm", 4,    \
			 0},                                                                       \
			{"maria_ok", "_ZN8Protocol11net_send_okEP3THDjjyyPKcb", 5,                 \
			 POINT_OPTIONAL},                                                          \
			{"my_error", "_ZN8Protocol21net_send_error_packetEP3THDjPKcS3_", 0,        \
			 POINT_OPTIONAL},                                                          \
	}

static const struct probe_point mariadb_points[] =
	MARIADB_POINTS("_Z16dispatch_command19enum_server_commandP3THDPcjb");
static const struct probe_point mariadb_10_5_points[] =
	MARIADB_POINTS("_Z16dispatch_command19enum_server_commandP3THDPcjbb");

#define MYSQL_DISPATCH "_Z16dispatch_commandP3THDPK8COM_DATA19enum_server_command"

static const struct probe_point mysql_points[] = {
	{"my_done", MYSQL_DISPATCH, 0, POINT_RETURN},
	{"mysql_dispatch", MYSQL_DISPATCH, 3, 0},
	{"mysql_log", "_ZN12Query_logger17general_log_writeEP3THD19enum_server_commandPKcm", 5, 0},
	{"mysql_ok", "_ZN16Protocol_classic7send_okEjjyyPKc", 4, POINT_OPTIONAL},
	{"my_error", "_ZN16Protocol_classic10send_errorEjPKcS1_", 0, POINT_OPTIONAL},
};

/* Debian's redis-server is a link to redis-check-rdb, which knows by its name what it is to be. */
static const char *const redis_names[] = {"redis-server", "redis-check-rdb", "valkey-server",
					  "valkey-check-rdb", NULL};

static const struct probe_point redis_points[] = {
	{"redis_done", "slowlogPushEntryIfNeeded", 4, 0},
	{"redis_error", "afterErrorReply", 0, POINT_OPTIONAL},
	{"redis_woken", "afterSleep", 0, POINT_OPTIONAL},
	{"redis_call", "call", 1, 0},
};

/* From 8.1 on the slow log is one of several, and asked through a function without arguments. */
static const struct probe_point valkey_points[] = {
	{"valkey_called", "call", 0, POINT_RETURN},
	{"redis_error", "afterErrorReply", 0, POINT_OPTIONAL},
	{"redis_woken", "afterSleep", 0, POINT_OPTIONAL},
	{"valkey_call", "call", 1, 0},
};

#define MYSQL(name, its_points)                                                                    \
	{                                                                                          \
		.title = name, .part = PART_MYSQL, .names = mysql_names, .points = its_points,     \
		.n = ARRAY_SIZE(its_points), .layout_of = "_ZN3THD18inc_sent_row_countEy",         \
		.layout = mysql__layout, .layout_optional = true,                                  \
	}

const struct probe_target engines[] = {
	{
		.title = "PostgreSQL",
		.part = PART_POSTGRESQL,
		.names = postgresql_names,
		.points = postgresql_points,
		.n = ARRAY_SIZE(postgresql_points),
		.data = postgresql_data,
	},
	{
		.title = "SQLite",
		.part = PART_SQLITE,
		.library = "sqlite",
		.linked_in = true,
		.paths = sqlite_paths,
		.points = sqlite_points,
		.n = ARRAY_SIZE(sqlite_points),
		.layout_of = "sqlite3_sql",
		.layout = sqlite__layout,
	},
	MYSQL("MariaDB", mariadb_points),
	MYSQL("MariaDB", mariadb_10_5_points),
	MYSQL("MySQL", mysql_points),
	{
		.title = "Redis",
		.part = PART_REDIS,
		.names = redis_names,
		.points = redis_points,
		.n = ARRAY_SIZE(redis_points),
	},
	{
		.title = "Valkey",
		.part = PART_REDIS,
		.names = redis_names,
		.points = valkey_points,
		.n = ARRAY_SIZE(valkey_points),
		.layout_of = "echoCommand",
		.layout = valkey__layout,
	},
};

const size_t engines_n = ARRAY_SIZE(engines);
