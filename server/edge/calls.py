"""What a handler is handed: the request, checked, and the `Call` that it belongs to."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message

from server.edge.errors import CallEnded
from store.access.access import Access
from store.database.terms import Once, Terms
from store.errors import DeadlinePassed, RegistryError
from store.paging import PageRequest, PageTokens, Position

R = TypeVar("R")
M = TypeVar("M", bound=Message)

DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1000
TO_ANSWER_SECONDS: Final = 0.2
"""What is left of a caller's time when waiting ends."""


class Call:
    """What a handler gets in place of grpc's context: who calls, with what rights, and for how long."""

    __slots__ = (
        "_context",
        "_deadline",
        "_looks",
        "_page_tokens",
        "access",
        "end",
        "method",
        "request_id",
        "streams_of",
        "user_agent",
    )

    def __init__(
        self,
        *,
        access: Access,
        method: str,
        user_agent: str,
        request_id: str,
        context: grpc.ServicerContext,
        page_tokens: PageTokens,
        deadline: float | None,
        end: Callable[[RegistryError], None],
        streams_of: Callable[[bytes], int] = lambda _: 0,
    ) -> None:
        self.access = access
        self.method = method
        """The method's path, such as `/releaseregistry.v1.ReleaseService/CreateRelease`."""
        self.user_agent = user_agent
        """The client's, at most 256 characters; "" when it sent none."""
        self.request_id = request_id
        """The id of this call in logs and answers; not the request's field of that name."""
        self.end = end
        """Ends the call with an error, from any thread: a client's stream at once, others at their next message."""
        self.streams_of = streams_of
        """How many streams an organization, by its id, runs on this process now."""
        self._looks: list[Callable[[], object]] = []
        self._context = context
        self._page_tokens = page_tokens
        self._deadline = deadline

    def remaining_seconds(self) -> float | None:
        """Seconds until the caller's deadline or the server's own, the first of them; 0 when over, None: no limit."""
        # Without a deadline of the caller grpc tells the end of time.
        theirs = min(self._context.time_remaining(), threading.TIMEOUT_MAX)
        if self._deadline is None:
            return None if theirs == threading.TIMEOUT_MAX else theirs
        return min(theirs, max(0.0, self._deadline - time.monotonic()))

    def wait_seconds(self) -> float | None:
        """How long the call may wait for others so that the answer still reaches its caller; None: no limit."""
        remaining = self.remaining_seconds()
        return None if remaining is None else remaining - TO_ANSWER_SECONDS

    def check(self) -> None:
        """Return when the call is worth going on with, as long work asks now and then.

        Raises DeadlinePassed when its time is over, CallEnded when its caller is gone.
        """
        if not self._context.is_active():
            raise CallEnded
        if self.remaining_seconds() == 0:
            raise DeadlinePassed

    def look_after(self, look: Callable[[], object]) -> None:
        """Have `look` called every ten seconds, on another thread, for as long as the stream lasts.

        An error of the registry that it raises ends the stream.
        """
        self._looks.append(look)

    def look(self) -> None:
        """Call what was handed to `look_after`. Raises what that raises."""
        for look in tuple(self._looks):
            look()

    def terms(
        self,
        request: Message,
        reply: Callable[[R], M],
        response_type: type[M],
        *,
        stored: Callable[[M], M] | None = None,
    ) -> Terms[R, M]:
        """The terms of the write that answers `request`, from its request_id and validate_only where it has them.

        `reply` maps the store's result to the response. `stored` maps the response to what a repetition of the
        request_id gets, where that differs.
        """
        once: Once[M] | None = None
        request_id: str = getattr(request, "request_id", "")
        if request_id:
            once = Once(
                token_id=self.access.token_id,
                method=self.method,
                request_id=request_id.lower(),
                body_sha256=hashlib.sha256(_known_bytes(request)).digest(),
                encode=lambda response: (stored(response) if stored else response).SerializeToString(),
                decode=response_type.FromString,
            )
        return Terms(reply=reply, validate_only=bool(getattr(request, "validate_only", False)), once=once)

    def page(self, request: Any, *, most: int = MAX_PAGE) -> PageRequest:
        """The page that a List request asks for. Raises PageTokenInvalid, for a token of another list or caller too."""
        size = min(request.page_size or DEFAULT_PAGE, most)
        if not request.page_token:
            return PageRequest(size)
        return PageRequest(size, self._page_tokens.open(request.page_token, binding=self._binding(request)))

    def page_token(self, request: Any, position: Position | None) -> str:
        """The page token of a position in the list that the request asks for; "" for None."""
        if position is None:
            return ""
        return self._page_tokens.mint(position, binding=self._binding(request))

    def _binding(self, request: Message) -> bytes:
        # A request_id is of one call, the arguments are of all calls for the pages of one list; and who has been told
        # the total once need not ask for it again.
        arguments = _known_bytes(request, without=("page_size", "page_token", "request_id", "count_total"))
        parts = (self.access.token_id, self.method.encode(), arguments)
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _known_bytes(request: Message, *, without: Sequence[str] = ()) -> bytes:
    """What tells a request from another one of its type; fields that the contract does not know do not count."""
    known = type(request)()
    known.CopyFrom(request)
    known.DiscardUnknownFields()
    for field in set(without).intersection(known.DESCRIPTOR.fields_by_name):
        known.ClearField(field)
    return known.SerializeToString(deterministic=True)
