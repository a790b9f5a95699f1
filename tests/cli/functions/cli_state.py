# SPDX-License-Identifier: MIT
"""What the tests of eval and shell call."""
import os
import time

import slither


class Model:
    def __init__(self, scale=1):
        self.scale = scale

    def __repr__(self):
        return "Model(%r)" % self.scale

    def predict(self, x, offset=0):
        return x * self.scale + offset

    def twice(self):
        return 2 * self.scale


def mixed():
    return {"model": Model(3), "rows": [1, {2}]}


def count(n):
    for number in range(n):
        yield {"n": number}


def said(*args, **kwargs):
    return [list(args), kwargs]


def die():
    os._exit(7)


def pid():
    return os.getpid()


def hang():
    folder = os.environ["SLITHER_TEST_FOLDER"]
    with open(os.path.join(folder, "begun"), "w") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(1000)


def endless():
    """A generator that says when it is closed."""
    number = 0
    try:
        while True:
            yield number
            number += 1
    finally:
        with open(os.path.join(os.environ["SLITHER_TEST_FOLDER"], "closed"), "w") as file:
            file.write("closed\n")


def keep(name, value):
    setattr(slither.session(), name, value)


def kept(name):
    return getattr(slither.session(), name)


def leak():
    raise ValueError("no login with {'user': 'bob', 'password': 'hunter2'}")


class Secret:
    def __repr__(self):
        return "Secret(password='hunter2')"
