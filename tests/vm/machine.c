// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * machine fentry|kprobe DIRECTORY: renames a file in the directory (of a file system that passes a
 * rename on to no other) RENAMES times, and fails unless such a probe saw each.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "machine.btf.skel.h"

#define RENAMES 10

int main(int argc, char **argv)
{
	bool fentry = argc == 3 && !strcmp(argv[1], "fentry");
	struct machine_btf *machine = machine_btf__open();
	unsigned long long seen;
	FILE *file;

	if (argc != 3 || chdir(argv[2]))
		errx(2, "usage: machine fentry|kprobe DIRECTORY");
	if (!machine)
		err(1, "the object cannot be opened");
	machine->rodata->caller = (unsigned int)getpid();
	bpf_program__set_autoload(machine->progs.machine_fentry, fentry);
	bpf_program__set_autoload(machine->progs.machine_kprobe, !fentry);
	if (machine_btf__load(machine) || machine_btf__attach(machine))
		err(1, "the probe cannot be had");
	file = fopen("0", "w");
	if (!file || fclose(file))
		err(1, "0");
	for (int i = 0; i < RENAMES; i++) {
		char from[8], to[8];

		snprintf(from, sizeof(from), "%d", i);
		snprintf(to, sizeof(to), "%d", i + 1);
		if (rename(from, to))
			err(1, "%s", from);
	}
	seen = fentry ? machine->bss->fentries : machine->bss->kprobes;
	machine_btf__destroy(machine);
	if (seen != RENAMES)
		errx(1, "%llu of %d calls were seen", seen, RENAMES);
	return 0;
}
