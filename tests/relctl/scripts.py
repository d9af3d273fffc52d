"""A server whose handlers a test wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relctl import Client
from tests.rpc.wire import Served


@dataclass(frozen=True)
class Scripted:
    """A server whose handlers a test wrote, its client, and how long that waited between attempts."""

    server: Served
    client: Client
    slept: list[float]


Script = Callable[..., Scripted]
"""Makes one of handlers by method name."""
