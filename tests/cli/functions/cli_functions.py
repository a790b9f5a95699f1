# SPDX-License-Identifier: MIT
"""Functions that the tests of the command call."""
import ctypes
import datetime
import os
import signal
import sys
import threading
import time

import slither


def same(items):
    return items


def same_slowly(items):
    """Long enough for a run to see a successor get ready."""
    time.sleep(0.02)
    return items


def double(items):
    return [item * 2 for item in items]


def double_one(item):
    return item * 2


def sizes(items):
    """How many items came together, and in which process."""
    return [{"item": item, "together": len(items), "pid": os.getpid()} for item in items]


def marks(items):
    results = []
    for item in items:
        if item == "skip":
            results.append(slither.skip("not wanted"))
        elif item == "error":
            results.append(slither.error("is bad"))
        elif item == "route":
            results.append(slither.route("side", {"from": item}))
        elif item == "elsewhere":
            results.append(slither.route("elsewhere", [1, 2]))
        else:
            results.append(item)
    return results


def picky(item):
    if item == "bad":
        raise ValueError("this one is bad")
    return item


def raises(items):
    raise ValueError(f"no good: {len(items)} items")


def raises_on_13(items):
    if 13 in items:
        raise ValueError("unlucky")
    return items


def exits_on_13(items):
    if 13 in items:
        print("about to go", file=sys.stderr, flush=True)
        os._exit(7)
    return items


def system_exits_on_13(items):
    if 13 in items:
        sys.exit(9)
    return items


def segfaults_on_13(items):
    if 13 in items:
        ctypes.string_at(0)
    return items


def hangs_on_13(items):
    if 13 in items:
        threading.Event().wait()
    return items


def too_short(items):
    return items[:-1]


def not_a_list(items):
    return "text"


def unserializable(items):
    return [object() for _ in items]


def floats(items):
    return [{"nan": float("nan"), "inf": float("inf")}.get(item, item) for item in items]


def types(items):
    return [
        None, True, -(2**63), 2**64 - 1, 1.5, 1e300, "h\u00e9llo \U0001f600 \x00\n", b"\x00\xff", [1, [2, []]],
        {"a": {"b": None}}, datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), (1, 2),
    ]


def big(items):
    return ["x" * item for item in items]


def lengths(items):
    return [len(item) for item in items]


def prints(items):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    sys.stdout.flush()
    return items


def fails_at_first(items):
    """Fails until it has been called three times, over all workers."""
    path = os.path.join(os.environ["SLITHER_TEST_FOLDER"], "calls")
    with open(path, "a+") as file:
        file.write("x")
        file.flush()
        count = os.path.getsize(path)
    if count < 3:
        raise RuntimeError("not yet")
    return items


def host_peak_kib(items):
    """The peak memory of the command, as seen when the last item is worked on."""
    with open(f"/proc/{os.getppid()}/status") as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    return [peak for _ in items]


def rendezvous(items):
    """Says that it has begun, and waits until it may go on; only for items that ask for it."""
    if any(item == "wait" for item in items):
        folder = os.environ["SLITHER_TEST_FOLDER"]
        with open(os.path.join(folder, "begun"), "w") as file:
            file.write("begun\n")
        with open(os.path.join(folder, "go_on")) as file:
            file.read()
    return items


def blocks_forever(items):
    folder = os.environ["SLITHER_TEST_FOLDER"]
    with open(os.path.join(folder, "begun"), "w") as file:
        file.write(f"{os.getpid()}\n")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    while True:
        time.sleep(1000)


SECRET = {"user": "bob", "password": "hunter2", "nested": {"api_key": ["hunter2"]}}


def tells(item):
    """Shows a secret in each way that a worker has."""
    if item == "raise":
        try:
            int(f"token={SECRET['password']}")
        except ValueError as reason:
            raise RuntimeError(f"cannot log in with {SECRET!r}") from reason
    if item == "error":
        return slither.error(f"bad login: {SECRET}")
    if item == "skip":
        return slither.skip(f"no login: {SECRET}")
    if item == "crash":
        print(f"about to go with {SECRET}", file=sys.stderr, flush=True)
        os._exit(7)
    print(f"config: {SECRET}", flush=True)
    return SECRET
