# SPDX-License-Identifier: MIT
"""User code that leaves processes behind, in every way that a process has to get away from who started it."""
import ctypes
import os
import subprocess
import time

WAYS = (
    ["sleep", "1000"],
    ["setsid", "sleep", "1000"],
    ["setsid", "-f", "sleep", "1000"],  # its parent has ended: the system, or a subreaper, has it
    ["sh", "-c", "trap '' HUP INT QUIT TERM; setsid -f sleep 1000; sleep 1000; sleep 1000"],
    ["setsid", "-f", "sh", "-c", "setsid -f sleep 1000; while :; do sleep 0.01; done"],
)


def start(way):
    subprocess.Popen(WAYS[way % len(WAYS)], stdin=subprocess.DEVNULL, start_new_session=way % 2 == 1)


for number in os.environ.get("CHAOS_IMPORT_STARTS", ""):
    start(int(number))
time.sleep(float(os.environ.get("CHAOS_IMPORT_TAKES", "0")))


def family(items):
    """Item x starts a process in way x."""
    for x in items:
        start(x)
    return items


def stuck(items):
    """In C, with the GIL held."""
    for x in items:
        ctypes.PyDLL(None).sleep(int(x))
    return items
