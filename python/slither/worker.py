# SPDX-License-Identifier: MIT
"""What a host starts: python -m slither.worker, with the life-cycle socket as descriptor 3.

This file only decides whether the interpreter can run a worker, and says so to the host when it cannot. It is read by interpreters
of any age, see _interpreter.py; the work is in _serve.py.
"""
import os
import stat
import struct
import sys

from slither import _interpreter

LIFE_CYCLE_FD = 3
MESSAGE_MAX = 65536
TEXT_MAX = 8192
TRACEBACK_MAX = 32768


def send_failure(code, message, traceback="", first_read=False):
    """Sends a failed message, without the extension. Writes to stderr what cannot be sent."""
    texts = {
        "type": "failed",
        "code": code,
        "message": cut(message, TEXT_MAX),
        "traceback": cut(traceback, TRACEBACK_MAX),
        "executable": cut(sys.executable or "", 4096),
        "python": _interpreter.version(),
    }
    packet = b"".join([struct.pack(">BH", 0xde, len(texts))] + [encoded(text) for pair in texts.items() for text in pair])
    try:
        if not stat.S_ISSOCK(os.fstat(LIFE_CYCLE_FD).st_mode):
            raise OSError("descriptor %d is not a socket" % LIFE_CYCLE_FD)
        if first_read:
            # A socket that is closed with something unread in it makes the other end lose what we send.
            os.read(LIFE_CYCLE_FD, MESSAGE_MAX)
        os.write(LIFE_CYCLE_FD, packet)
    except OSError as reason:
        sys.stderr.write("slither.worker: %s\n%s(No host could be told: %s. A Slither host starts its workers itself.)\n"
                         % (message, traceback, reason))


def cut(text, size):
    """The end of a text, at most `size` bytes of UTF-8."""
    if not isinstance(text, bytes):
        text = text.encode("utf-8", "replace")
    return text[-size:].decode("utf-8", "ignore")


def encoded(text):
    """MessagePack of a str."""
    if not isinstance(text, bytes):
        text = text.encode("utf-8")
    return struct.pack(">BI", 0xdb, len(text)) + text


def usable():
    """Whether this interpreter can run a worker. The host has been told when it cannot."""
    missing = _interpreter.problem()
    if missing is None:
        try:
            from slither import _native  # noqa: F401
        except ImportError as reason:
            missing = _interpreter.unloadable(reason)
    if missing is not None:
        send_failure("unsupported", missing, first_read=True)
    return missing is None


def main():
    if not usable():
        return 1
    from slither import _native, _serve
    return _serve.run(_native, send_failure)


if __name__ == "__main__":
    sys.exit(main())
