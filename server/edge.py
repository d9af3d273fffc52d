"""Every call passes here: its credential, its rights, its request, and how it ends.

One wrapper serves all four kinds of calls. It takes the bytes of the messages from grpc and decodes them itself, on
the call's own thread and only after the token was accepted; handlers see checked messages and a `Call`, and raise
errors of the registry. Only the guard around each call turns them into statuses, so nothing answers UNKNOWN and no text
of a foreign exception leaves the server. See behaviour.md, Errors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from server.calls import Call
from server.errors import CredentialsMissing, to_status
from server.guard import Guard, Send, abort, fit_request_id, metadata_of
from server.idle import NEVER, IdleWatch
from server.messages import Messages, only_message
from server.methods import ContractBroken, Method, methods_of
from server.vigil import Vigil
from store.access.access import Access
from store.errors import CredentialsInvalid, InvalidField, RegistryError, ScopeMissing
from store.paging import PageTokens

Authenticate = Callable[[str, str], Access]
"""Secret and x-caller to the rights of the call. Raises CredentialsInvalid."""
Handler = Callable[[Any, Call], Any]
"""A servicer's method: a request, or an iterator of them, and the call; a response, or a generator of them."""
Behaviour = Callable[..., Any]
"""Takes the messages and grpc's context; that of a client's stream a way to send its answer, too."""

MAX_CALLER_CHARS: Final = 200


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
        vigil: Vigil,
        limits: CallLimits | None = None,
    ) -> None:
        self._authenticate = authenticate
        self.page_tokens = page_tokens
        self.watch = watch
        self.vigil = vigil
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
            abort(context, to_status(error, request_id=fit_request_id(metadata_of(context))))

        return refuse

    def end_streams(self) -> None:
        """From now on every stream ends with DRAINING when its handler next takes or gives a message."""
        self.is_ending = True

    def _wrapped(self, method: Method, handler: Handler) -> Behaviour:
        def unary_response(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            with Guard(self, method, context) as guard:
                call = guard.open()
                return _encoded(method, handler(only_message(messages, guard), call))
            raise AssertionError("a guard lets nothing by unless its call can be ended from outside")

        def client_stream(messages: Iterator[bytes], context: grpc.ServicerContext, send: Send) -> None:
            with Guard(self, method, context, send) as guard:
                call = guard.open()
                guard.answer(_encoded(method, handler(Messages(messages, guard, call), call)))

        def stream_response(messages: Iterator[bytes], context: grpc.ServicerContext) -> Generator[bytes, None, None]:
            with Guard(self, method, context) as guard:
                call = guard.open()
                request = Messages(messages, guard, call) if method.client_streams else only_message(messages, guard)
                # Closing runs the handler's `finally` when the caller goes away in the middle.
                with closing(handler(request, call)) as responses:
                    for response in responses:
                        encoded = _encoded(method, response)
                        guard.go_on()
                        guard.patience.until = time.monotonic() + self.limits.silence
                        yield encoded
                        guard.patience.until = NEVER

        if method.server_streams:
            return stream_response
        return client_stream if method.can_be_ended else unary_response

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
