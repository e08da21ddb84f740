# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# From the results of all sizes, one table per curve.

def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def digits($n): . * pow(10; $n) | round / pow(10; $n);
def mean: add / length;

# The slope of the line through [log size, log cost]
def exponent($cost):
  [.[] | [(.size | log), (.[$cost] | log)]] |
  ([.[][0]] | mean) as $x | ([.[][1]] | mean) as $y |
  if length < 2 then "–"
  else ([.[] | (.[0] - $x) * (.[1] - $y)] | add) / ([.[] | (.[0] - $x) * (.[0] - $x)] | add) | digits(2) end;

group_by(.curve)[] |
.[0].curve as $curve |
[group_by(.size)[] | {
  size: .[0].size,
  ns: ([.[] | .run_ns / .runs] | median),
  report: ([.[].report_ns / 1e6] | median),
  rss: ([.[].rss_bytes / 1048576] | median),
  maps: ([.[].map_bytes / 1048576] | median),
  lost: ([.[].lost | tonumber? // 0] | max)
}] |
"\n## \($curve)\n",
"| \($curve) | BPF time per event | report after | RSS | BPF maps | lost |",
"|---|---|---|---|---|---|",
(.[] | "| \(.size) | \(.ns | digits(0)) ns | \(.report | digits(0)) ms | \(.rss | digits(1)) MB | \(.maps | digits(1)) MB | \(.lost) |"),
"| exponent | \(exponent("ns")) | \(exponent("report")) | \(exponent("rss")) | \(exponent("maps")) | |"
