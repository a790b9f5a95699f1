# SPDX-License-Identifier: MIT
"""Batches through a real worker: what arrives, what comes back, and what every kind of failure looks like."""
import datetime
import sys

import pytest
from hypothesis import HealthCheck, given, settings

import slither
from worker_driver import BATCH, EACH, SANITIZED
from test_codec import same, values

ECHO = """
    def batch(items):
        return items

    def each(item):
        return item
"""


def test_says_who_it_is(worker):
    hello = worker().hello
    assert hello["python"] == "%d.%d.%d" % sys.version_info[:3]
    assert (hello["executable"], hello["gil"]) == (sys.executable, True)


@pytest.mark.parametrize("kind", [BATCH, EACH])
@pytest.mark.parametrize("count", [0, 1, 2, 64, 1000])
def test_items_keep_number_and_order(module, worker, kind, count):
    module(ECHO)
    items = [{"id": n, "x": n / 2, "name": "n%d" % n} for n in range(count)]
    reply = worker().batch("m:batch" if kind == BATCH else "m:each", items, kind=kind)
    assert (reply.code, reply.values, reply.kept) == ("ok", items, False)


def test_values_of_every_type_survive(module, worker):
    module(ECHO)
    host = worker()

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(values)
    def survive(value):
        assert same(host.batch("m:batch", [value, value]).values, [value, value])
        assert same(host.each("m:each", [value]).values, [value])
    survive()


def test_a_tuple_of_results_will_do(module, worker):
    module("def f(items): return tuple(items)")
    assert worker().batch("m:f", [1, 2]).values == [1, 2]


def test_state_of_a_module_lasts(module, worker):
    module("""
        seen = []
        def f(items):
            seen.extend(items)
            return [len(seen)] * len(items)
    """)
    host = worker()
    assert [host.batch("m:f", [1, 2]).values for _ in range(3)] == [[2, 2], [4, 4], [6, 6]]


def test_requests_may_wait_in_the_lane(module, worker):
    module(ECHO)
    host = worker()
    sequences = [host.submit("m:batch", [n]) for n in range(8)]
    replies = [host.reply() for _ in range(8)]
    assert [reply.sequence for reply in replies] == sequences
    assert [reply.values for reply in replies] == [[n] for n in range(8)]


@pytest.mark.parametrize("name", ["m:Model.load", "m:Model.scale", "m:model.predict", "m:model", "pkg.sub:f"])
def test_names_with_dots(module, worker, tmp_path, name):
    module("""
        class Model:
            @staticmethod
            def load(items): return items
            @classmethod
            def scale(cls, items): return items
            def predict(self, items): return items
            def __call__(self, items): return items
        model = Model()
    """)
    (tmp_path / "pkg").mkdir()
    module("def f(items): return items", "pkg/sub")
    assert worker().batch(name, [1]).values == [1]


def test_functions_that_are_async(module, worker):
    module("""
        import asyncio, functools
        loops = set()
        async def f(items):
            loops.add(asyncio.get_running_loop())
            await asyncio.sleep(0)
            return [len(loops)] * len(items)
        async def one(item):
            await asyncio.sleep(0)
            if item == 2: raise ValueError("two")
            return item
        class Model:
            async def __call__(self, items): return items
        model = Model()
        part = functools.partial(f)
    """)
    host = worker()
    assert [host.batch("m:f", [0]).values for _ in range(2)] == [[1], [1]]
    assert host.batch("m:model", [7]).values == [7]
    assert host.batch("m:part", [7]).values == [1]
    values = host.each("m:one", [1, 2, 3]).values
    assert values[0] == 1 and values[2] == 3 and values[1].text == "ValueError: two"
    assert "asyncio" not in values[1].payload["traceback"] and "m.py" in values[1].payload["traceback"]


# ---- marks -------------------------------------------------------------------------------------------------------

def test_marks_stand_for_items(module, worker):
    module("""
        import slither
        def f(items):
            return [slither.skip("empty"), slither.error("bad"), slither.route("big", items[2]), 4]
        def g(item):
            return f([item] * 4)[item]
    """)
    host = worker()
    expected = [slither.skip("empty"), slither.error("bad"), slither.route("big", 2), 4]
    assert host.batch("m:f", [0, 1, 2, 3]).values == expected
    assert host.each("m:g", [0, 1, 2, 3]).values == expected[:2] + [slither.route("big", 2), 4]


def test_exceptions_of_single_items(module, worker):
    module("""
        def f(item):
            if item == 1: return 1 / 0
            if item == 2: return {1}
            if item == 3: raise SystemExit(7)
            if item == 4: raise MemoryError
            if item == 5: raise KeyError
            return item
    """)
    values = worker().each("m:f", list(range(7))).values
    assert (values[0], values[6]) == (0, 6)
    assert [(mark.kind, mark.text.split(";")[0], mark.payload["type"], mark.payload["code"]) for mark in values[1:6]] == [
        ("error", "ZeroDivisionError: division by zero", "ZeroDivisionError", "python_exception"),
        ("error", "a result cannot travel: an object of type set cannot travel", "slither.NotSerializable",
         "not_serializable"),
        ("error", "SystemExit: 7", "SystemExit", "python_exception"),
        ("error", "the function ran out of memory: MemoryError", "MemoryError", "out_of_memory"),
        ("error", "KeyError", "KeyError", "python_exception"),
    ]
    assert "return 1 / 0" in values[1].payload["traceback"] and values[1].payload["item"] == 1


# ---- failures of a batch -----------------------------------------------------------------------------------------

def test_an_exception(module, worker):
    module("""
        def inner(items):
            return items[99]
        def f(items):
            try:
                inner(items)
            except IndexError as reason:
                raise RuntimeError("it went wrong") from reason
    """)
    host = worker()
    reply = host.batch("m:f", [1])
    assert reply.code == "python_exception"
    assert (reply.details["type"], reply.details["message"], reply.details["item"]) == ("RuntimeError", "RuntimeError: it went wrong", None)
    lines = reply.details["traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):" and lines[-1] == "RuntimeError: it went wrong"
    assert sum("m.py" in line for line in lines) == 3 and "direct cause" in reply.details["traceback"]
    assert not any("slither" in line for line in lines)
    assert host.batch("m:f", [1]).code == "python_exception", "the worker goes on"


@pytest.mark.parametrize("statement, code, type_name", [
    ("raise SystemExit(3)", "python_exception", "SystemExit"),
    ("exit(3)", "python_exception", "SystemExit"),
    ("raise KeyboardInterrupt", "python_exception", "KeyboardInterrupt"),
    ("raise GeneratorExit", "python_exception", "GeneratorExit"),
    ("raise MemoryError", "out_of_memory", "MemoryError"),
    ("bytearray(1 << 60)", "out_of_memory", "MemoryError"),
    ("f(items)", "python_exception", "RecursionError"),
    ("raise Hostile", "python_exception", "m.Hostile"),
    ("raise ExceptionGroup('g', [ValueError(1), TypeError(2)])", "python_exception", "ExceptionGroup"),
    ("slither.pack({1})", "python_exception", "slither.NotSerializable"),
    ("raise OSError('\\udcff')", "python_exception", "OSError"),
])
def test_whatever_is_raised(module, worker, statement, code, type_name):
    module("""
        import slither
        class Hostile(Exception):
            def __str__(self): raise RuntimeError
            __repr__ = __str__
        def f(items):
            %s
        def fine(items):
            return items
    """ % statement)
    host = worker()
    reply = host.batch("m:f", [1])
    assert (reply.code, reply.details["type"]) == (code, type_name)
    assert "m.py" in reply.details["traceback"]
    assert host.batch("m:fine", [1]).values == [1], "the worker goes on"


def test_long_tracebacks_keep_their_end(module, worker):
    module("""
        def f(items):
            raise ValueError("x" * 100000 + "the end")
    """)
    details = worker().batch("m:f", [1]).details
    assert len(details["traceback"]) <= 32768 and details["traceback"].endswith("the end\n")
    assert len(details["message"]) <= 8192


@pytest.mark.parametrize("expression, says", [
    ("items[1:]", "returned a list of 1; expected a list of 2 results"),
    ("items + [1]", "returned a list of 3; expected a list of 2 results"),
    ("(1,)", "returned a tuple of 1; expected a list of 2 results"),
    ("None", "returned None; expected a list of 2 results, one for each item and in their order; is a return"),
    ("(x for x in items)", "returned an object of type generator; expected a list of 2 results, one for each item "
                           "and in their order; return list(results)"),
    ("{1: 2}", "return list(results.values())"),
    ("'ab'", "returned an object of type str"),
    ("coroutine()", "make the function itself async"),
])
def test_results_of_the_wrong_shape(module, worker, expression, says):
    module("""
        async def coroutine(): pass
        def f(items):
            return %s
    """ % expression)
    reply = worker().batch("m:f", [1, 2])
    assert reply.code == "bad_result" and says in reply.details["message"]


def test_a_numpy_array_of_results(numpy, module, worker):
    module("""
        import numpy
        def f(items): return numpy.zeros(len(items))
    """)
    reply = worker().batch("m:f", [1, 2])
    assert reply.code == "bad_result" and "results.tolist()" in reply.details["message"]


def test_results_that_cannot_travel(module, worker):
    module("""
        def f(items):
            return [1, 2, 3, {"price": [0, object()]}]
    """)
    host = worker()
    reply = host.batch("m:f", [1] * 4)
    assert reply.code == "ok" and reply.values[:3] == [1, 2, 3]  # it costs the item alone
    mark = reply.values[3]
    assert (mark.kind, mark.payload["code"], mark.payload["item"]) == ("error", "not_serializable", 3)
    assert mark.payload["message"].startswith(
        'a result cannot travel: ["price"][1]: an object of type object cannot travel; ')


@pytest.mark.parametrize("name, code, says", [
    ("absent:f", "import_failed", "ModuleNotFoundError: No module named 'absent'"),
    ("m:predikt", "function_not_found", "did you mean 'predict'?"),
    ("m:number", "function_not_found", "this is of type int and cannot be called"),
    ("m", "function_not_found", "write module:function"),
    (":f", "function_not_found", "write module:function"),
    ("broken:f", "import_failed", "RuntimeError: not today"),
    ("syntax:f", "import_failed", "SyntaxError"),
    ("leaver:f", "import_failed", "SystemExit: 3"),
    ("needs:f", "import_failed", "No module named 'absent'"),
])
def test_names_that_lead_nowhere(module, worker, name, code, says):
    module("def predict(items): return items\nnumber = 1")
    module("raise RuntimeError('not today')", "broken")
    module("def f(:", "syntax")
    module("import sys; sys.exit(3)", "leaver")
    module("import absent", "needs")
    host = worker()
    reply = host.batch(name, [1])
    assert reply.code == code and says in reply.details["message"] and sys.executable in reply.details["message"]
    if name == "broken:f":
        assert "broken.py" in reply.details["traceback"] and "importlib" not in reply.details["traceback"]
    assert host.batch("m:predict", [1]).values == [1], "the worker goes on"


def test_an_import_that_failed_is_tried_again(module, worker):
    host = worker()
    assert host.batch("late:f", [1]).code == "import_failed"
    module("def f(items): return items", "late")
    assert host.batch("late:f", [1]).values == [1]


# ---- sizes -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [1000, 60000, 70000, 300000, 5 << 20, 40 << 20])
@pytest.mark.parametrize("kind", [BATCH, EACH])
def test_payloads_of_every_size(module, worker, size, kind):
    module(ECHO)
    host = worker(segment_bytes=65536)
    for _ in range(3):
        reply = host.batch("m:batch" if kind == BATCH else "m:each", [bytes(size), "x" * size], kind=kind)
        assert reply.values == [bytes(size), "x" * size]


def test_large_results_of_small_requests(module, worker):
    module("def f(items): return [bytes(n) for n in items]")
    host = worker(segment_bytes=65536)
    for sizes in ([10 << 20], [1] * 500, [1 << 20] * 20, [0], [3 << 20, 1]):
        assert [len(value) for value in host.batch("m:f", sizes).values] == sizes


def test_results_past_the_limit(module, worker):
    module("def f(items): return [bytes(n) for n in items]")
    host = worker(payload_bytes_max=1 << 20)
    reply = host.batch("m:f", [2 << 20])
    assert reply.code == "limit_exceeded" and "payload_bytes_max" in reply.details["message"]
    reply = host.batch("m:f", [400 << 10] * 3)
    assert reply.code == "limit_exceeded"
    assert host.batch("m:f", [1000]).code == "ok"


@pytest.mark.parametrize("depth, fits", [(8, True), (9, False)])
def test_depth_limit_of_the_pool(module, worker, depth, fits):
    module("""
        def f(items):
            value = []
            for _ in range(items[0] - 1):
                value = [value]
            return [value]
    """)
    value = worker(depth_max=8).batch("m:f", [depth]).values[0]
    assert isinstance(value, list) if fits else value.payload["code"] == "not_serializable"


def test_a_moment_that_datetime_cannot_hold(module, worker):
    module(ECHO)
    host = worker()
    year_9999 = datetime.datetime(9999, 1, 1, tzinfo=datetime.timezone.utc)
    assert host.batch("m:batch", [year_9999]).values == [year_9999]


@pytest.mark.skipif(SANITIZED, reason="ASan takes all address space for itself")
def test_a_process_that_runs_out_of_memory(module, worker):
    module("""
        import resource
        def limit(items):
            pages = int(open("/proc/self/statm").read().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (20 << 20), -1))
            return items
        def expand(items):
            return [["x"] * 2000000] * len(items)
        def each(item):
            return bytes(item)
        def echo(items):
            return items
    """)
    host = worker()
    host.batch("m:limit", [0])
    assert host.batch("m:expand", list(range(20))).code == "out_of_memory", "encoding"
    assert host.batch("m:echo", [list(range(300000))] * 8).code == "out_of_memory", "decoding"
    values = host.each("m:each", [3, 12 << 20, 40 << 20, 4]).values
    assert (values[0], values[3]) == (bytes(3), bytes(4))
    assert [values[n].payload["code"] for n in (1, 2)] == ["out_of_memory"] * 2
    assert host.batch("m:echo", [1, 2]).values == [1, 2]


# ---- what the host gets wrong ------------------------------------------------------------------------------------

@pytest.mark.parametrize("head", [None, [], [1], {"a": 1}, "m:batch"])
def test_a_head_that_is_none(module, worker, head):
    module(ECHO)
    host = worker()
    host.do("submit", kind=BATCH, head=head, items=[1])
    reply = host.reply()
    assert reply.code == "protocol" and "head of a request" in reply.details["message"]


def test_more_items_announced_than_there_are(module, worker):
    module(ECHO)
    host = worker()
    for kind, function in ((BATCH, "m:batch"), (EACH, "m:each")):
        host.submit(function, [1, 2], kind=kind, count=3)
        reply = host.reply()
        assert (reply.code, reply.details["item"]) == ("invalid_data", 2)
    host.submit("m:batch", [1, 2], count=2**31)
    assert host.reply().code == "protocol"
    assert host.batch("m:batch", [1]).values == [1]
