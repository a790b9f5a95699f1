# SPDX-License-Identifier: MIT
"""What the workers of the fault tests are asked to do."""
import os
import sys
import time


def triple(items):
    """Items are [x, mark, padding]. The first worker that comes to 40 leaves; `mark` is the file that says that one has."""
    for x, mark, _ in items:
        if x == 40 and not os.path.exists(mark):
            with open(mark, "w"):
                pass
            print("leaving", file=sys.stderr, flush=True)
            os._exit(7)
    return [[3 * x + 1, padding] for x, _, padding in items]


def slow(items):
    time.sleep(0.005)
    return [[3 * x + 1, padding] for x, _, padding in items]
