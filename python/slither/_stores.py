# SPDX-License-Identifier: MIT
"""slither.store(): tables of the host's stores, read where they lie.

A read takes no message and no lock. A write asks the host, which is the only one that writes. Nothing is opened before the first use, so
that a module may name its tables when it is imported, also in a template whose forks are the workers.
"""
import math
import os

from slither import _native
from slither._native import Failure

try:
    from slither import _store
except ImportError as _reason:
    raise ImportError("the reader of stores cannot be loaded: %s; it needs liblmdb (Debian: liblmdb0)" % _reason) from _reason

_readers = {}  # path -> Reader
_ABSENT = object()
_UPDATE_TRIES = 100


def _failure(code, text):
    failure = Failure(text)
    failure.code = code
    return failure


def _milliseconds(ttl):
    if ttl is None:
        return None
    if not ttl > 0:
        raise ValueError("ttl is %r; expected seconds above 0, or None" % (ttl,))
    return math.ceil(ttl * 1000)


def _ask(store, *arguments):
    """Has the host answer; src/store/ask.h lists what it can be asked for."""
    try:
        return _native.view("slither.store:" + store, *arguments)
    except LookupError:
        raise _failure("not_found", "the host has no store %r open; its stores are named by sl_store_options.name" % store) from None


def _reader(path):
    """The one reader of that store, for all of its tables; a new one where the old one has outlived the host's handle."""
    reader = _readers.get(path)
    if reader is not None:
        if reader.usable():
            return reader
        reader.close()
    reader = _readers[path] = _store.attach(path)
    return reader


class Store(_store.Table):
    """One table of a store, made by slither.store().

    Reads are of the newest version unless a snapshot is open. They raise slither.Failure with the code 'not_found' when the host has no such
    store or table, and slither.NotSerializable for what cannot be a key.
    """

    __slots__ = ("name", "store", "path")

    def __init__(self, name, store="store", path=None):
        self.name, self.store = name, store
        self.path = None if path is None else os.path.realpath(os.fspath(path))

    def __repr__(self):
        return "slither.store(%r, %s)" % (self.name, "path=%r" % self.path if self.path else "store=%r" % self.store)

    def _open(self):
        path = self.path
        if path is None:
            path = _ask(self.store, "open")["path"]
        _store.bind(self, _reader(path), self.name)

    def put(self, key, value, *, ttl=None):
        """Puts a row, in the place of the one that the key has; in a bag beside those that it has.

        key: as of get(). value: None, bool, int, float, str, bytes, datetime, an array, or lists and dicts of them. ttl: seconds, a number
        above 0, after which the row goes; None: as the table says. Returns when the row can be read.
        """
        self._tell("put", key, value, _milliseconds(ttl))

    def put_if_absent(self, key, value, *, ttl=None):
        """Puts a row unless the key has one. Returns whether it did, a bool."""
        return self._tell("put_if_absent", key, value, _milliseconds(ttl))

    def delete(self, key):
        """Deletes the row of a key, of a bag all of them. Returns how many there were, an int."""
        return self._tell("delete", key)

    def increment(self, key, delta=1):
        """Adds an int to a row that is an int, or to 0 when there is none. Returns the sum."""
        return self._tell("increment", key, delta)

    def update(self, key, function, default=None):
        """Reads, changes and writes a row as one. Returns the new value.

        function(old) is called with the value of the key, or with `default` when there is none, and returns the new one. It is called
        again, with what is there then, when somebody else has written the row meanwhile; so it should do nothing else.
        """
        for _ in range(_UPDATE_TRIES):
            old = self.get(key, _ABSENT)
            seen = [] if old is _ABSENT else _native.unpack(_native.pack([old]))  # the function may change what it gets
            new = function(default if old is _ABSENT else old)
            if self._tell("swap", key, seen, [new]):
                return new
        raise _failure("again", "the row of the key %r was written by others %d times while it was to be updated" % (key, _UPDATE_TRIES))

    def _tell(self, what, *arguments):
        if self.path is not None:
            raise _failure("unsupported", "%r is open by its path, for reading only; a store is written through its host" % self)
        return _ask(self.store, what, self.name, *arguments)

    def snapshot(self):
        """The same as slither.snapshot()."""
        return Snapshot()


class Snapshot:
    """with slither.snapshot(): all reads of a store in it are of one version, that of the first one.

    Snapshots may be nested; the outermost one counts. It is open for all threads of the worker, and ends with the batch at the latest.
    Keep it short: what is replaced meanwhile cannot be used again, so that the store grows.
    """

    __slots__ = ()

    def __enter__(self):
        _native.snapshot_begin()
        return self

    def __exit__(self, *unused):
        _native.snapshot_end()
        return False
