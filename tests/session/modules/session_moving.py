# SPDX-License-Identifier: MIT
"""State that moves: another worker goes on from the last checkpoint."""
import os

import slither


@slither.on_session_checkpoint(every=1)
def keep(session):
    return session.get("total")


@slither.on_session_restore
def bring_back(session, value):
    session.total = value
    session.restored = True


def add(number):
    session = slither.session()
    session.total = session.get("total", 0) + number
    return session.total


def restored(item):
    return 1 if slither.session().get("restored") else 0


def add_and_die(number):
    add(number)
    os.kill(os.getpid(), 9)


def checkpoint(item):
    slither.checkpoint()
    return item


def die(item):
    os.kill(os.getpid(), 9)
