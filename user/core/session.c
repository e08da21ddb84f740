// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/time.h"
#include "base/topn.h"
#include "core/proc.h"
#include "core/session.h"
#include "core/syscalls.h"
#include "seat.h"

#define DURATION_DEFAULT (5 * NSEC_PER_SEC)
#define TICK_NS          NSEC_PER_SEC
#define CUT_AHEAD        (10 * NSEC_PER_USEC)
#define COLLECT_PASSES   16
#define ENDING_US        1000  /* until a thread that ends is looked for again */
#define ROWS_TEXT        10    /* the default of -n for people; machines get all */
#define STACKS_MAX       16384 /* distinct stacks kept */
#define TALLIES_MIN      4096
#define TALLIES_MAX      8192      /* 2.7 kB each */
#define REQUESTS_MAX     16384     /* block requests under way: a power of two, 64 bytes each */
#define ROWS_MAX         65536     /* rows of the report that user space adds up */
#define CLOCKS_MORE      12288     /* threads to come, besides 4096: 0.2 to 2.5 kB each */
#define RING_BYTES       (1 << 20) /* threads that end between two looks: about 4000 */

static const char *const by_choices[] = {"process", "thread", "comm", "cgroup", "cpu",
					 "all",     "file",   "op",   "mount",  NULL};
static const char *const attach_choices[] = {"auto", "tp_btf", "raw_tp", NULL};
static const char *const memo_choices[] = {"off", "on", "check", NULL};
static const char *const frame_choices[] = {"none", "root", "leaf", NULL};

#define AT(field) offsetof(struct run_options, field)

/* clang-format off */
static const struct opt run_options[] = {
	{'p', "pid", "PID[,PID...]", OPT_U32_LIST, AT(target.pids), 1, UINT32_MAX, NULL,
	 "Measure these processes, all threads", 1},
	{'t', "tid", "TID[,TID...]", OPT_U32_LIST, AT(target.tids), 1, UINT32_MAX, NULL,
	 "Measure these threads", 1},
	{'c', "comm", "COMMAND", OPT_STR, AT(target.comm), 0, 0, NULL,
	 "Measure threads with this command name", 1},
	{0, "cgroup", "PATH", OPT_STR, AT(target.cgroup), 0, 0, NULL,
	 "Measure the threads in this cgroup (v2) and below", 1},
	{'a', "all", NULL, OPT_FLAG, AT(target.all), 0, 0, NULL,
	 "Measure the whole machine (the default)", 1},
	{0, "kthreads", NULL, OPT_FLAG, AT(kthreads), 0, 0, NULL,
	 "Include kernel threads (those named with -p or -t are anyway)", 1},
	{'d', "duration", "DURATION", OPT_DURATION, AT(duration_ns), 1, 0, NULL,
	 "Stop after this time: 10, 500ms, 2m (default: 5 s; until the program's end with --; "
	 "until interrupted with -i)", 2},
	{'i', "interval", "DURATION", OPT_DURATION, AT(interval_ns), 10000000, 0, NULL,
	 "Report each interval, at least 10ms", 2},
	{'n', "rows", "N", OPT_U32, AT(rows), 1, UINT32_MAX, NULL,
	 "Rows to show (default: 10 in text, all in JSON)", 3},
	{0, "sort", "COLUMN", OPT_STR, AT(sort), 0, 0, NULL,
	 "Sort by this column, named as in JSON", 3},
	{0, "min", "DURATION", OPT_DURATION, AT(min_ns), 0, 0, NULL,
	 "Leave out waits shorter than this (states stay whole)", 3},
	{0, "json", NULL, OPT_FLAG, AT(sink.json), 0, 0, NULL,
	 "Print one JSON document", 4},
	{0, "jsonl", NULL, OPT_FLAG, AT(sink.jsonl), 0, 0, NULL,
	 "Print one JSON document per line and interval", 4},
	{'o', "output", "FILE", OPT_STR, AT(sink.path), 0, 0, NULL,
	 "Write the report to FILE", 4},
	{0, "exit-status", NULL, OPT_FLAG, AT(exit_status), 0, 0, NULL,
	 "Exit with the program's status", 5},
	{0, "max-entries", "N", OPT_U32, AT(max_entries), 1, 1 << 20, NULL,
	 "Distinct causes, stacks and rows to keep (default: by the machine's size)", 5},
	{0, "btf", "FILE", OPT_STR, AT(btf), 0, 0, NULL,
	 "Use the kernel types in FILE", 5},
	{0, "attach", "HOW", OPT_CHOICE, AT(attach), 0, 0, attach_choices,
	 "auto (default), tp_btf or raw_tp", 5},
	{'v', "verbose", NULL, OPT_FLAG, AT(verbose), 0, 0, NULL,
	 "Say more on standard error", 5},
	OPTION_END
};

static const struct opt by_options[] = {
	{0, "by", "WHAT", OPT_CHOICE, AT(by), 0, 0, by_choices,
	 "One row per process (default), thread, comm or cgroup; runq: cpu; syscall, io: all "
	 "(default), io also file; file: file (default), op, mount", 3},
	OPTION_END
};

static const struct opt stack_options[] = {
	{'u', "user-stacks", NULL, OPT_FLAG, AT(user_stacks), 0, 0, NULL,
	 "User stacks (default: both)", 4},
	{'k', "kernel-stacks", NULL, OPT_FLAG, AT(kernel_stacks), 0, 0, NULL,
	 "Kernel stacks (default: both)", 4},
	{0, "frame-pointers", NULL, OPT_FLAG, AT(frame_pointers), 0, 0, NULL,
	 "Walk user stacks by frame pointers alone, not by unwind tables", 4},
	{0, "memo", "USE", OPT_CHOICE, AT(memo), 0, 0, memo_choices,
	 "Walk unchanged stacks again: on (the default) does not, off does, check compares", 4},
	{0, "addresses", NULL, OPT_FLAG, AT(addresses), 0, 0, NULL,
	 "Show user frames as [module+0xADDRESS], for addr2line(1)", 4},
	{0, "lines", NULL, OPT_FLAG, AT(lines), 0, 0, NULL,
	 "Add file:line and inlined functions, where there is debug information", 4},
	{0, "full-frames", NULL, OPT_FLAG, AT(full_frames), 0, 0, NULL,
	 "Show frames as symbol+0xOFFSET (module), in folded stacks too", 4},
	OPTION_END
};

static const struct opt folded_options[] = {
	{0, "folded", NULL, OPT_FLAG, AT(sink.folded), 0, 0, NULL,
	 "Print folded stacks with µs, for flame graphs", 4},
	{0, "state-frame", "WHERE", OPT_CHOICE, AT(sink.state_frame), 0, 0, frame_choices,
	 "With --folded: the state as root or leaf frame, or none (default)", 4},
	OPTION_END
};
/* clang-format on */

const struct accounts *session__accounts(const struct session *s)
{
	return &s->accounts[s->reported & 1];
}

/* ---- options ------------------------------------------------------------------------------- */

static enum dwell_exit session__check(struct session *s)
{
	struct run_options *run = &s->run;

	if (run->verbose)
		log__set_level(LOG_DEBUG);
	if ((run->by == BY_CPU && !(s->tool->accepts & ACCEPTS_BY_CPU)) ||
	    (run->by == BY_ALL && !(s->tool->accepts & ACCEPTS_BY_ALL)) ||
	    (run->by == BY_FILE && !(s->tool->accepts & ACCEPTS_BY_FILE)) ||
	    (run->by > BY_FILE && !(s->tool->accepts & ACCEPTS_BY_OP)))
		return err__usage("%s: --by takes process, thread, comm or cgroup, not '%s'",
				  s->tool->name, by_choices[run->by]);
	table__select(s->columns, TABLE_COLUMNS_MAX, s->tool->columns, 1U << run->by);
	if (run->sort && !table__find(s->columns, run->sort))
		return err__usage("%s: there is no column '%s' to sort by", s->tool->name,
				  run->sort);
	if (run->interval_ns && run->duration_ns && run->interval_ns > run->duration_ns)
		return err__usage("%s: --interval is longer than --duration", s->tool->name);
	if (!run->user_stacks && !run->kernel_stacks && (s->tool->accepts & ACCEPTS_STACKS))
		run->user_stacks = run->kernel_stacks = true;
	if (s->tool->parsed)
		return s->tool->parsed(s->tool_options);
	return EXIT_OK;
}

static enum dwell_exit session__parse(struct session *s, int argc, char **argv, bool *done)
{
	unsigned int accepts = s->tool->accepts, n = 1;
	struct option_set sets[6] = {{run_options, &s->run}};
	const struct options options = {
		.command = s->tool->name,
		.summary = s->tool->summary,
		.examples = s->tool->examples,
		.sets = sets,
	};
	enum dwell_exit status;
	int rest = 0;

	if (!(accepts & ACCEPTS_OWN_BY))
		sets[n++] = (struct option_set){by_options, &s->run};
	if (accepts & ACCEPTS_STACKS)
		sets[n++] = (struct option_set){stack_options, &s->run};
	if ((accepts & ACCEPTS_STACKS) && !(accepts & STACKS_OF_SLOW))
		sets[n++] = (struct option_set){folded_options, &s->run};
	if (s->tool->options)
		sets[n++] = (struct option_set){s->tool->options, s->tool_options};
	status = options__parse(&options, argc, argv, &rest, done);
	if (status || *done)
		return status;
	if (rest)
		s->run.target.program = argv + rest;
	return session__check(s);
}

/* ---- getting ready ------------------------------------------------------------------------- */

static enum dwell_exit session__signals(struct session *s)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, &s->old_mask);
	signal(SIGPIPE, SIG_IGN); /* a closed pipe is an output error like any other */
	s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals < 0)
		return err__fail("signals cannot be waited for: %s", strerror(errno));
	return EXIT_OK;
}

static uint32_t session__tallies_wanted(const struct session *s)
{
	uint32_t threads = proc__threads() * 8;

	if (s->run.max_entries)
		return s->run.max_entries;
	if (threads < TALLIES_MIN)
		return TALLIES_MIN;
	return threads < TALLIES_MAX ? threads : TALLIES_MAX;
}

static uint32_t session__requests_wanted(const struct session *s)
{
	uint32_t n = 1;

	while (n < (s->run.max_entries ?: REQUESTS_MAX))
		n *= 2;
	return n;
}

/* Threads may become more while it runs, and one that is not seen is missing in each sum. */
static uint32_t session__clocks_wanted(uint32_t threads)
{
	threads += CLOCKS_MORE;
	return threads < SEAT_NUMBERS ? threads : SEAT_NUMBERS;
}

/* All CPUs together fill no more than a quarter of the ring until one of them looks at it. */
static uint32_t session__ring_mask(uint32_t ring_bytes)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t records = ring_bytes / sizeof(struct thread_rec) / 4;
	uint32_t n = 1;

	while (cpus > 0 && 2ULL * n * (uint32_t)cpus <= records)
		n *= 2;
	return n - 1;
}

static void session__configure(struct session *s, struct object_sizes *sizes)
{
	struct config *config = &s->config;
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);

	config->by = s->run.by;
	config->min_ns = s->run.min_ns;
	config->banks = s->run.interval_ns ? 2 : 1;
	/* Who is named by number is meant, whatever it is. */
	config->kthreads = s->run.kthreads || s->run.target.pids.n || s->run.target.tids.n;
	config->user_stacks = s->run.user_stacks;
	config->kernel_stacks = s->run.kernel_stacks;
	if ((s->tool->accepts & STACKS_OF_SLOW) && !s->run.min_ns)
		config->user_stacks = config->kernel_stacks = 0;
	config->frame_pointers = s->run.frame_pointers;
	config->memo = (__u8)s->run.memo;
	config->addresses = s->run.addresses;
	syscalls__classes(config->syscall_class);
	if (s->tool->configure)
		s->tool->configure(s->tool_options, config);
	sizes->tallies = config->slots = session__tallies_wanted(s);
	sizes->names = sizes->tallies;
	sizes->requests = session__requests_wanted(s);
	config->io_mask = sizes->requests - 1;
	sizes->stacks = config->user_stacks || config->kernel_stacks
				? (s->run.max_entries ?: STACKS_MAX)
				: 1;
	sizes->threads = proc__threads() * 2 + 4096;
	sizes->clocks = session__clocks_wanted(sizes->threads);
	sizes->ring_bytes = RING_BYTES < page ? page : RING_BYTES;
	config->ring_mask = session__ring_mask(sizes->ring_bytes);
	for (int i = 0; i < 2; i++)
		s->accounts[i].max = s->run.max_entries ?: ROWS_MAX;
	s->early.max = sizes->tallies;
}

/* A process that leaves the CPU for the first time: its mappings may be gone by the report. */
static void session__on_seen(struct session *s, const struct thread_seen *seen)
{
	int err = s->unwind ? unwind__process(s->unwind, seen->tgid, seen->mm, seen->code)
			    : stacks__remember(s->stacks, seen->tgid);

	if (err)
		log__debug("the mappings of %u cannot be read: %s", seen->tgid, strerror(-err));
	if (s->tool->accepts & NAMES_DATA)
		datasyms__remember(s->datasyms, seen->tgid);
	if (s->tool->seen)
		s->tool->seen(s, seen->tgid);
}

/* A thread's record of epoch @rec->epoch, from wherever it comes. */
static enum dwell_exit session__take(struct session *s, const struct thread_rec *rec, bool final)
{
	int err = tallies__settle(&s->object, &s->config, rec, final);

	if (err)
		return err__fail("a tally cannot be read: %s", strerror(-err));
	if (early__add(&s->early, rec, s->config.min_ns, final))
		return err__fail("no memory for the tallies");
	if (accounts__add(&s->accounts[rec->epoch & 1], rec))
		return err__fail("no memory for the threads' accounts");
	return EXIT_OK;
}

/* A record from the ring. Always 0: a negative value would end the reading. */
static int session__on_record(void *arg, void *data, size_t size)
{
	const struct thread_rec *rec = data;
	struct session *s = arg;

	if (size == sizeof(struct thread_seen)) {
		session__on_seen(s, data);
		return 0;
	}
	if (size == sizeof(struct holders_wanted)) {
		datasyms__remember(s->datasyms, ((const struct holders_wanted *)data)->tgid);
		s->ring_status = s->ring_status ?: object__follow_holders(&s->object);
		return 0;
	}
	if (s->tool->record && s->tool->record(s, data, size))
		return 0;
	assert(size == sizeof(*rec));
	/* What ends after the run's last moment is not of the run. */
	if (s->ring_status || rec->epoch > s->object.window->last)
		return 0;
	if (rec->epoch > s->closed)
		s->ring_status = session__take(s, rec, false);
	else if (s->written_off)
		s->written_off--; /* counted when that epoch was reported */
	else
		s->late++;
	return 0;
}

/* User stacks: what is known of their processes before the run is made into tables now. */
static enum dwell_exit session__unwind(struct session *s)
{
	const struct option_list *ids = &s->run.target.ids;

	if (!s->config.user_stacks || s->config.frame_pointers ||
	    !object__has_map(&s->object, "unwind_spaces"))
		return EXIT_OK;
	s->unwind = unwind__new(&s->object, s->stacks);
	if (!s->unwind)
		return err__fail("the unwind tables cannot be prepared: %s", strerror(errno));
	s->mappings = mappings__new();
	if (!s->mappings)
		log__debug("new mappings are noticed by the amount of code only: %s",
			   strerror(errno));
	if ((s->config.filter & FILTER_TGID) && !s->run.target.program)
		unwind__process(s->unwind, s->config.tgid, 0, 0);
	for (uint32_t i = 0; (s->config.filter & FILTER_TGIDS) && i < ids->n; i++)
		unwind__process(s->unwind, ids->value[i], 0, 0);
	return EXIT_OK;
}

static enum dwell_exit session__prepare(struct session *s)
{
	struct object_sizes sizes = {0};
	enum dwell_exit status;

	status = sink__open(&s->sink, &s->run.sink, s->run.interval_ns > 0);
	if (!status)
		status = session__signals(s);
	if (!status && s->run.target.program)
		status = launch__prepare(&s->launch, s->run.target.program);
	if (!status)
		status = target__resolve(&s->run.target, s->launch.pid, &s->config);
	if (status)
		return status;
	session__configure(s, &sizes);
	status = object__load(&s->object, s->tool->object, (enum object_attach)s->run.attach,
			      s->run.btf, &s->config, &sizes, &s->run.target.ids);
	if (!status && s->tool->loaded)
		status = s->tool->loaded(s, s->tool_options);
	if (status)
		return status;
	s->ring = ring_buffer__new(object__map_fd(&s->object, "ring"), session__on_record, s, NULL);
	if (!s->ring)
		return err__fail("the ring cannot be read: %s", strerror(errno));
	s->stacks = stacks__new(NULL);
	s->datasyms = datasyms__new();
	if (!s->stacks || !s->datasyms)
		return err__fail("no memory for symbols");
	if (s->run.lines)
		stacks__want_lines(s->stacks);
	if (s->tool->accepts & NAMES_DATA)
		stacks__want_variables(s->stacks);
	return session__unwind(s);
}

/* ---- epochs -------------------------------------------------------------------------------- */

/*
 * Begins the next epoch, a moment from now: a clock that is turned before it is told of the cut has
 * then not been charged for time behind it. The moment of the cut.
 */
static uint64_t session__cut(struct session *s, bool final)
{
	volatile struct window *window = s->object.window;
	uint64_t at = time__now() + CUT_AHEAD;

	if (final)
		window->last = s->epoch;
	if (!s->epoch)
		window->run_start = at;
	window->start[(s->epoch + 1) & 3] = at;
	window->slow_ns = s->config.min_ns;
	/* Who sees the new epoch must see its start. */
	__atomic_store_n((uint32_t *)&window->epoch, s->epoch + 1, __ATOMIC_RELEASE);
	s->epoch++;
	return at;
}

static enum dwell_exit session__start(struct session *s)
{
	enum dwell_exit status;

	s->object.window->last = UINT32_MAX;
	cost__start(&s->cost);
	status = object__attach(&s->object, &s->config);
	if (!status && s->tool->attach)
		status = s->tool->attach(s, s->tool_options);
	/* A thread that was made by one not seen yet is found the second time. */
	for (int pass = 0; !status && pass < 2; pass++)
		status = object__iterate(&s->object, "seed", 1, NULL, NULL);
	if (status)
		return status;
	time__rfc3339(s->started, sizeof(s->started));
	s->run_start = s->epoch_start = session__cut(s, false);
	s->next_tick = s->tool->tick ? s->run_start + TICK_NS : UINT64_MAX;
	return EXIT_OK;
}

struct session_collect {
	struct session *s;
	bool final;
};

static enum dwell_exit session__on_thread(const void *data, void *arg)
{
	const struct session_collect *collect = arg;
	const struct thread_rec *rec = data;

	if (rec->flags & THREAD_ENDING)
		collect->s->ending++;
	if (rec->flags & THREAD_TORN)
		collect->s->torn++;
	if (rec->flags & (THREAD_TORN | THREAD_TAKEN))
		return EXIT_OK;
	return session__take(collect->s, rec, collect->final);
}

static enum dwell_exit session__counters(const struct session *s, struct cpu_stat *sum)
{
	if (loss__read(object__map_fd(&s->object, "cpus"), sum))
		return err__fail("the kernel side's counters cannot be read");
	return EXIT_OK;
}

/* One look at every thread; those that no look can find, but whose end is to come: in ->unseen. */
static enum dwell_exit session__look(struct session *s, struct session_collect *collect)
{
	struct cpu_stat before, after;
	enum dwell_exit status = session__counters(s, &before);
	uint64_t in_sight;

	s->torn = s->ending = 0;
	if (!status)
		status = object__iterate(&s->object, "collect", sizeof(struct thread_rec),
					 session__on_thread, collect);
	if (!status)
		status = session__counters(s, &after);
	if (status)
		return status;
	in_sight = after.ended + s->ending + s->written_off;
	s->unseen = before.ending > in_sight ? before.ending - in_sight : 0;
	return EXIT_OK;
}

/*
 * Every thread's account of the epoch that just ended. A thread hands over an epoch once, so the
 * iterator may come again for those that changed state whenever it looked. One that is out of the
 * list of tasks, but not off its CPU yet, hands it over itself, in a moment.
 */
static enum dwell_exit session__collect(struct session *s, bool final)
{
	struct session_collect collect = {s, final};
	enum dwell_exit status;

	for (int pass = 1;; pass++) {
		status = session__look(s, &collect);
		if (status || !(s->torn || s->unseen) || pass == COLLECT_PASSES)
			break;
		if (s->unseen)
			usleep(ENDING_US);
	}
	s->late += s->unseen;
	s->written_off += s->unseen;
	return status;
}

static enum dwell_exit session__losses(struct session *s, uint64_t *events)
{
	struct cpu_stat now;
	enum dwell_exit status = session__counters(s, &now);

	if (status)
		return status;
	*events = loss__events(&now);
	now.loss[LOSS_MISSED] += s->cost.missed;
	loss__since(&s->loss, &now, &s->loss_before);
	s->loss.count[LOSS_ROW_FULL] += session__accounts(s)->lost;
	s->loss.count[LOSS_MAP_FULL] += s->early.lost;
	s->loss.count[LOSS_TORN] += s->torn;
	s->loss.count[LOSS_LATE] += s->late;
	s->late = 0;
	return EXIT_OK;
}

/* All of the time of all watched threads. */
static void session__totals(const struct session *s, struct report *report)
{
	const struct account *account;

	for (account = session__accounts(s)->by_row; account; account = account->hh.next) {
		report->wall_ns += account->wall_ns;
		for (int i = STATE_NONE + 1; i < NR_STATES; i++)
			report->states[i] += account->ns[i];
	}
}

static enum dwell_exit session__report(struct session *s, uint64_t end, unsigned int interval)
{
	struct report report = {0};
	struct sink_meta meta = {
		.target = s->run.target.text,
		.attach = attach_choices[s->object.raw ? ATTACH_RAW_TP : ATTACH_TP_BTF],
		.started = s->started,
		.duration_ns = end - s->epoch_start,
		.interval = interval,
		.loss = &s->loss,
		.cost = &s->cost,
	};
	enum dwell_exit status;
	uint64_t events = 0;

	cost__finish(&s->cost, &s->object, 0);
	status = session__losses(s, &events);
	if (status)
		return status;
	cost__finish(&s->cost, &s->object, events);
	session__totals(s, &report);
	s->reported_ns = meta.duration_ns;
	status = s->tool->snapshot(s, s->tool_options, &report);
	if (status)
		return status;
	cost__peak(&s->cost);
	sink__print(&s->sink, s->tool, &report, &meta);
	status = sink__flush(&s->sink);
	loss__footer(&s->loss);
	return status;
}

/* Ends the epoch and reports it. */
static enum dwell_exit session__end_epoch(struct session *s, bool final)
{
	char next_started[sizeof(s->started)];
	enum dwell_exit status;
	uint64_t end;

	progress__clear(&s->progress);
	s->reported = s->epoch;
	end = session__cut(s, final);
	time__rfc3339(next_started, sizeof(next_started));
	status = session__collect(s, final);
	if (status)
		return status;
	ring_buffer__consume(s->ring);
	if (s->ring_status)
		return s->ring_status;
	s->closed = s->reported;
	if (tallies__read(&s->object, &s->config, s->reported, &s->arena, &s->tallies) ||
	    early__merge(&s->early, &s->arena, &s->tallies))
		return err__fail("no memory for the tallies");
	status = session__report(s, end, s->run.interval_ns ? s->reported : 0);
	tallies__clear(&s->tallies);
	early__reset(&s->early);
	accounts__reset(&s->accounts[s->reported & 1]);
	arena__reset(&s->arena);
	mounts__free(s->mounts);
	s->mounts = NULL;
	s->epoch_start = end;
	memcpy(s->started, next_started, sizeof(s->started));
	return status;
}

/* ---- the run ------------------------------------------------------------------------------- */

static void session__announce(const struct session *s)
{
	char duration[16] = "";

	time__format(duration, sizeof(duration), s->run.duration_ns);
	log__note("tracing %s%s%s; Ctrl-C ends it with a report", s->run.target.text,
		  s->run.duration_ns ? " for " : "", s->run.duration_ns ? duration : "");
	if (s->object.blind_to_klock)
		log__note("this kernel does not tell of its own locks: waits for them are in "
			  "other states than klock");
}

static uint64_t session__deadline(const struct session *s)
{
	return s->run.duration_ns ? s->run_start + s->run.duration_ns : UINT64_MAX;
}

static uint64_t session__next_cut(const struct session *s)
{
	return s->run.interval_ns ? s->run_start + s->epoch * s->run.interval_ns : UINT64_MAX;
}

/* The time that is left until @until, for ppoll(); NULL: for ever. */
static struct timespec *session__timeout(uint64_t until, struct timespec *ts)
{
	uint64_t now = time__now(), left = until > now ? until - now : 0;

	if (until == UINT64_MAX)
		return NULL;
	ts->tv_sec = (time_t)(left / NSEC_PER_SEC);
	ts->tv_nsec = (long)(left % NSEC_PER_SEC);
	return ts;
}

static uint64_t session__min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void session__tick(struct session *s)
{
	if (time__now() < s->next_tick)
		return;
	s->next_tick = time__now() + TICK_NS;
	s->tool->tick(s, s->tool_options);
}

static void session__on_mapped(uint32_t tgid, void *arg)
{
	const struct session *s = arg;

	unwind__changed(s->unwind, tgid);
}

/* Waits for what comes first; true if the run ends. */
static bool session__wait(struct session *s, uint64_t until)
{
	struct pollfd fds[] = {
		{.fd = s->signals, .events = POLLIN},
		{.fd = ring_buffer__epoll_fd(s->ring), .events = POLLIN},
		{.fd = s->launch.pidfd, .events = POLLIN},
		{.fd = mappings__fd(s->mappings), .events = POLLIN},
	};
	struct timespec ts;
	uint64_t sample = s->cost.stats_fd >= 0 ? s->run_start + COST_SAMPLE_NS : UINT64_MAX;

	until = session__min(session__min(until, sample), s->progress.next);
	until = session__min(session__min(until, s->next_tick), mappings__due(s->mappings));
	ppoll(fds, sizeof(fds) / sizeof(*fds), session__timeout(until, &ts), NULL);
	if (time__now() >= sample)
		cost__sampled(&s->cost, &s->object);
	progress__tick(&s->progress, &s->object, s->run_start, time__now());
	session__tick(s);
	if (fds[1].revents)
		ring_buffer__consume(s->ring);
	if (fds[3].revents & POLLIN)
		mappings__read(s->mappings);
	if (time__now() >= mappings__due(s->mappings))
		mappings__tell(s->mappings, session__on_mapped, s);
	if (fds[2].revents && !s->launch.ended)
		launch__reap(&s->launch);
	return (fds[0].revents & POLLIN) || s->launch.ended;
}

static enum dwell_exit session__loop(struct session *s)
{
	uint64_t deadline = session__deadline(s), cut;
	enum dwell_exit status = EXIT_OK;
	bool over;

	while (!status) {
		cut = session__next_cut(s);
		over = session__wait(s, session__min(deadline, cut));
		if (over || time__now() >= deadline)
			return session__end_epoch(s, true);
		if (time__now() >= cut)
			status = session__end_epoch(s, false);
		if (s->ring_status)
			status = s->ring_status;
	}
	return status;
}

/* With -v: how many stacks were walked, and what the unwind tables took. */
static void session__unwound(const struct session *s)
{
	struct unwind_stats stats;
	struct cpu_stat sum;

	if (!s->config.user_stacks && !s->config.kernel_stacks)
		return;
	if (!loss__read(object__map_fd(&s->object, "cpus"), &sum)) {
		log__debug("user stacks: %llu walked, %llu unchanged%s", sum.walked, sum.recalled,
			   sum.misremembered ? ", REMEMBERED WRONGLY" : "");
		log__debug("kernel stacks: %llu walked, %llu unchanged%s", sum.kernel_walked,
			   sum.kernel_recalled,
			   sum.kernel_misremembered ? ", REMEMBERED WRONGLY" : "");
	}
	if (!s->unwind)
		return;
	stats = unwind__stats(s->unwind);
	log__debug("unwind tables of %zu modules: %zu rows, %zu rules, %zu KiB, %" PRIu64
		   " ms of CPU time, %zu layouts",
		   stats.modules, stats.rows, stats.rules, stats.bytes / 1024,
		   (uint64_t)(stats.ns / NSEC_PER_MSEC), stats.layouts);
}

static enum dwell_exit session__trace(struct session *s)
{
	enum dwell_exit status = session__prepare(s);

	if (!status)
		status = session__start(s);
	if (status)
		return status;
	session__announce(s);
	progress__start(&s->progress, !s->run.target.program, s->run_start);
	if (s->run.target.program) {
		status = launch__release(&s->launch, s->run.target.program);
		if (status)
			return status;
	}
	status = session__loop(s);
	if (!status)
		cost__footer(&s->cost);
	session__unwound(s);
	return status;
}

static void session__free(struct session *s)
{
	if (s->tool->detach)
		s->tool->detach(s);
	ring_buffer__free(s->ring);
	mappings__free(s->mappings);
	unwind__free(s->unwind);
	object__free(&s->object);
	launch__free(&s->launch);
	stacks__free(s->stacks);
	datasyms__free(s->datasyms);
	for (int i = 0; i < 2; i++)
		accounts__reset(&s->accounts[i]);
	early__reset(&s->early);
	arena__reset(&s->arena);
	mounts__free(s->mounts);
	if (s->cost.stats_fd >= 0)
		close(s->cost.stats_fd);
	if (s->signals >= 0)
		close(s->signals);
	free(s->tool_options);
}

int session__run(const struct tool *tool, int argc, char **argv)
{
	struct session s = {
		.tool = tool,
		.run.by = tool->by,
		.run.memo = MEMO_ON,
		.launch = LAUNCH_NONE,
		.signals = -1,
		.cost.stats_fd = -1,
	};
	enum dwell_exit status, closed;
	bool done = false;

	s.tool_options = calloc(1, tool->options_size ?: 1);
	if (!s.tool_options)
		return err__fail("no memory");
	status = session__parse(&s, argc, argv, &done);
	if (!status && !done) {
		if (!s.run.duration_ns && !s.run.interval_ns && !s.run.target.program)
			s.run.duration_ns = DURATION_DEFAULT;
		status = session__trace(&s);
	}
	closed = sink__close(&s.sink);
	session__free(&s);
	if (!status)
		status = closed;
	if (!status && s.run.exit_status)
		return launch__exit_status(&s.launch);
	return (int)status;
}

const struct mounts *session__mounts(struct session *s)
{
	if (!s->mounts)
		s->mounts = mounts__read(NULL);
	return s->mounts;
}

enum dwell_exit session__rows(struct session *s, void *rows, size_t n, struct report *report)
{
	const struct tool *tool = s->tool;
	bool machine = s->run.sink.json || s->run.sink.jsonl || s->run.sink.folded;
	size_t shown = s->run.rows ?: machine ? n : ROWS_TEXT;

	if (shown > n)
		shown = n;
	if (topn__sort(rows, n, tool->row_size, shown, table__compare,
		       table__find(s->columns, s->run.sort ?: tool->sort)))
		return err__fail("no memory to sort the rows");
	report->columns = s->columns;
	report->rows = (struct table_list){rows, shown};
	report->more_rows = n - shown;
	return EXIT_OK;
}
