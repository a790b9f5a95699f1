# SPDX-License-Identifier: MIT
"""How much memory a process and all that it has started take together, at most."""
import os
import threading

INTERVAL_SECONDS = 0.02


class Peak:
    """Looks every 20 ms. `bytes` is the largest sum of proportional set sizes (PSS: shared pages are divided by those who share them)."""

    def __init__(self, pid):
        self.bytes = 0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self):
        self._over.set()
        self._thread.join()

    def _watch(self):
        while not self._over.wait(INTERVAL_SECONDS):
            self.bytes = max(self.bytes, sum(map(pss, tree(self._pid))))


def tree(root):
    """The process and its descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/stat" % entry, encoding="utf-8", errors="replace") as file:
                    parents[int(entry)] = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    found, left = {root}, [root]
    while left:
        parent = left.pop()
        for pid in [pid for pid, its_parent in parents.items() if its_parent == parent and pid not in found]:
            found.add(pid)
            left.append(pid)
    return found


def pss(pid):
    try:
        with open("/proc/%d/smaps_rollup" % pid, encoding="utf-8") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration, ValueError):
        return 0
