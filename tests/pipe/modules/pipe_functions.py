# SPDX-License-Identifier: MIT
"""What the workers of the pipe tests are asked to do. Each item is a number."""
import os
import signal
import time

import slither


def triple(items):
    return [3 * x + 1 for x in items]


def halves(items):
    """For each number as many copies as it has remainder by 4."""
    return [[10 * x + i for i in range(x % 4)] for x in items]


def even_only(items):
    return [x if x % 2 == 0 else None for x in items]


def sort_out(items):
    """Marks of all kinds."""
    results = []
    for x in items:
        if x % 5 == 1:
            results.append(slither.skip("dull"))
        elif x % 5 == 2:
            results.append(slither.route("aside", [x]))
        elif x % 5 == 3:
            results.append(slither.error("bad %d" % x))
        elif x % 5 == 4:
            results.append(slither.route("nowhere", x))
        else:
            results.append(x)
    return results


def die_on_poison(items):
    if any(x % 100 == 50 for x in items):
        os.kill(os.getpid(), signal.SIGSEGV)
    return items


def not_a_list(items):
    return items


def hang(items):
    time.sleep(1000)
    return items


def note(items):
    """What the context says, and a note for the stage behind."""
    context = slither.context()
    slither.session().noted = context.stage
    return [[context.pipe, context.stage, context.metadata, list(context.stores), context.session,
             slither.store("rates", store="prices").get("base")] for _ in items]


def behind(items):
    """What the stage before has left in the session of the run."""
    context = slither.context()
    return [item + [context.stage, context.session, slither.session().get("noted")] for item in items]


def told(items):
    """How often the session has been here."""
    session = slither.session()
    session.count = session.get("count", 0) + 1
    return [session.id for _ in items]


def same(items):
    return items


def twice_thirds(items):
    return [[x, x] if x % 3 == 0 else [x] for x in items]


def slowly(items):
    time.sleep(0.001)
    return items


def chance(items, salt):
    """Hands on what it gets; what goes wrong depends on the number."""
    results = []
    for x in items:
        lot = ((x + 1) * 2654435761 * salt >> 9) % 150
        if lot == 0:
            raise ValueError("not %d" % x)
        if lot == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if lot == 2 and x % 4 == 0:
            time.sleep(1000)
        if lot == 3:
            endless = []
            endless.append(endless)
            results.append(endless)
        elif lot == 4:
            results.append(slither.skip("dull"))
        elif lot == 5:
            results.append(slither.error("bad %d" % x))
        elif lot == 6:
            results.append(slither.route("dead", x))
        else:
            results.append(x)
    return results


def chance_a(items):
    return chance(items, 1)


def chance_b(items):
    return chance(items, 2)


def chance_c(items):
    return chance(items, 3)
