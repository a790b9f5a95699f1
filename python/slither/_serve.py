# SPDX-License-Identifier: MIT
"""The life of a worker: connect, preload, say that it is ready, serve, end."""
import faulthandler
import os
import signal
import sys

from slither import _errors, _functions


def run(native, send_failure):
    """Runs the worker until its host asks it to stop. Returns the exit status."""
    # Ctrl-C in the terminal of the host is the host's affair: it stops its workers in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare_streams()
    try:
        config = native.connect()
    except native.Failure as failure:
        send_failure(failure.code, str(failure))
        return 1
    os.register_at_fork(after_in_child=native.forked)
    prepare_path()
    try:
        for name in config.get("preload", ()):
            _functions.preload(name)
    except _functions.Unresolved as failure:
        send_failure(failure.code, _errors.shown_message(str(failure)), _errors.traceback_of(failure.__cause__))
        return 1
    native.send(readiness())
    native.serve(_functions.resolve, _errors.describe)
    return 0


def readiness():
    """The message that says what this process is, and that it can be asked for what it is there for."""
    return {
        "type": "ready",
        "pid": os.getpid(),
        "python": "%d.%d.%d" % sys.version_info[:3],
        "executable": sys.executable,
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
    }


def prepare_streams():
    """Lines reach the host when they are complete, and no character makes print() fail. A crash shows where Python was."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    if sys.stderr is not None:
        faulthandler.enable()


def prepare_path():
    """Modules are looked up in the working directory first, however the interpreter was started."""
    sys.argv[:] = ["slither.worker"]
    here = os.getcwd()
    if here in sys.path:
        sys.path.remove(here)
    sys.path[:] = [here] + [entry for entry in sys.path if entry != ""]
