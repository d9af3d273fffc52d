"""What surrounds one call: whatever happens inside, the call ends with a status that we chose."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

import grpc
from google.protobuf.message import Message

from server.edge.calls import Call
from server.edge.errors import CallEnded, CallStatus, Draining, Internal, code_of, to_status
from server.edge.idle import LEAST_RATE
from server.edge.methods import Method
from server.telemetry.call_tags import CallTags, tags_of_call
from server.telemetry.metrics import figures_of
from server.telemetry.named import named_by
from store.access.access import Access
from store.deadlines import OVER, Deadline, bound_by
from store.errors import DatabaseBusy, DeadlinePassed, RegistryError, Unavailable

if TYPE_CHECKING:
    from server.edge.edge import CallLimits, Edge

Send = Callable[[bytes | None], object]
"""Sends a message to the caller, or, for None, the status that the context was told: from any thread."""

MAX_USER_AGENT_CHARS: Final = 256
OVERDUE_SECONDS: Final = 60.0
"""So long after its time is over a handler must have noticed it, or it never will."""

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
        "_counted",
        "_deadline",
        "_edge",
        "_ended_by",
        "_is_told",
        "_lingers",
        "_lock",
        "_send",
        "_ward",
        "access",
        "answered",
        "figures",
        "metadata",
        "method",
        "names",
        "only_validates",
        "patience",
        "request_id",
        "span",
        "started",
        "tags",
    )

    def __init__(self, edge: Edge, method: Method, context: grpc.ServicerContext, send: Send | None = None) -> None:
        self._edge = edge
        self._context = context
        self._send = send
        self._call: Call | None = None
        self._deadline: Deadline | None = None
        self._ward: Any = None
        self._counted: bytes | None = None
        self._ended_by: RegistryError | None = None
        self._answered = self._is_told = self._lingers = False
        self._lock = threading.Lock()
        self.method = method
        self.figures = figures_of(method.path)
        self.access: Access | None = None
        self.answered: Message | None = None
        self.only_validates = False

    def __enter__(self) -> Self:
        self.started = time.monotonic()
        self.metadata = metadata_of(self._context)
        self.names = self._edge.names_of(self._context)
        self.request_id = fit_request_id(self.metadata)
        self.tags = CallTags(self.request_id, self.method.label)
        tags_of_call.set(self.tags)
        self.span = self._edge.teller.begin(self)
        self._context.set_trailing_metadata((("x-request-id", self.request_id),))
        self.patience = self._edge.watch.enter(
            self._context, least_rate=LEAST_RATE if self.method.carries_files else None
        )
        return self

    @property
    def limits(self) -> CallLimits:
        """How long the call may take."""
        return self._edge.limits

    def open(self) -> Call:
        """The call, its caller known and allowed. A stream's rights are looked at again for as long as it lasts."""
        own = self.limits.stream if self.method.takes_long else self.limits.unary
        if own is not None:
            self.patience.overdue = self.started + own + OVERDUE_SECONDS
        context = self._context
        # Without a deadline of the caller grpc tells the end of time.
        seconds = min(context.time_remaining(), threading.TIMEOUT_MAX if own is None else own)
        self._deadline = Deadline(self.started + seconds, lambda: not context.is_active())
        bound_by(self._deadline)
        self._call = Call(
            access=self._admitted(),
            method=self.method.path,
            user_agent=str(self.metadata.get("user-agent", ""))[:MAX_USER_AGENT_CHARS],
            request_id=self.request_id,
            context=self._context,
            page_tokens=self._edge.page_tokens,
            deadline=None if own is None else self.started + own,
            end=self.end,
            streams_of=self._edge.stream_counts.running,
        )
        if self.method.is_stream:
            self._ward = self._edge.vigil.enter(self._may_go_on, self.end)
        return self._call

    def go_on(self) -> None:
        """Return while the call may go on. Raises Draining when the server ends what still runs, DeadlinePassed, and
        what it was ended with."""
        if self._ended_by is not None:
            raise self._ended_by
        if self._edge.is_ending:
            raise Draining
        if self._deadline is not None:
            self._deadline.check()

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
            # First, as for a unary call: whoever has an answer has a line in the audit trail.
            self._tell(logging.DEBUG, grpc.StatusCode.OK)
            self.patience.restore()
            self.patience.wait(self.limits.silence)  # for its peer to take it
            self._send(response)
            self.patience.rest()
            self._send(None)

    def lingers(self) -> None:
        """The answer is large: the call is watched on, without a thread, until its peer has taken it."""
        self._lingers = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        bound_by(None)
        if self._lingers and error is None:
            self._edge.watch.linger(self.patience, self._context, self.limits.silence)
        else:
            self._edge.watch.leave(self.patience)
        if self._ward is not None:
            self._edge.vigil.leave(self._ward)
        if self._counted is not None:
            self._edge.stream_counts.leave(self._counted)
        try:
            return self._close(error)
        finally:
            # Both know the guard: in a circle with it they would keep grpc's call, and its place in the connection.
            self._ward = self._call = self._deadline = self.answered = None

    def _close(self, error: BaseException | None) -> bool:
        """Tell grpc and the log how the call ended."""
        ended_by = self._was_ended()
        if ended_by is not None:  # whatever the handler says of its end: its caller has been told another one
            self._tell(logging.INFO, code_of(ended_by), ended_by.reason)
            return True
        if error is not None and not isinstance(error, GeneratorExit):
            self._fail(error)
        self._tell(logging.DEBUG, grpc.StatusCode.OK if error is None else grpc.StatusCode.CANCELLED)
        return False

    def _fail(self, error: BaseException) -> NoReturn:
        """End the call with what its handler raised."""
        if isinstance(error, CallEnded):
            self._tell(logging.INFO, grpc.StatusCode.CANCELLED)
            if isinstance(error.__cause__, grpc.RpcError):
                # grpc knows this very exception and answers nothing: nobody listens.
                raise error.__cause__
            abort(self._context, CallStatus(grpc.StatusCode.CANCELLED, "", ()))
        if isinstance(error, DeadlinePassed) and self._deadline is not None and self._deadline.at == OVER:
            self._tell(logging.INFO, grpc.StatusCode.CANCELLED)  # its work was stopped because nobody waits for it
            abort(self._context, CallStatus(grpc.StatusCode.CANCELLED, "", ()))
        told = self._told(error)
        status = to_status(told, request_id=self.request_id)
        if isinstance(told, Internal):
            self._tell(logging.ERROR, status.code, told.reason, error=error, error_id=told.metadata["error_id"])
        else:
            level = logging.WARNING if isinstance(told, Unavailable) else logging.INFO
            self._tell(level, status.code, told.reason)
        abort(self._context, status)

    def note(self, request: Message) -> None:
        """Tags are read from this message, the first of the call."""
        # A stream's first message may be large, and the stream may last: it is not kept.
        self.tags.name(partial(named_by, request))
        if self.method.client_streams:
            self.tags.settle(told=True)
        elif self.method.mutates:
            self.only_validates = bool(getattr(request, "validate_only", False))

    @property
    def peer(self) -> str:
        """Where the call comes from, as grpc tells it."""
        return str(self._context.peer())

    def _admitted(self) -> Access:
        access = self._rights()
        self._edge.count(self.method, self.metadata, access, is_awaited=self._is_awaited)
        if self.method.is_stream and access.organization_id is not None:
            self._edge.stream_counts.enter(access.organization_id)
            self._counted = access.organization_id
        return access

    def _is_awaited(self) -> bool:
        """Whether there is time, a caller that waits for the answer, and no end of the server that cuts it off."""
        return not self._edge.is_ending and (self._deadline is None or not self._deadline.look())

    def _rights(self) -> Access:
        access = self.access = self._edge.caller(self.metadata, self.names)
        self.tags.token_id = access.token_id.hex()
        self._edge.check_scope(self.method, access)
        return access

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

    def _tell(
        self,
        level: int,
        code: grpc.StatusCode,
        reason: str = "",
        *,
        error: BaseException | None = None,
        error_id: str = "",
    ) -> None:
        if self._is_told:
            return
        self._is_told = True
        self._edge.teller.end(self, level=level, code=code, reason=reason, error=error, error_id=error_id)


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
