# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Filters that yield a text for each fault, and nothing when all is well.

def total: add // 0;

def expect($ok; $text): if $ok then empty else $text end;

# How much wider limits of time are than on a machine of today: 1, and more under emulation, where
# what lies between two looks at the clock takes longer (tests/vm).
def slow: ($ENV.DWELL_TEST_SLOW // "1") | tonumber;

# A share is told as it is.
def told: if fabs < 10 then . else round end;

# $value within [low, high], on any machine: counts, addresses, what holds by construction.
def within($what; $value; $low; $high):
  expect($value != null and $value >= $low and $value <= $high;
    "\($what): \($value) is not within [\($low | told), \($high | told)]");

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
# was a thread's last switch, that thread's account never comes. Under emulation a CPU may stand still
# while it has the log of a lock, which the others then don't wait for.
def lossless($but):
  (["missed", "late"] + $but + (if slow > 1 then ["holder"] else [] end)) as $may |
  expect(.loss.total == ([.loss.reasons[$may[]]] | total); "something was lost: \(.loss)");

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

# What a hypervisor takes from a round is no CPU time to the scheduler, and no wait either: of the
# longest rounds a few may have been no longer waits than others.
def oracle_percentiles($cause; $truth):
  between("p99 of '\($cause.name)'"; $cause.p99_ns;
    ($truth.blocked | rank(0.96)) * 0.97; ($truth.samples | rank(0.99)) * 1.03),
  between("max of '\($cause.name)'"; $cause.max_ns;
    ($truth.blocked | rank(0.97)) * 0.97; ($truth.samples | max) * 1.03);

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
  if $causes == [] then
    "no cause in \($truth.states): \($row.states), \($truth.detail.blocked) voluntary switches"
  else
    $causes[0] as $cause |
    # a short wait may be over before the thread has left the CPU
    (select($truth.exact_count) | ([$truth.count, $truth.detail.blocked // $truth.count] | min) as $least |
      expect(($causes | map(.count) | total) | . >= $least and . <= $truth.count;
        "\($causes | map(.count) | total) waits instead of \($truth.count): \($causes)")),
    expect(($truth.kind | not) or $cause.kind == $truth.kind;
      "the cause is of kind \($cause.kind) instead of \($truth.kind)"),
    (select($named) | oracle_name($cause; $truth)),
    # of few waits, the longest alone would tell
    (select($truth.exact_count and $truth.count >= 60 and ($causes | length) == 1) |
      oracle_percentiles($cause; $truth))
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
    # what it ran before the first round and behind the last, or a hypervisor took from it there
    ([0, ($truth | select(.state == "cpu") | .detail.life_ns - .detail.queued_ns - .total_ns)] |
      max) as $rest |
    between("time in \($truth.states)"; $value;
      $truth.blocked_ns * 0.97 - $ns; ($truth.total_ns + $rest) * 1.03 + $ns)
  end;

# The one thread that $measured is of, in a report that may be of more.
def oracle_thread($measured; $named):
  ($measured + {queue: ($measured.states | index("runq") != null)}) as $truth |
  ([.rows[] | select(.tid == $truth.tid)] as $rows |
    if ($rows | length) != 1 then "\($rows | length) rows of thread \($truth.tid)" else
      $rows[0] as $row |
      expect($row.comm == "victim"; "the thread's name is \($row.comm)"),
      expect($row.pid == $truth.pid; "its process is \($row.pid)"),
      oracle_total($row; $truth),
      (select($truth.state != "cpu") |
        oracle_causes($row; $truth; $named), oracle_count($row; $truth))
    end);

def oracle($measured; $named): sound, lossless, oracle_thread($measured; $named);

# ---- lock's oracles ----

# $truth is of `waits`: one thread waits for another one, the helper.
def lock_oracle($truth; $kind):
  sound, lossless,
  # a short wait may be over before the thread has left the CPU
  ([$truth.count, $truth.detail.blocked // $truth.count] | min) as $least |
  ([.rows[] | select((.kind | startswith($kind)) and .total_ns > $truth.blocked_ns * 0.01)] as $rows |
    if $rows == [] then "no row of kind \($kind): \([.rows[] | {kind, count, total_ns}])" else
      # the time is in the longest row: the workload may wait for others of the kind for some us
      ($rows | max_by(.total_ns)) as $row |
      between("waits"; [$rows[].count] | total; $least - .loss.total;
        $truth.count + .loss.total + (if $truth.state == "lock" then 0 else 3 end)),
      (select($kind != "join") | between("time"; [$rows[].total_ns] | total;
        $truth.blocked_ns * 0.97; $truth.total_ns * 1.03)),
      (select($truth.helper_tid and ($kind != "join") and $truth.state != "klock") |
        ([$rows[].holders[] | select(.tid == $truth.helper_tid)] | map(.count) | total) as $right |
        between("waits with the right holder"; $right; $least * 0.99 - .loss.total; $truth.count + 3)),
      (select($truth.detail.addr) | between("address of \($row.name)"; $row.addr | hex;
        $truth.detail.addr | hex; ($truth.detail.addr | hex) + 64))
    end);

# $truth is of `locks crowd`: several threads wait for one, whose doing is known.
def lock_crowd($truth):
  ($truth.waiters | map(.count) | add) as $count | ($truth.waiters | length) as $n |
  .loss.total as $lost | $truth.steal_ns as $steal |
  sound, lossless,
  ([.rows[] | select(.kind == $truth.kind)] | max_by(.total_ns)) as $row |
  if $row == null then "no row of kind \($truth.kind)" else
    $truth.holder as $h |
    ([$row.holders[] | select(.tid == $h.tid)][0]) as $holder |
    expect($row.addr == $truth.addr; "the lock is at \($row.addr) instead of \($truth.addr)"),
    expect($row.name == $truth.symbol; "the lock is called \($row.name), not \($truth.symbol)"),
    expect($row.waiters == $n; "\($row.waiters) waiters instead of \($n)"),
    between("waits"; $row.count; $count - $lost; $count + $lost),
    between("time"; $row.total_ns; ($truth.waiters | map(.blocked_ns) | add) * 0.97;
      ($truth.waiters | map(.total_ns) | add) * 1.03),
    between("waits behind the holder"; $holder.count; $n * $truth.rounds * 0.99 - $lost; $count),
    between("time behind the holder"; $holder.total_ns; $h.held_ns * $n * 0.97;
      ($h.held_ns + $h.before_ns) * $n * 1.03),
    between("the holder on a CPU"; $holder.states.cpu; $h.cpu_ns * $n * 0.97;
      ($h.cpu_ns + $h.before_cpu_ns + $steal) * $n * 1.03),
    ($h.held_ns - $h.cpu_ns - $h.runq_ns - $h.sync_ns) as $slept |
    between("the holder asleep"; $holder.states.sleep; ($slept - $steal) * $n * 0.97; ($slept + $h.before_ns) * $n * 1.03),
    # the file system may have the thread wait for another one: its journal
    (select($h.sync_ns > 0) | between("the holder in fsync()"; ($holder.states | (.disk // 0) + (.fs // 0));
      ($h.sync_ns - $steal) * $n * 0.97 - 1000000; $h.sync_ns * $n * 1.03 + 1000000)),
    expect($holder.unknown_ns <= $holder.total_ns * 0.03; "not known: \($holder.unknown_ns) ns of \($holder.total_ns)"),
    expect($holder.doing == "clock_nanosleep" or ($h.sync_ns > $slept * 0.5 and ($holder.doing // "" | contains("sync")));
      "the holder does \($holder.doing)")
  end;

# The same of why, which follows holders from the first wait on that asks for it: the rounds until then
# have none.
def lock_cause($truth):
  $truth.holder as $h |
  ([.rows[].causes[] | select(.kind == $truth.kind)] | max_by(.total_ns)) as $cause |
  ([$cause.holders[]? | select(.tid == $h.tid)][0]) as $holder |
  if $holder == null then "the holder is not known: \($cause)" else
    expect($cause.name | contains($truth.symbol) and contains("held by \($h.tid) (holder)");
      "the cause is called \($cause.name)"),
    between("time behind the holder"; $holder.total_ns;
      $h.held_ns * ($truth.waiters | length) * 0.9; ($h.held_ns + $h.before_ns) * ($truth.waiters | length) * 1.03),
    near("the holder on a CPU"; $holder.states.cpu / $holder.total_ns;
      ($h.cpu_ns + $h.before_cpu_ns) / ($h.held_ns + $h.before_ns); 0; 0.04 + $truth.steal_ns / $h.held_ns),
    expect($holder.doing == "clock_nanosleep"; "the holder does \($holder.doing)"),
    expect($cause.doing | test("sleep [0-9]+ %.*; clock_nanosleep$"); "its doing is told as \($cause.doing)"),
    expect(.summary.verdict | contains($cause.name + ", meanwhile in " + $cause.doing); "verdict: \(.summary.verdict)")
  end;

# ---- runq's oracle ----

# $t is of `waits`. The spinners are threads of the same process. The truth is all of the thread's
# life but for its last steps, in which others may have the CPU.
def runq_oracle($t):
  lossless,
  ([.rows[] | select(.tid == $t.tid)] as $rows |
    expect(($rows | length) == 1; "\($rows | length) rows"),
    ([$rows[0].culprits[] | select(.pid != $t.pid).total_ns] | total) as $others |
    between("time"; $rows[0].total_ns; $t.detail.queued_ns * 0.99 - 1000000;
      $t.detail.queued_ns * 1.01 + 1000000 + $others),
    # a wake-up that the kernel hid is told of
    between("waits"; $rows[0].count; $t.detail.queued - .loss.reasons.missed;
      $t.detail.queued + 10),
    expect($rows[0].preempt_ns <= $rows[0].total_ns; "preempt_ns is more than total_ns"),
    near("culprits"; [$rows[0].culprits[].total_ns] | total; $rows[0].total_ns; 0.01; 0),
    ([$rows[0].culprits[] | select(.pid > 0)][0].pid) as $first |
    expect($first == $t.pid; "culprits: \($rows[0].culprits)"));

# ---- file's oracle ----

# $t is of `files`: counts, bytes and errors are exact.
def files_oracle($t):
  ($t.rounds / 2) as $n |
  ([.rows[] | {key: "\(.op) \(.path | ltrimstr($t.dir + "/"))", value: .}] | from_entries) as $rows |
  (("zero", "one") as $file |
    {open: 1, write: 2, read: 3, fsync: 1, fdatasync: 1, stat: 2, rename: 1, close: 1} |
    to_entries[] |
    expect($rows["\(.key) \($file)"].count == .value * $n;
      "\(.key) \($file): \($rows["\(.key) \($file)"].count), not \(.value * $n)")),
  (("zero", "one") as $file |
    expect($rows["unlink was-\($file)"].count == $n; "unlink: \($rows["unlink was-\($file)"])"),
    expect($rows["write \($file)"].bytes == 2 * $n * $t.bytes; "written: \($rows["write \($file)"])"),
    expect($rows["read \($file)"].bytes == 2.5 * $n * $t.bytes; "read: \($rows["read \($file)"])"),
    expect($rows["read \($file)"].misses == 0; "misses: \($rows["read \($file)"])")),
  (("open", "stat") |
    expect($rows["\(.) missing"] | .count == $t.rounds and .errors == $t.rounds;
      "\(.) missing: \($rows["\(.) missing"])")),
  ({"sendfile mapped": $t.bytes, "copy_file_range copy": $t.bytes, "sync_file_range mapped": 0} |
    to_entries[] |
    expect($rows[.key] | .count == 1; "\(.key): \($rows[.key])"),
    expect($rows[.key].bytes == .value; "bytes of \(.key): \($rows[.key])")),
  expect($rows["getdents \($t.dir)"].count >= 2; "getdents: \($rows["getdents \($t.dir)"])"),
  expect([.rows[] | select(.path | test("pipe|/dev/null"))] == []; "what is no file"),
  ([.rows[] | select(.op == "fsync" and (.path | startswith($t.dir)))] as $fsync |
    between("fsync total"; [$fsync[].total_ns] | total; ($t.fsync | total) * 0.97; $t.fsync | total),
    between("fsync max"; [$fsync[].max_ns] | max; ($t.fsync | max) * 0.97 - 20000; $t.fsync | max));

# ---- SQLite's oracles: $truth is of `lite` ----

def lite_row($t): [.rows[] | select(.query == $t.query)] | first;

# Counts are exact. A statement's own clock lies around dwell's, and a probe's way lies between.
def lite_oracle($truth):
  lossless,
  ($truth[] as $t | lite_row($t) as $row |
    expect($row != null; "no row for \($t.query): \([.rows[].query])"),
    expect([$row.db, $row.count, $row.rows, $row.errors] ==
      ["sqlite", $t.count, $t.rows, $t.errors]; "\($row) instead of \($t)"),
    between("total of \($t.query)"; $row.total_ns; 0; $t.ns | total),
    near("states of \($t.query)"; $row.states | map(.) | total; $row.total_ns; 0.005; 0));

# Of what takes long enough. On a busy machine there are gaps between neighbours in the order of times.
def lite_times($truth):
  $truth[] as $t | select($t.ns | rank(0.5) > 200000) | lite_row($t) as $row |
  between("p50 of \($t.query)"; $row.p50_ns; ($t.ns | rank(0.47)) * 0.97; ($t.ns | rank(0.53)) * 1.03),
  between("p95 of \($t.query)"; $row.p95_ns; ($t.ns | rank(0.92)) * 0.97; ($t.ns | rank(0.98)) * 1.03),
  # what the probes take of each step is the program's own
  near("mean of \($t.query)"; $row.total_ns / $row.count; ($t.ns | total) / ($t.ns | length); 0.03;
    1000 * ($t.rows / ($t.ns | length) + 1));
