# SPDX-License-Identifier: MIT
"""Functions of the pipes that tests/config starts."""
import os

import slither


def tag(items):
    return [dict(item, pool=os.environ.get("POOL"), home=os.environ.get("SLITHER_GONE")) for item in items]


def price(items):
    prices = slither.store("prices", store="features")
    return [prices.get(item["sku"])["price"] for item in items]


def fussy(items):
    if any(item == 3 for item in items):
        raise ValueError("three")
    return items
