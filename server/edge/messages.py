"""The messages that a call brings, decoded and checked one by one, on the call's own thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import grpc
from google.protobuf.message import DecodeError, Message

from server.edge.calls import Call
from server.edge.errors import CallEnded, MessageMalformed, TooManyMessages
from server.edge.guard import Guard
from server.edge.validation import validate
from server.telemetry.metrics import RECEIVED_BYTES
from store.errors import DeadlinePassed

MESSAGES: Final = 100_000
BYTES_A_MESSAGE: Final = 64
"""A stream has at most so many messages, and one more for each so many bytes that it has brought: messages of some
size never meet this limit, and empty ones do not go on for ever."""


class Messages:
    """The messages of a client's stream.

    Ends when the client half-closes, which is no proof that it sent all: streams of the contract end by a finish
    message. Raises CallEnded when the client is gone, MessageMalformed, InvalidField, TooManyMessages, DeadlinePassed,
    Draining, and what another thread ended the call with.
    """

    __slots__ = ("_bytes", "_call", "_count", "_guard", "_messages")

    def __init__(self, messages: Iterator[bytes], guard: Guard, call: Call) -> None:
        self._messages = messages
        self._guard = guard
        self._call = call
        self._count = self._bytes = 0

    def __iter__(self) -> Messages:
        return self

    def __next__(self) -> Message:
        encoded = _received(self._messages, self._guard, self._guard.limits.silence)
        self._guard.patience.came(len(encoded), self._guard.limits.silence)
        self._count += 1
        self._bytes += len(encoded)
        if self._count > MESSAGES and self._count > MESSAGES + self._bytes // BYTES_A_MESSAGE:
            raise TooManyMessages(self._count - 1)
        message = _decoded(encoded, self._guard, first=self._count == 1)
        if self._call.remaining_seconds() == 0:
            raise DeadlinePassed
        return message


def only_message(messages: Iterator[bytes], guard: Guard) -> Message:
    """The one message of a call that is no client's stream. Raises what `Messages` raises."""
    try:
        encoded = _received(messages, guard, guard.limits.message)
    except StopIteration:
        raise MessageMalformed(guard.method.request_type.DESCRIPTOR.full_name) from None
    guard.patience.restore()
    return _decoded(encoded, guard, first=True)


def _received(messages: Iterator[bytes], guard: Guard, seconds: float) -> bytes:
    guard.patience.wait(seconds)
    try:
        encoded = next(messages)
    except StopIteration:
        guard.go_on()  # of a call that is cut or ended, the messages just end, as if its client had half-closed
        raise
    except grpc.RpcError as gone:
        raise CallEnded from gone
    finally:
        guard.patience.rest()
    RECEIVED_BYTES.inc(len(encoded))
    guard.go_on()
    return encoded


def _decoded(encoded: bytes, guard: Guard, *, first: bool) -> Message:
    request_type = guard.method.request_type
    try:
        message = request_type.FromString(encoded)
    except DecodeError:
        raise MessageMalformed(request_type.DESCRIPTOR.full_name) from None
    if first:
        guard.note(message)
    validate(message)
    return message
