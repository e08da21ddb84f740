// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * fake_mysqld: what dwell sees of MySQL 5.7 and later, whose servers Debian does not have: functions
 * of these names and arguments, called in the order in which the server calls them (8.0's sources:
 * sql/sql_parse.cc, sql/sql_prepare.cc). It says "ready", waits for a line on its standard input, and
 * executes statements of known number and time in several sessions at once, a thread for each.
 */
#include <pthread.h>

#include <cstdio>
#include <cstring>
#include <ctime>

#define SERVER __attribute__((noinline, noclone, externally_visible))

enum enum_server_command {
	COM_QUERY = 3,
	COM_PING = 14,
	COM_STMT_PREPARE = 22,
	COM_STMT_EXECUTE = 23
};

struct COM_TEXT {
	const char *query;
	unsigned length;
};

union COM_DATA {
	COM_TEXT com_query;
	COM_TEXT com_stmt_prepare;
	char bytes[64];
};

#define SESSIONS 4
#define ROUNDS	 25

/* What a statement does. */
struct statement {
	enum_server_command command;
	const char *text;
	long milliseconds;
	unsigned long long sent, affected;
	bool nonsense; /* is not parsed: nobody logs it */
	bool fails;    /* when it is executed */
};

class THD
{
      public:
	char before[0x1230];
	unsigned long long m_sent_row_count;
	SERVER void inc_sent_row_count(unsigned long long count);
};

class Query_logger
{
      public:
	SERVER bool general_log_write(THD *thd, enum_server_command command, const char *query,
				      size_t len);
	unsigned long calls;
};

class Protocol_classic
{
      public:
	SERVER bool send_ok(unsigned status, unsigned warnings, unsigned long long affected,
			    unsigned long long id, const char *message);
	SERVER bool send_error(unsigned number, const char *text, const char *state);
	unsigned long calls;
};

static Query_logger logger;
static Protocol_classic protocol;
static __thread const statement *current;

void THD::inc_sent_row_count(unsigned long long count)
{
	m_sent_row_count += count;
}

bool Query_logger::general_log_write(THD *thd, enum_server_command command, const char *query,
				     size_t len)
{
	__asm__ volatile("" : : "r"(thd), "r"(query), "r"(len), "r"(command) : "memory");
	return !++calls;
}

bool Protocol_classic::send_ok(unsigned, unsigned, unsigned long long rows, unsigned long long,
			       const char *)
{
	__asm__ volatile("" : : "r"(rows) : "memory");
	return !++calls;
}

bool Protocol_classic::send_error(unsigned, const char *, const char *)
{
	return !++calls;
}

/* Each statement of a message is parsed, logged and executed for itself. */
static void execute(THD *thd, const char *text, size_t len)
{
	struct timespec time = {0, current->milliseconds * 1000000};

	thd->m_sent_row_count = 0;
	logger.general_log_write(thd, current->command, text, len);
	nanosleep(&time, nullptr);
	for (unsigned long long i = 0; i < current->sent; i++)
		thd->inc_sent_row_count(1);
	if (current->fails)
		protocol.send_error(1146, "", "");
	else
		protocol.send_ok(0, 0, current->affected, 0, nullptr);
}

SERVER bool dispatch_command(THD *thd, const COM_DATA *data, enum_server_command command)
{
	const char *text = current->text, *end;
	size_t len = strcspn(text, "|");

	__asm__ volatile("" : : "r"(data) : "memory");
	switch (command) {
	case COM_STMT_PREPARE:
		logger.general_log_write(thd, command, text, len);
		return false;
	case COM_STMT_EXECUTE:
		execute(thd, text, len);
		return false;
	case COM_QUERY:
		break;
	default:
		return protocol.send_ok(0, 0, 0, 0, nullptr);
	}
	if (current->nonsense)
		return protocol.send_error(1064, "", "");
	while ((end = static_cast<const char *>(memchr(text, ';', len)))) {
		execute(thd, text, static_cast<size_t>(end - text));
		len -= static_cast<size_t>(end + 1 - text);
		text = end + 1;
	}
	execute(thd, text, len);
	return false;
}

/* The text is not terminated where its length says that it ends. Nor does an EXECUTE have one. */
static void run(THD *thd, const statement *s)
{
	COM_DATA data = {};

	memset(&data, 0xa5, sizeof(data));
	if (s->command == COM_QUERY || s->command == COM_STMT_PREPARE) {
		data.com_query.query = s->text;
		data.com_query.length = static_cast<unsigned>(strcspn(s->text, "|"));
	}
	current = s;
	dispatch_command(thd, &data, s->command);
}

static void *session(void *)
{
	static const statement each[] = {
		{COM_QUERY, "SELECT a FROM `T` WHERE b = \"x\"|secret", 5, 3, 0, false, false},
		{COM_STMT_PREPARE, "UPDATE t SET a = ?|", 0, 0, 0, false, false},
		{COM_STMT_EXECUTE, "UPDATE t SET a = 7 # why|", 2, 0, 2, false, false},
		{COM_PING, "|", 0, 0, 0, false, false},
		{COM_QUERY, "SELECT nonsense, 1|, 2", 0, 0, 0, false, true},
		{COM_QUERY, "SELEC 7|", 0, 0, 0, true, false},
		{COM_QUERY, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)|", 3, 0, 1, false, false},
	};
	THD *thd = new THD();

	for (int i = 0; i < ROUNDS; i++) {
		for (const statement &s : each)
			run(thd, &s);
	}
	delete thd;
	return nullptr;
}

int main()
{
	pthread_t thread[SESSIONS];
	char line[16];

	fprintf(stderr, "ready\n");
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (pthread_t &t : thread)
		pthread_create(&t, nullptr, session, nullptr);
	for (pthread_t &t : thread)
		pthread_join(t, nullptr);
	return 0;
}
