# SPDX-License-Identifier: MIT
"""slither.view() and slither.view_many(): the worker's half, with the test in the place of the host."""
import os
import signal

import pytest

import slither

ONE, MANY = 1, 2
RESULT, FAILED, UNKNOWN, TIMED_OUT = 1, 2, 3, 4

VIEWS = """
    import os, signal, subprocess, threading
    import slither

    def call(items):
        return [slither.view(item["name"], *item["args"], **item["kwargs"]) for item in items]

    def by_host(items):
        return [slither.host.prices(*item["args"], **item["kwargs"]) for item in items]

    def many(items):
        return slither.view_many("prices", items)

    def told(items):
        try:
            return [slither.view("v", *items)]
        except BaseException as raised:
            return [{"type": type(raised).__name__, "bases": [base.__name__ for base in type(raised).__mro__], "text": str(raised),
                     "code": getattr(raised, "code", None), "traceback": getattr(raised, "traceback", None)}]

    def forked(items):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                slither.view("v")
            except slither.ViewError as raised:
                os.write(write, ("%s: %s" % (raised.code, raised)).encode())
            os._exit(0)
        os.close(write)
        os.waitpid(pid, 0)
        return [os.read(read, 4096).decode()]

    def descriptors(items):
        sockets = [fd for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd)
                   and os.readlink("/proc/self/fd/" + fd).startswith("socket:")]
        inherited = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False, check=True).stdout
        return [[len(sockets), inherited]]

    def threads(items):
        results = {}
        def work(number):
            results[number] = slither.view("v", number)
        started = [threading.Thread(target=work, args=(number,)) for number in range(items[0])]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        return [[results[number] for number in range(items[0])]]

    class Alarm(Exception):
        pass

    def ring(*ignored):
        raise Alarm("it rang")

    def interrupted(items):
        signal.signal(signal.SIGUSR1, ring)
        try:
            slither.view("v", "first")
            return ["not interrupted"]
        except Alarm:
            return [slither.view("v", "second")]

    heard = []

    def counted(items):
        signal.signal(signal.SIGUSR1, lambda *ignored: heard.append(1))
        return [[slither.view("v"), len(heard)]]
"""


@pytest.fixture
def host(module, worker):
    module(VIEWS, "views")
    return worker(calls=1)


def take(host, name="v", mode=ONE):
    number, got_mode, timeout_ms, got_name, payload, seals, _ = host.do("call")
    assert (got_mode, got_name, timeout_ms) == (mode, name, 0)
    take.seals = seals
    return number, slither.unpack(payload)


def answer(host, number, value, **more):
    host.do("answer", number=number, value=slither.pack(value), **more)


def finish(host):
    reply = host.reply()
    assert reply.code == "ok", reply.details
    return reply.values


ARGUMENTS = [
    ([], {}),
    ([1, "two", None, b"three", 4.5, [6, {"seven": 8}]], {}),
    ([], {"key": "a", "größe": 2}),
    ([list(range(50))], {"x": {"y": [True, False]}}),
]


@pytest.mark.parametrize("args,kwargs", ARGUMENTS)
@pytest.mark.parametrize("function", ["views:call", "views:by_host"])
def test_arguments_and_result_travel(host, function, args, kwargs):
    host.submit(function, [{"name": "prices", "args": args, "kwargs": kwargs}])
    number, payload = take(host, "prices")
    assert payload == [args, kwargs]
    answer(host, number, [kwargs, args])
    assert finish(host) == [[kwargs, args]]


def test_keys_travel_as_one_list(host):
    host.submit("views:many", ["a", 2, None])
    number, payload = take(host, "prices", MANY)
    assert payload == ["a", 2, None]
    answer(host, number, [1, 2, 3])
    assert finish(host) == [1, 2, 3]


@pytest.mark.parametrize("size", [4000, 4060, 4100, 65400, 65600, 3 << 20])
def test_any_size_travels(host, size):
    text = "x" * size
    host.submit("views:call", [{"name": "v", "args": [text], "kwargs": {}}])
    number, payload = take(host)
    assert payload == [[text], {}]
    assert (take.seals & 15 == 15) == (size > 65500)
    answer(host, number, text[::-1], in_file=1 if size > 65400 else 0)
    assert finish(host) == [text[::-1]]


def test_arrays_travel(host, numpy):
    array = slither.unpack(slither.pack(numpy.arange(6.0).reshape(2, 3)))
    host.submit("views:told", [array])
    number, payload = take(host)
    assert numpy.asarray(payload[0][0]).tolist() == [[0, 1, 2], [3, 4, 5]]
    answer(host, number, array)
    assert numpy.asarray(finish(host)[0]).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_each_outcome_has_its_exception(host):
    code = 8  # out_of_range
    for outcome, details, kind, text in [
        (FAILED, {"message": "too much"}, "ViewError", "too much"),
        (FAILED, {"message": "it raised", "traceback": "Traceback: there"}, "ViewError", "it raised"),
        (FAILED, None, "ViewError", "a value does not fit where it was asked for"),
        (UNKNOWN, {"message": "there is no view"}, "LookupError", "there is no view"),
        (TIMED_OUT, {"message": "too slow"}, "ViewTimeout", "too slow"),
    ]:
        host.submit("views:told", [1])
        number, _ = take(host)
        answer(host, number, details, outcome=outcome, code=code)
        told = finish(host)[0]
        assert (told["type"], told["text"]) == (kind, text)
        if kind == "ViewError":
            assert told["code"] == "out_of_range"
            assert told["traceback"] == (details or {}).get("traceback")
            assert "Failure" in told["bases"]
        if kind == "ViewTimeout":
            assert "TimeoutError" in told["bases"]


def test_an_uncaught_error_is_the_functions(host):
    host.submit("views:call", [{"name": "v", "args": [], "kwargs": {}}])
    number, _ = take(host)
    answer(host, number, {"message": "too much"}, outcome=FAILED, code=8)
    reply = host.reply()
    assert reply.code == "python_exception"
    assert reply.details["message"] == "slither.ViewError: too much"
    assert "views.py" in reply.details["traceback"]


def test_replies_may_come_in_any_order(host):
    host.submit("views:threads", [8])
    calls = [take(host) for _ in range(8)]
    for number, payload in sorted(calls, key=lambda call: -call[1][0][0]):
        answer(host, number, "result %d" % payload[0][0])
    assert finish(host) == [["result %d" % number for number in range(8)]]


def test_a_late_reply_reaches_nobody(host):
    host.submit("views:interrupted", [1])
    first, payload = take(host)
    assert payload[0] == ["first"]
    os.kill(host.pid, signal.SIGUSR1)
    second, payload = take(host)
    assert payload[0] == ["second"] and second != first
    answer(host, first, "late")
    answer(host, first, "x" * 70000, in_file=1)
    answer(host, 12345, "nobody's")
    answer(host, second, "right")
    answer(host, second, "twice")
    assert finish(host) == ["right"]
    assert host.batch("views:descriptors", [1]).values[0][0] >= 3


def test_a_signal_does_not_end_a_call(host):
    host.submit("views:counted", [1])
    number, _ = take(host)
    os.kill(host.pid, signal.SIGUSR1)
    answer(host, number, "calm")
    assert finish(host) in ([["calm", 1]], [["calm", 0]])  # the handler runs at the signal, or just after the reply


def test_stopping_lets_a_call_finish(host):
    host.submit("views:told", [1])
    number, _ = take(host)
    host.tell_stop()
    answer(host, number, "done")
    assert finish(host) == ["done"]
    assert host.do("reap") == [0, 0]


def test_a_forked_child_is_told(host):
    assert host.batch("views:forked", [1]).values[0].startswith(
        "unsupported: views cannot be called in a child process that a worker has forked")
    host.submit("views:told", [1])  # and has broken nothing
    answer(host, take(host)[0], "fine")
    assert finish(host) == ["fine"]


def test_a_started_program_inherits_no_socket(host):
    count, inherited = host.batch("views:descriptors", [1]).values[0]
    assert count == 3  # life-cycle, lane, calls
    assert "socket" not in inherited


def test_a_host_without_views(module, worker):
    module(VIEWS, "views")
    told = worker().batch("views:told", [1]).values[0]
    assert (told["type"], told["code"]) == ("ViewError", "unsupported")
    assert told["text"] == "the host of this worker offers no views"


def test_a_host_that_hangs_up(host):
    host.submit("views:told", [1])
    take(host)
    host.do("refuse_calls")
    for _ in range(2):
        told = finish(host)[0]
        assert (told["type"], told["code"]) == ("ViewError", "closed")
        host.submit("views:told", [1])
    finish(host)


def test_nonsense_from_the_host_is_an_error(host):
    cases = [
        dict(value=b"\xc1"),
        dict(value=b""),
        dict(value=b"\x01", in_file=1, size=4096),
        dict(value=b"\x01", in_file=1, seals=0),
    ]
    for more in cases:
        host.submit("views:told", [1])
        number, _ = take(host)
        host.do("answer", number=number, packet_size=8, value=b"")  # no reply at all, dropped
        host.do("answer", number=number, **more)
        assert finish(host)[0]["type"] == "ViewError"


def test_views_are_refused_while_modules_are_imported(module, worker):
    module("""
        import slither
        slither.view("v")
    """, "eager")
    started = worker(calls=1, preload=["eager:f"], ready=False)
    hello = started.do("hear")
    assert hello["code"] == "import_failed"
    assert "while modules are imported" in hello["message"] or "while modules are imported" in hello["traceback"]


def test_what_cannot_travel_is_told_before_anything_is_sent(host, module):
    module("""
        import slither
        def bad(items):
            told = []
            for attempt in (lambda: slither.view("v", {1, 2}), lambda: slither.view("v", k=object()),
                            lambda: slither.view_many("v", [[set()]]), lambda: slither.view_many("v", 7),
                            lambda: slither.view(7), lambda: slither.view(), lambda: slither.view(""),
                            lambda: slither.view("x" * 129), lambda: slither.view("a\\0b"), lambda: slither.view("\\ud800"),
                            lambda: slither.view_many("v"), lambda: slither.view_many("v", [], 1)):
                try:
                    attempt()
                    told.append("nothing")
                except Exception as raised:
                    told.append(type(raised).__name__)
            return [told]
    """, "bad")
    assert host.batch("bad:bad", [1]).values[0] == [
        "NotSerializable", "NotSerializable", "NotSerializable", "TypeError", "TypeError", "TypeError", "LookupError",
        "LookupError", "LookupError", "UnicodeEncodeError", "TypeError", "TypeError"]
    host.submit("views:told", [1])
    answer(host, take(host)[0], 5)
    assert finish(host) == [5]


def test_outside_of_a_worker_there_is_no_host():
    with pytest.raises(slither.ViewError, match="not one of its workers") as raised:
        slither.view("v")
    assert raised.value.code == "closed"
    with pytest.raises(slither.ViewError):
        slither.view_many("v", [1])


def test_the_host_has_no_other_attributes():
    assert repr(slither.host) == "slither.host"
    assert not hasattr(slither.host, "__wrapped__")
    assert callable(getattr(slither.host, "any name"))
    with pytest.raises(AttributeError):
        slither.host.prices = 1


def test_calls_do_not_leak(host, module):
    module("""
        import gc, sys
        import slither
        def rounds(items):
            before = None
            for number in range(300):
                payload = ["x" * 100, {"k": number + 1000}]
                slither.view("v", payload, key=payload)
                if number == 50:
                    gc.collect()
                    before = sys.getallocatedblocks()
            gc.collect()
            return [sys.getallocatedblocks() - before]
    """, "leaks")
    host.submit("leaks:rounds", [1])
    for _ in range(300):
        number, payload = take(host)
        answer(host, number, payload)
    assert finish(host)[0] < 50
