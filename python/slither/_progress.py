# SPDX-License-Identifier: MIT
"""slither.progress(): how far a call has come. Imported with its first use."""
import time

from slither import _native

VIEW = "slither.progress"
INTERVAL_S = 0.05  # at most one message in so long, besides the last

_sent = {}  # of the batch that runs: when something was sent
_waiting = {}  # what was not sent yet


def progress(done, total, text):
    for name, number in (("done", done), ("total", total)):
        if number is not None and not hasattr(type(number), "__float__") and not hasattr(type(number), "__index__"):
            raise TypeError("%s is %r; expected a number" % (name, number))
    if not isinstance(text, str):
        raise TypeError("text is of type %s; expected a str" % type(text).__name__)
    session = _native.session_here()
    if session == 0 or _native.is_forked():
        return
    message = float(done), 0.0 if total is None else float(total), text
    now = time.monotonic()
    if message[0] != message[1] and now - _sent.get(session, 0.0) < INTERVAL_S:
        _waiting[session] = message
        _native.session_set(at_end=flush)
        return
    _waiting.pop(session, None)
    _sent[session] = now
    _native.session_set(at_end=flush)
    send(message)


def send(message):
    try:
        _native.view(VIEW, *message)
    except (LookupError, TimeoutError, _native.Failure):
        pass  # a host that does not listen is no reason to fail


def flush():
    """At the end of the batch: what was held back last, so that the host sees where it ended."""
    message = _waiting.pop(_native.session_here(), None)
    _waiting.clear()
    _sent.clear()
    if message is not None:
        send(message)
