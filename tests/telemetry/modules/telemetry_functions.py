# SPDX-License-Identifier: MIT
import os
import time

import slither


def same(items):
    return items


def same_and_says_so(items):
    slither.progress(len(items), len(items))
    return items


def says_so_until_enough(items):
    while not slither.view("enough"):
        slither.progress(0, 1)
        time.sleep(0.001)
    return items


def marked(items):
    """Each tenth is skipped, and each 25th goes another way."""
    return [slither.route("aside", i) if i % 25 == 1 else slither.skip("tenth") if i % 10 == 0 else i for i in items]


def falls(items):
    """The batch that has 13 in it fails."""
    if 13 in items:
        raise ValueError("13")
    return items


def dies(items):
    """The worker that gets 13 is gone."""
    if 13 in items:
        os._exit(7)
    return items


def looks_up(items):
    return [slither.view("double", i) for i in items]


@slither.on_session_checkpoint(every=1)
def keep(session):
    return session.get("kept")


@slither.on_session_restore
def bring_back(session, value):
    session.kept = value


def remember(number):
    """State without a checkpoint, as there is nothing to keep."""
    slither.session().seen = number
    return number


def remember_well(number):
    slither.session().kept = number
    return number


def die(number):
    os._exit(7)


def progress(steps, token):
    for i in range(steps):
        slither.progress(i + 1, steps, "step %d api_key=%s" % (i + 1, token))
    return steps


def fail():
    raise ValueError("seven is no colour")
