# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# From the results of all runs, one table per question and work.

def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def digits($n): . * pow(10; $n) | round / pow(10; $n);
def beside($base; $unit; $n):
  if . == null or . == 0 then "–"
  elif $base == null or $base == 0 then "\(digits($n)) \($unit)"
  else "\(digits($n)) \($unit) (\(. / $base | digits(2))×)" end;

# Where switches are not what is looked at
def per_event: .question | IN("io", "file", "syscall");

def spread($min; $max): if $min == null or $max == null or $max == 0 then "" else " [\($min | round)–\($max | round)]" end;

# Frames, and the time that each of them took
def framed($dwell):
  if .frames == null or .ns == null then "– | – | "
  else "\(.frames | digits(1)) | \(.ns / .frames | beside($dwell.ns / $dwell.frames; "ns"; 0)) | " end;

# A tool's figures on one work: medians over the rounds.
def figures($plain):
  . as $runs |
  [$runs[] | select(.stats) | .run_ns / (if per_event then .runs else .switches end)] as $bpf |
  [$runs[] | select(.stats | not) | .work_ns / ($plain[.round | tostring] // empty)] as $slow |
  {
    tool: $runs[0].tool,
    slow: ($slow | median), slow_min: ($slow | min), slow_max: ($slow | max),
    ns: ($bpf | if length > 0 then median else null end), ns_min: ($bpf | min), ns_max: ($bpf | max),
    lost: ([$runs[].lost | tonumber? // 0] | max),
    frames: ([$runs[].frames | tonumber? // empty] | if length > 0 then median else null end),
    ready: ([$runs[].ready_ns / 1e6] | median),
    report: ([$runs[].report_ns / 1e6] | median),
    rss: ([$runs[].rss_bytes / 1048576] | median),
    maps: ([$runs[].map_bytes / 1048576] | median)
  };

. as $all |
([.[] | select(.question != "none")] | group_by([.question, .work])[] |
  . as $group |
  ([$all[] | select(.tool == "none" and .work == $group[0].work) | {key: (.round | tostring), value: .work_ns}] |
    from_entries) as $plain |
  ([group_by(.tool)[] | figures($plain)] | sort_by(.tool | startswith("dwell") | not)) as $rows |
  $rows[0] as $dwell |
  ($dwell.frames != null and ($rows | any(.tool != $dwell.tool and .frames != null))) as $framed |
  "\n## \($group[0].question) · \($group[0].work)\n",
  "| tool | BPF time per \(if ($group[0] | per_event) then "event" else "context switch" end) |\(if $framed then " frames per user stack | time per frame |" else "" end) the work takes | first event after | report after | RSS | BPF maps | lost |",
  "|---|---|---|---|---|---|---|---|\(if $framed then "---|---|" else "" end)",
  ($rows[] | "| \(.tool) | \(.ns | beside($dwell.ns; "ns"; 0))\(spread(.ns_min; .ns_max)) | \(if $framed then framed($dwell) else "" end)\(.slow | digits(2))× [\(.slow_min | digits(2))–\(.slow_max | digits(2))] | \(.ready | beside($dwell.ready; "ms"; 0)) | \(.report | beside($dwell.report; "ms"; 0)) | \(.rss | beside($dwell.rss; "MB"; 1)) | \(.maps | beside($dwell.maps; "MB"; 1)) | \(if .tool | startswith("dwell") then .lost elif .lost > 0 then .lost else "not told" end) |"))
