// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * MariaDB, and MySQL 5.7 and later: dispatch_command() has a command of the protocol from its
 * arrival to the end of its answer. The text goes by in general_log_write(), which is called for
 * each statement, prepared ones too, whether there is a general log or not. But MySQL calls it only
 * once it has parsed a statement, and for each of several in one message: where the command has a
 * text, it is taken from there.
 */
#include "lib/layout.bpf.h"
#include "lib/query.bpf.h"

/* include/my_command.h: enum enum_server_command, as far as it has a text */
#define COM_QUERY             3
#define COM_STMT_PREPARE      22
#define COM_STMT_EXECUTE      23
#define COM_STMT_BULK_EXECUTE 250 /* MariaDB */

#define MY_THD 0 /* query_session.own: of the command that is under way */

/* The session whose statement begins; NULL if the command is none, or the thread not measured. */
static __always_inline struct query_session *my__begin(u32 db, u64 thd, u32 command)
{
	struct query_session *s;
	struct query_thread t;

	probe__event();
	if (!query__thread(&t, true))
		return NULL;
	s = t.s;
	/* The end of one before was not seen. */
	if (s->flags & QUERY_OPEN)
		loss__count(LOSS_SPAN_ORPHAN);
	s->flags &= ~QUERY_OPEN;
	s->spans.depth = 0;
	if (command != COM_QUERY && command != COM_STMT_EXECUTE &&
	    command != COM_STMT_BULK_EXECUTE && command != COM_STMT_PREPARE)
		return NULL;
	s->own[MY_THD] = thd;
	query__begin(s, t.clk, db | QUERY_NO_TEXT, bpf_ktime_get_ns());
	s->fingerprint = 0;
	if (command != COM_STMT_PREPARE)
		s->flags |= QUERY_DONE;
	return s;
}

/* What is logged inside a statement (an EXECUTE in SQL) belongs to that. */
static __always_inline int my__text(const char *text, u64 len)
{
	struct query_session *s;

	probe__event();
	s = query__session(false);
	if (s && (s->flags & QUERY_OPEN) && (s->db & QUERY_NO_TEXT))
		query__text(s, text, len);
	return 0;
}

static __always_inline int my__rows(u64 rows)
{
	struct query_session *s = session__get(session__current(), false);

	probe__event();
	if (s && (s->flags & QUERY_OPEN))
		s->rows += rows;
	return 0;
}

/* MariaDB: dispatch_command(enum_server_command, THD *, char *, uint, …) */
SEC("uprobe")
int BPF_KPROBE(maria_dispatch, u32 command, u64 thd)
{
	my__begin(DB_MARIADB, thd, command);
	return 0;
}

/* include/mysql/com_data.h: what begins the COM_DATA of COM_QUERY and of COM_STMT_PREPARE */
struct mysql_com_text {
	u64 text;
	u32 len;
	u32 pad;
};

/* MySQL: dispatch_command(THD *, const COM_DATA *, enum_server_command) */
SEC("uprobe")
int BPF_KPROBE(mysql_dispatch, u64 thd, const void *data, u32 command)
{
	struct query_session *s = my__begin(DB_MYSQL, thd, command);
	struct mysql_com_text com = {};

	if (s && (command == COM_QUERY || command == COM_STMT_PREPARE) &&
	    !bpf_probe_read_user(&com, sizeof(com), data))
		query__text(s, (const char *)com.text, com.len);
	return 0;
}

/* MariaDB: general_log_write(THD *, enum_server_command, const char *, size_t) */
SEC("uprobe")
int BPF_KPROBE(maria_log, u64 thd, u64 command, const char *text, u64 len)
{
	return my__text(text, len);
}

/* MySQL: Query_logger::general_log_write(THD *, enum_server_command, const char *, size_t) */
SEC("uprobe")
int BPF_KPROBE(mysql_log, u64 logger, u64 thd, u64 command, const char *text, u64 len)
{
	return my__text(text, len);
}

/* MariaDB: Protocol::net_send_ok(THD *, uint, uint, ulonglong affected_rows, …) */
SEC("uprobe")
int BPF_KPROBE(maria_ok, u64 protocol, u64 thd, u64 status, u64 warnings, u64 affected)
{
	return my__rows(affected);
}

/* MySQL: Protocol_classic::send_ok(uint, uint, ulonglong affected_rows, …) */
SEC("uprobe")
int BPF_KPROBE(mysql_ok, u64 protocol, u64 status, u64 warnings, u64 affected)
{
	return my__rows(affected);
}

/* Protocol::net_send_error_packet(), Protocol_classic::send_error() */
SEC("uprobe")
int BPF_KPROBE(my_error)
{
	return query__fails();
}

/* The cookie is where struct THD has the number of rows that were sent; 0 if that is not known. */
SEC("uretprobe")
int BPF_KRETPROBE(my_done)
{
	struct query_session *s;
	struct query_thread t;
	u64 rows = 0, at;

	probe__event();
	if (!query__thread(&t, false) || !(t.s->flags & QUERY_OPEN))
		return 0;
	s = t.s;
	at = s->flags & QUERY_DONE ? layout__get(ctx) : 0; /* to prepare one sends none */
	if (at && !bpf_probe_read_user(&rows, sizeof(rows), (void *)(s->own[MY_THD] + at)))
		s->rows += rows;
	query__end(s, t.clk, bpf_ktime_get_ns());
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
