# SPDX-License-Identifier: MIT
"""Cannot be imported."""


def deep():
    raise ValueError("the reason is ümlaut")


deep()
