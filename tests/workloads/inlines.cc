/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * inlines: waits, for ever, in functions that were inlined into each other: C++ with templates and
 * namespaces, a callback below the C library, and a function that calls from two places.
 */
/* CFLAGS: -fomit-frame-pointer -fno-optimize-sibling-calls */
#include <cstdlib>
#include <ctime>

#define ALWAYS_INLINE __attribute__((always_inline)) inline

namespace shelf
{

ALWAYS_INLINE void pause_for(long us)
{
	struct timespec ts = {0, us * 1000};

	nanosleep(&ts, nullptr);
}

template <typename T> struct Book {
	T pages;

	ALWAYS_INLINE T read(int times) const
	{
		T sum = 0;

		for (int i = 0; i < times; i++) {
			pause_for(300);
			sum += pages;
		}
		return sum;
	}
};

/* One function, three deep. */
__attribute__((noinline)) long borrow(const Book<long> &book)
{
	long sum = book.read(2);

	pause_for(200);
	return sum + book.read(1);
}

} // namespace shelf

static int compare(const void *a, const void *b)
{
	shelf::pause_for(100);
	return *static_cast<const int *>(a) - *static_cast<const int *>(b);
}

__attribute__((noinline)) static void sort_them(void)
{
	int values[4] = {3, 1, 4, 2};

	qsort(values, 4, sizeof(*values), compare);
}

int main(void)
{
	const shelf::Book<long> book = {7};
	volatile long sum = 0;

	for (;;) {
		sum = sum + shelf::borrow(book);
		sort_them();
	}
}
