# SPDX-License-Identifier: MIT
"""Exceptions, told to the host."""
import os
import sys

from slither._functions import Unresolved
from slither._native import Failure, NotSerializable, redact

MESSAGE_MAX = 8192  # characters of a message
TRACEBACK_MAX = 32768  # characters of a traceback; its end is kept, because that is where the exception is

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Told(Failure):
    """A failure whose text says it all; the cause, when there is one, is the exception behind it."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def describe(exception, item):
    """What the host is told: name of the error code, map of details, one line. `item` is the index of the one concerned, or None.

    No text names the function: the host knows which one it called, and says so.
    """
    code, message, shown = classify(exception)
    details = {
        "code": code,
        "message": shown_message(message),
        "type": type_name(shown if shown is not None else exception),
        "traceback": traceback_of(shown),
        "item": item,
    }
    return code, details, details["message"]


def classify(exception):
    """Code, message, and the exception whose traceback helps (or None)."""
    if isinstance(exception, Unresolved):
        return exception.code, "%s; the interpreter is %s" % (exception.reason, sys.executable), exception.__cause__
    if isinstance(exception, Told):
        return exception.code, text_of(exception), exception.__cause__
    # The extension raises these outside of any frame. With a frame they come from a call of the user's, to slither.pack() for example.
    if exception.__traceback__ is None:
        if isinstance(exception, NotSerializable):
            return "not_serializable", "a result cannot travel: " + text_of(exception), None
        if isinstance(exception, Failure):
            return exception.code, text_of(exception), None
    if isinstance(exception, MemoryError):
        return "out_of_memory", "the function ran out of memory: " + described(exception), exception
    return "python_exception", described(exception), exception


def described(exception):
    text = text_of(exception)
    return type_name(exception) + (": " + text if text else "")


def text_of(exception):
    try:
        return str(exception)
    except BaseException as reason:
        return "(its __str__ raised %s)" % type(reason).__name__


def type_name(exception):
    kind = type(exception)
    return kind.__qualname__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)


def traceback_of(exception):
    """The traceback as Python prints it, causes and contexts included, without the frames of this package."""
    if exception is None:
        return ""
    try:
        import traceback
        report = traceback.TracebackException.from_exception(exception, compact=True)
        hide_frames(report, set())
        return cut_end("".join(map(scrubbed, report.format())), TRACEBACK_MAX)
    except BaseException as reason:  # an exception class with properties that raise, or no memory
        return "(the traceback of a %s could not be formatted: %s)\n" % (type(exception).__name__, type(reason).__name__)


def hide_frames(report, seen):
    if report is None or id(report) in seen:
        return
    seen.add(id(report))
    hide_in_stack(report.stack)
    hide_frames(report.__cause__, seen)
    hide_frames(report.__context__, seen)
    for part in getattr(report, "exceptions", None) or ():
        hide_frames(part, seen)


def hide_in_stack(stack):
    ours = [frame.filename.startswith(PACKAGE) for frame in stack]
    if any(ours):
        # From our call of an async function to the user's part there are only frames of the event loop, and of an import only importlib's.
        last = len(ours) - 1 - ours[::-1].index(True)
        rest = stack[last + 1:]
        while rest and (os.sep + "asyncio" + os.sep in rest[0].filename or "importlib" in rest[0].filename):
            rest = rest[1:]
        stack[:] = stack[:ours.index(True)] + rest


def shown_message(text):
    """A message as the host may have it. Only its beginning is looked at: exceptions may hold a gigabyte."""
    return cut_start(redact(clean(text[:2 * MESSAGE_MAX])), MESSAGE_MAX)


def scrubbed(part):
    """A part of a traceback without the values of secrets: a frame, whose source is to stay readable, or the text of an exception."""
    return redact(clean(part), part.lstrip(" |+-").startswith('File "'))


def clean(text):
    """Lone surrogates (from file names, for example) cannot travel."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cut_start(text, size):
    return text if len(text) <= size else text[:size - 4] + " ..."


def cut_end(text, size):
    return text if len(text) <= size else "(earlier frames are left out)\n ..." + text[-(size - 40):]
