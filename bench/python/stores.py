# SPDX-License-Identifier: MIT
"""What workers do with a store: the same as store_peers.py does with its peers. An item is [count, seed or seconds]; the result a figure."""
import random
import time

import slither
from peers import make_item

KEYS = 100_000
MANY = 100
ROWS = slither.store("rows")


def name_of(i):
    return f"item-{i}"


def drawn(count, seed):
    random.seed(seed)
    return [random.randrange(KEYS) for _ in range(count)]


def check(total, numbers):
    if total != sum(numbers):
        raise ValueError(f"wrong sum: {total}")


def get(item):
    count, seed = item
    numbers = drawn(count, seed)
    keys = [name_of(i) for i in numbers]
    total, get = 0, ROWS.get
    start = time.perf_counter()
    for key in keys:
        total += get(key)["id"]
    seconds = time.perf_counter() - start
    check(total, numbers)
    return seconds / count * 1e6


def get_many_100(item):
    count, seed = item
    calls = max(1, count // MANY)
    numbers = drawn(calls * MANY, seed)
    keys = [name_of(i) for i in numbers]
    total, get_many = 0, ROWS.get_many
    start = time.perf_counter()
    for first in range(0, len(keys), MANY):
        for value in get_many(keys[first:first + MANY]):
            total += value["id"]
    seconds = time.perf_counter() - start
    check(total, numbers)
    return seconds / calls * 1e6


def put(item):
    count, seed = item
    numbers = drawn(count, seed)
    keys = [name_of(i) for i in numbers]
    put = ROWS.put
    start = time.perf_counter()
    for i, key in zip(numbers, keys):
        put(key, make_item(i))
    seconds = time.perf_counter() - start
    check(sum(ROWS.get(key)["id"] for key in keys[-100:]), numbers[-100:])
    return seconds / count * 1e6


def read(item):
    """Gets for some seconds; how many there were."""
    seconds, seed = item
    numbers = drawn(1000, seed)
    keys = [name_of(i) for i in numbers]
    get = ROWS.get
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        key = count % 1000
        if get(keys[key])["id"] != numbers[key]:
            raise ValueError("wrong item")
        count += 1
    return float(count)
