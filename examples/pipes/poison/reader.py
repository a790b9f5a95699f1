# SPDX-License-Identifier: MIT
"""A reader that trusts its input, as code in other people's libraries does."""
import os


def value(text):
    if text == "CRASH":
        os._exit(3)  # as a fault in a C extension would: no exception, no word
    return float(text)


def read(items):
    return [{"sensor": item["sensor"], "celsius": round((value(item["fahrenheit"]) - 32) / 1.8, 2)} for item in items]
