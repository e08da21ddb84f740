/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * throws: threads of C++ that wait in destructors while an exception passes, in what catches it, in
 * a comparison of std::sort, and in a signal handler below a lambda; for ever.
 */
/* CFLAGS: -fomit-frame-pointer */
#include <algorithm>
#include <chrono>
#include <csignal>
#include <functional>
#include <stdexcept>
#include <thread>
#include <vector>

#include <pthread.h>
#include <unistd.h>

namespace throws {

static void wait()
{
	std::this_thread::sleep_for(std::chrono::microseconds(200));
}

struct guard {
	~guard() { wait(); }
};

__attribute__((noinline)) static int thrower(int n)
{
	guard g;

	if (n == 0)
		throw std::runtime_error("deep");
	return thrower(n - 1) + 1;
}

static void catcher()
{
	for (int n = 0;; n = (n + 1) % 8) {
		try {
			thrower(n);
		} catch (const std::exception &) {
			wait();
		}
	}
}

static void sorter()
{
	for (;;) {
		std::vector<int> v(100);

		for (int i = 0; i < 100; i++)
			v[i] = i * 7919 % 100;
		std::sort(v.begin(), v.end(), [](int a, int b) {
			wait();
			return a < b;
		});
	}
}

static void on_signal(int)
{
	wait();
}

static void signalled()
{
	std::function<void()> spin = [] {
		for (volatile int i = 0; i < 1000000; i++)
			;
	};

	for (;;)
		spin();
}

}

int main()
{
	signal(SIGUSR1, throws::on_signal);
	std::thread a(throws::catcher), b(throws::sorter), c(throws::signalled);

	for (;;) {
		usleep(1000);
		pthread_kill(c.native_handle(), SIGUSR1);
	}
}
