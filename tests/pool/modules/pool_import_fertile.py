# SPDX-License-Identifier: MIT
"""While it is imported it makes processes, each in a session of its own: at most so many at a time, but one after the other, for ever."""
import os
import signal
import time

ALIVE_MAX = 32

alive = []
print("family", 1, os.getpid(), flush=True)
while True:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        time.sleep(1000)
        os._exit(0)
    alive.append(pid)
    if len(alive) == ALIVE_MAX:
        oldest = alive.pop(0)
        try:
            os.kill(oldest, signal.SIGKILL)
            os.waitpid(oldest, 0)
        except OSError:  # somebody else has done so
            pass
