# SPDX-License-Identifier: MIT
"""Crashes when it is imported, as long as the file that $FRAGILE_TROUBLE names is there."""
import os

if os.path.exists(os.environ["FRAGILE_TROUBLE"]):
    os.abort()


def triple(items):
    return [3 * x + 1 for x in items]
