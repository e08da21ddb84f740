# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Filters that yield a text for each fault, and nothing when all is well.

def total: add // 0;

def expect($ok; $text): if $ok then empty else $text end;

# How much wider limits of time are than on a machine of today: 1, and more under emulation, where
# what lies between two looks at the clock takes longer (tests/vm).
def slow: ($ENV.DWELL_TEST_SLOW // "1") | tonumber;

# $value within [low, high], on any machine: counts, addresses, what holds by construction.
def within($what; $value; $low; $high):
  expect($value != null and $value >= $low and $value <= $high;
    "\($what): \($value) is not within [\($low | round), \($high | round)]");

# The same for times: 2 % wider for each time that this machine is slower.
def between($what; $value; $low; $high):
  ((slow - 1) * 0.02) as $more |
  within($what; $value; $low * (1 - $more); $high * (1 + $more));

# A time within a share and a number of ns of $truth
def near($what; $value; $truth; $share; $ns):
  (($truth * $share + $ns) * slow) as $more |
  within($what; $value; $truth - $more; $truth + $more);

# What is the same by construction, however slow the machine.
def same($what; $value; $truth):
  within($what; $value; $truth * 0.999; $truth * 1.001);

# Every document and every row: what holds whatever was measured.
def sound:
  expect(.schema == "dwell/1"; "schema: \(.schema)"),
  expect((.loss.total) == (.loss.reasons | map(.) | total); "loss.total is not the sum: \(.loss)"),
  (.rows[] | select(.states and .wall_ns) |
    same("sum of states of \(.comm) \(.tid // .pid)"; .states | map(.) | total; .wall_ns)),
  # A wait's time is once in its state and at most once in a cause (none where a map was full, or a
  # runnable thread still waits at the end).
  (.rows[] | select(.states and .causes) | .states as $states | . as $row |
    .causes | group_by(.state)[] |
    expect((map(.total_ns) | add) <= ($states[.[0].state] // 0) * 1.001 + 1000;
      "causes of \(.[0].state) of \($row.comm): \(map(.total_ns) | add) ns of \($states[.[0].state])")),
  same("sum of states in the summary"; .summary.states | map(.) | total; .summary.wall_ns);

# What a kernel keeps from every tracer is not dwell's to find: it is counted, and told apart. If it
# was a thread's last switch, that thread's account never comes.
def lossless($but):
  expect(.loss.total == ([.loss.reasons["missed", "late", $but[]]] | total); "something was lost: \(.loss)");

def lossless: lossless([]);

# The value at a share of a list of samples, by nearest rank.
def rank($share): sort | .[((length * $share) | ceil) - 1];

def hex: ltrimstr("0x") | explode | reduce .[] as $c (0;
  . * 16 + (if $c >= 97 then $c - 87 else $c - 48 end));

# ---- the oracles: `.` is why's report, $truth what the workload `waits` says of itself ----

def oracle_name($cause; $truth):
  $truth.detail as $d |
  expect(($d.path | not) or ($cause.name | contains($d.path));
    "the cause '\($cause.name)' does not name \($d.path)"),
  expect(($d.peer | not) or ($cause.name | contains($d.peer));
    "the cause '\($cause.name)' does not name the peer \($d.peer)"),
  expect(($d.local | not) or $d.peer or ($cause.name | contains($d.local | split(":")[1]));
    "the cause '\($cause.name)' does not name the port of \($d.local)"),
  # the futex word lies somewhere in the lock
  (select($d.addr) | ($cause.name | [scan("0x[0-9a-f]+")][0] // "0x0") as $addr |
    within("address in '\($cause.name)'"; $addr | hex; $d.addr | hex; ($d.addr | hex) + 64)),
  expect(($d.holder_tid | not) or $truth.state != "lock" or
      ($cause.name | test("\\b\($d.holder_tid)\\b"));
    "the cause '\($cause.name)' does not name the holder \($d.holder_tid)");

def oracle_percentiles($cause; $truth):
  between("p99 of '\($cause.name)'"; $cause.p99_ns;
    ($truth.blocked | rank(0.99)) * 0.97; ($truth.samples | rank(0.99)) * 1.03),
  between("max of '\($cause.name)'"; $cause.max_ns;
    ($truth.blocked | max) * 0.97; ($truth.samples | max) * 1.03);

# Where a round isn't one wait, the kernel has counted them: each was a voluntary switch. (Waits for a
# CPU are split among those who had it: their count is runq's.)
def oracle_count($row; $truth):
  select($truth.exact_count or $truth.queue | not) |
  within("waits"; [$row.causes[] | select(.state as $s | $truth.states | index($s)).count] | total;
    $truth.detail.blocked; $truth.detail.blocked + 3);

# The victim opens a file or two before it begins, and may have to wait for some µs: not counted.
def oracle_causes($row; $truth; $named):
  ([$row.causes[] | select(.state as $s | $truth.states | index($s)) |
    select(.total_ns >= $truth.blocked_ns * 0.001)] | sort_by(-.total_ns)) as $causes |
  if $causes == [] then "no cause in \($truth.states)" else
    $causes[0] as $cause |
    # a short wait may be over before the thread has left the CPU
    (select($truth.exact_count) | ([$truth.count, $truth.detail.blocked // $truth.count] | min) as $least |
      expect(($causes | map(.count) | total) | . >= $least and . <= $truth.count;
        "\($causes | map(.count) | total) waits instead of \($truth.count): \($causes)")),
    expect(($truth.kind | not) or $cause.kind == $truth.kind;
      "the cause is of kind \($cause.kind) instead of \($truth.kind)"),
    (select($named) | oracle_name($cause; $truth)),
    (select($truth.exact_count and ($causes | length) == 1) | oracle_percentiles($cause; $truth))
  end;

# The workload's measure includes the CPU time around a wait and the way back to the CPU; what is
# in the state itself lies between the measure with and without them. Of waits for a CPU the kernel
# knows the sum, but for the thread's last steps, in which others may have it.
def oracle_total($row; $truth):
  ([$row.states[$truth.states[]] // 0] | total) as $value |
  if $truth.queue then
    ([$row.causes[] | select(.kind == "task" and (.name | contains("(\($truth.pid))") | not)).total_ns] |
      total) as $others |
    between("time in \($truth.states)"; $value; $truth.detail.queued_ns * 0.97 - 1000000;
      $truth.detail.queued_ns * 1.03 + 1000000 + $others)
  else
    (if $truth.exact_count then 0 else 2000000 end) as $ns |
    between("time in \($truth.states)"; $value;
      $truth.blocked_ns * 0.97 - $ns; $truth.total_ns * 1.03 + $ns)
  end;

def oracle($measured; $named):
  ($measured + {queue: ($measured.states | index("runq") != null)}) as $truth |
  sound, lossless,
  ([.rows[] | select(.tid == $truth.tid)] as $rows |
    if ($rows | length) != 1 then "\($rows | length) rows of thread \($truth.tid)" else
      $rows[0] as $row |
      expect($row.comm == "victim"; "the thread's name is \($row.comm)"),
      expect($row.pid == $truth.pid; "its process is \($row.pid)"),
      oracle_total($row; $truth),
      (select($truth.state != "cpu") |
        oracle_causes($row; $truth; $named), oracle_count($row; $truth))
    end);
