# SPDX-License-Identifier: MIT
"""slither.session(): state that Python keeps between calls, and what happens when its owner goes, or its worker.

The table of sessions is in the extension, with the objects that refs name; here is what users see of it, and the hooks. Imported when the first
session or hook is asked for, not before.
"""
import contextvars
import sys
import threading
from collections.abc import MutableMapping

from slither import _errors, _functions, _native

VIEW_CHECKPOINT = "slither.session.checkpoint"
VIEW_RESTORE = "slither.session.restore"

# Async functions, and threads that say so, are bound to the session that they were begun for: (id, the binding before), or None.
_binding = contextvars.ContextVar("slither_session", default=None)
_close_hooks = []  # those for all sessions: (function, arguments, keywords)
_checkpoint_hooks = {}  # module -> function
_restore_hooks = {}  # module -> function
_every = {}  # module -> batches


class _Fields:
    __slots__ = ("_number", "_hooks", "_lock")


class Session(_Fields, MutableMapping):
    """The namespace of a session: session.model and session["model"] are the same.

    It lives until the session ends, or its worker does. What the class itself has (id, get, pop, ...) is no attribute to set; such a name can be had
    as session["id"] only. Other threads may use the object, too, and work for its session in `with session:`.
    """

    def __init__(self, number, names, hooks):
        put = object.__setattr__
        put(self, "__dict__", names)
        put(self, "_number", number)
        put(self, "_hooks", hooks)
        put(self, "_lock", threading.RLock())

    @property
    def id(self):
        """Number of the session: an int above 0 that no other session of the host has had, or will have."""
        return self._number

    def get_or_create(self, name, factory, *arguments, **keywords):
        """session[name], made by factory(*arguments, **keywords) when it is not there: once, however many threads ask."""
        names = self.__dict__
        if name not in names:
            with self._lock:
                if name not in names:
                    self[name] = factory(*arguments, **keywords)
        return names[name]

    def __getitem__(self, name):
        return self.__dict__[name]

    def __setitem__(self, name, value):
        self.__dict__[name] = value

    def __delitem__(self, name):
        del self.__dict__[name]

    def __iter__(self):
        return iter(self.__dict__)

    def __len__(self):
        return len(self.__dict__)

    def __setattr__(self, name, value):
        if hasattr(type(self), name):
            raise AttributeError("a session has a %r of its own; write session[%r]" % (name, name))
        self.__dict__[name] = value

    def __getattr__(self, name):
        raise AttributeError("session %d has no %r in this worker" % (self._number, name))

    def __dir__(self):
        return sorted(set(object.__dir__(self)) | {name for name in self.__dict__ if isinstance(name, str)})

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self):
        return "<slither session %d: %s>" % (self._number, ", ".join(map(str, self.__dict__)) or "empty")

    def __enter__(self):
        _bind(self._number)
        return self

    def __exit__(self, *unused):
        _binding.set(_binding.get()[1])
        return False


class EndedSession(Session):
    """What a session becomes for those who still hold it when it ends."""

    __slots__ = ()

    def _refuse(self, *unused, **unused_too):
        raise lost("session %d has ended, and what it held is gone" % self._number)

    get_or_create = __getitem__ = __setitem__ = __delitem__ = __iter__ = __len__ = __setattr__ = __enter__ = _refuse

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)  # what copy, pickle and inspect look for
        self._refuse()

    def __repr__(self):
        return "<slither session %d: ended>" % self._number


def lost(text):
    return _errors.Told("session_lost", text)


def _bind(number):
    _native.session_set(variable_get=_binding.get)
    _binding.set((number, _binding.get()))


def bound_call(function, number):
    """function(), in a copy of the context in which code is bound to that session. What it leaves running stays bound to it."""
    context = contextvars.copy_context()
    if number:
        context.run(_bind, number)
    return function(context)


# ---- close -----------------------------------------------------------------------------------------------------------


def on_session_close(frame, function, arguments, keywords):
    hook = (callable_for(function), arguments, keywords)
    if in_module(frame):
        _close_hooks.append(hook)
        _native.session_set(closes_all=True)
    else:
        session = _native.session_get()
        if session._hooks is None:
            raise lost("session %d is being closed; it takes no more hooks" % session.id)
        session._hooks.append(hook)
    return function


def in_module(frame):
    """Whether this is the body of a module that is being imported."""
    return frame.f_code.co_name == "<module>" and frame.f_locals is frame.f_globals


def callable_for(function):
    if not callable(function):
        raise TypeError("a hook of a session must be callable, not of type %s" % type(function).__name__)
    return _functions.run_to_end(function) if _functions.is_async(function) else function


def close(session):
    """Called by the extension when a session ends: its own hooks, the last one first, then those of all sessions."""
    hooks = _close_hooks + session._hooks
    session._hooks.clear()
    object.__setattr__(session, "_hooks", None)
    for function, arguments, keywords in reversed(hooks):
        try:
            function(*arguments, **keywords)
        except BaseException as reason:  # nothing that a hook does keeps the others from running
            log(session, "close hook %s" % described(function), reason)
        if _native.is_forked():
            return
    end(session)


def end(session):
    """Called by the extension, too, for a session that could not be restored."""
    object.__setattr__(session, "__class__", EndedSession)


def described(function):
    return "%s:%s" % (getattr(function, "__module__", None) or "?", getattr(function, "__qualname__", type(function).__name__))


def log(session, what, reason):
    """To the log of the worker. Nobody waits for what fails here."""
    try:
        sys.stderr.write("slither: session %d: %s failed: %s\n%s" % (
            session._number, what, _errors.described(reason), _errors.traceback_of(reason)))
    except (OSError, ValueError, AttributeError):
        pass


# ---- checkpoints ------------------------------------------------------------------------------------------------------


def on_session_checkpoint(function, every):
    if every is not None and (not isinstance(every, int) or every < 1):
        raise ValueError("every is %r; expected a number of batches from 1, or None" % (every,))
    add_once(_checkpoint_hooks, function, "checkpoint")
    if every is not None:
        _every[function.__module__] = every
    _native.session_set(checkpoints=True, every=min(_every.values(), default=0))
    return function


def on_session_restore(function):
    return add_once(_restore_hooks, function, "restore")


def add_once(hooks, function, what):
    """A hook that another worker can find by its name, one of its kind in a module."""
    if not callable(function):
        raise TypeError("a %s hook must be a function, not of type %s" % (what, type(function).__name__))
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<none>")
    if module is None or "<" in name:
        raise ValueError("the %s hook %s is no function of a module; another worker, which has only its name, could not find it" % (what, name))
    before = hooks.get(module)
    if before is not None and before.__qualname__ != name:
        raise ValueError("module %s has the %s hook %s already; one of each kind serves all sessions" % (module, what, before.__qualname__))
    hooks[module] = function
    return function


def store(session):
    """Sends what the checkpoint hooks give. Whether there was anything."""
    saved = []
    for module, function in list(_checkpoint_hooks.items()):
        value = callable_for(function)(session)
        if value is None:
            continue
        back = _restore_hooks.get(module)
        if back is None:
            raise LookupError("module %s has a checkpoint hook, but no function with @slither.on_session_restore" % module)
        saved.append([described(back), value])
    if saved:
        _native.view(VIEW_CHECKPOINT, session.id, saved)
    return bool(saved)


def checkpoint_now():
    session = _native.session_get()
    if not _checkpoint_hooks:
        raise LookupError("no function has @slither.on_session_checkpoint: there is nothing to make a checkpoint with")
    return store(session)


def checkpoint(session):
    """Called by the extension between two batches."""
    try:
        store(session)
    except BaseException as reason:
        log(session, "checkpoint", reason)


def restore(session):
    """Called by the extension before the first batch here of a session that had its home elsewhere."""
    try:
        saved = _native.view(VIEW_RESTORE, session.id)
    except Exception as reason:
        raise lost("session %d cannot be restored: %s" % (session.id, _errors.described(reason))) from reason
    if not saved:
        raise lost("session %d cannot be restored: it has no checkpoint" % session.id)
    for name, value in saved:
        try:
            _functions.resolve(name)(session, value)
        except BaseException as reason:
            raise lost("session %d could not be restored from its checkpoint: %s: %s" % (
                session.id, name, _errors.described(reason))) from reason
