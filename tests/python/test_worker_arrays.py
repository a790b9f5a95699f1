# SPDX-License-Identifier: MIT
"""Arrays through a real worker: seen in place where they lie in a memory file, copied else, and valid as long as anything looks."""
import pytest

import slither
from worker_driver import EACH

SMALL, LARGE = 1000, 4 << 20


def numbers(size, value=7):
    return slither.Array(bytes([value]) * size, "uint8")


KEEP = """
    kept = []
    def keep(items):
        kept.append(items[0])
        return [None]
    def keep_view(items):
        kept.append(memoryview(items[0])[5:])
        return [None]
    def keep_row(items):
        kept.append(memoryview(items[0])[:5])
        return [None]
    def keep_in_cycle(items):
        loop = [items[0]]
        loop.append(loop)
        return [None]
    def keep_error(items):
        try:
            raise ValueError(items[0])
        except ValueError as reason:
            kept.append(reason)
        return [None]
    def total(items):
        return [sum(bytes(memoryview(item)[:100])) for item in items]
    def look(items):
        return [[bytes(view[:3]) for view in map(memoryview, kept)]]
    def forget(items):
        kept.clear()
        return [None]
    def echo(items):
        return items
    def fail(items):
        raise ValueError(len(items))
    def each(item):
        return sum(bytes(memoryview(item)[:100]))
    def address(items):
        import ctypes
        return [numpy_address(item) for item in items]
    def numpy_address(item):
        import numpy
        return numpy.asarray(item).__array_interface__["data"][0]
"""


@pytest.mark.parametrize("size", [0, 1, SMALL, LARGE])
def test_arrays_there_and_back(module, worker, size):
    module(KEEP)
    host = worker()
    for _ in range(3):
        reply = host.batch("m:echo", [numbers(size), {"a": [numbers(size, 9)]}])
        assert not reply.kept
        first, second = reply.values
        assert first.tobytes() == numbers(size).tobytes() and second["a"][0].tobytes() == numbers(size, 9).tobytes()


@pytest.mark.parametrize("function", ["keep", "keep_view", "keep_row"])
def test_what_python_keeps_stays_as_it_was(module, worker, function):
    module(KEEP)
    host = worker()
    for value in range(1, 6):
        reply = host.batch("m:%s" % function, [numbers(LARGE, value)])
        assert (reply.code, reply.kept) == ("ok", True)
        assert host.batch("m:total", [numbers(LARGE, 200)]).values == [200 * 100]
    assert host.batch("m:look", [0]).values == [[bytes([value] * 3) for value in range(1, 6)]]
    host.batch("m:forget", [0])
    assert not host.batch("m:total", [numbers(LARGE)]).kept


def test_small_arrays_are_copies_and_keep_nothing(module, worker):
    module(KEEP)
    host = worker()
    for value in range(1, 6):
        assert not host.batch("m:keep", [numbers(SMALL, value)]).kept
    assert host.batch("m:look", [0]).values == [[bytes([value] * 3) for value in range(1, 6)]]


def test_an_exception_alone_keeps_nothing(module, worker):
    module(KEEP)
    host = worker()
    assert not host.batch("m:fail", [numbers(LARGE)]).kept
    assert host.batch("m:keep_error", [numbers(LARGE)]).kept
    assert not host.batch("m:each", [numbers(LARGE)] * 2, kind=EACH).kept


def test_arrays_in_place_are_not_copied(numpy, module, worker):
    """The same memory file is seen at the same address, while copies of small ones come and go."""
    module(KEEP)
    host = worker()
    addresses = {host.batch("m:address", [numbers(LARGE)]).values[0] for _ in range(5)}
    assert len(addresses) == 1 and addresses.pop() % 8 == 0


def test_garbage_that_holds_memory_files_is_collected(module, worker):
    module(KEEP + """
    def held(items):
        return [sum("memfd:" in line for line in open("/proc/self/maps"))]
    """)
    host = worker()
    before = host.batch("m:held", [0]).values[0]
    for _ in range(150):  # 600 MiB in cycles that the collector would not notice by their number
        host.batch("m:keep_in_cycle", [numbers(LARGE)])
    assert host.batch("m:held", [0]).values[0] - before < 100


def test_shared_buffers(module, worker):
    module(KEEP)
    host = worker()
    content = bytes(range(256)) * 16
    host.submit("m:echo", [], buffer=content)
    assert host.reply().values[0].tobytes() == content
    host.submit("m:echo", [], buffer=b"", offset=100)
    assert host.reply().values[0].tobytes() == content[100:]
    host.submit("m:keep", [], buffer=b"")
    host.reply()
    host.submit("m:echo", [], buffer=b"\xff" * 10)
    assert host.reply().values[0].tobytes() == b"\xff" * 10
    assert host.batch("m:look", [0]).values == [[content[:3]]]


def test_workers_cannot_write_into_a_request(module, worker):
    module("""
        import ctypes
        def f(items):
            view = memoryview(items[0])
            assert view.readonly
            ctypes.memset(ctypes.addressof(ctypes.c_char.from_address(address(view))), 1, 1)
            return [None]
        def address(view):
            import numpy
            return numpy.frombuffer(view, "uint8").__array_interface__["data"][0]
    """)
    pytest.importorskip("numpy")
    host = worker()
    host.submit("m:f", [numbers(LARGE)])
    assert host.do("reap") == [-1, 11]
    assert b"Segmentation fault" in host.do("box")
    assert b"m.py" in host.do("box"), "faulthandler shows where Python was"
