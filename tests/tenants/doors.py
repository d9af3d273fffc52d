"""Two ways into the same server: over the wire, and straight into what grpc would call.

The second has everything of a call but sockets and lanes: credentials, validation, handlers, statuses, bytes in and
out. It takes a thousand calls a second, and so tens of thousands of scripts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import grpc
from google.protobuf.message import Message

from server.edge.methods import Method, methods_of
from server.serving import Server
from tests.rpc.serving import SERVICES
from tests.rpc.wire import Metadata

METHODS: dict[str, Method] = {method.name: method for service in SERVICES for method in methods_of(service)}
"""All methods of the contract; their names are different."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call answered: its messages as bytes, its status, and the details of an error."""

    code: str
    message: str
    details: bytes
    responses: tuple[bytes, ...]

    def read(self, method: str) -> list[Any]:
        """The messages."""
        return [METHODS[method].response_type.FromString(response) for response in self.responses]


class Door(Protocol):
    """A way to call a method by its name."""

    def call(self, method: str, requests: Sequence[Message], metadata: Metadata) -> Answer:
        """What the call answers to these requests, more than one for a client's stream."""


class Wire:
    """Over a channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel: Any = channel

    def call(self, method: str, requests: Sequence[Message], metadata: Metadata) -> Answer:
        """Over the wire."""
        found = METHODS[method]
        sent = iter([request.SerializeToString() for request in requests])
        responses: list[bytes] = []
        try:
            if found.server_streams:
                call = self._channel.unary_stream(found.path)(next(sent), metadata=metadata, timeout=60)
                responses.extend(call)
            elif found.client_streams:
                responses.append(self._channel.stream_unary(found.path)(sent, metadata=metadata, timeout=60))
            else:
                responses.append(self._channel.unary_unary(found.path)(next(sent), metadata=metadata, timeout=60))
        except grpc.RpcError as error:
            told: Any = error
            trailing = dict(told.trailing_metadata() or ())
            details = trailing.get("grpc-status-details-bin", b"")
            return Answer(told.code().name, told.details(), details, tuple(responses))
        return Answer("OK", "", b"", tuple(responses))


class Straight:
    """Into a server that need not listen."""

    def __init__(self, server: Server) -> None:
        self._find = server._router.service

    def call(self, method: str, requests: Sequence[Message], metadata: Metadata) -> Answer:
        """On this thread."""
        found = METHODS[method]
        handler: Any = self._find(SimpleNamespace(method=found.path, invocation_metadata=metadata))
        context = _Context(metadata)
        sent = iter([request.SerializeToString() for request in requests])
        responses: list[bytes] = []
        try:
            if found.server_streams:
                responses.extend(handler.stream_stream(sent, context))
            elif found.client_streams:
                handler.stream_stream(sent, context, lambda response: responses.extend([response] if response else []))
            else:
                responses.append(handler.stream_unary(sent, context))
        except _Aborted as aborted:
            status: Any = aborted.status
            details = dict(status.trailing_metadata).get("grpc-status-details-bin", b"")
            return Answer(status.code.name, status.details, details, tuple(responses))
        return Answer("OK", "", b"", tuple(responses))


class _Aborted(Exception):
    def __init__(self, status: object) -> None:
        self.status = status


class _Context:
    """What the server uses of grpc's context; a caller who has time and does not go away."""

    def __init__(self, metadata: Iterable[tuple[str, str]]) -> None:
        self._metadata = tuple(metadata)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def set_trailing_metadata(self, metadata: object) -> None:
        pass

    def peer(self) -> str:
        return "in this process"

    def is_active(self) -> bool:
        return True

    def time_remaining(self) -> float:
        return threading.TIMEOUT_MAX

    def cancel(self) -> None:
        raise AssertionError("nothing here takes so long")

    def abort_with_status(self, status: object) -> None:
        raise _Aborted(status)
