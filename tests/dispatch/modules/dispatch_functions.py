# SPDX-License-Identifier: MIT
"""What the workers of the dispatch tests are asked to do. Each item is a number, or a list that begins with one."""
import array
import ctypes
import os
import signal
import sys
import time

import slither

kept = []


def number(item):
    return item[0] if isinstance(item, list) else item


def triple(items):
    return [3 * number(item) + 1 for item in items]


def triple_one(item):
    x = number(item)
    if x % 10 == 3:
        raise ValueError("no threes: %d" % x)
    if x % 10 == 4:
        return slither.skip("four")
    if x % 10 == 5:
        return slither.route("five", [x])
    return 3 * x + 1


def marks(items):
    results = []
    for item in items:
        x = number(item)
        kind = x % 4
        results.append(slither.skip("reason %d" % x) if kind == 1 else slither.route("away", x) if kind == 2 else
                       slither.error("bad %d" % x) if kind == 3 else 3 * x + 1)
    return results


def raise_thirteen(items):
    if any(number(item) == 13 for item in items):
        raise ValueError("thirteen is \u00fcnlucky: " + "\u00fc" * 400)
    return triple(items)


def too_few(items):
    return triple(items)[1:]


def not_a_list(items):
    return 7


def unserializable(items):
    return [object() for _ in items]


def leave(items):
    print("leaving with 7", file=sys.stderr, flush=True)
    os._exit(7)


def sleep_thirteen(items):
    if any(number(item) == 13 for item in items):
        time.sleep(60)
    return triple(items)


def long_and_crash(items):
    if number(items[0]) == 0:
        time.sleep(3)
    if number(items[0]) == 5:
        os._exit(5)
    return triple(items)


def third_of_a_second(items):
    time.sleep(0.33)
    return triple(items)


def crash(x):
    """One of several ways to die."""
    way = x % 3
    if way == 0:
        os._exit(3)
    if way == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    ctypes.string_at(0)


def crash_thirteen(items):
    if any(number(item) == 13 for item in items):
        crash(13)
    return triple(items)


def die_once(items):
    """The first worker that gets here with 13 dies, once the host has given away all that there is: some of it is in its lane then."""
    for item in items:
        if number(item) == 13 and not os.path.exists(item[1]):
            with open(item[1], "w"):
                pass
            given_by = time.monotonic() + 20
            while not os.path.exists(item[1] + ".given") and time.monotonic() < given_by:
                time.sleep(0.001)
            os._exit(1)
    return triple(items)


def by_chance(items):
    """Faults at places that depend on the numbers only; the items say how often: [x, crashes, raises, wrong, marks, hangs, salt]."""
    x, crashes, raises, wrong, marked, hangs, salt = items[0]
    draw = (x * 2654435761 + salt * 40503) % 1000003 % 1000
    if draw < crashes:
        crash(x)
    if draw < crashes + hangs:
        time.sleep(60)
    if draw < crashes + hangs + raises:
        raise RuntimeError("by chance at %d" % x)
    if draw < crashes + hangs + raises + wrong:
        return [1] * (len(items) + 1)
    results = []
    for item in items:
        x = item[0]
        draw = (x * 7919 + salt) % 1000
        if draw < marked:
            results.append((slither.skip("skipped"), slither.error("failed"), slither.route("routed", x))[x % 3])
        else:
            results.append(3 * x + 1)
    return results


def keyed(items):
    """Items are [x, key]: each with the process that ran it and how many of its key it has run."""
    results = []
    for x, key in items:
        counts[key] = counts.get(key, 0) + 1
        results.append([x, key, os.getpid(), counts[key]])
    return results


counts = {}


def slow(items):
    time.sleep(0.002)
    return triple(items)


def array_sum(items):
    return [sum(memoryview(a)) for a in items]


def array_double(items):
    return [array.array("d", [2 * x for x in memoryview(a)]) for a in items]


def array_look(items):
    return [[a.dtype, list(a.shape), memoryview(a).readonly] for a in items]


def keep_arrays(items):
    kept.extend(items)
    return [sum(memoryview(a)) for a in items]


def sum_kept(items):
    return [sum(sum(memoryview(a)) for a in kept) for _ in items]


def length(items):
    return [len(item) for item in items]


def blow_up(items):
    return [b"\x5a" * number(item) for item in items]


def stamped(items):
    """Items are [x, key]: each with the process that ran it and when."""
    results = []
    for x, key in items:
        if x % 50 == 0:
            time.sleep(0.001)
        results.append([x, key, os.getpid(), time.monotonic_ns()])
    return results


def leak(items):
    """Grows by 4 MiB each time, which no file backs."""
    kept.append(bytearray(b"\x01") * (4 << 20))
    time.sleep(0.005)
    return triple(items)
