# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Reads the TAP of one test file (variables: kernel, test, status: of its exit). Prints a line
# "KERNEL TEST PASSED FAILED SKIPPED UNSTEADY" (of those that passed), then lines "skip KERNEL TEST
# NAME: REASON", "fail …" and "unsteady …". What dies, prints no plan or less than it planned counts
# as failed. "# (first try)" is what tests/run makes of a failure that was none later.
function fault(text) {
	failed++
	lines = lines "fail " kernel " " test " " text "\n"
}

/^1\.\.[0-9]+/ {
	planned = substr($1, 4) + 0
	plan = 1
	next
}

/^(not )?ok / {
	seen++
	name = $0
	sub(/^(not )?ok [0-9]+ *(- )?/, "", name)
	if (match(tolower(name), /# *skip/)) {
		skipped++
		reason = substr(name, RSTART + RLENGTH)
		name = substr(name, 1, RSTART - 1)
		sub(/ +$/, "", name)
		sub(/^ +/, "", reason)
		lines = lines "skip " kernel " " test " " name ": " reason "\n"
	} else if ($1 == "ok") {
		passed++
	} else {
		fault(name)
	}
	next
}

/^# \(first try\)/ && name != said {
	said = name
	unsteady++
	lines = lines "unsteady " kernel " " test " " name "\n"
}

END {
	if (!plan)
		fault("no TAP plan (exit status " status ")")
	for (; seen < planned; seen++)
		fault("a planned result is missing (exit status " status ")")
	if (status != "0" && !failed)
		fault("exit status " status)
	printf "%s %s %d %d %d %d\n%s", kernel, test, passed, failed, skipped, unsteady, lines
}
