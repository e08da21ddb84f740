/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * fake_valkey: what dwell sees of Valkey 8.1 and later, whose servers Debian 12 does not have:
 * functions of these names, arguments and structures (src/server.h), called in the order in which
 * the server calls them. It says "ready", waits for a line on its standard input, and executes
 * commands of known number and time. Strings lie in their objects as in 8.1 and 9.1, in turns.
 */
/* CFLAGS: -Wno-missing-prototypes */
#include "workload.h"

#define SERVER    __attribute__((noinline, noclone, externally_visible, used))
#define ARGS      4
#define RAW       0
#define EMBEDDED  8
#define HEADER    3 /* struct sdshdr8: length, room, type */
#define EMBSTR    44
#define REFERENCE (1ULL << 34) /* where 8.1 counts, 9.1 says that the value is embedded */

struct object {
	uint64_t head; /* type:4, encoding:4, lru:24, then flags and a reference count */
	union {
		char *ptr;
		char embedded[8 + EMBSTR + 8];
	};
};

struct client {
	uint64_t id;
	void *connection;
	char *querybuf;
	size_t qb_pos;
	struct object **argv;
	int argc;
	int argv_len;
	size_t argv_len_sum;
};

struct command {
	const char *words[ARGS];
	unsigned int us;
	bool fails;
	const struct command *inner[2]; /* what a script executes */
};

static struct client client, script;
static const struct command *current;
static bool newer; /* strings as in 9.1 */
static volatile unsigned long calls;

SERVER void addReplyBulk(struct client *c, struct object *o)
{
	__asm__ volatile("" : : "r"(c), "r"(o) : "memory");
	calls++;
}

SERVER void echoCommand(struct client *c)
{
	addReplyBulk(c, c->argv[1]);
}

SERVER void afterErrorReply(struct client *c, const char *s, size_t len, int flags)
{
	__asm__ volatile("" : : "r"(c), "r"(s), "r"(len), "r"(flags) : "memory");
	calls++;
}

SERVER void afterSleep(void *loop, int events)
{
	__asm__ volatile("" : : "r"(loop), "r"(events) : "memory");
	calls++;
}

static void set_string(struct object *o, const char *text)
{
	size_t len = strlen(text);
	char *at;

	if (len > EMBSTR) {
		o->head = RAW << 4 | REFERENCE;
		o->ptr = strdup(text);
		return;
	}
	o->head = EMBEDDED << 4 | REFERENCE;
	at = newer ? o->embedded : (char *)o + 16;
	at[0] = at[1] = (char)len;
	at[2] = 1;
	memcpy(at + HEADER, text, len + 1);
	if (!newer)
		o->ptr = at + HEADER;
}

static void execute(struct client *c, const struct command *command);

/* Rewrites its arguments, as SET with an expiry does: they are read before that. */
SERVER void call(struct client *c, int flags)
{
	static struct object rewritten = {RAW << 4, {.ptr = "REWRITTEN"}};
	static struct object *argv[] = {&rewritten};
	const struct command *command = current;
	struct timespec time = {0, command->us * 1000L};

	__asm__ volatile("" : : "r"(flags) : "memory");
	for (int i = 0; i < 2 && command->inner[i]; i++)
		execute(&script, command->inner[i]);
	if (time.tv_nsec)
		nanosleep(&time, NULL);
	if (command->fails)
		afterErrorReply(c, "-WRONGTYPE", 10, 0);
	c->argv = argv;
	c->argc = 1;
	calls++;
}

static void execute(struct client *c, const struct command *command)
{
	static struct object objects[2][ARGS];
	static struct object *vectors[2][ARGS];
	struct object **argv = vectors[c == &script];

	c->argc = 0;
	for (int i = 0; i < ARGS && command->words[i]; i++) {
		argv[i] = &objects[c == &script][i];
		set_string(argv[i], command->words[i]);
		c->argc++;
	}
	c->argv = argv;
	current = command;
	call(c, 15);
}

int main(void)
{
	static const struct command set = {{"SET", "a-secret", "12345"}, .us = 3000};
	static const struct command get = {{"GET", "a-secret"}, .us = 1000};
	static const struct command push = {{"LPUSH", "a", "x"}, .fails = true};
	static const char source[] = "return {redis.call('set', KEYS[1], 'b'), 'no short string'}";
	static const struct command eval = {
		{"EVAL", source, "1", "key"}, .us = 2000, .inner = {&set, &get}};
	static const struct command object = {{"OBJECT", "ENCODING", "x"}, .us = 0};
	static const struct command *const all[] = {&set, &get, &push, &eval, &object};
	char line[16];

	client.id = 7;
	fprintf(stderr, "ready\n");
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (int i = 0; i < 100; i++) {
		newer = i & 1;
		for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++) {
			afterSleep(NULL, 1);
			execute(&client, all[k]);
		}
	}
	return 0;
}
