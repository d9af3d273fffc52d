"""What surrounds one call: whatever happens inside, the call ends with a status that we chose."""

from __future__ import annotations

import contextvars
import itertools
import logging
import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

import grpc

from server.calls import Call
from server.errors import CallEnded, CallStatus, DeadlinePassed, Draining, Internal, code_of, to_status
from server.methods import Method
from store.access.access import Access
from store.errors import DatabaseBusy, RegistryError, Unavailable

if TYPE_CHECKING:
    from server.edge import CallLimits, Edge

log = logging.getLogger("server.edge")

Send = Callable[[bytes | None], object]
"""Sends a message to the caller, or, for None, the status that the context was told: from any thread."""

MAX_USER_AGENT_CHARS: Final = 256

request_id_of_call: contextvars.ContextVar[str] = contextvars.ContextVar("request_id_of_call", default="")
"""The request id of the call that this thread works for, for its log lines."""

# Request ids that we make: a number behind something random. They need be different only, and a new random one each
# costs as much as everything else that surrounds an empty call.
_PROCESS: Final = secrets.token_hex(8)
_NUMBERS: Final = itertools.count(1)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")


class Guard:
    """A context manager around the work of one call; what comes out of it becomes the call's status.

    With `send` another thread can `end` the call, too, while its handler waits for a message: grpc's reads cannot be
    interrupted, but they return once the caller has its status. Whoever comes first decides how the call ends.
    """

    __slots__ = (
        "_answered",
        "_call",
        "_context",
        "_edge",
        "_ended_by",
        "_lock",
        "_metadata",
        "_send",
        "_started",
        "_ward",
        "method",
        "patience",
        "request_id",
    )

    def __init__(self, edge: Edge, method: Method, context: grpc.ServicerContext, send: Send | None = None) -> None:
        self._edge = edge
        self._context = context
        self._send = send
        self._call: Call | None = None
        self._ward: Any = None
        self._ended_by: RegistryError | None = None
        self._answered = False
        self._lock = threading.Lock()
        self.method = method

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._metadata = metadata_of(self._context)
        self.request_id = fit_request_id(self._metadata)
        request_id_of_call.set(self.request_id)
        self._context.set_trailing_metadata((("x-request-id", self.request_id),))
        self.patience = self._edge.watch.enter(self._context)
        return self

    @property
    def limits(self) -> CallLimits:
        """How long the call may take."""
        return self._edge.limits

    def open(self) -> Call:
        """The call, its caller known and allowed. A stream's rights are looked at again for as long as it lasts."""
        own = self.limits.stream if self.method.takes_long else self.limits.unary
        self._call = Call(
            access=self._rights(),
            method=self.method.path,
            user_agent=str(self._metadata.get("user-agent", ""))[:MAX_USER_AGENT_CHARS],
            request_id=self.request_id,
            context=self._context,
            page_tokens=self._edge.page_tokens,
            deadline=None if own is None else self._started + own,
            end=self.end,
        )
        if self.method.is_stream:
            self._ward = self._edge.vigil.enter(self._may_go_on, self.end)
        return self._call

    def go_on(self) -> None:
        """Return while the call may go on. Raises Draining when the server ends what still runs, and what it was
        ended with."""
        if self._ended_by is not None:
            raise self._ended_by
        if self._edge.is_ending:
            raise Draining

    def end(self, error: RegistryError) -> None:
        """End the call with this error, from any thread: at once, or when its handler next gives a message."""
        with self._lock:
            if self._answered or self._ended_by is not None:
                return
            self._ended_by = error
        if self._send is not None:
            status = to_status(error, request_id=self.request_id)
            self._context.set_trailing_metadata(status.trailing_metadata)
            self._context.set_code(status.code)
            self._context.set_details(status.details)
            self._send(None)

    def answer(self, response: bytes) -> None:
        """Send the one response of the call, unless the call was ended."""
        assert self._send is not None, "only for calls that can be ended"
        if not self._was_ended():
            self._send(response)
            self._send(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._edge.watch.leave(self.patience)
        if self._ward is not None:
            self._edge.vigil.leave(self._ward)
        try:
            return self._close(error)
        finally:
            # Both know the guard: in a circle with it they would keep grpc's call, and its place in the connection.
            self._ward = self._call = None

    def _close(self, error: BaseException | None) -> bool:
        """Tell grpc and the log how the call ended."""
        ended_by = self._was_ended()
        if ended_by is not None:  # whatever the handler says of its end: its caller has been told another one
            self._log(logging.INFO, code_of(ended_by).name, ended_by.reason)
            return True
        if error is not None and not isinstance(error, GeneratorExit):
            self._fail(error)
        self._log(logging.DEBUG, "OK" if error is None else "CANCELLED", "")
        return False

    def _fail(self, error: BaseException) -> NoReturn:
        """End the call with what its handler raised."""
        if isinstance(error, CallEnded):
            self._log(logging.INFO, "CANCELLED", "")
            if isinstance(error.__cause__, grpc.RpcError):
                # grpc knows this very exception and answers nothing: nobody listens.
                raise error.__cause__
            abort(self._context, CallStatus(grpc.StatusCode.CANCELLED, "", ()))
        told = self._told(error)
        status = to_status(told, request_id=self.request_id)
        if isinstance(told, Internal):
            self._log(logging.ERROR, status.code.name, told.reason, error=error, error_id=told.metadata["error_id"])
        else:
            level = logging.WARNING if isinstance(told, Unavailable) else logging.INFO
            self._log(level, status.code.name, told.reason)
        abort(self._context, status)

    def _rights(self) -> Access:
        return self._edge.rights(self.method, self._metadata)

    def _may_go_on(self) -> None:
        self._rights()
        call = self._call  # taken away when the stream ends, which another thread may do just now
        if call is not None:
            call.look()

    def _was_ended(self) -> RegistryError | None:
        """What another thread has told the caller; if nothing, it will not."""
        with self._lock:
            if self._send is not None and self._ended_by is not None:
                return self._ended_by
            self._answered = True
            return None

    def _told(self, error: BaseException) -> RegistryError:
        if isinstance(error, DatabaseBusy) and self._call is not None and self._call.remaining_seconds() == 0:
            return DeadlinePassed()  # it waited for its turn as long as its caller allowed
        if isinstance(error, RegistryError):
            return error
        return Internal(uuid.uuid4().hex)

    def _log(
        self, level: int, code: str, reason: str, *, error: BaseException | None = None, error_id: str = ""
    ) -> None:
        if not log.isEnabledFor(level):
            return
        fields = {
            "method": self.method.path,
            "code": code,
            "reason": reason,
            "error_id": error_id,
            "token_id": self._call.access.token_id.hex() if self._call else "",
            "seconds": round(time.monotonic() - self._started, 6),
        }
        log.log(level, "call ended", exc_info=error, extra={"fields": {k: v for k, v in fields.items() if v != ""}})


def metadata_of(context: grpc.ServicerContext) -> dict[str, str | bytes]:
    """The caller's metadata. Of a key sent twice the last counts; for the token that means one credential, never a
    choice."""
    return dict(context.invocation_metadata())


def fit_request_id(metadata: Mapping[str, str | bytes]) -> str:
    """The request id that the caller sent, if it is fit to be repeated, else a new one."""
    sent = metadata.get("x-request-id")
    if isinstance(sent, str) and _REQUEST_ID.fullmatch(sent):
        return sent
    return f"{_PROCESS}{next(_NUMBERS):016x}"


def abort(context: grpc.ServicerContext, status: CallStatus) -> NoReturn:
    """End the call with this status, from the handler's own thread."""
    context.abort_with_status(status)  # type: ignore[arg-type]  # has what grpc.Status has, which is no class to inherit
    raise AssertionError("abort_with_status raises")
