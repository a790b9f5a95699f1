# SPDX-License-Identifier: MIT
"""What call_test.c calls by name."""
import asyncio
import os
import weakref

import slither


class Model:
    """Something that cannot travel."""
    made = weakref.WeakSet()

    def __init__(self, scale=1, name="model"):
        self.scale, self.name = scale, name
        self.rows = [1, 2, 3]
        Model.made.add(self)

    def __repr__(self):
        return "Model(%r)" % self.name

    def __len__(self):
        return 5

    def __getitem__(self, key):
        return [key, self.scale]

    def __setitem__(self, key, value):
        self.rows[key] = value

    def __iter__(self):
        return iter([Model(1), Model(2)])

    def __enter__(self):
        self.name = "entered"
        return self

    def __exit__(self, *exception):
        self.name = "left"

    def predict(self, x, offset=0):
        return x * self.scale + offset

    def itself(self):
        return self

    async def wait(self, x):
        await asyncio.sleep(0)
        return x + 1

    def fail(self):
        raise LookupError("no such row")


def mixed():
    return {"model": Model(3), "numbers": [1, {1, 2}, (3, 4)], "big": 2**70, "fine": None}


def same(a, b):
    return a is b


def models(count, name="model"):
    return [Model(i, name) for i in range(count)]


def alive(name):
    return sum(model.name == name for model in Model.made)


def add(a, b=0):
    return a + b


async def slow_add(a, b):
    await asyncio.sleep(0)
    return a + b


def fail():
    raise ValueError("seven is no colour")


def refused():
    return slither.error("not this one")


def skipped():
    return slither.skip("nothing to do")


def pid():
    return os.getpid()


def die():
    os.kill(os.getpid(), 9)


LIMIT = 7

# ---- generators --------------------------------------------------------------------------------------------------

log = []


def count_to(count):
    log.clear()
    try:
        for number in range(count):
            log.append(number)
            yield number
    finally:
        log.append("closed")


def plain(count):
    yield from range(count)


async def count_async(count):
    try:
        for number in range(count):
            await asyncio.sleep(0)
            yield number
    finally:
        log.append("closed")


def break_at(count):
    yield from range(count)
    raise LookupError("that was all")


def die_at(count):
    yield from range(count)
    die()


def arrays(count, size):
    for number in range(count):
        yield bytes([number % 256]) * size


def made():
    """How many items count_to has made, and whether it was closed."""
    return [sum(type(entry) is int for entry in log), "closed" in log]


def clear():
    log.clear()


def peak_kib():
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# ---- the host's views --------------------------------------------------------------------------------------------

def through_view(number):
    return slither.view("twice", number) + 1




def with_progress(count):
    slither.progress(1, count, "step 1")
    slither.view("await_progress")
    return count


def context():
    return slither.context().value


def gate(number):
    slither.view("gate", number)
    return number
