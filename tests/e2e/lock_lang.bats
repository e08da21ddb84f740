#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# `dwell lock` on locks of other languages and runtimes: two threads of a small program contend, and
# the place where they do is named.
#
# bats file_tags=once

# bats file_tags=once

load lib

build() { # compiler's command line
	"$@" >"$T/compile" 2>&1 || fail_with "$* fails:" "$T/compile"
}

# The lock with most of the waiting in $T/program: its kind, where it is waited for, and how often at
# least; who let it go was a thread of the program.
contended() { # kind caller waits program…
	dwell lock --json --user -o "$T/lock.json" -- "${@:4}" >"$T/out" 2>"$T/err"
	check "$T/lock.json" '[.rows[] | select(.kind == "'"$1"'")] | max_by(.total_ns) |
		if . == null then "no row of kind '"$1"'" else
			expect(.count >= '"$3"'; "\(.count) waits"),
			expect(.caller // "" | test("'"$2"'"); "caller \(.caller): \(.wait_stack)") end'
}

# …as long as the threads say that they waited, which includes the way back to a CPU; and the holders
# are known.
measured() { # kind seconds
	check "$T/lock.json" '[.rows[] | select(.kind == "'"$1"'")] | max_by(.total_ns) |
		between("time"; .total_ns; '"$2"' * 1e9 * 0.8; '"$2"' * 1e9 * 1.03),
		expect([.holders[].share] | total >= 0.9; "holders: \(.holders)")'
}

# Each of two threads has the lock 40 times for 5 ms: whoever comes second waits.
@test "C++: std::mutex" {
	need_natively g++
	cat >"$T/program.cc" <<-END
		#include <chrono>
		#include <mutex>
		#include <thread>
		std::mutex ORDER_BOOK;
		void place_order() {
			std::lock_guard<std::mutex> guard(ORDER_BOOK);
			std::this_thread::sleep_for(std::chrono::milliseconds(5));
		}
		void work() { for (int i = 0; i < 40; i++) place_order(); }
		int main() { std::thread a(work), b(work); a.join(); b.join(); }
	END
	build g++ -O2 -fno-inline -pthread -o "$T/program" "$T/program.cc"
	contended mutex '^place_order' 20 "$T/program"
	check "$T/lock.json" '[.rows[] | select(.kind == "mutex")] | max_by(.total_ns) |
		expect(.name | contains("ORDER_BOOK"); "the lock is called \(.name)"),
		expect([.holders[].share] | total >= 0.9; "holders: \(.holders)")'
}

# Readers behind a writer, and writers behind readers.
@test "C++: std::shared_mutex" {
	need_natively g++
	cat >"$T/program.cc" <<-END
		#include <chrono>
		#include <mutex>
		#include <shared_mutex>
		#include <thread>
		std::shared_mutex ORDER_BOOK;
		static void nap() { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }
		void place_order() { std::unique_lock<std::shared_mutex> guard(ORDER_BOOK); nap(); }
		void read_orders() { std::shared_lock<std::shared_mutex> guard(ORDER_BOOK); nap(); }
		int main() {
			std::thread a([] { for (int i = 0; i < 40; i++) { place_order(); nap(); } });
			std::thread b([] { for (int i = 0; i < 40; i++) { read_orders(); nap(); } });
			a.join();
			b.join();
		}
	END
	build g++ -O2 -fno-inline -pthread -o "$T/program" "$T/program.cc"
	contended rwlock '^(place_order|read_orders)' 5 "$T/program"
	check "$T/lock.json" '[.rows[] | select(.kind == "rwlock")] | max_by(.total_ns) |
		expect(.name | contains("ORDER_BOOK"); "the lock is called \(.name)")'
}

rust() { # LOCK, how it is taken, what comes before
	cat <<-END
		$3
		use std::{thread, time::Duration, time::Instant};
		static ORDER_BOOK: $1<u64> = $1::new(0);
		#[no_mangle]
		#[inline(never)]
		pub extern "C" fn place_order() -> f64 {
			let begin = Instant::now();
			let mut orders = ORDER_BOOK.$2;
			let waited = begin.elapsed().as_secs_f64();
			*orders += 1;
			thread::sleep(Duration::from_millis(5));
			waited
		}
		fn work() -> f64 {
			(0..40).map(|_| { thread::sleep(Duration::from_millis(1)); place_order() }).sum()
		}
		fn main() {
			let threads: Vec<_> = (0..2).map(|_| thread::spawn(work)).collect();
			let waited: f64 = threads.into_iter().map(|t| t.join().unwrap()).sum();
			println!("{}", waited);
		}
	END
}

@test "Rust: std::sync::Mutex" {
	need_natively rustc
	rust Mutex "lock().unwrap()" "use std::sync::Mutex;" >"$T/program.rs"
	build rustc -O -C debuginfo=1 -o "$T/program" "$T/program.rs"
	contended mutex '^place_order$' 20 "$T/program"
	check "$T/lock.json" '[.rows[] | select(.kind == "mutex")] | max_by(.total_ns) |
		expect(.name | contains("ORDER_BOOK"); "the lock is called \(.name)")'
	measured mutex "$(cat "$T/out")"
}

@test "Rust: std::sync::RwLock" {
	need_natively rustc
	rust RwLock "write().unwrap()" "use std::sync::RwLock;" >"$T/program.rs"
	build rustc -O -C debuginfo=1 -o "$T/program" "$T/program.rs"
	contended rwlock '^place_order$' 20 "$T/program"
}

# Source from stdin, as $T/target/release/orders
parking_lot() {
	need_natively cargo
	[ -d /usr/share/cargo/registry ] || skip "Debian's crates are not installed"
	mkdir -p "$T/orders/src" "$T/orders/.cargo"
	cat >"$T/orders/Cargo.toml" <<-END
		[package]
		name = "orders"
		version = "0.1.0"
		edition = "2021"
		[dependencies]
		parking_lot = "*"
		[profile.release]
		debug = 1
	END
	cat >"$T/orders/.cargo/config.toml" <<-END
		[source.crates-io]
		replace-with = "debian"
		[source.debian]
		directory = "/usr/share/cargo/registry"
	END
	cat >"$T/orders/src/main.rs"
	build env -C "$T/orders" CARGO_TARGET_DIR="$T/target" cargo build -q --offline --release
}

@test "Rust: parking_lot" {
	parking_lot < <(rust Mutex "lock()" "use parking_lot::Mutex;")
	# It yields some times before it sleeps, which is no wait: on a busy machine that takes long.
	contended mutex '^place_order$' 20 "$T/target/release/orders"
	measured mutex "$(cat "$T/out")"
}

# Each thread waits for a word of its own: who had the lock is known when he wakes it, and what he
# did by then must have been kept. One has it for 8 ms asleep, the other one for 5 ms and computes.
@test "Rust: parking_lot: what the holders did" {
	parking_lot <<-END
		use parking_lot::Mutex;
		use std::{thread, time::Duration, time::Instant};
		static ORDER_BOOK: Mutex<u64> = Mutex::new(0);
		fn ms(n: u64) -> Duration { Duration::from_millis(n) }
		#[no_mangle]
		#[inline(never)]
		pub extern "C" fn place_order(sleep: u64, cpu: u64) {
			let mut orders = ORDER_BOOK.lock();
			*orders += 1;
			thread::sleep(ms(sleep));
			let begin = Instant::now();
			while begin.elapsed() < ms(cpu) {}
		}
		fn main() {
			let kinds = [("nap", 8, 0), ("burn", 0, 5)];
			let threads: Vec<_> = kinds.iter().map(|&(name, sleep, cpu)|
				thread::Builder::new().name(name.into()).spawn(move || {
					let begin = Instant::now();
					while begin.elapsed() < ms(3000) {
						place_order(sleep, cpu);
						thread::sleep(ms(1));
					}
				}).unwrap()).collect();
			threads.into_iter().for_each(|t| t.join().unwrap());
		}
	END
	contended mutex '^place_order$' 100 "$T/target/release/orders"
	# the first waits, until dwell knew what they were for, are not known
	check "$T/lock.json" '[.rows[] | select(.kind == "mutex")] | max_by(.total_ns) |
		expect([.holders[].share] | total >= 0.95; "holders: \(.holders)"),
		expect([.holders[] | select(.unknown_ns > 0.15 * .total_ns)] == []; "holders: \(.holders)"),
		(.holders | map({(.comm): ((.states.sleep // 0) / (.total_ns - .unknown_ns)), ("doing " + .comm): .doing}) | add) as $h |
		between("sleep of nap"; $h.nap; 0.8; 1), between("sleep of burn"; $h.burn; 0; 0.1),
		expect($h["doing nap"] == "clock_nanosleep"; "doing: \(.holders)")'
}

# What the kernel sees are the runtime's own locks, such as a channel's.
@test "Go: a channel that many send to" {
	need_natively go
	cat >"$T/program.go" <<-END
		package main

		import "runtime"

		var orders = make(chan int, 64)
		var done = make(chan bool)

		//go:noinline
		func placeOrder(i int) { orders <- i }

		func work() {
			for i := 0; i < 400000; i++ {
				placeOrder(i)
			}
			done <- true
		}

		func main() {
			runtime.GOMAXPROCS(8)
			for i := 0; i < 8; i++ {
				go work()
			}
			go func() {
				for range orders {
				}
			}()
			for i := 0; i < 8; i++ {
				<-done
			}
		}
	END
	build env GOCACHE="$T/cache" GOFLAGS= go build -o "$T/program" "$T/program.go"
	contended mutex '^main[.]placeOrder$' 1 "$T/program"
}

# A sync.Mutex parks the goroutine: no thread waits for it. dwell says that it cannot see those.
@test "Go: goroutines that wait for a sync.Mutex are not seen, and that is said" {
	need_natively go
	cat >"$T/program.go" <<-END
		package main

		import (
			"sync"
			"time"
		)

		var book sync.Mutex

		func work(wg *sync.WaitGroup) {
			for i := 0; i < 40; i++ {
				book.Lock()
				time.Sleep(5 * time.Millisecond)
				book.Unlock()
			}
			wg.Done()
		}

		func main() {
			var wg sync.WaitGroup
			wg.Add(2)
			go work(&wg)
			go work(&wg)
			wg.Wait()
		}
	END
	build env GOCACHE="$T/cache" GOFLAGS= go build -o "$T/program" "$T/program.go"
	dwell lock --json --user -o "$T/lock.json" -- "$T/program" 2>"$T/err"
	check "$T/lock.json" 'expect([.rows[] | select(.total_ns > 20000000)] == []; "rows: \(.rows)")'
	grep -q '^dwell: program ([0-9]*) is a Go program: ' "$T/err" || fail_with "nothing is said:" "$T/err"
}

@test "Java: a monitor" {
	need_natively java javac
	cat >"$T/Orders.java" <<-END
		public class Orders {
			static final Object BOOK = new Object();
			static long waited;
			static void placeOrder() throws Exception {
				long begin = System.nanoTime();
				synchronized (BOOK) {
					waited += System.nanoTime() - begin;
					Thread.sleep(5);
				}
			}
			static void work() {
				try { for (int i = 0; i < 100; i++) placeOrder(); } catch (Exception e) { }
			}
			public static void main(String[] args) throws Exception {
				Thread a = new Thread(Orders::work), b = new Thread(Orders::work);
				a.start(); b.start(); a.join(); b.join();
				System.out.println(waited / 1e9);
			}
		}
	END
	build javac -d "$T" "$T/Orders.java"
	# interpreted code has no names: compile what is of the program before it runs first
	contended monitor 'Orders[.]placeOrder' 50 java -XX:+UnlockDiagnosticVMOptions -XX:+DumpPerfMapAtExit \
		-XX:+PreserveFramePointer -Xcomp -XX:CompileCommand=quiet \
		-XX:CompileCommand=compileonly,Orders::* -XX:CompileCommand=dontinline,Orders::placeOrder \
		-cp "$T" Orders
	rm -f /tmp/perf-"$(jq '.rows[0].pid' "$T/lock.json")".map
	check "$T/lock.json" '[.rows[] | select(.kind == "monitor")] | max_by(.total_ns) | . as $all |
		expect([.holders[].share] | total >= 0.8; "holders: \(.holders)"),
		# which is how Java sleeps
		expect([.holders[].states.sync // 0] | total >= 0.4 * ($all.holders | map(.total_ns) | total); "holders: \(.holders)")'
}

# One thread has the interpreter's lock while it sleeps: the other waits some ms at a time until it is
# let go, as does the first thread at times, and all of that is the sleeper's.
@test "Python: who has the interpreter's lock" {
	need_natively /usr/bin/python3
	cat >"$T/program.py" <<-END
		import ctypes, threading, time
		libc = ctypes.PyDLL(None)
		def hog():
		    libc.prctl(15, b"hog", 0, 0, 0)
		    for i in range(100):
		        libc.usleep(22000)
		        time.sleep(0.001)
		def compute():
		    libc.prctl(15, b"compute", 0, 0, 0)
		    while threads[0].is_alive():
		        pass
		threads = [threading.Thread(target=f) for f in (hog, compute)]
		[t.start() for t in threads]
		[t.join() for t in threads]
	END
	contended GIL . 100 /usr/bin/python3 "$T/program.py"
	check "$T/lock.json" '[.rows[] | select(.kind == "GIL")] | max_by(.total_ns) |
		([.holders[] | select(.comm == "hog")][0]) as $hog |
		([.waiter_threads[] | select(.comm != "hog") | .total_ns] | total) as $waited |
		expect([.holders[].share] | total | . >= 0.9 and . <= 1.01; "holders: \(.holders)"),
		between("hog"; $hog.total_ns; $waited * 0.9; $waited * 1.03),
		# a CPU that it waits for is not its sleep
		expect(($hog.states | .sleep + .runq + (.preempt // 0)) >= ($hog.total_ns - $hog.unknown_ns) * 0.85 and
			$hog.states.sleep > $hog.states.cpu * 10 and $hog.unknown_ns <= $hog.total_ns * 0.1 and $hog.doing == "clock_nanosleep"; "hog: \($hog)")'
}

# Each of some threads has the lock for some ms at a time, asleep, computing, or both, and then another
# one: so all but one wait, and a thread's share is that of its holds. What threads wait for a CPU
# is no wait for the lock: the bounds are that share of the time wider.
@test "Python: what two, three and five threads do with the interpreter's lock" {
	need_natively /usr/bin/python3
	cat >"$T/program.py" <<-END
		import ctypes, json, sys, threading, time
		from functools import partial
		libc = ctypes.PyDLL(None)
		KINDS = [("nap", [("sleep", 0.02)]), ("burn", [("cpu", 0.01)]), ("mixed", [("sleep", 0.006), ("cpu", 0.006)]),
		         ("nap2", [("sleep", 0.003)]), ("burn2", [("cpu", 0.002)])][:int(sys.argv[1])]
		clock = partial(time.monotonic)
		begin = time.monotonic()
		sum(range(3000000))
		rate = 3000000 / (time.monotonic() - begin)
		def call(what, s):
		    return partial(libc.usleep, int(s * 1e6)) if what == "sleep" else partial(sum, range(int(s * rate)))
		held, queued = {}, []
		def work(name, parts, until):
		    libc.prctl(15, name.encode(), 0, 0, 0)
		    held[name] = {"sleep": 0, "cpu": 0}
		    do = [f for part in parts for f in (clock, call(*part))] + [clock]
		    while time.monotonic() < until:
		        # called from C, these keep the lock
		        times = list(map(partial.__call__, do))
		        for i, (what, s) in enumerate(parts):
		            held[name][what] += times[2 * i + 2] - times[2 * i]
		    queued.append(int(open("/proc/thread-self/schedstat").read().split()[1]))
		def run(seconds, kinds):
		    until = time.monotonic() + seconds
		    threads = [threading.Thread(target=work, args=(*kind, until)) for kind in kinds]
		    [t.start() for t in threads]
		    [t.join() for t in threads]
		run(0.05, [("early", [("cpu", 0.001)])] * 2)
		# dwell knows by now whose lock it is
		time.sleep(0.5)
		held, queued = {}, []
		run(2, KINDS)
		all = sum(sum(h.values()) for h in held.values())
		print(json.dumps({"held": held, "all": all, "queued": sum(queued) / 1e9 / all / (len(KINDS) - 1)}))
	END
	for n in 2 3 5; do
		contended GIL . 100 /usr/bin/python3 "$T/program.py" "$n"
		check "$T/lock.json" '$truth[0] as $truth | $truth.queued as $queued |
			[.rows[] | select(.kind == "GIL")] | max_by(.total_ns) |
			expect([.holders[].share] | total | . >= 0.95 - $queued and . <= 1.01; "'"$n"', \($queued): \(.holders)"),
			expect(([.holders[].unknown_ns] | total) <= (0.04 + $queued) * .total_ns; "unknown, \($queued): \(.holders)"),
			(.holders[] | select($truth.held[.comm]) | $truth.held[.comm] as $held |
				between("share of \(.comm) of '"$n"'"; .share; ($held | add) / $truth.all - 0.04 - $queued;
					($held | add) / $truth.all + 0.04 + $queued),
				between("sleep of \(.comm) of '"$n"'"; (.states.sleep // 0) / (.total_ns - .unknown_ns);
					$held.sleep / ($held | add) - 0.05 - $queued;
					$held.sleep / ($held | add) + 0.05 + $queued))' \
			--slurpfile truth "$T/out"
	done
}

# Threads that compute want the interpreter's lock all the time.
@test "Python: the interpreter's lock" {
	need_natively /usr/bin/python3
	cat >"$T/program.py" <<-END
		import threading
		def work():
		    n = 0
		    for i in range(4000000):
		        n += i
		threads = [threading.Thread(target=work) for _ in range(2)]
		[t.start() for t in threads]
		[t.join() for t in threads]
	END
	contended GIL . 10 /usr/bin/python3 "$T/program.py"
	# who waits for the end of a thread, or for an event, waits for no lock
	check "$T/lock.json" '[.rows[] | select(.total_ns > 50000000) | .kind] |
		expect(. == ["GIL"]; "locks: \(.)")'
}
