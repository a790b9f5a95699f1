# SPDX-License-Identifier: MIT
"""Calls of a function of the host, measured where they are made: in a worker."""
import time

import slither


def measure(counts):
    """For each count the median of as many calls, in microseconds."""
    medians = []
    for count in counts:
        samples = []
        for i in range(count):
            start = time.perf_counter_ns()
            result = slither.view("score", id=i)
            samples.append(time.perf_counter_ns() - start)
            if result["score"] != 2 * i:
                raise ValueError("wrong result: %r" % result)
        medians.append(sorted(samples)[len(samples) // 2] / 1e3)
    return medians
