# SPDX-License-Identifier: MIT
"""The same job in pure Python, with threads. See ../common/baseline_runner.py for how it is run.

unsafe_threaded: all threads add to one accumulator, without a lock.
safe_python: each thread has an accumulator of its own; they are merged at the end by Chan's formula.

Datasets that raise cost themselves alone: Python needs no isolation for that. The one that segfaults is left out, unless --crash is given: no
way of writing threads survives it.
"""
import json
import math
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))

import baseline_runner
from batch_stats import Welford, values_of

POISON = {"nil": None, "nan": [1.0, math.nan], "empty": [], "wrong_type": ["twelve"], "segfault": "segfault"}


def load(data, crash):
    items = []
    for line in (pathlib.Path(data) / "datasets.ndjson").open(encoding="utf-8"):
        dataset = json.loads(line)
        kind = dataset.get("poison")
        if kind == "segfault" and not crash:
            continue
        values = POISON[kind] if kind else dataset["values"]
        items.append(None if kind == "nil" else {"id": dataset["id"], "values": values})
    return items


def described(item, seen):
    own = Welford()
    for value in values_of(item):
        own.add(value)
        seen.add(value)
    return own.as_dict()


def unsafe_threaded(items, threads):
    seen, failed, results = Welford(), [], []

    def work(part):
        for item in part:
            try:
                results.append(described(item, seen))
            except (TypeError, ValueError) as reason:
                failed.append(reason)

    run_threads(work, items, threads)
    return {"ok": len(results), "failed": len(failed), "seen": seen}


def safe_python(items, threads):
    parts, failed, results = [], [], []

    def work(part):
        seen = Welford()
        for item in part:
            try:
                results.append(described(item, seen))
            except (TypeError, ValueError) as reason:
                failed.append(reason)
        parts.append(seen)

    run_threads(work, items, threads)
    whole = Welford()
    for part in parts:
        whole = merged(whole, part)
    return {"ok": len(results), "failed": len(failed), "seen": whole}


def merged(a, b):
    if not a.count or not b.count:
        return a if a.count else b
    whole = Welford()
    whole.count = a.count + b.count
    distance = b.mean - a.mean
    whole.mean = a.mean + distance * b.count / whole.count
    whole.m2 = a.m2 + b.m2 + distance * distance * a.count * b.count / whole.count
    return whole


def run_threads(work, items, threads):
    running = [threading.Thread(target=work, args=(items[start::threads],)) for start in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def check(items, outcome):
    """What is wrong with the outcome; an empty list when nothing is."""
    expected, poison = Welford(), 0
    for item in items:
        try:
            for value in values_of(item):
                expected.add(value)
        except (TypeError, ValueError):
            poison += 1
    wrong = []
    if (outcome["ok"], outcome["failed"]) != (len(items) - poison, poison):
        wrong.append("%d ok and %d failed of %d with %d poison" % (outcome["ok"], outcome["failed"], len(items), poison))
    seen = outcome["seen"]
    if seen.count != expected.count:
        wrong.append("%d values counted of %d" % (seen.count, expected.count))
    for name in ("mean", "m2"):
        if not math.isclose(getattr(seen, name), getattr(expected, name), rel_tol=1e-9):
            wrong.append("%s is %.12g, not %.12g" % (name, getattr(seen, name), getattr(expected, name)))
    return wrong


if __name__ == "__main__":
    baseline_runner.main(load, {"unsafe_threaded": unsafe_threaded, "safe_python": safe_python}, check, can_crash=True)
