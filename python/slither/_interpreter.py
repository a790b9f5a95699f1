# SPDX-License-Identifier: MIT
"""What an interpreter must be to run a worker.

This file, __init__.py and worker.py are read by interpreters of any age, in order to tell their users what is missing: they use
no syntax that is younger than Python 2.7.
"""
import os
import sys

OLDEST = (3, 11)


def problem():
    """Why this interpreter cannot run a worker, or None."""
    needed = "Slither needs CPython %d.%d or later with the global interpreter lock" % OLDEST
    mine = "%s is %s %s" % (sys.executable, name(), version())
    if name() != "CPython":
        return "%s; %s" % (mine, needed)
    if sys.version_info[:2] < OLDEST:
        return "%s; %s; choose another with the pool's python option, $VIRTUAL_ENV or PATH" % (mine, needed)
    if "t" in getattr(sys, "abiflags", ""):
        return ("%s, a free-threaded build; %s, because those builds have no stable ABI that the extension could be "
                "built for; use the ordinary build of the same version" % (mine, needed))
    return None


def unloadable(reason):
    """What to say when the extension of the package does not load."""
    return ("%s cannot load the extension slither._native from %s: %s; the package must be one that was built for this "
            "machine by the same build as the host" % (sys.executable, os.path.dirname(os.path.abspath(__file__)), reason))


def name():
    implementation = getattr(sys, "implementation", None)
    if implementation is None:
        return "Python"
    return {"cpython": "CPython", "pypy": "PyPy"}.get(implementation.name, implementation.name)


def version():
    return "%d.%d.%d" % tuple(sys.version_info[:3])
