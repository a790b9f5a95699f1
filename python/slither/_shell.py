# SPDX-License-Identifier: MIT
"""What `slither shell` asks a worker when a name is to be completed."""
import importlib
import pkgutil
import sys

CANDIDATES_MAX = 200


def members(text):
    """The names that "modu", "module:", "module:attribute." and the like may go on to, whole."""
    module_name, colon, path = text.partition(":")
    if not colon:
        return shortest(modules(text), text)
    target = importlib.import_module(module_name)
    *steps, last = path.split(".")
    for step in steps:
        target = getattr(target, step)
    before = text[:len(text) - len(last)]
    return [before + name for name in attributes(target, last)]


def modules(text):
    """Names of modules; below a package those in it."""
    package, dot, _ = text.rpartition(".")
    if dot:
        places = getattr(importlib.import_module(package), "__path__", ())
        return [package + "." + entry.name + ":" for entry in pkgutil.iter_modules(places)]
    names = set(sys.builtin_module_names) | set(sys.stdlib_module_names) | {entry.name for entry in pkgutil.iter_modules()}
    return [name + ":" for name in names]


def attributes(target, beginning):
    """Attributes that begin so; those that begin with an underscore only when that was typed."""
    names = [name for name in dir(target) if beginning.startswith("_") or not name.startswith("_")]
    return shortest(names, beginning)


def shortest(names, beginning):
    return sorted(name for name in names if name.startswith(beginning))[:CANDIDATES_MAX]
