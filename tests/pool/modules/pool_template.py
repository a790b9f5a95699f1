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


def offspring(work, forks=1):
    """A process that does `work`, in a session of its own; after two forks its parent has ended. Its pid."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if forks == 1 or os.fork() == 0:
            os.write(write_end, b"%d" % os.getpid())
            work()
        os._exit(0)
    if forks > 1:
        os.waitpid(child, 0)
    os.close(write_end)
    pid = int(os.read(read_end, 20))
    os.close(read_end)
    return pid


def sleep_well():
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(1000)


def sleep_in_c():
    import ctypes
    ctypes.PyDLL(None).sleep(1000)


def stop():
    while True:
        os.kill(os.getpid(), signal.SIGSTOP)


def daemon(items):
    return [offspring(sleep_well, 2) for _ in items]


def leader(items):
    return [offspring(sleep_well) for _ in items]


def blocked(items):
    return [offspring(sleep_in_c, 2) for _ in items]


def stopped(items):
    return [offspring(stop, 2) for _ in items]
