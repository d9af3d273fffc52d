"""Moments with names, between two steps after which a process may die: the tests kill it at each of them.

A name says where it is, and is passed when the step that it is called after has just been done. In a server nothing
happens there: no setting reaches this module, only a program that is started around the server can hang something in.
"""

from __future__ import annotations

from collections.abc import Callable

Hook = Callable[[str], None]


def _nothing(_name: str) -> None:
    """What happens in a server."""


_hook: Hook = _nothing


def crashpoint(name: str) -> None:
    """Passes the moment of this name: `<area>.<what was just done>`, a literal, so that tests can find all names."""
    _hook(name)


def at_crashpoints(hook: Hook) -> None:
    """From now on every moment calls `hook`, on the thread that passes it."""
    global _hook  # noqa: PLW0603 - one process, one hook
    _hook = hook
