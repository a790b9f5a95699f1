# SPDX-License-Identifier: MIT
"""The Python side: mean and variance of each dataset, and of all that this worker has seen, by Welford's method.

B. P. Welford, "Note on a Method for Calculating Corrected Sums of Squares and Products", Technometrics 4 (1962).
"""
import ctypes
import math
import os


class Welford:
    """count, mean and m2, the sum of squared distances from the mean, of a stream of numbers."""

    def __init__(self):
        self.count, self.mean, self.m2 = 0, 0.0, 0.0

    def add(self, value):
        self.count += 1
        distance = value - self.mean
        self.mean += distance / self.count
        self.m2 += distance * (value - self.mean)

    def as_dict(self):
        return {"count": self.count, "mean": self.mean, "m2": self.m2}


def values_of(item):
    """The numbers of a dataset. Raises, or worse, when it is poison."""
    values = item["values"]
    if values == "segfault":
        ctypes.string_at(0)  # reads from address 0: no exception, the process is gone
    if not values:
        raise ValueError("dataset %d is empty" % item["id"])
    for value in values:
        if not isinstance(value, float):
            raise TypeError("dataset %d: %r is no float" % (item["id"], type(value).__name__))
        if math.isnan(value):
            raise ValueError("dataset %d has a NaN" % item["id"])
    return values


def describe(items):
    """items: [{"id": int, "values": [float]}] -> [{"id": int, "pid": int, "count", "mean", "m2", "worker": {"count", "mean", "m2"}}]

    The worker's own numbers are touched only when the whole batch is known to be good: a batch that fails leaves no trace.
    """
    import slither
    datasets = [values_of(item) for item in items]
    seen = slither.session().get_or_create("seen", Welford)
    results = []
    for item, values in zip(items, datasets):
        own = Welford()
        for value in values:
            own.add(value)
            seen.add(value)
        results.append({"id": item["id"], "pid": os.getpid(), **own.as_dict(), "worker": seen.as_dict()})
    return results
