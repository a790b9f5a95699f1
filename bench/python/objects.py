# SPDX-License-Identifier: MIT
"""An object that stays where it is, and a generator."""


class Scores:
    def __init__(self):
        self.count = 0

    def score(self, id):
        self.count += 1
        return {"id": id, "score": id * 2.0}

    def __reduce__(self):
        raise TypeError("it stays where it is")


def items(count):
    for i in range(count):
        yield {"id": i, "name": f"item-{i}", "x": i * 0.5, "flag": i & 1 == 1}
