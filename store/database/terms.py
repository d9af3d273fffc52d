"""How a write is to be carried out and told: what the caller gets, and whether it is a rehearsal or a repetition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

R = TypeVar("R")
M = TypeVar("M")


def same(result: Any) -> Any:
    """The result itself: the reply of a write that nobody maps."""
    return result


@dataclass(frozen=True, slots=True)
class Once(Generic[M]):
    """A request that must have one effect however often it is sent.

    Within 24 hours the same token, method and request_id with the same body get the first answer again; with another
    body they get `RequestIdReused`. `encode` and `decode` turn the reply into bytes and back; what must not be told
    twice (a token's secret) is left out by `encode`. Both are pure. See behaviour.md, Request ids.
    """

    token_id: bytes
    method: str
    request_id: str
    body_sha256: bytes
    encode: Callable[[M], bytes]
    decode: Callable[[bytes], M]


@dataclass(frozen=True, slots=True)
class Terms(Generic[R, M]):
    """The terms of one write.

    `reply` turns the operation's result into what the caller of the write gets; it is pure and may run more than
    once, or not at all when an earlier answer is repeated. `validate_only` does everything and then takes it back;
    it stores no answer under a request id either.
    """

    reply: Callable[[R], M] = same
    validate_only: bool = False
    once: Once[M] | None = None


PLAIN: Terms[Any, Any] = Terms()
