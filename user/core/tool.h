/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What a command is: a const descriptor and the few functions that are its own. The session runs
 * it, a sink prints what it found.
 */
#ifndef DWELL_TOOL_H
#define DWELL_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/options.h"
#include "base/table.h"
#include "config.h"
#include "stack.h"
#include "state.h"

struct bpf_object;
struct session;

/* What a report looks like as text; JSON is one and the same for all. */
enum tool_shape {
	SHAPE_BREAKDOWN, /* states as bars, with their causes, then a table of rows */
	SHAPE_STACKS,    /* one block per row: its numbers, then its stack */
	SHAPE_HISTOGRAM, /* the histogram of everything, then a table of rows */
	SHAPE_DETAILS,   /* a table of rows, then the details of each */
};

/* column.only: the column is shown with --by process, thread…; the suffix of enum group_by. */
#define ONLY(by) (1U << BY_##by)

enum tool_accepts {
	ACCEPTS_STACKS = 1,   /* -u, -k, --folded */
	ACCEPTS_BY_CPU = 2,   /* --by cpu */
	ACCEPTS_OWN_BY = 4,   /* --by is an option of the command's own */
	NAMES_DATA = 8,       /* names variables: where they lie is read before a process is gone */
	ACCEPTS_BY_ALL = 16,  /* --by all */
	ACCEPTS_BY_FILE = 32, /* --by file */
	STACKS_OF_SLOW = 64,  /* stacks are only of what --min lets through; not folded */
	WITHOUT_CLOCKS = 128, /* what threads do is not looked at: there is no thread time */
	ACCEPTS_BY_OP = 256,  /* --by op, --by mount */
};

/* The kernel side: an ELF object for each way to attach. */
struct tool_object {
	const char *name;
	const void *(*btf)(size_t *size);
	const void *(*raw)(size_t *size);
	/* Fills in the object's own constants before it is loaded; may be NULL. */
	void (*prepare)(struct bpf_object *obj);
	/*
	 * Further objects, which work on this one's maps of the same name and are loaded when they
	 * are needed (object__load_part()), in the same way to attach. NULL or NULL-terminated.
	 */
	const struct tool_object *const *parts;
};

/* One line under a state's bar, or in a row's `causes`. */
struct report_cause {
	const char *state; /* enum dwell_state's key */
	const char *kind;
	const char *name;
	const char *device;        /* of a wait for a file: "sda1", "server:/export"; or NULL */
	const char *doing;         /* of a lock: what its main holder did meanwhile; or NULL */
	struct table_list holders; /* of a lock: struct holder */
	uint64_t count;
	uint64_t total_ns;
	uint64_t p99_ns;
	uint64_t max_ns;
	enum dwell_state state_id;
};

extern const struct column report_cause_columns[];

/*
 * A table of its own beside the rows: in `summary` of the JSON document an array, or an object
 * where it has always one row.
 */
struct report_table {
	const char *key;   /* NULL: none */
	const char *title; /* in text; NULL: JSON only */
	const struct column *columns;
	struct table_list rows;
	size_t row_size;
	bool object; /* rows.n is 1 */
	bool quiet;  /* text leaves it out: there is nothing in it worth telling */
};

#define REPORT_TABLES 8

/* What a command's snapshot fills; memory is the session's, until the report was printed. */
struct report {
	const struct column *columns;
	struct table_list rows;  /* of tool->row_size */
	const struct hist *hist; /* SHAPE_HISTOGRAM: of everything, or NULL */
	const char *hist_title;
	const char *verdict;      /* or NULL */
	struct table_list causes; /* SHAPE_BREAKDOWN: struct report_cause of all rows together */
	uint64_t wall_ns;         /* of all watched threads, or… */
	uint64_t states[NR_STATES];
	const char *whole;                  /* …of what it is then: "in statements" */
	size_t more_rows;                   /* rows cut by -n */
	uint64_t stack_ends[NR_STACK_ENDS]; /* waits with a user stack, by enum stack_end */
	bool row_hists; /* SHAPE_HISTOGRAM: of each row, too: tool->hist_offset */
	struct report_table tables[REPORT_TABLES];
};

struct tool {
	const char *name;
	const char *summary;
	const char *examples;
	const struct tool_object *object;
	enum tool_shape shape;
	unsigned int accepts;      /* enum tool_accepts */
	const struct opt *options; /* its own, filling the struct of `options_size` bytes */
	size_t options_size;
	const struct column *columns;
	size_t row_size;
	const char *sort; /* the default of --sort: a column's key */
	enum group_by by; /* the default of --by */
	/* A row's stack and title in SHAPE_STACKS and --folded: offsets in the row. */
	size_t stack_offset;  /* const char **: frames, innermost first */
	size_t title_offset;  /* const char * */
	size_t folded_offset; /* const char **: what is printed with --folded, outermost first */
	size_t total_offset;  /* uint64_t ns: what --folded counts, in µs */
	/* SHAPE_DETAILS: a row without a title has no details: const char **, a line each… */
	size_t details_offset;
	size_t hist_offset; /* …and struct hist *, or NULL; else see report.row_hists */

	/* Checks and completes its own options, before anything is done; may be NULL. */
	enum dwell_exit (*parsed)(void *options);
	/* Changes what the common options made of the configuration; may be NULL. */
	void (*configure)(const void *options, struct config *config);
	/*
	 * Once everything is loaded: says what this kernel lacks for it, or EXIT_UNSUPPORTED; may
	 * be NULL.
	 */
	enum dwell_exit (*loaded)(const struct session *s, const void *options);
	/*
	 * Attaches what the object's programs do not say themselves (uprobes); undone at the end,
	 * after a failure, too. What the command keeps meanwhile is in session.state; @tick is
	 * called once a second. All may be NULL.
	 */
	enum dwell_exit (*attach)(struct session *s, const void *options);
	void (*tick)(struct session *s, const void *options);
	void (*detach)(struct session *s);
	/* Process @tgid has its first stacks, or more code: NAMES_DATA. May be NULL. */
	void (*seen)(struct session *s, uint32_t tgid);
	/* A record of the command's own from the ring: false if it is none. May be NULL. */
	bool (*record)(struct session *s, const void *data, size_t size);
	/* Fills the rest of @report, which has its totals, from the epoch that ended. */
	enum dwell_exit (*snapshot)(struct session *s, const void *options, struct report *report);
};

#endif
