# SPDX-License-Identifier: MIT
"""Says where it was imported, and what the process that was made from it is like."""
import os
import random
import signal
import time

IMPORTER = os.getpid()

# One line for each import. A later one takes its time, so that a test can do something meanwhile.
with open(os.environ["POOL_TEST_IMPORTS"], "a+") as record:
    record.seek(0)
    LATER = bool(record.read())
    record.write("%d\n" % IMPORTER)
if LATER:
    time.sleep(1)


def importer(items):
    return [IMPORTER for _ in items]


def me(items):
    return [os.getpid() for _ in items]


def parent(items):
    return [os.getppid() for _ in items]


def session(items):
    return [os.getsid(0) for _ in items]


def draw(items):
    return [random.getrandbits(60) for _ in items]


def draw_numpy(items):
    import numpy
    return [int(numpy.random.randint(1 << 60)) for _ in items]


def descriptors(items):
    """What the worker has open. The pidfd of the host is left out: a thread opens it some time after the start."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + name)
        except OSError:
            continue  # the one that lists them
        if target != "anon_inode:[pidfd]":
            found.append(target.partition(":[")[0])
    return [" ".join(sorted(found)) for _ in items]


def blocked_signals(items):
    return [",".join(str(int(number)) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())) for _ in items]


def leave(items):
    os._exit(items[0])


def daemon(items):
    """A process in a session of its own, whose parent has ended. Its pid."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.setsid()
        pid = os.fork()
        if pid == 0:
            for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            time.sleep(1000)
            os._exit(0)
        os.write(write_end, b"%d" % pid)
        os._exit(0)
    os.wait()
    os.close(write_end)
    pid = int(os.read(read_end, 20))
    os.close(read_end)
    return [pid for _ in items]
