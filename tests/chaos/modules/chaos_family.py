# SPDX-License-Identifier: MIT
"""User code that leaves processes behind, in every way that a process has to get away from who started it."""
import ctypes
import os
import subprocess
import time

MARK = "SLITHER_CHAOS_MARK=" + os.environ.get("SLITHER_CHAOS_MARK", "none")
HOP = 'sleep 0.02; setsid -f sh -c "$0" "$0"'
WAYS = (
    ["sleep", "1000"],
    ["setsid", "sleep", "1000"],
    ["setsid", "-f", "sleep", "1000"],  # its parent has ended: the system, or a subreaper, has it
    ["sh", "-c", "trap '' HUP INT QUIT TERM; setsid -f sleep 1000; sleep 1000; sleep 1000"],
    ["setsid", "-f", "sh", "-c", "setsid -f sleep 1000; while :; do sleep 0.01; done"],
    ["env", "-i", "setsid", "-f", "/bin/sh", "-c", ": %s; while :; do sleep 0.1; done" % MARK],  # known by its command only
    ["setsid", "-f", "sh", "-c", HOP, HOP],  # another process and another session 50 times a second
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
