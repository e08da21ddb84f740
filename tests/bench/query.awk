#!/usr/bin/awk -f
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Lines of round, work, tracer, its tps and those without, as tests/bench/query has them: the medians.

{
	key = $2 SUBSEP $3
	if (!(key in pairs))
		order[++keys] = key
	i = ++pairs[key]
	us[key, i] = 1e6 / $4
	none[key, i] = 1e6 / $5
}

# Of the values in v[1…n]: the median and the two quarters' ends in $median, $low and $high
function middle(v, n,   i, j, swap) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j] < v[j - 1]; j--) {
			swap = v[j]; v[j] = v[j - 1]; v[j - 1] = swap
		}
	median = n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
	low = v[int((n + 3) / 4)]
	high = v[n + 1 - int((n + 3) / 4)]
}

# What there is of each pair: "us" without, "ratio" of tps, "added" us
function figure(key, what,   i, v) {
	for (i = 1; i <= pairs[key]; i++)
		v[i] = what == "us" ? none[key, i] : what == "ratio" ? none[key, i] / us[key, i] : \
			us[key, i] - none[key, i]
	middle(v, pairs[key])
}

END {
	printf "%-9s %-12s %8s %7s %15s %9s %17s %7s\n", "work", "traced by", "us each", "ratio", "half are in",
		"added us", "half are in", "empties"
	for (k = 1; k <= keys; k++) {
		split(order[k], name, SUBSEP)
		floor = 0
		if ((name[1] SUBSEP "empty") in pairs) {
			figure(name[1] SUBSEP "empty", "added")
			floor = median
		}
		figure(order[k], "us")
		each = median
		figure(order[k], "ratio")
		line = sprintf("%-9s %-12s %8.1f %7.3f %7.3f %7.3f", name[1], name[2], each, median, low, high)
		figure(order[k], "added")
		printf "%s %9.2f %8.2f %8.2f %7s\n", line, median, low, high,
			(floor > 0 ? sprintf("%.2f", median / floor) : "-")
	}
}
