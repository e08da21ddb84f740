/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * unwinder ROUNDS PID...: stops the processes, has libdw unwind all their threads, lets them go on,
 * again and again. Prints a line of JSON per stack:
 * {"tid":…,"stack":["[libc.so.6+0x1f]",…],"end":…}; end: "" if libdw found the outermost frame,
 * else what kept it from that.
 */
/* LDFLAGS: -ldw */
#include "workload.h"

#include <elfutils/libdwfl.h>

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_linux_proc_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
};

struct dump {
	Dwfl *dwfl;
	int frames;
};

static const char *unwinder__module(Dwfl_Module *module, Dwarf_Addr pc, Dwarf_Addr *at)
{
	Dwarf_Addr bias = 0;
	const char *name = dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	const char *slash = strrchr(name, '/');

	dwfl_module_getelf(module, &bias);
	*at = pc - bias;
	if (strncmp(name, "[vdso", 5) == 0)
		return "vdso";
	return slash ? slash + 1 : name;
}

static int unwinder__frame(Dwfl_Frame *frame, void *arg)
{
	struct dump *d = arg;
	Dwfl_Module *module;
	Dwarf_Addr pc, at;
	bool exact;

	if (!dwfl_frame_pc(frame, &pc, &exact))
		return DWARF_CB_ABORT;
	/* libdw takes a zero, which ends the stack, for a frame */
	if (!pc)
		return DWARF_CB_ABORT;
	module = dwfl_addrmodule(d->dwfl, pc);
	if (d->frames++)
		putchar(',');
	if (module) {
		const char *name = unwinder__module(module, pc, &at);

		printf("\"[%s+0x%llx]\"", name, (unsigned long long)at);
	} else {
		printf("\"[0x%llx]\"", (unsigned long long)pc);
	}
	return DWARF_CB_OK;
}

static int unwinder__thread(Dwfl_Thread *thread, void *arg)
{
	struct dump *d = arg;
	int end;

	d->frames = 0;
	printf("{\"tid\":%d,\"stack\":[", (int)dwfl_thread_tid(thread));
	end = dwfl_thread_getframes(thread, unwinder__frame, d);
	printf("],\"end\":\"%s\"}\n", end < 0 ? dwfl_errmsg(-1) : "");
	return DWARF_CB_OK;
}

static void unwinder__dump(pid_t pid)
{
	struct dump d = {.dwfl = dwfl_begin(&callbacks)};

	if (!d.dwfl || dwfl_linux_proc_report(d.dwfl, pid) || dwfl_report_end(d.dwfl, NULL, NULL) ||
	    dwfl_linux_proc_attach(d.dwfl, pid, false) < 0 ||
	    dwfl_getthreads(d.dwfl, unwinder__thread, &d) < 0)
		fprintf(stderr, "unwinder: %d: %s\n", (int)pid, dwfl_errmsg(-1));
	dwfl_end(d.dwfl);
}

/* Until none of its threads can run. */
static void unwinder__await_stop(pid_t pid)
{
	const struct timespec ms = {0, 2000000};
	char path[64], line[256], *state;
	FILE *in;

	for (int i = 0; i < 500; i++) {
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		in = fopen(path, "re");
		if (!in)
			return;
		state = fgets(line, sizeof(line), in) ? strrchr(line, ')') : NULL;
		fclose(in);
		if (state && state[2] == 'T')
			break;
		nanosleep(&ms, NULL);
	}
	/* threads stop one after the other */
	nanosleep(&(struct timespec){0, 10000000}, NULL);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1;

	setenv("DEBUGINFOD_URLS", "", 1);
	for (int r = 0; r < rounds; r++) {
		for (int i = 2; i < argc; i++) {
			kill(atoi(argv[i]), SIGSTOP);
			unwinder__await_stop(atoi(argv[i]));
			unwinder__dump(atoi(argv[i]));
			kill(atoi(argv[i]), SIGCONT);
		}
		/* a prime number of µs: not in step with anything */
		nanosleep(&(struct timespec){0, 7919000 + r * 1000}, NULL);
	}
	return 0;
}
