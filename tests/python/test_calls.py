# SPDX-License-Identifier: MIT
"""slither._calls in this process: what the host asks for with calls by name, of objects and of iterations."""
import gc
import io
import math
import sys
import time
import types

import pytest

from slither import Failure, _calls


@pytest.fixture
def made(monkeypatch):
    """made(**names): a module `made` with these names in it."""
    def make(**names):
        module = types.ModuleType("made")
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, "made", module)
        return module
    return make


def answer(results):
    assert all(rest is None for rest in results[1:])
    return results[0]


# ---- by name -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("target, args, kwargs, expected", [
    ("math:sqrt", [16], None, 4.0),
    ("builtins:dict", None, {"a": 1}, {"a": 1}),
    ("builtins:int", ["ff"], {"base": 16}, 255),
    ("builtins:str.upper", ["a"], None, "A"),
    ("math:pi", None, None, math.pi),
    ("os.path:join", ["a", "b"], None, "a/b"),
    ("sys:flags.optimize", None, {}, sys.flags.optimize),
])
def test_calls(target, args, kwargs, expected):
    assert answer(_calls.call([target, args, kwargs])) == expected


def test_a_rebound_name_is_seen(made):
    module = made(f=lambda: 1)
    assert answer(_calls.call(["made:f", None, None])) == 1
    module.f = lambda: 2
    assert answer(_calls.call(["made:f", None, None])) == 2


@pytest.mark.parametrize("target, args, code, text", [
    ("math:sqrrt", [1], "function_not_found", "did you mean 'sqrt'"),
    ("nowhere_at_all:f", None, "import_failed", "No module named 'nowhere_at_all'"),
    ("math:pi", [1], "function_not_found", "leave the arguments out"),
    ("math", None, "function_not_found", "module:function"),
])
def test_names_that_lead_nowhere(target, args, code, text):
    with pytest.raises(Failure, match=text) as raised:
        _calls.call([target, args, None])
    assert raised.value.code == code


def test_coroutines_run_to_their_end_on_one_loop(made):
    import asyncio
    loops = []

    async def add(a, b):
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return a + b

    class Model:
        async def predict(self, x):
            loops.append(asyncio.get_running_loop())
            return x * 2
    made(add=add, Model=Model)
    assert answer(_calls.call(["made:add", [1], {"b": 2}])) == 3
    assert answer(_calls.method([Model(), "predict", [4], None])) == 8
    assert len(set(map(id, loops))) == 1


# ---- objects -----------------------------------------------------------------------------------------------------

class Thing:
    def __init__(self):
        self.part = types.SimpleNamespace(name="old", list=[1, 2])
        self.log = []

    def __len__(self):
        return 7

    def __repr__(self):
        return "Thing!"

    def __call__(self, *args, **kwargs):
        return [list(args), kwargs]

    def __enter__(self):
        self.log.append("in")
        return self.part

    def __exit__(self, *exception):
        self.log.append(["out", *exception])


def test_objects():
    thing = Thing()
    assert answer(_calls.method([thing, None, [1], {"k": 2}])) == [[1], {"k": 2}]
    assert answer(_calls.method([thing, "part.list.append", [3], None])) is None
    assert answer(_calls.get([thing, "part.list"])) == [1, 2, 3]
    assert answer(_calls.assign([thing, "part.name", "new"])) is None and thing.part.name == "new"
    assert answer(_calls.assign([thing, "extra", thing])) is None and thing.extra is thing
    assert answer(_calls.item([thing.part.list, 0])) == 1
    assert answer(_calls.assign_item([thing.part.list, 0, "x"])) is None and thing.part.list[0] == "x"
    assert answer(_calls.length([thing])) == 7
    assert answer(_calls.represent([thing])) == "Thing!"
    with pytest.raises(AttributeError, match="'nothing'"):
        _calls.get([thing, "part.nothing"])


def test_context_managers():
    thing = Thing()
    assert answer(_calls.enter([thing])) is thing.part
    _calls.leave([thing])
    assert thing.log == ["in", ["out", None, None, None]]
    with pytest.raises(TypeError, match="Ordinary is no context manager"):
        _calls.enter([type("Ordinary", (), {})()])

    class Asynchronous:
        async def __aenter__(self):
            return "entered"

        async def __aexit__(self, *exception):
            thing.log.append("left")
    manager = Asynchronous()
    assert answer(_calls.enter([manager])) == "entered"
    _calls.leave([manager])
    assert thing.log[-1] == "left"


# ---- iterations --------------------------------------------------------------------------------------------------

def begin(made, **names):
    made(**names)
    return answer(_calls.iterate(["made:source", None, None]))


def take(iteration, count):
    return answer(_calls.chunk([iteration, count]))


@pytest.fixture
def no_hurry(monkeypatch):
    """A chunk ends by its count alone, however slow the machine is."""
    monkeypatch.setattr(_calls, "CHUNK_SECONDS", 3600)


def test_nothing_is_made_ahead(made, no_hurry):
    counted = []

    def source():
        for i in range(10):
            counted.append(i)
            yield i
    iteration = begin(made, source=source)
    assert counted == []
    assert take(iteration, 1) == [False, [0]] and counted == [0]
    assert take(iteration, 3) == [False, [1, 2, 3]] and len(counted) == 4
    assert take(iteration, 100) == [True, [4, 5, 6, 7, 8, 9]]
    assert take(iteration, 1) == [True, []]


@pytest.mark.parametrize("source, expected", [
    (lambda: [1, 2], [1, 2]), (lambda: {"a": 1}, ["a"]), (lambda: io.StringIO("x\ny\n"), ["x\n", "y\n"]), (lambda: range(3), [0, 1, 2])])
def test_whatever_can_be_iterated(made, no_hurry, source, expected):
    assert take(begin(made, source=source), 10) == [True, expected]


def test_what_cannot_be(made):
    with pytest.raises(TypeError, match="not iterable"):
        begin(made, source=lambda: 7)


def test_an_exception_comes_after_what_was_made_before_it(made, no_hurry):
    def source():
        yield 1
        yield 2
        raise LookupError("third")
    iteration = begin(made, source=source)
    assert take(iteration, 100) == [False, [1, 2]]
    with pytest.raises(LookupError, match="third"):
        take(iteration, 100)
    assert take(iteration, 100) == [True, []]


def test_a_chunk_ends_when_its_time_is_up(made):
    def source():
        while True:
            time.sleep(2 * _calls.CHUNK_SECONDS)
            yield 1
    assert take(begin(made, source=source), 1000) == [False, [1]]


def test_a_chunk_ends_when_it_is_large(made, no_hurry):
    assert len(take(begin(made, source=lambda: iter([bytes(_calls.CHUNK_BYTES // 2)] * 100)), 100)[1]) == 2
    assert len(take(begin(made, source=lambda: iter([memoryview(bytes(_calls.CHUNK_BYTES))] * 100)), 100)[1]) == 1


def abandoned(log):
    try:
        yield 1
        yield 2
    finally:
        log.append("closed")


async def abandoned_async(log):
    import asyncio
    try:
        yield 1
        yield 2
    finally:
        await asyncio.sleep(0)
        log.append("closed")


@pytest.mark.parametrize("generator", [abandoned, abandoned_async])
def test_letting_go_closes_the_generator(made, no_hurry, generator):
    log = []
    kept = generator(log)  # held elsewhere, too: the iteration closes it all the same
    iteration = begin(made, source=lambda: kept)
    assert take(iteration, 1) == [False, [1]] and log == []
    del iteration
    gc.collect()
    assert log == ["closed"]


@pytest.mark.parametrize("generator", [abandoned, abandoned_async])
def test_to_the_end(made, no_hurry, generator):
    log = []
    iteration = begin(made, source=lambda: generator(log))
    assert take(iteration, 10) == [True, [1, 2]] and log == ["closed"]


def test_a_file_is_not_the_iterations_to_close(made, no_hurry):
    source = io.StringIO("x\ny\n")
    iteration = begin(made, source=lambda: source)
    assert take(iteration, 1) == [False, ["x\n"]]
    del iteration
    assert not source.closed


# ---- texts of refs -----------------------------------------------------------------------------------------------

class Broken:
    def __repr__(self):
        raise ValueError("no")


class Odd:
    def __repr__(self):
        return "\udc80é" * 100


def test_texts_of_refs():
    assert _calls.texts(Thing()) == (__name__ + ".Thing", "Thing!")
    assert _calls.texts(set()) == ("set", "set()")
    assert _calls.texts(Broken())[1].startswith("<Broken instance")
    assert _calls.texts(type("array", (), {})())[1] == "(its __repr__ raised AttributeError)"  # reprlib takes it for another
    shown = _calls.texts(Odd())[1].encode()
    assert 70 < len(shown) <= _calls.REPR_BYTES_MAX
    assert len(_calls.texts({1: {2: [3] * 10**6}, (1, 2): set(range(10**6))})[1]) <= _calls.REPR_BYTES_MAX
    long = type("L" * 1000, (), {})
    assert len(_calls.texts(long())[0].encode()) <= _calls.TYPE_BYTES_MAX
