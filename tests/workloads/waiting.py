# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Threads of Python that wait in callbacks of C code, at several depths, for ever.
import functools, re, threading, time


def deep(n):
    if n:
        return deep(n - 1) + 1
    time.sleep(0.0003)
    return 0


def recurse():
    n = 0
    while True:
        n = (n + 1) % 20
        deep(n)


def substitute():
    while True:
        re.sub("a", lambda match: time.sleep(0.0002) or "b", "aaaaaaaa")


def ordered(a, b):
    time.sleep(0.0001)
    return a - b


def order():
    while True:
        sorted(range(20, 0, -1), key=functools.cmp_to_key(ordered))


for target in (recurse, substitute, order):
    threading.Thread(target=target, daemon=True).start()
threading.Event().wait()
