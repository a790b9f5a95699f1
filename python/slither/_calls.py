# SPDX-License-Identifier: MIT
"""Calls by name, and what is done with objects that stay here: the functions behind slither/call.h.

Each is a batch function whose items are its arguments, one by one, so that the host needs not copy them into one value. The first result is the answer, the
others are None. What cannot travel becomes a ref, and a ref among the arguments has become the object by the time that it is called.
"""
import reprlib
from time import monotonic
from types import CoroutineType

from slither import _errors, _functions

CHUNK_SECONDS = 0.001  # so long a chunk of an iteration is gathered
CHUNK_BYTES = 1 << 20  # about so much of texts, bytes and arrays it may hold
TYPE_BYTES_MAX = 255
REPR_BYTES_MAX = 80

LIGHT = frozenset({int, float, bool, type(None), list, tuple, dict})
NEVER_COROUTINES = LIGHT | {str, bytes, set}


def call(items):
    """target, args or None, kwargs or None"""
    return [called(*items), None, None]


def called(target, args, kwargs):
    callee = _functions.find(target)
    if not callable(callee):
        if not args and not kwargs:
            return callee
        raise _functions.Unresolved(
            "function_not_found", target, "this is of type %s and cannot be called; leave the arguments out to get it itself" % (
                _errors.type_name(callee)))
    result = callee(*args or (), **kwargs or {})
    return result if type(result) in NEVER_COROUTINES else finished(result)


def method(items):
    """object, path of a method or None, args or None, kwargs or None"""
    callee, path, args, kwargs = items
    if path:
        callee = attribute(callee, path) if "." in path else getattr(callee, path)
    result = callee(*args or (), **kwargs or {})
    return [result if type(result) in NEVER_COROUTINES else finished(result), None, None, None]


def finished(result):
    """A coroutine is run to its end; everything else is the result."""
    if isinstance(result, CoroutineType) or hasattr(result, "cr_await"):
        return _functions.run(result)
    return result


def attribute(target, path):
    for part in path.split("."):
        target = getattr(target, part)
    return target


def get(items):
    """object, path"""
    return [attribute(*items), None]


def assign(items):
    """object, path, value"""
    target, path, value = items
    start, dot, name = path.rpartition(".")
    setattr(attribute(target, start) if dot else target, name, value)
    return [None, None, None]


def item(items):
    """object, key"""
    target, key = items
    return [target[key], None]


def assign_item(items):
    """object, key, value"""
    target, key, value = items
    target[key] = value
    return [None, None, None]


def length(items):
    """object"""
    return [len(items[0])]


def represent(items):
    """object"""
    return [repr(items[0])]


def enter(items):
    """object"""
    return [managed(items[0], "enter")]


def leave(items):
    """object"""
    managed(items[0], "exit", None, None, None)
    return [None]


def managed(target, step, *arguments):
    kind = type(target)
    if hasattr(kind, "__%s__" % step):
        return getattr(kind, "__%s__" % step)(target, *arguments)
    if hasattr(kind, "__a%s__" % step):
        return finished(getattr(kind, "__a%s__" % step)(target, *arguments))
    raise TypeError("an object of type %s is no context manager: it has neither __%s__ nor __a%s__" % (
        _errors.type_name(target), step, step))


# ---- iterations --------------------------------------------------------------------------------------------------

def iterate(items):
    """target, args or None, kwargs or None: an iteration over what the target gives."""
    return [iteration(called(*items)), None, None]


def iterate_object(items):
    """object"""
    return [iteration(items[0])]


def chunk(items):
    """iteration, the most items that may be made: whether that was all, and the items"""
    source, count = items
    return [source.take(count), None]


def iteration(source):
    if hasattr(type(source), "__aiter__") and not hasattr(type(source), "__iter__"):
        return AsyncIteration(source)
    return Iteration(source)


class Iteration:
    """An iterator that the host consumes. It is closed when it is let go of, wherever that happens."""

    iterator = None  # as long as there is none: it could not be made, is exhausted, has raised or was closed
    raised = None

    def __init__(self, source):
        self.iterator = iter(source)

    def __repr__(self):
        return "<iteration over %r>" % (self.iterator,)

    def take(self, count):
        if self.raised is not None:
            raised, self.raised = self.raised, None
            raise raised
        if self.iterator is None:
            return [True, []]
        values = []
        try:
            over = self.gather(values, count)
        except BaseException as reason:  # whatever it is, it comes after the items that were made before it
            self.iterator = None
            if not values:
                raise
            self.raised = reason
            return [False, values]
        if over:
            self.iterator = None
        return [over, values]

    def gather(self, values, count):
        """Whether there are no more."""
        append = values.append
        until = monotonic() + CHUNK_SECONDS
        room = CHUNK_BYTES
        for value in self.iterator:
            append(value)
            count -= 1
            if type(value) not in LIGHT:
                room -= weight(value)
            if count == 0 or room <= 0 or monotonic() > until:
                return False
        return True

    def close(self):
        iterator, self.iterator = self.iterator, None
        # Generators and what behaves like them. A file has a close(), too, and is not the iteration's to close.
        if iterator is not None and hasattr(iterator, "throw"):
            iterator.close()

    def __del__(self):
        self.close()


class AsyncIteration(Iteration):
    def __init__(self, source):
        self.iterator = type(source).__aiter__(source)

    def gather(self, values, count):
        return _functions.run(self.gather_async(values, count))

    async def gather_async(self, values, count):
        step = self.iterator.__anext__
        until = monotonic() + CHUNK_SECONDS
        room = CHUNK_BYTES
        while True:
            try:
                value = await step()
            except StopAsyncIteration:
                return True
            values.append(value)
            if type(value) not in LIGHT:
                room -= weight(value)
            if len(values) == count or room <= 0 or monotonic() > until:
                return False

    def close(self):
        iterator, self.iterator = self.iterator, None
        if iterator is not None and hasattr(iterator, "aclose"):
            _functions.run(closed(iterator))


async def closed(iterator):
    await iterator.aclose()


def weight(value):
    """About how many bytes it takes, where that may be many and is known."""
    if isinstance(value, (str, bytes)):
        return len(value)
    size = getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0


# ---- what a ref says of its object -------------------------------------------------------------------------------

def texts(value):
    """Name of its type and beginning of its repr, for a ref. No repr can make this fail, nor take long where Python could know before."""
    return cut(_errors.type_name(value), TYPE_BYTES_MAX), cut(_errors.shown_message(brief(value)), REPR_BYTES_MAX)


def brief(value):
    try:
        return _brief.repr(value)
    except Exception as reason:
        return "(its __repr__ raised %s)" % type(reason).__name__


def cut(text, size):
    """At most `size` bytes of UTF-8, and valid."""
    return _errors.clean(text[:size]).encode("utf-8")[:size].decode("utf-8", "ignore")


class Brief(reprlib.Repr):
    """Takes secrets out before it cuts: what stays of a value must not have lost its key."""

    def repr_instance(self, value, level):
        try:
            text = repr(value)
        except Exception:
            return super().repr_instance(value, level)
        text = _errors.shown_message(text)
        return text if len(text) <= self.maxother else text[:self.maxother - 3] + "..."


_brief = Brief()
_brief.maxother = _brief.maxstring = _brief.maxlong = REPR_BYTES_MAX
