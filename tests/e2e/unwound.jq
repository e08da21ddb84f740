# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# offcpu's report against libdw's stacks ($libdw, lines of tests/workloads/unwinder) of threads that
# were stopped: {n, same, missing: the first stacks that dwell has not}
def marks: map(select(startswith("[truncated") | not));
([.rows[] | select(.state == "stop") | "\(.tid) \(.stack | marks)"] | map({(.): true}) | add // {}) as $seen |
[$libdw[] | "\(.tid) \(.stack)"] as $want |
[$want[] | select($seen[.] | not)] as $missing |
{n: ($want | length), same: (($want | length) - ($missing | length)), missing: $missing[:3]}
