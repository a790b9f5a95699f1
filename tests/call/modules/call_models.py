# SPDX-License-Identifier: MIT
"""Models without a library: least squares through the origin, one step of learning a call."""
import slither


class Slope:
    def __init__(self):
        self.xy = self.xx = 0

    def learn(self, x, y):
        self.xy += x * y
        self.xx += x * x
        slither.session().steps = slither.session().get("steps", 0) + 1

    def predict(self, x):
        return x * self.xy / self.xx


def steps():
    return slither.session().get("steps", 0)
