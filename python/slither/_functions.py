# SPDX-License-Identifier: MIT
"""Finding the functions that requests name: "package.module:function", also "package.module:Class.method"."""
import importlib
import os
import sys

from slither._native import Failure, session_here

CO_COROUTINE = 0x80


class Unresolved(Failure):
    """A name that leads to no function. `code` is import_failed or function_not_found; the cause is the exception behind it.

    `reason` is the text without the name. Neither says which interpreter it was: where it is shown, that is said besides.
    """

    def __init__(self, code, name, reason):
        super().__init__("%s: %s" % (name, reason))
        self.code, self.reason = code, reason


def preload(name):
    """Imports a module, and finds the function in it when the name has one."""
    if ":" in name:
        resolve(name)
    else:
        import_module(name, name)


def resolve(name):
    """The batch function of that name. Raises Unresolved."""
    target = find(name)
    if not callable(target):
        raise Unresolved("function_not_found", name, "this is of type %s and cannot be called" % type(target).__name__)
    return run_to_end(target) if is_async(target) else target


def find(name):
    """What has that name, callable or not. Raises Unresolved."""
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        raise Unresolved("function_not_found", name, "this is not the name of a function; write module:function")
    target = module = import_module(module_name, name)
    seen = module_name
    for part in path.split("."):
        try:
            target = getattr(target, part)
        except AttributeError as reason:
            raise Unresolved("function_not_found", name, "%s has no '%s'%s" % (
                described(module, seen), part, alternatives(target, part))) from reason
        except BaseException as reason:
            raise Unresolved("function_not_found", name, "looking up '%s' raised %s" % (part, summary(reason))) from reason
        seen += (":" if seen == module_name else ".") + part
    return target


def import_module(module_name, name):
    try:
        return importlib.import_module(module_name)
    except BaseException as reason:  # a module that calls sys.exit() must not end the worker without a word
        text = "module '%s' could not be imported: %s" % (module_name, summary(reason))
        if isinstance(reason, ModuleNotFoundError) and reason.name == module_name.partition(".")[0]:
            text += "; it was looked for in %s" % (", ".join(sys.path[:6]) + (", ..." if len(sys.path) > 6 else ""))
        raise Unresolved("import_failed", name, text) from reason


def described(module, seen):
    path = getattr(module, "__file__", None)
    return "'%s'%s" % (seen, " (%s)" % os.path.abspath(path) if path else "")


def alternatives(target, part):
    import difflib
    close = difflib.get_close_matches(part, [entry for entry in dir(target) if not entry.startswith("_")], 3)
    return "; did you mean %s?" % " or ".join(repr(entry) for entry in close) if close else ""


def summary(exception):
    try:
        text = str(exception)
    except Exception:
        text = ""
    return type(exception).__name__ + (": " + text if text else "")


def is_async(function):
    """Whether calling it gives a coroutine. Looks at the code's flag: importing inspect would double the time of a start."""
    while hasattr(function, "func") and hasattr(function, "keywords"):  # functools.partial
        function = function.func
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(getattr(type(function), "__call__", None), "__code__", None)
    return code is not None and bool(code.co_flags & CO_COROUTINE)


_runner = None


def run_to_end(function):
    """Makes an async function callable from the serve loop."""
    def call(*arguments, **keywords):
        return run(function(*arguments, **keywords))
    return call


def run(coroutine):
    """What a coroutine gives. All of a worker's run on one event loop, one at a time.

    What one leaves running there works for the session that it was run for, whichever is served meanwhile.
    """
    global _runner
    if _runner is None:
        import asyncio
        import atexit
        _runner = asyncio.Runner()
        atexit.register(_runner.close)
    from slither import _sessions
    return _sessions.bound_call(lambda context: _runner.run(coroutine, context=context), session_here())
