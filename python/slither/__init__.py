# SPDX-License-Identifier: MIT
"""Slither's Python side: what a function that runs in a worker may use.

    def predict_batch(items: list) -> list:      # same length, same order
        return [slither.skip("empty") if not item else work(item) for item in items]

skip(), error() and route() stand for the result of one item. Array is what arrays arrive as; numpy.asarray() sees one
without a copy. pack() and unpack() are the codec. All of that also works outside a worker. view(), host.NAME() and view_many() call
functions of the host, and so need one. store() is a table of the host's, and snapshot() makes reads of one version.
"""
from slither._interpreter import problem as _problem

_missing = _problem()
if _missing is None:
    try:
        from slither._native import (Array, Failure, Mark, NotSerializable, Ref, ViewError, ViewTimeout, error, pack, route, skip,
                                     unpack, view, view_many)
        from slither._native import version as __version__
        from slither._views import host
    except ImportError as _reason:
        from slither._interpreter import unloadable as _unloadable
        _missing = _unloadable(_reason)

__all__ = ["Array", "Failure", "Mark", "NotSerializable", "Ref", "ViewError", "ViewTimeout", "error", "host", "pack", "route",
           "skip", "snapshot", "store", "unpack", "view", "view_many"]


def store(name, store="store", path=None):
    """A table of one of the host's stores: reads come from shared memory, writes ask the host.

        features = slither.store("features")
        features.get("user-7", default={})

    name: of the table. store: of the store, as the host has named it. path: instead of that, the directory of a durable store, for reading in
    any process. Nothing is opened before the first use. Returns a slither.Store with get, get_many, contains, scan, size, put, put_if_absent,
    update, delete, increment and watch; help(slither.store("x")) tells of each.
    """
    from slither._stores import Store
    return Store(name, store, path)


def snapshot():
    """with slither.snapshot(): all reads of a store in it are of one version."""
    from slither._stores import Snapshot
    return Snapshot()


if _missing is not None:
    # The package must still be importable: slither.worker, which is in it, tells the host what is missing.
    def __getattr__(name):
        if name in __all__:
            raise ImportError(_missing)
        raise AttributeError("module 'slither' has no attribute '%s'" % name)
