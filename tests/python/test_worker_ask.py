# SPDX-License-Identifier: MIT
"""What a worker says when it is asked what it is doing, and what is in its black box."""
import os
import select
import signal
import time

import pytest

import worker_driver

MODULE = """
    import ctypes, os, re, signal, sys, threading, time

    def say(text):
        print(text, flush=True)

    def busy(items):
        say("begun")
        while True:
            pass

    def waiting(items):
        say("begun")
        time.sleep(600)

    def native(items):
        say("begun")
        re.match("(a+)+$", "a" * 60 + "b")

    def native_without_gil(items):
        say("begun")
        import hashlib
        hashlib.pbkdf2_hmac("sha256", b"a", b"b", 10 ** 9)

    def quick(items):
        return items

    def segfault(items):
        ctypes.string_at(0)

    def abort(items):
        os.abort()

    def child_crashes(items):
        pid = os.fork()
        if pid == 0:
            ctypes.string_at(0)
        os.waitpid(pid, 0)
        return items

    def threads(items):
        def in_a_thread():
            say("begun")
            time.sleep(600)
        thread = threading.Thread(target=in_a_thread)
        thread.start()
        thread.join()

    def closes(items):
        os.closerange(4, 200)
        ctypes.string_at(0)

    def big(items):
        return [len(bytearray(256 << 20))]
"""


@pytest.fixture
def host(worker, module):
    module(MODULE)
    return worker()


def ask_until(host, wanted, stack_ms=0):
    """The machine may be busy: what is asked is right in the end, and what was said before is no lie."""
    deadline = time.monotonic() + 20
    number = 0
    while True:
        number += 1
        answer = host.do("ask", number=number, stack_ms=stack_ms)
        assert answer["type"] == "state" and answer["number"] == number, answer
        if answer["activity"] == wanted:
            return answer
        assert time.monotonic() < deadline, answer


def test_idle(host):
    answer = ask_until(host, "idle")
    assert answer == {"type": "state", "number": answer["number"], "activity": "idle", "stuck_ms": 0, "stack": False}
    assert host.batch("m:quick", [1]).values == [1]


@pytest.mark.parametrize("function, activity", [
    ("busy", "python"), ("waiting", "waiting"), ("native", "native"), ("native_without_gil", "native"), ("threads", "waiting")])
def test_what_it_does_and_where(host, function, activity):
    host.submit("m:" + function, [1])
    host.stdout.wait_for("begun")
    answer = ask_until(host, activity)
    if activity == "python":
        assert answer["stuck_ms"] == 0
    again = host.do("ask", number=100, stack_ms=5000)
    assert again["stack"] is True
    assert "in %s\n" % function in host.do("box").decode()
    if function == "threads":
        assert "in in_a_thread\n" in host.do("box").decode()


def test_stuck_grows_while_no_bytecode_is_executed(host):
    host.submit("m:native", [1])
    host.stdout.wait_for("begun")
    first = ask_until(host, "native")["stuck_ms"]
    time.sleep(0.05)
    assert ask_until(host, "native")["stuck_ms"] >= first + 50


def test_short_batches_do_not_add_up(host):
    for _ in range(3):
        assert host.batch("m:quick", [1]).values == [1]
        host.do("ask", number=1)
    assert ask_until(host, "idle")["stuck_ms"] == 0


def test_a_stack_is_asked_for_while_it_is_idle(host):
    assert host.do("ask", number=1, stack_ms=5000)["stack"] is True
    assert "_serve.py" in host.do("box").decode()
    assert host.batch("m:quick", [1]).values == [1]


@pytest.mark.parametrize("function, signal_number, text", [
    ("segfault", signal.SIGSEGV, "Segmentation fault"), ("abort", signal.SIGABRT, "Aborted")])
def test_a_crash_is_in_the_black_box_and_not_on_stderr(host, function, signal_number, text):
    host.submit("m:" + function, [1])
    assert host.do("reap") == [-1, signal_number]
    box = host.do("box").decode()
    assert "Fatal Python error: " + text in box and "in %s\n" % function in box
    assert host.stderr.text() == ""


def test_the_crash_of_a_child_is_not_the_worker_s(host):
    assert host.batch("m:child_crashes", [1]).values == [1]
    assert host.do("box") == b""
    host.stderr.wait_for("Segmentation fault")


def test_who_closes_descriptors_does_not_reach_it(host):
    host.submit("m:closes", [1])
    assert host.do("reap") == [-1, signal.SIGSEGV]
    assert b"in closes\n" in host.do("box")


def test_a_stopped_worker_says_nothing(host):
    os.kill(host.pid, signal.SIGSTOP)
    with pytest.raises(Exception, match="said nothing"):
        host.do("ask", number=1, timeout_ms=200)
    os.kill(host.pid, signal.SIGCONT)
    assert host.do("hear")["number"] == 1


@pytest.mark.skipif(worker_driver.SANITIZED, reason="AddressSanitizer's shadow counts as data")
def test_a_limit_of_memory_is_an_error_of_the_item(worker, module):
    module(MODULE)
    host = worker(memory_max=128 << 20)
    reply = host.batch("m:big", [1])
    assert reply.code == "out_of_memory" and "MemoryError" in reply.details["traceback"]
    reply = host.each("m:big", [1, 2])
    assert reply.code == "ok"
    assert host.batch("m:quick", [1]).values == [1]
    assert host.do("ask", number=1)["type"] == "state"
