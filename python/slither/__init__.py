# SPDX-License-Identifier: MIT
"""Slither's Python side: what a function that runs in a worker may use.

    def predict_batch(items: list) -> list:      # same length, same order
        return [slither.skip("empty") if not item else work(item) for item in items]

skip(), error() and route() stand for the result of one item. Array is what arrays arrive as; numpy.asarray() sees one
without a copy. pack() and unpack() are the codec. All of that also works outside a worker. view(), host.NAME() and view_many() call
functions of the host, and so need one. store() is a table of the host's, and snapshot() makes reads of one version. session() is state that
lives on between calls, on_session_close() and its kin say what happens at its end; context() says for whom a function runs, progress() how far it is.
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

__all__ = ["Array", "Failure", "Mark", "NotSerializable", "Ref", "ViewError", "ViewTimeout", "checkpoint", "context",
           "error", "host", "on_session_checkpoint", "on_session_close", "on_session_restore", "pack", "progress",
           "route", "session", "skip", "snapshot", "store", "unpack", "view", "view_many"]


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


def session():
    """The session of the call that runs: a namespace that lives as long as the session does.

        model = slither.session().get_or_create("model", load)

    Names are attributes and keys: session.model, session["model"]. It is that of the function which the host has called, and of what that awaits or
    leaves running. Another thread has none unless it says `with session:`. Raises slither.Failure where there is none.
    """
    from slither import _native
    return _native.session_get()


def on_session_close(function, *arguments, **keywords):
    """Has function(*arguments, **keywords) called when the session ends; the last one that was registered comes first.

    In a function, the session is that of the call that runs. In the body of a module (as a decorator, for example): every session that has had
    anything in this worker. slither.session() gives it there. What a hook raises goes to the worker's log. Returns the function.
    """
    import sys
    from slither import _sessions
    return _sessions.on_session_close(sys._getframe(1), function, arguments, keywords)


def on_session_checkpoint(function=None, every=None):
    """@slither.on_session_checkpoint, or with (every=N): a function of the module that gives what another worker needs to go on.

    It is called with each session that has something here, when the worker stops in order (it is recycled, the pool shrinks), when checkpoint() is
    called, and after every N batches of a session, the smallest N of all hooks. What it returns must be able to travel; None: nothing to keep. The
    function with @slither.on_session_restore of the same module gets it.
    """
    if function is None:
        return lambda function: on_session_checkpoint(function, every)
    from slither import _sessions
    return _sessions.on_session_checkpoint(function, every)


def on_session_restore(function):
    """@slither.on_session_restore: a function(session, value) of the module that brings back what the checkpoint hook gave, in another worker."""
    from slither import _sessions
    return _sessions.on_session_restore(function)


def checkpoint():
    """Makes a checkpoint of the session now, in the place of the one before. Returns whether the hooks had anything to keep."""
    from slither import _sessions
    return _sessions.checkpoint_now()


def context():
    """For whom and where the function runs: an object with

        function, each, item_count      what the host has called, whether item by item, and with how many items
        session, worker, generation     the id of the session; the index of this worker, and which start of it this is
        batch                           the number of the batch in this life of the worker, from 1
        pipe, stage, metadata, stores   of a stage of a pipe: names, and what the host has given the run along; else None, and () of stores
        value                           what the host has given the call along as it is, or None

    It does not change; ask again in the next batch. Raises slither.Failure where no batch runs.
    """
    from slither import _context
    return _context.context()


def progress(done, total=None, text=""):
    """Tells the host how far the call has come: done of total, in numbers of whatever, and a few words.

    Cheap to call often: a message goes every 50 ms at most, and the last one always. Does nothing where no host listens: outside of a worker, and in a
    thread that works for no session.
    """
    from slither import _progress
    _progress.progress(done, total, text)


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
