# SPDX-License-Identifier: MIT
"""References are given back, on failures too: the number of memory blocks does not grow with the number of calls."""
import datetime
import gc
import sys

import pytest

import slither

pytestmark = pytest.mark.skipif(not sys.getallocatedblocks(), reason="PYTHONMALLOC hides how many blocks are in use")

MOMENT = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


class Text(str):
    pass


class Row(dict):
    pass


class Saboteur(dict):
    def items(self):
        raise KeyError


VALUES = [
    None, True, 12345678901234, 2**64 - 1, 1.5, "text", "é" * 50, b"bytes", [1, [2, ["x" * 40]]], {"k" * 40: {"é": (1,)}},
    {1: 2, 1.5: 3, None: 4, b"x": 5, MOMENT: 6}, MOMENT, Text("x"), Row(a=1), bytearray(b"x"), memoryview(b"x"),
    slither.Array(bytes(16), "float64", (2, 1)), slither.skip("s"), slither.error("e"), slither.route("r", {"a": [1]}),
    slither.unpack(b"\xc7\x20\x03" + bytes(24) + b"\1\0T" + b"repr "),
]
FAILURES = [
    [0, {"k": [object()]}], 2**64, "\ud800", {(1,): 1}, [slither.skip()], slither.route("r", {1}), [Saboteur(a=1)], MOMENT.replace(tzinfo=None),
    memoryview(bytes(8))[::2], slither.route("\ud800"), {"\ud800": 1}, {"k": {"\ud800"}},
]
GARBAGE = [
    b"", b"\xc1", b"\x92\x01", b"\x82\xa1a\x01\xa1b", b"\xa1\xff", b"\x81\xa1\xff\x01", b"\x81\x90\x01", b"\x91" * 200, b"\x01\x01",
    b"\xd5\x04\x03\xa0", b"\xc7\x05\x04\x03\xa1r\x91\xc1", b"\xc7\x01\x05x", b"\x91\xd5\x04\x01\xa0", b"\xc7\x03\x01\x0b\x01\x00",
]


def growth(call, rounds=300):
    """Blocks more after `rounds` calls; the least of three times, because caches of the interpreter grow now and then."""
    for _ in range(rounds):
        call()
    least = None
    for _ in range(3):
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(rounds):
            call()
        gc.collect()
        grown = sys.getallocatedblocks() - before
        least = grown if least is None else min(least, grown)
    return least


def raises(kind, function, argument):
    try:
        function(argument)
    except kind:
        return
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_values(number):
    assert growth(lambda: slither.unpack(slither.pack(VALUES[number]))) < 100


@pytest.mark.parametrize("number", range(len(FAILURES)))
def test_failures_to_pack(number):
    assert growth(lambda: raises((TypeError, KeyError), slither.pack, FAILURES[number])) < 100


@pytest.mark.parametrize("number", range(len(GARBAGE)))
def test_failures_to_unpack(number):
    assert growth(lambda: raises(ValueError, slither.unpack, GARBAGE[number])) < 100


def test_arrays():
    def use():
        array = slither.Array(bytes(48), "float64", (2, 3))
        memoryview(array)[0, 0], array[1], array[1][2], list(array), array.tolist(), repr(array), array.shape, array.__reduce__()
        raises(TypeError, array.__getitem__, "x")
        raises(IndexError, array.__getitem__, (0, 9))
        raises(ValueError, slither.Array, memoryview(bytes(8)).cast("c"))
    assert growth(use) < 100


def test_marks():
    def use():
        mark = slither.route("r", [1])
        assert mark == slither.route("r", [1]) and repr(mark) and (mark.kind, mark.text, mark.payload)
        raises(TypeError, slither.skip, 1)
        loop = []
        loop.append(slither.route("x", loop))
    assert growth(use) < 100


def test_ever_new_keys():
    number = iter(range(10**9))
    assert growth(lambda: slither.unpack(slither.pack({"key%d" % next(number): 1})), 3000) < 1200


def test_numpy(numpy):
    values = [numpy.float32(1), numpy.int64(2), numpy.bool_(1), numpy.arange(6).reshape(2, 3).T]
    assert growth(lambda: slither.unpack(slither.pack(values))) < 100
    failures = [numpy.zeros(2, ">f8"), numpy.array(["x"]), numpy.zeros(1, "datetime64[s]"), numpy.datetime64("2020"), numpy.complex64(1)]
    assert growth(lambda: [raises(TypeError, slither.pack, value) for value in failures], 50) < 100


@pytest.mark.parametrize("function, each, items", [
    ("fine", False, [{"k": n, "x": 1.5} for n in range(20)]),
    ("fine", True, [{"k": 1}, 2.5]),
    ("marks", False, [1, 2, 3]),
    ("fails", False, [1]),
    ("fails", True, [1, 2]),
    ("unfit", False, [1, 2]),
    ("unfit", True, [1, 2]),
    ("short", False, [1, 2]),
    ("absent", False, [1]),
    ("large", False, [3 << 20]),
])
def test_a_worker(module, worker, function, each, items):
    module("""
        import gc, slither, sys
        def blocks(items):
            gc.collect()
            return [sys.getallocatedblocks()]
        def fine(items): return items
        def marks(items): return [slither.skip("a"), slither.error("b"), slither.route("c", items)]
        def fails(items): raise ValueError(items)
        def unfit(items): return [{1}] * 2
        def short(items): return [1]
        def large(items): return [bytes(items[0])]
    """)
    host = worker()

    def rounds():
        for _ in range(100):
            host.batch("m:" + function, items, kind=2 if each else 1)
        return host.batch("m:blocks", [0]).values[0]
    counts = [rounds() for _ in range(4)]
    assert min(after - before for before, after in zip(counts, counts[1:])) < 90


def test_sessions_that_come_and_go(module, worker):
    module("""
        import asyncio, gc, slither, sys
        def open(items):
            session = slither.session()
            session.cache = list(range(20))
            session.get_or_create("self", lambda: session)
            slither.on_session_close(session.cache.append, 1)
            if items[0]:
                slither.on_session_close(print, "closed", items[0], flush=True)
            return items
        async def look(items):
            return [slither.context().session, slither.session().get("x")]
        def blocks(items):
            gc.collect()
            return [sys.getallocatedblocks()]
    """)
    host = worker()

    def rounds(number):
        first = number * 100 + 1
        for session in range(first, first + 100):
            host.batch("m:open", [session if session == first + 99 else 0], options={"session": session})
            host.batch("m:look", [0, 0], options={"session": session, "context": {"a": [session]}})
        host.drop(*range(first, first + 100))
        host.stdout.wait_for("closed %d" % (first + 99))
        return host.batch("m:blocks", [0]).values[0]
    counts = [rounds(number) for number in range(4)]
    assert min(after - before for before, after in zip(counts, counts[1:])) < 90
