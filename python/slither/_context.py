# SPDX-License-Identifier: MIT
"""slither.context(): for whom and where a function runs. Imported with its first use."""
from slither import _native


class Context:
    """What is known of the batch that runs. It was read when context() was called, and does not change."""

    __slots__ = ("function", "each", "item_count", "session", "worker", "generation", "batch", "value")

    def __init__(self, *fields):
        for name, field in zip(self.__slots__, fields):
            object.__setattr__(self, name, field)

    def __setattr__(self, name, value):
        raise AttributeError("a context cannot be changed")

    def __repr__(self):
        return "slither.context(%s)" % ", ".join("%s=%r" % (name, getattr(self, name)) for name in self.__slots__)

    def _of(self, key, otherwise=None):
        return self.value.get(key, otherwise) if isinstance(self.value, dict) else otherwise

    @property
    def pipe(self):
        """Name of the pipe that the function is a stage of; None: it is in none."""
        return self._of("pipe")

    @property
    def stage(self):
        """Name of the stage, or None."""
        return self._of("stage")

    @property
    def metadata(self):
        """What the host has given the run of the pipe along, or None."""
        return self._of("metadata")

    @property
    def stores(self):
        """Names of the stores that the pipe was given, for slither.store(table, store=name)."""
        return tuple(self._of("stores", ()))


def context():
    return Context(*_native.batch())
