# SPDX-License-Identifier: MIT
"""What the workers of the chaos tests are asked to do. An item is [x, salt, work_us, poison, bytes]."""
import ctypes
import os
import time


def poisoned(way):
    if way == 1:
        ctypes.string_at(0)
    if way == 2:
        os._exit(3)
    time.sleep(60)


def mix(items):
    """[a number that x and the salt make, the bytes as they came], and death at an item that is poisoned."""
    time.sleep(sum(item[2] for item in items) / 1e6)
    results = []
    for x, salt, _, poison, filler in items:
        if poison:
            poisoned(poison)
        if filler != bytes([x & 255]) * len(filler):
            raise AssertionError("item %d came with the bytes of another" % x)
        results.append([(x * 2654435761 + salt * 40503) % 1000000007, filler])
    return results
