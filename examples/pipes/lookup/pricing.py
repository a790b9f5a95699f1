# SPDX-License-Identifier: MIT
"""A price for an order. The model is read when the module is imported: once, before the workers are forked from what did it."""
import json
import pathlib

import slither

PRODUCTS = slither.store("products", "shop")
MODEL = json.loads(pathlib.Path(__file__).with_name("model.json").read_text())


def discount(quantity, group):
    return sum(step["percent"] for step in MODEL["steps"] if quantity >= step["from"]) + MODEL["groups"].get(group, 0)


def price(orders):
    results = []
    for order in orders:
        product = order["product"]
        # What goes with it is another row of the table, which only the function knows the key of.
        extra = PRODUCTS.get(product["goes_with"]) if product["goes_with"] else None
        total = product["price"] * order["quantity"] * (100 - discount(order["quantity"], product["group"])) / 100
        results.append({"order": order["id"], "name": product["name"], "total": round(total, 2), "offer": extra and extra["name"]})
    return results
