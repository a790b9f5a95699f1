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
