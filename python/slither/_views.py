# SPDX-License-Identifier: MIT
"""slither.host: the views of the host as functions."""
from functools import partial

from slither._native import view


class Host:
    """host.NAME(...) is view("NAME", ...). A name that is no identifier can be had with getattr(host, name)."""
    __slots__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)  # what copy, pickle and inspect look for
        return partial(view, name)

    def __repr__(self):
        return "slither.host"


host = Host()
