// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "core/dwarf.h"
#include "core/sym.h"

#define ANSWER_MS    10000 /* a file whose answer takes longer is given up */
#define ANSWER_BYTES (64U << 10)
#define TEXT_MAX     1024          /* bytes of a name, its end included; what is longer is cut */
#define MEMORY_MAX   (16ULL << 30) /* address space of the process that reads */
#define NOBODY       65534

/* The reader's descriptors. */
enum { READER_SOCKET = 3, READER_FILE };

/* An address that was asked for. */
struct known {
	uint64_t vaddr;
	size_t n;
	struct line line[];
};

struct lines {
	int fd;     /* the file, until it is read */
	int socket; /* to the reader; -1: none */
	pid_t reader;
	bool failed;
	char *label;
	void *known; /* tsearch() tree */
};

/* ---- the reader ----------------------------------------------------------------------------- */

/* An answer: for each function the line's number (4 bytes), then function and file, terminated. */
static size_t lines__put(char *to, size_t at, const struct line *line)
{
	const char *const texts[] = {line->function ?: "", line->file ?: ""};

	memcpy(to + at, &line->line, sizeof(line->line));
	at += sizeof(line->line);
	for (int i = 0; i < 2; i++)
		at += str__copy(to + at, TEXT_MAX, texts[i]) ? strlen(texts[i]) + 1 : TEXT_MAX;
	return at;
}

_Static_assert(LINES_INLINED_MAX *(4 + 2 * TEXT_MAX) < ANSWER_BYTES, "an answer has room");

/* Gives up everything but the two descriptors. A change of user would undo PR_SET_PDEATHSIG. */
static bool lines__confine(int socket, int file, pid_t parent)
{
	const struct rlimit memory = {MEMORY_MAX, MEMORY_MAX};

	/* by way of descriptors that are neither of the two */
	socket = fcntl(socket, F_DUPFD, 16);
	file = fcntl(file, F_DUPFD, 16);
	if (dup2(socket, READER_SOCKET) < 0 || dup2(file, READER_FILE) < 0 ||
	    syscall(SYS_close_range, READER_FILE + 1, ~0U, 0))
		return false;
#ifndef __SANITIZE_ADDRESS__ /* which takes terabytes of address space */
	setrlimit(RLIMIT_AS, &memory);
#else
	(void)memory;
#endif
	/* Without privileges there are none to give up. */
	if (!geteuid() && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
			   setresuid(NOBODY, NOBODY, NOBODY)))
		return false;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return getppid() == parent;
}

static void lines__serve(void)
{
	static char answer[ANSWER_BYTES];
	struct dwarf *d = dwarf__open(READER_FILE);
	struct line line[LINES_INLINED_MAX];
	uint64_t vaddr;

	while (recv(READER_SOCKET, &vaddr, sizeof(vaddr), 0) == sizeof(vaddr)) {
		size_t n = d ? dwarf__find(d, vaddr, line, LINES_INLINED_MAX) : 0, bytes = 1;

		answer[0] = (char)n;
		for (size_t i = 0; i < n; i++)
			bytes = lines__put(answer, bytes, &line[i]);
		if (send(READER_SOCKET, answer, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
			break;
	}
}

static int lines__start(struct lines *l)
{
	pid_t parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	l->reader = fork();
	if (!l->reader) {
		if (lines__confine(pair[1], l->fd, parent))
			lines__serve();
		_exit(0);
	}
	close(pair[1]);
	if (l->reader < 0) {
		close(pair[0]);
		return -errno;
	}
	l->socket = pair[0];
	close(l->fd);
	l->fd = -1;
	return 0;
}

static void lines__stop(struct lines *l)
{
	if (l->socket < 0)
		return;
	close(l->socket);
	l->socket = -1;
	kill(l->reader, SIGKILL);
	waitpid(l->reader, NULL, 0);
}

/* ---- answers -------------------------------------------------------------------------------- */

/* Asks the reader: the answer's bytes, or -errno. */
static ssize_t lines__ask(struct lines *l, uint64_t vaddr, char *answer)
{
	struct pollfd poll_fd = {.fd = l->socket, .events = POLLIN};
	ssize_t got;
	int ready;

	if (send(l->socket, &vaddr, sizeof(vaddr), MSG_NOSIGNAL) != sizeof(vaddr))
		return -EPIPE;
	do
		ready = poll(&poll_fd, 1, ANSWER_MS);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return -ETIMEDOUT;
	got = recv(l->socket, answer, ANSWER_BYTES - 1, 0);
	return got > 0 ? got : -EPIPE;
}

/* The text at *@at, which goes behind it; NULL if it is empty. */
static char *lines__text(char **at, char *end, bool function)
{
	char text[TEXT_MAX], *from = *at;

	*at += strlen(from) + (*at < end);
	if (!*from)
		return NULL;
	if (function)
		return sym__demangled(from);
	str__printable(text, sizeof(text), from, 0);
	return strdup(text);
}

/* What the answer of @bytes says, in @k. The answer may be of a reader that went astray. */
static void lines__parse(char *answer, size_t bytes, struct known *k)
{
	char *at = answer + 1, *end = answer + bytes;
	size_t n = (unsigned char)answer[0];

	answer[bytes] = '\0';
	while (k->n < n && k->n < LINES_INLINED_MAX && end - at > (ptrdiff_t)sizeof(uint32_t)) {
		struct line *line = &k->line[k->n++];

		memcpy(&line->line, at, sizeof(line->line));
		at += sizeof(line->line);
		line->function = lines__text(&at, end, true);
		line->file = lines__text(&at, end, false);
	}
}

static void lines__free_known(void *arg)
{
	struct known *k = arg;

	for (size_t i = 0; i < k->n; i++) {
		free((char *)k->line[i].function);
		free((char *)k->line[i].file);
	}
	free(k);
}

static int lines__compare(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

/* No more of this file. */
static void lines__give_up(struct lines *l, int err)
{
	l->failed = true;
	lines__stop(l);
	log__note("%s: debug information that %s: no lines of it", l->label,
		  err == -ETIMEDOUT ? "takes too long to read" : "cannot be read");
}

static struct known *lines__learn(struct lines *l, uint64_t vaddr)
{
	struct known *k = calloc(1, sizeof(*k) + LINES_INLINED_MAX * sizeof(*k->line)), *fitting;
	char *answer = malloc(ANSWER_BYTES);
	ssize_t bytes = -ENOMEM;

	if (k && answer) {
		k->vaddr = vaddr;
		bytes = lines__ask(l, vaddr, answer);
	}
	if (bytes > 0)
		lines__parse(answer, (size_t)bytes, k);
	else if (bytes != -ENOMEM)
		lines__give_up(l, (int)bytes);
	free(answer);
	fitting = k ? realloc(k, sizeof(*k) + k->n * sizeof(*k->line)) : NULL;
	k = fitting ?: k;
	if (bytes > 0 && tsearch(k, &l->known, lines__compare))
		return k;
	if (k)
		lines__free_known(k);
	return NULL;
}

size_t lines__find(struct lines *l, uint64_t vaddr, const struct line **line)
{
	const struct known key = {.vaddr = vaddr}, *k;
	void *found = tfind(&key, &l->known, lines__compare);
	int err = 0;

	if (!found && !l->failed && l->socket < 0)
		err = lines__start(l);
	if (err)
		lines__give_up(l, err);
	k = found ? *(struct known **)found : l->failed ? NULL : lines__learn(l, vaddr);
	*line = k ? k->line : NULL;
	return k ? k->n : 0;
}

struct lines *lines__new(int fd, const char *label)
{
	struct lines *l = calloc(1, sizeof(*l));

	if (l) {
		l->fd = fd;
		l->socket = -1;
		l->label = strdup(label);
	}
	if (l && l->label)
		return l;
	close(fd);
	free(l);
	return NULL;
}

void lines__free(struct lines *l)
{
	if (!l)
		return;
	lines__stop(l);
	if (l->fd >= 0)
		close(l->fd);
	tdestroy(l->known, lines__free_known);
	free(l->label);
	free(l);
}
