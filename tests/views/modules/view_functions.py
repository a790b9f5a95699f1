# SPDX-License-Identifier: MIT
"""What the tests of views run in workers."""
import os
import random
import threading

import slither


def call(items):
    """Each item: [name, arguments]."""
    return [slither.view(name, *arguments) for name, arguments in items]


def told(items):
    """The exception of each call, as text."""
    results = []
    for name, arguments in items:
        try:
            results.append(slither.view(name, *arguments))
        except (slither.ViewError, LookupError, TimeoutError) as raised:
            results.append("%s/%s: %s" % (type(raised).__name__, getattr(raised, "code", "-"), raised))
    return results


def many(items):
    return slither.view_many("double", items)


def deeper(items):
    """Goes on through the host: view "deeper" dispatches to this function again."""
    return [slither.view("deeper", item + 1) for item in items]


def double(items):
    return [item * 2 for item in items]


def raises(items):
    raise ValueError("from the depth")


def threads(items):
    """As many threads as the item says, each with its own calls."""
    wrong = []

    def work(number):
        for turn in range(50):
            if slither.view("echo", [number, turn]) != [number, turn]:
                wrong.append((number, turn))
    started = [threading.Thread(target=work, args=(number,)) for number in range(items[0])]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return [wrong]


def pid(items):
    return [os.getpid() for _ in items]


def climb(items):
    """As many views as the item says, one within the other: the number of those that were entered, or why the next one was not."""
    (floors,) = items
    if floors == 0:
        return [0]
    try:
        above = slither.view("climb", floors - 1)
    except slither.ViewError as reason:
        return ["%s: %s" % (reason.code, reason)]
    return [above if isinstance(above, str) else above + 1]


def storm(items):
    """Each item: [seed, threads, calls]. Every thread calls views at random, and looks at what it gets."""
    (seed, thread_count, call_count), = items
    wrong = []

    def work(number):
        draw = random.Random(seed * 100 + number)
        for turn in range(call_count):
            value = number * 1000 + turn
            name = draw.choice(["echo", "napping", "to second", "refusing"])
            expected = 2 * value if name == "to second" else "refused" if name == "refusing" else value
            try:
                got = slither.view(name, value)
            except slither.ViewError as reason:
                got = "refused" if reason.code == "invalid_data" else repr(reason)
            if got != expected:
                wrong.append((number, turn, name, got))
    started = [threading.Thread(target=work, args=(number,)) for number in range(thread_count)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return [repr(wrong) if wrong else "all well"]
