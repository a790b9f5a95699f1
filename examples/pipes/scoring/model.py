# SPDX-License-Identifier: MIT
"""A logistic model of three features: the weights are those of a fit, the function is what a batch goes through."""
import math

import slither

WEIGHTS = {"amount": 0.0011, "night": 1.3, "abroad": 1.9}
BIAS = -3.2


def predict_batch(items):
    """One result for each item, in the same order."""
    results = []
    for item in items:
        if not isinstance(item["amount"], (int, float)):
            # This item fails, and it alone. An exception would be the whole batch's.
            results.append(slither.error(f"amount is no number: {item['amount']!r}"))
            continue
        z = BIAS + sum(weight * float(item[name]) for name, weight in WEIGHTS.items())
        results.append({"id": item["id"], "risk": round(1 / (1 + math.exp(-z)), 3)})
    return results
