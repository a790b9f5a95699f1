# SPDX-License-Identifier: MIT
"""Starts a thread when it is imported: a process that has done so must not be forked."""
import os
import threading
import time

threading.Thread(target=time.sleep, args=(1000,), name="refresher", daemon=True).start()
IMPORTER = os.getpid()


def at_home(items):
    return [1 if IMPORTER == os.getpid() else 0 for _ in items]
