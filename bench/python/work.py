# SPDX-License-Identifier: MIT
"""The functions that both sides run. A peer gets the one for an item, Slither that or the one for a batch."""


def score(item):
    return {"id": item["id"], "score": item["x"] * 2 + item["id"]}


def score_batch(items):
    return [{"id": item["id"], "score": item["x"] * 2 + item["id"]} for item in items]


def length(item):
    return len(item)


def length_batch(items):
    return [len(item) for item in items]


def prepare(item):
    return dict(item, x=item["x"] + 0.0)


def prepare_batch(items):
    return [dict(item, x=item["x"] + 0.0) for item in items]


def decide(item):
    return {"score": item["score"], "high": item["score"] >= 200_000}


def decide_batch(items):
    return [{"score": item["score"], "high": item["score"] >= 200_000} for item in items]


def burn_batch(items):
    """About ten milliseconds of a processor."""
    for _ in range(100_000):
        pass
    return items


def burn_and_score_batch(items):
    return score_batch(burn_batch(items))
