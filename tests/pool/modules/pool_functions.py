# SPDX-License-Identifier: MIT
"""What the workers of the pool's tests are asked to do."""
import ctypes
import os
import signal
import subprocess
import sys
import time

print("imported pool_functions", flush=True)


def double(items):
    return [2 * item for item in items]


def variables(items):
    return [os.environ.get(item) for item in items]


def directory(items):
    return [os.getcwd() for _ in items]


def descriptors(items):
    """How many descriptors the worker has open besides the one that lists them."""
    return [len(os.listdir("/proc/self/fd")) - 1 for _ in items]


def sleep(items):
    for item in items:
        time.sleep(item)
    return items


def sleep_in_c(items):
    """Blocks without a way in for signals that Python handles, and with the GIL held."""
    library = ctypes.PyDLL(None)
    for item in items:
        library.sleep(int(item))
    return items


def die(items):
    sys.stderr.write("about to die\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL if items[0] == "kill" else signal.SIGABRT)


def leave(items):
    sys.exit(items[0])


def print_lines(items):
    for item in items:
        print(item)
    return items


def grandchild(items):
    """A process that ignores what can be ignored; its pid is the result."""
    program = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; print('up', flush=True); time.sleep(1000)"
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    child.stdout.readline()
    return [child.pid for _ in items]


def unclosed_grandchild(items):
    """One that keeps the worker's own outputs open."""
    return [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]).pid for _ in items]
