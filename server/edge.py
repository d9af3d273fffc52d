"""Every call passes here: its credential, its rights, its request, and how it ends.

One wrapper serves all four kinds of calls. It takes the bytes of the messages from grpc and decodes them itself, on
the call's own thread and only after the token was accepted; handlers see checked messages and a `Call`, and raise
errors of the registry. Only this module turns them into statuses, so nothing answers UNKNOWN and no text of a foreign
exception leaves the server. See behaviour.md, Errors.
"""

from __future__ import annotations

import contextvars
import itertools
import logging
import re
import secrets
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from server.calls import Call
from server.errors import (
    CallEnded,
    CallStatus,
    CredentialsMissing,
    DeadlinePassed,
    Draining,
    Internal,
    MessageMalformed,
    to_status,
)
from server.idle import NEVER, IdleWatch
from server.methods import ContractBroken, Method, methods_of
from server.validation import validate
from store.access.access import Access
from store.errors import CredentialsInvalid, DatabaseBusy, InvalidField, RegistryError, ScopeMissing, Unavailable
from store.paging import PageTokens

log = logging.getLogger("server.edge")

Authenticate = Callable[[str, str], Access]
"""Secret and x-caller to the rights of the call. Raises CredentialsInvalid."""
Handler = Callable[[Any, Call], Any]
"""A servicer's method: a request, or an iterator of them, and the call; a response, or a generator of them."""
Behaviour = Callable[[Iterator[bytes], grpc.ServicerContext], Any]

MAX_CALLER_CHARS: Final = 200
MAX_USER_AGENT_CHARS: Final = 256

request_id_of_call: contextvars.ContextVar[str] = contextvars.ContextVar("request_id_of_call", default="")
"""The request id of the call that this thread works for, for its log lines."""

# Request ids that we make: a number behind something random. They need be different only, and a new random one each
# costs as much as everything else that surrounds an empty call.
_PROCESS: Final = secrets.token_hex(8)
_NUMBERS: Final = itertools.count(1)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long calls may take, in seconds.

    unary and stream bound whole calls, whatever their callers allow. message is how long the one message of a call
    may take to come, silence how long a stream may be silent.
    """

    unary: float | None = 60.0
    stream: float | None = 24 * 3600.0
    message: float = 30.0
    silence: float = 300.0


class Edge:
    """Wraps handlers into what grpc calls."""

    def __init__(
        self,
        *,
        authenticate: Authenticate,
        page_tokens: PageTokens,
        watch: IdleWatch,
        limits: CallLimits | None = None,
    ) -> None:
        self._authenticate = authenticate
        self.page_tokens = page_tokens
        self.watch = watch
        self.limits = limits or CallLimits()
        self.is_ending = False

    def behaviours(self, service: ServiceDescriptor, servicer: object) -> dict[Method, Behaviour]:
        """The wrapped handlers of all methods of a service, for `handler_of`.

        Raises ContractBroken when a method has no scope, or the servicer no handler for it.
        """
        return {method: self._wrapped(method, _handler(servicer, method)) for method in methods_of(service)}

    def refusal(self, error: RegistryError) -> Behaviour:
        """A behaviour that ends every call with `error` at once, without reading from it."""

        def refuse(_: Iterator[bytes], context: grpc.ServicerContext) -> NoReturn:
            _abort(context, to_status(error, request_id=_request_id(_metadata(context))))

        return refuse

    def end_streams(self) -> None:
        """From now on every stream ends with DRAINING when its handler next takes or gives a message."""
        self.is_ending = True

    def _wrapped(self, method: Method, handler: Handler) -> Behaviour:
        def unary_response(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            with _Guard(self, method, context) as guard:
                call = guard.open()
                request = _Messages(messages, guard, call) if method.client_streams else _only(messages, guard)
                return _encoded(method, handler(request, call))

        def stream_response(messages: Iterator[bytes], context: grpc.ServicerContext) -> Generator[bytes, None, None]:
            with _Guard(self, method, context) as guard:
                call = guard.open()
                request = _Messages(messages, guard, call) if method.client_streams else _only(messages, guard)
                # Closing runs the handler's `finally` when the caller goes away in the middle.
                with closing(handler(request, call)) as responses:
                    for response in responses:
                        encoded = _encoded(method, response)
                        guard.go_on()
                        guard.patience.until = time.monotonic() + self.limits.silence
                        yield encoded
                        guard.patience.until = NEVER

        return stream_response if method.server_streams else unary_response

    def rights(self, method: Method, metadata: Mapping[str, str | bytes]) -> Access:
        """The rights of a call, which suffice for the method.

        Raises CredentialsMissing, CredentialsInvalid, ScopeMissing, or InvalidField for too long an x-caller.
        """
        header = metadata.get("authorization")
        if not header:
            raise CredentialsMissing
        scheme, _, secret = str(header).partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise CredentialsInvalid
        caller = str(metadata.get("x-caller", ""))
        if len(caller) > MAX_CALLER_CHARS:
            problem = f"has {len(caller)} characters, and at most {MAX_CALLER_CHARS} are allowed"
            raise InvalidField("x-caller", problem)
        access = self._authenticate(secret.strip(), caller)
        if not access.may(method.scope):
            raise ScopeMissing(method.scope)
        return access


class _Guard:
    """What surrounds one call: whatever happens inside, the call ends with a status that we chose."""

    __slots__ = ("_call", "_context", "_edge", "_metadata", "_started", "method", "patience", "request_id")

    def __init__(self, edge: Edge, method: Method, context: grpc.ServicerContext) -> None:
        self._edge = edge
        self._context = context
        self._call: Call | None = None
        self.method = method

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._metadata = _metadata(self._context)
        self.request_id = _request_id(self._metadata)
        request_id_of_call.set(self.request_id)
        self._context.set_trailing_metadata((("x-request-id", self.request_id),))
        self.patience = self._edge.watch.enter(self._context)
        return self

    @property
    def limits(self) -> CallLimits:
        return self._edge.limits

    def open(self) -> Call:
        """The call, its caller known and allowed."""
        own = self.limits.stream if self.method.takes_long else self.limits.unary
        self._call = Call(
            access=self._edge.rights(self.method, self._metadata),
            method=self.method.path,
            user_agent=str(self._metadata.get("user-agent", ""))[:MAX_USER_AGENT_CHARS],
            request_id=self.request_id,
            context=self._context,
            page_tokens=self._edge.page_tokens,
            deadline=None if own is None else self._started + own,
        )
        return self._call

    def go_on(self) -> None:
        """Return while the call may go on. Raises Draining when the server ends what still runs."""
        if self._edge.is_ending:
            raise Draining

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._edge.watch.leave(self.patience)
        if error is None or isinstance(error, GeneratorExit):
            self._log(logging.DEBUG, "OK" if error is None else "CANCELLED", "")
            return
        if isinstance(error, CallEnded):
            self._log(logging.INFO, "CANCELLED", "")
            if isinstance(error.__cause__, grpc.RpcError):
                # grpc knows this very exception and answers nothing: nobody listens.
                raise error.__cause__
            _abort(self._context, CallStatus(grpc.StatusCode.CANCELLED, "", ()))
        told = self._told(error)
        status = to_status(told, request_id=self.request_id)
        if isinstance(told, Internal):
            self._log(logging.ERROR, status.code.name, told.reason, error=error, error_id=told.metadata["error_id"])
        else:
            level = logging.WARNING if isinstance(told, Unavailable) else logging.INFO
            self._log(level, status.code.name, told.reason)
        _abort(self._context, status)

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


class _Messages:
    """The messages of a client's stream, decoded and checked one by one.

    Ends when the client half-closes, which is no proof that it sent all: streams of the contract end by a finish
    message. Raises CallEnded when the client is gone, MessageMalformed, InvalidField, DeadlinePassed, Draining.
    """

    __slots__ = ("_call", "_guard", "_messages")

    def __init__(self, messages: Iterator[bytes], guard: _Guard, call: Call) -> None:
        self._messages = messages
        self._guard = guard
        self._call = call

    def __iter__(self) -> _Messages:
        return self

    def __next__(self) -> Message:
        message = _received(self._messages, self._guard, self._guard.limits.silence)
        if self._call.remaining_seconds() == 0:
            raise DeadlinePassed
        return message


def _only(messages: Iterator[bytes], guard: _Guard) -> Message:
    try:
        return _received(messages, guard, guard.limits.message)
    except StopIteration:
        raise MessageMalformed(guard.method.request_type.DESCRIPTOR.full_name) from None


def _received(messages: Iterator[bytes], guard: _Guard, seconds: float) -> Message:
    guard.patience.until = time.monotonic() + seconds
    try:
        encoded = next(messages)
    except StopIteration:
        guard.go_on()  # of a call that grpc cuts, the messages just end, as if its client had half-closed
        raise
    except grpc.RpcError as gone:
        raise CallEnded from gone
    finally:
        guard.patience.until = NEVER
    guard.go_on()
    request_type = guard.method.request_type
    try:
        message = request_type.FromString(encoded)
    except DecodeError:
        raise MessageMalformed(request_type.DESCRIPTOR.full_name) from None
    validate(message)
    return message


def _encoded(method: Method, response: object) -> bytes:
    if not isinstance(response, method.response_type):
        raise TypeError(f"{method.path} answered a {type(response).__name__}")
    return response.SerializeToString()


def _handler(servicer: object, method: Method) -> Handler:
    handler = getattr(servicer, method.name, None)
    if not callable(handler):
        raise ContractBroken(f"{type(servicer).__name__} has no handler for {method.path}.")
    found: Handler = handler
    return found


def _metadata(context: grpc.ServicerContext) -> dict[str, str | bytes]:
    # Of a key sent twice the last counts; for the token that means one credential, never a choice.
    return dict(context.invocation_metadata())


def _request_id(metadata: Mapping[str, str | bytes]) -> str:
    sent = metadata.get("x-request-id")
    if isinstance(sent, str) and _REQUEST_ID.fullmatch(sent):
        return sent
    return f"{_PROCESS}{next(_NUMBERS):016x}"


def _abort(context: grpc.ServicerContext, status: CallStatus) -> NoReturn:
    context.abort_with_status(status)  # type: ignore[arg-type]  # has what grpc.Status has, which is no class to inherit
    raise AssertionError("abort_with_status raises")
