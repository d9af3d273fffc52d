"""Every call passes here: its credential, its rights, its request, and how it ends.

One wrapper serves all four kinds of calls. It takes the bytes of the messages from grpc and decodes them itself, on
the call's own thread and only after the token was accepted; handlers see checked messages and a `Call`, and raise
errors of the registry. Only the guard around each call turns them into statuses, so nothing answers UNKNOWN and no text
of a foreign exception leaves the server. See behaviour.md, Errors.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from server.edge.calls import Call
from server.edge.errors import CredentialsMissing, OrganizationBusy, to_status
from server.edge.guard import Guard, Send, abort, fit_request_id, metadata_of
from server.edge.idle import IdleWatch
from server.edge.messages import Messages, only_message
from server.edge.methods import ContractBroken, Method, methods_of
from server.edge.vigil import Vigil
from server.lanes.lanes import Lane
from server.lanes.shares import Holders
from server.lanes.stream_counts import StreamCounts
from server.telemetry.metrics import REFUSALS, SENT_BYTES
from server.telemetry.teller import Teller
from server.tls.client_certificates import ClientCertificates, names_of
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
LARGE_BYTES: Final = 64 * 2**10
"""An answer of more is watched until its peer has taken it. Smaller ones wait unwatched: all of a connection's calls
hold 6 MiB of them at most."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long calls may take, in seconds.

    unary and stream bound whole calls, whatever their callers allow. message is how long the one message of a call
    may take to come, silence how long a stream may keep the server waiting.
    """

    unary: float | None = 60.0
    stream: float | None = 24 * 3600.0
    message: float = 30.0
    silence: float = 60.0


class Edge:
    """Wraps handlers into what grpc calls."""

    def __init__(
        self,
        *,
        authenticate: Authenticate,
        page_tokens: PageTokens,
        watch: IdleWatch,
        vigil: Vigil,
        calls: Lane,
        streams: Lane,
        limits: CallLimits | None = None,
        clients: ClientCertificates | None = None,
        stream_counts: StreamCounts | None = None,
        teller: Teller | None = None,
    ) -> None:
        self._authenticate = authenticate
        self._clients = clients
        self.page_tokens = page_tokens
        self.watch = watch
        self.vigil = vigil
        self.limits = limits or CallLimits()
        self.teller = teller or Teller()
        self.is_ending = False
        self.holders = Holders()
        self.stream_counts = stream_counts or StreamCounts()
        self._calls = calls
        self._streams = streams

    def lane_of(self, method: Method) -> Lane:
        """Where the calls of a method run."""
        return self._streams if method.takes_long else self._calls

    def count(
        self,
        method: Method,
        metadata: Mapping[str, str | bytes],
        access: Access,
        *,
        is_awaited: Callable[[], bool],
    ) -> None:
        """Count the call that this thread runs for the organization whose it turned out to be.

        It may have to wait for its turn, for as long as it is awaited. Raises OrganizationBusy when the organization
        has its share of the lane.
        """
        lane, holder = self.lane_of(method), access.organization_id
        if lane.counts_for(holder):
            return
        credential = metadata.get("authorization")
        if credential:
            self.holders.remember(credential, holder)
        if not lane.claim(holder, is_awaited=is_awaited):
            raise OrganizationBusy(lane.name, lane.shares.limit)

    def behaviours(self, service: ServiceDescriptor, servicer: object) -> dict[Method, Behaviour]:
        """The wrapped handlers of all methods of a service, for `handler_of`.

        Raises ContractBroken when a method has no scope, or the servicer no handler for it.
        """
        return {method: self._wrapped(method, _handler(servicer, method)) for method in methods_of(service)}

    def refusal(self, error: RegistryError) -> Behaviour:
        """A behaviour that ends every call with `error` at once, without reading from it."""
        count = REFUSALS.labels(error.reason).inc

        def refuse(_: Iterator[bytes], context: grpc.ServicerContext) -> NoReturn:
            count()
            abort(context, to_status(error, request_id=fit_request_id(metadata_of(context))))

        return refuse

    def end_streams(self) -> None:
        """From now on every stream ends with DRAINING when its handler next takes or gives a message."""
        self.is_ending = True

    def _wrapped(self, method: Method, handler: Handler) -> Behaviour:
        def unary_response(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            with Guard(self, method, context) as guard:
                call = guard.open()
                answer = _encoded(guard, handler(only_message(messages, guard), call))
                if len(answer) > LARGE_BYTES:
                    guard.lingers()
                return answer
            raise AssertionError("a guard lets nothing by unless its call can be ended from outside")

        def client_stream(messages: Iterator[bytes], context: grpc.ServicerContext, send: Send) -> None:
            with Guard(self, method, context, send) as guard:
                call = guard.open()
                guard.answer(_encoded(guard, handler(Messages(messages, guard, call), call)))

        def stream_response(messages: Iterator[bytes], context: grpc.ServicerContext) -> Generator[bytes, None, None]:
            with Guard(self, method, context) as guard:
                call = guard.open()
                request = Messages(messages, guard, call) if method.client_streams else only_message(messages, guard)
                # Closing runs the handler's `finally` when the caller goes away in the middle.
                with closing(handler(request, call)) as responses:
                    # The message itself has no name here: while its peer takes it only its bytes are kept.
                    for encoded in map(partial(_encoded, guard), responses):
                        guard.go_on()
                        guard.patience.wait(self.limits.silence)
                        yield encoded
                        guard.patience.came(len(encoded), self.limits.silence)

        if method.server_streams:
            return stream_response
        return client_stream if method.can_be_ended else unary_response

    def names_of(self, context: grpc.ServicerContext) -> tuple[str, ...]:
        """The names in the certificate of the call's client, where such may stand for somebody."""
        return () if self._clients is None else names_of(context)

    def caller(self, metadata: Mapping[str, str | bytes], names: Sequence[str] = ()) -> Access:
        """Who calls, by the token or by the `names` in the client's certificate.

        Raises CredentialsMissing, CredentialsInvalid, or InvalidField for too long an x-caller.
        """
        header = metadata.get("authorization")
        if self._clients is None:
            return self._bearer(header, metadata)
        return self._bearer_or_certified(self._clients, header, metadata, names)

    def check_scope(self, method: Method, access: Access) -> None:
        """Return when the rights suffice for the method. Raises ScopeMissing."""
        if not access.may(method.scope):
            raise ScopeMissing(method.scope)

    def _bearer(self, header: str | bytes | None, metadata: Mapping[str, str | bytes]) -> Access:
        if not header:
            raise CredentialsMissing
        scheme, _, secret = str(header).partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise CredentialsInvalid
        return self._authenticate(secret.strip(), _caller(metadata))

    def _bearer_or_certified(
        self,
        clients: ClientCertificates,
        header: str | bytes | None,
        metadata: Mapping[str, str | bytes],
        names: Sequence[str],
    ) -> Access:
        certified = clients.access(names)
        if certified is None:
            if not header:
                raise CredentialsMissing(has_certificate=True)
            return self._bearer(header, metadata)
        if not header:
            caller = _caller(metadata)
            return replace(certified, caller=caller) if caller else certified
        try:
            access = self._bearer(header, metadata)
        except CredentialsInvalid:
            raise CredentialsInvalid(beside_certificate=True) from None
        if certified.organization_id not in (None, access.organization_id):
            # Told like a token that nobody has: whose it is, is nothing to who has another organization's certificate.
            clients.tell(certified.certificate, "a call has a token and another organization's certificate")
            raise CredentialsInvalid(beside_certificate=True)
        return access


def _caller(metadata: Mapping[str, str | bytes]) -> str:
    caller = str(metadata.get("x-caller", ""))
    if len(caller) > MAX_CALLER_CHARS:
        problem = f"has {len(caller)} characters, and at most {MAX_CALLER_CHARS} are allowed"
        raise InvalidField("x-caller", problem)
    return caller


def _encoded(guard: Guard, response: object) -> bytes:
    method = guard.method
    if not isinstance(response, method.response_type):
        raise TypeError(f"{method.path} answered a {type(response).__name__}")
    if method.mutates:
        guard.answered = response
    encoded = response.SerializeToString()
    SENT_BYTES.inc(len(encoded))
    return encoded


def _handler(servicer: object, method: Method) -> Handler:
    handler = getattr(servicer, method.name, None)
    if not callable(handler):
        raise ContractBroken(f"{type(servicer).__name__} has no handler for {method.path}.")
    found: Handler = handler
    return found
