# SPDX-License-Identifier: MIT
"""Ways to hang and to die."""
import ctypes
import os
import re
import signal
import sys
import time


def spins_in_python(items):
    while True:
        pass


def waits(items):
    time.sleep(600)


def spins_in_c(items):
    re.match("(a+)+$", "a" * 60 + "b")


def sleeps_in_c_with_the_gil(items):
    ctypes.PyDLL(None).sleep(600)


def stops(items):
    os.kill(os.getpid(), signal.SIGSTOP)
    return items


def stops_once(items):
    """Only in the first life of the worker."""
    mark = os.environ["DEATHS_MARK"]
    if not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGSTOP)
    return items


def cleans_up(items):
    def end(number, frame):
        print("cleaned up after %s" % signal.Signals(number).name, file=sys.stderr, flush=True)
        os._exit(7)
    signal.signal(signal.SIGTERM, end)
    time.sleep(600)


def crashes(items):
    sys.stderr.write("one more thing\n")
    sys.stderr.flush()
    ctypes.string_at(0)


def crashes_at_thirteen(items):
    if 13 in items:
        ctypes.string_at(0)
    return items


def killed(items):
    os.kill(os.getpid(), signal.SIGKILL)


def takes_much(items):
    """An item that is a multiple of 10 takes half a GiB."""
    return [len(bytearray(512 << 20)) if item % 10 == 0 else item for item in items]


def takes_much_one(item):
    return takes_much([item])[0]


def aborts_for_memory(items):
    sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\n")
    sys.stderr.flush()
    os.abort()


def echo(items):
    return items


def works(items):
    """Long enough for some heartbeats."""
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        sum(range(1000))
    return items
