# SPDX-License-Identifier: MIT
"""Gives each error a name, so that the same trouble is the same, whatever the numbers in its text."""
import re

NUMBERS = re.compile(r"\b(?:0x[0-9a-f]+|\d+(?:\.\d+)*)\b")
KNOWN = [  # what it is about, and how bad that is
    (re.compile(r"out of memory|disk full|no space"), "exhausted", 9),
    (re.compile(r"refused|unreachable|timed out"), "network", 6),
    (re.compile(r"permission|forbidden|denied"), "access", 3),
]


def explain(items):
    results = []
    for item in items:
        text = item["message"].lower()
        fault, weight = next(((fault, weight) for pattern, fault, weight in KNOWN if pattern.search(text)), ("unknown", 1))
        results.append({**item, "fault": fault, "weight": weight, "template": NUMBERS.sub("N", text)})
    return results
