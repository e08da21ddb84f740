// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "core/session.h"
#include "version.h"

#define TOOL(id, object) extern const struct tool tool_##id;
#include "tools.def"
#undef TOOL

static const struct tool *const tools[] = {
#define TOOL(id, object) &tool_##id,
#include "tools.def"
#undef TOOL
};

#define NR_TOOLS (sizeof(tools) / sizeof(*tools))

static int main__finish(void)
{
	if (fflush(stdout) || ferror(stdout))
		return err__fail("standard output cannot be written: %s", strerror(errno));
	return EXIT_OK;
}

static int main__help(void)
{
	puts("dwell tells where threads spend their time, on a running machine.\n\n"
	     "Usage: dwell COMMAND [OPTION…] [-- PROGRAM ARG…]\n\nCommands:");
	for (size_t i = 0; i < NR_TOOLS; i++)
		printf("  %-8s %s\n", tools[i]->name, tools[i]->summary);
	puts("\n`dwell COMMAND --help` lists a command's options; `man dwell` explains; "
	     "`dwell --version`\ntells which dwell this is.");
	return main__finish();
}

static int main__run(int argc, char **argv)
{
	for (size_t i = 0; i < NR_TOOLS; i++) {
		int status;

		if (strcmp(argv[0], tools[i]->name))
			continue;
		status = session__run(tools[i], argc, argv);
		return status ?: main__finish();
	}
	return err__usage("there is no command '%s': `dwell --help` lists them", argv[0]);
}

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, "");
	if (argc < 2)
		return err__usage("a command is missing: `dwell --help` lists them");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return main__help();
	if (!strcmp(argv[1], "--version")) {
		puts("dwell " DWELL_VERSION);
		return main__finish();
	}
	return main__run(argc - 1, argv + 1);
}
