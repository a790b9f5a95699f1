# SPDX-License-Identifier: MIT
"""The life of a template: prepare, preload, look at itself, start workers, guard them.

Nothing here may leave a thread: the process has to stay fit for being forked. One that is not fit becomes another program, which has imported
nothing, and starts workers as programs, too.
"""
import gc
import os
import signal
import sys
import time

from slither import _errors, _functions, _serve

GPU_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/render")
SETTLE_S = 0.2  # for threads that are ending
REPLACED = "replaced"


def run(native, send_failure, arguments=()):
    """Runs the template until its host stops it, which ends the process; returns only in a forked worker, with its exit status.

    `arguments` are those of a template that has replaced itself: see replace().
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _serve.prepare_streams()
    if arguments:
        return resume(native, send_failure, *arguments)
    before = Before()
    try:
        message = native.template_prepare()
    except native.Failure as failure:
        send_failure(failure.code, str(failure))
        return 1
    if not message["fork"]:
        return start_programs(native, "", message["argv"])
    _serve.prepare_path()
    try:
        for name in message["preload"]:
            _functions.preload(name)
    except _functions.Unresolved as failure:
        send_failure(failure.code, _errors.shown_message(str(failure)), _errors.traceback_of(failure.__cause__))
        return 1
    # What is garbage now would be kept by every worker; what is not is shared with them until a collection touches it.
    gc.collect()
    gc.freeze()
    flush()
    native.template_settle()
    reason = unfit(native)
    if reason is not None:
        return replace(native, send_failure, before, reason, message["argv"])
    native.send(dict(_serve.readiness(), fork=True, reason=""))
    native.template_serve(None)
    reseed()
    return _serve.run(native, send_failure)


class Before:
    """What imports may change and a program that is started afterwards should not see changed."""

    def __init__(self):
        self.argv = [os.fsencode(argument) for argument in sys.orig_argv]
        self.environment = [b"%s=%s" % item for item in os.environb.items()]
        self.directory = os.fsencode(os.getcwd())


def start_programs(native, reason, argv):
    """Starts each worker as a program of its own."""
    native.template_settle()
    native.send(dict(_serve.readiness(), fork=False, reason=reason))
    native.template_serve(argv)
    return 1


def replace(native, send_failure, before, reason, argv):
    """Becomes a template that has imported nothing: same process, same socket, same children. GPU contexts and memory are given back."""
    try:
        # The program is the one that the host names: what the interpreter was called by may be a name without a path.
        native.template_replace([argv[0], *before.argv[1:], REPLACED.encode(), os.fsencode(reason), *argv],
                                before.environment, before.directory)
    except OSError as failure:
        send_failure("worker_start_failed", "a template that cannot be forked (%s) could not be replaced: %s" % (reason, failure))
    return 1


def resume(native, send_failure, mark, reason, *argv):
    """The other end of replace()."""
    try:
        native.template_resume()
    except native.Failure as failure:
        send_failure(failure.code, str(failure))
        return 1
    return start_programs(native, reason, [os.fsencode(argument) for argument in argv])


def flush():
    """What is in a buffer when the process is forked would be written by every child."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                pass


def unfit(native):
    """Why this process must not be forked, or None."""
    for entry in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink("/proc/self/fd/" + entry)
        except OSError:
            continue
        if path.startswith(GPU_DEVICES):
            return "the imports have opened the GPU device %s, whose state does not survive a fork" % path
    if len(threads()) > 1:
        # A library that knows about forks ends its threads before one (OpenBLAS does), and starts them again when there is work.
        native.template_rehearse()
        deadline = time.monotonic() + SETTLE_S
        while len(threads()) > 1 and time.monotonic() < deadline:
            time.sleep(0.001)
    others = threads()[1:]
    if others:
        return "the imports have started %d thread%s (%s), which a forked process would not have" % (
            len(others), "" if len(others) == 1 else "s", described(others))
    return None


def threads():
    """Ids of the threads of this process, the calling one first."""
    return sorted(map(int, os.listdir("/proc/self/task")), key=lambda thread: (thread != os.getpid(), thread))


def described(others):
    """Names of Python's threads, and of those that Python does not know what the kernel has."""
    known = {}
    if "threading" in sys.modules:
        known = {thread.native_id: thread.name for thread in sys.modules["threading"].enumerate()}
    names = []
    for thread in others[:4]:
        name = known.get(thread)
        if name is None:
            try:
                with open("/proc/self/task/%d/comm" % thread) as file:
                    name = "native, " + file.read().strip()
            except OSError:
                name = "native"
        names.append(name)
    return "; ".join(names) + ("; ..." if len(others) > len(names) else "")


def reseed():
    """Workers must not draw the same random numbers. The module random sees to itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None and hasattr(numpy_random, "seed"):
        numpy_random.seed()
