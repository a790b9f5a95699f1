# SPDX-License-Identifier: MIT
"""What the tests of sessions call."""
import ctypes
import os
import time

import slither


def _told(item):
    return [item, os.getpid(), slither.session().id]


def count(item):
    """How often this session has been here: makes state."""
    session = slither.session()
    session.count = session.get("count", 0) + 1
    return session.count


def forget(item):
    """Leaves no state."""
    session = slither.session()
    for name in list(session):
        del session[name]
    return 0


def put(item):
    slither.session().value = item
    return item


def get(item):
    """What was put here, or None."""
    return slither.session().get("value")


def where(item):
    """The worker, without state."""
    return os.getpid()


def count_where(item):
    count(item)
    return os.getpid()


def count_here(item):
    """count() and the worker in one number."""
    return count(item) * 10000000 + os.getpid()


def dies(item):
    ctypes.string_at(0)


def put_and_die(item):
    slither.session().value = item
    os.kill(os.getpid(), 9)


def wait(seconds):
    time.sleep(seconds)
    return os.getpid()


def wait_for_file(path):
    """Runs until the file is there."""
    while not os.path.exists(path):
        time.sleep(0.001)
    return os.getpid()


def begin_and_wait(path):
    """Says that it has begun, by another file."""
    open(path + ".begun", "w").close()
    return wait_for_file(path)


def put_and_wait(path):
    """Makes state, then waits; another is made after it."""
    slither.session().value = path
    return wait_for_file(path)


def _write(path, text):
    with open(path, "a") as file:
        file.write(text + "\n")


def tell_when_closed(path):
    """A hook that writes the session's id to a pipe or file."""
    session = slither.session()
    session.path = path
    slither.on_session_close(_write, path, str(session.id))
    return session.id


def sessions_here(item):
    """How many sessions have state in this worker."""
    from slither import _native
    return _native.session_count() if hasattr(_native, "session_count") else -1


def call_view(name):
    """What a view of the host says, or -1 where there is none."""
    try:
        return slither.view(name)
    except LookupError:
        return -1


def call_answer(item):
    return slither.view("answer")


def tell_when_closed_by_view(name):
    session = slither.session()
    session.name = name
    slither.on_session_close(slither.view, name)
    return session.id


def report(count):
    for i in range(count):
        slither.progress(i + 1, count, "step %d" % (i + 1))
    return count


def context_is(item):
    return slither.context().value
