"""Handlers driven by grpcio-testing, with the moment at which a call ends chosen exactly.

A call passes steps: each statement of the database and each crash point. A call is played once to learn its steps, and
then again and again, ended at the first of them, at the second, and so on, in each of three ways.

grpcio-testing finds handlers by the descriptor and knows neither lanes, nor handlers that send their answer themselves
(`non_blocking`), nor a status with details. `Doors` stands between: it calls what the server gave to grpc, and hands it
grpcio-testing's context with what that lacks. How lanes take and free their slots is tested on a real port
(tests/rpc/test_lanes.py, test_streams_end.py).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc_testing
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

from server.edge import guard
from server.serving import Server
from store.crashpoints import at_crashpoints
from store.database import Database
from store.deadlines import Deadline, current
from tests.rpc.sending import eventually
from tests.rpc.serving import SERVICES

WAYS: Final = ("cancel", "caller's deadline", "our deadline")
"""A caller who goes and is noticed at once, one who is noticed when the call next asks, and our own time."""
PATIENCE_SECONDS: Final = 60.0

logging.getLogger("grpc_testing._server._rpc").disabled = True  # it tells of every call that does not end well


class _Ended(Exception):
    """What a context raises when its call was aborted."""


class Context:
    """grpcio-testing's context, with what it lacks."""

    def __init__(self, context: grpc.ServicerContext, call: DrivenCall) -> None:
        self._context, self._call = context, call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def time_remaining(self) -> float:
        seconds: Any = self._context.time_remaining()
        return threading.TIMEOUT_MAX if seconds is None else float(seconds)

    def auth_context(self) -> dict[str, Any]:
        return {}

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def abort_with_status(self, status: Any) -> None:
        self._call.told(status.code, dict(status.trailing_metadata))
        self._context.abort(status.code, status.details)


@dataclass
class DrivenCall:
    """A call on its way, and how it ended."""

    code: grpc.StatusCode | None = None
    reason: str = ""
    answers: list[Any] = field(default_factory=list)
    deadline: Deadline | None = None
    rpc: Any = None
    left: Deadline | None = None
    """What the thread is bound by behind the call. The next call of its lane, or whatever runs on it, would be, too."""
    is_over: threading.Event = field(default_factory=threading.Event)

    def told(self, code: grpc.StatusCode, trailing: dict[str, Any]) -> None:
        self.code = code
        for detail in status_pb2.Status.FromString(trailing.get("grpc-status-details-bin", b"")).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                self.reason = info.reason

    def ends_here(self) -> None:
        """Its handler has ended, on this thread."""
        self.left = current()
        self.is_over.set()

    @property
    def answer(self) -> Any:
        """The one response; fails when the call was refused."""
        assert self.code is grpc.StatusCode.OK, f"{self.code} {self.reason}"
        (answer,) = self.answers
        return answer


class Doors:
    """Calls handlers of one server; the server need not listen."""

    def __init__(self, server: Server, database: Database, metadata: Sequence[tuple[str, str]]) -> None:
        self.server, self.database = server, database
        self._metadata = tuple(metadata)
        self._time = grpc_testing.strict_fake_time(0.0)
        self._call: DrivenCall | None = None
        self._grpc = grpc_testing.server_from_dictionary(dict.fromkeys(SERVICES, self), self._time)

    # --- calls --------------------------------------------------------------------------------------------------------

    def play(self, path: str, requests: Iterable[Message], at_step: Callable[[str], None] | None = None) -> DrivenCall:
        """The call, when its handler has ended. `at_step` is called at each step, on the thread that passes it."""
        method = _method(path)
        call = self._call = DrivenCall()
        with self._at_steps(at_step), _deadlines_of(call):
            messages = list(requests)
            if method.client_streaming and not method.server_streaming:
                rpc = call.rpc = self._grpc.invoke_stream_unary(method, self._metadata, 100.0)
                for message in messages:
                    rpc.send_request(message)
                rpc.requests_closed()
            elif method.server_streaming:
                call.rpc = self._grpc.invoke_unary_stream(method, self._metadata, messages[0], 100.0)
            else:
                call.rpc = self._grpc.invoke_unary_unary(method, self._metadata, messages[0], 100.0)
            assert call.is_over.wait(PATIENCE_SECONDS), f"{path} does not end"
            assert call.left is None, f"{path} leaves its deadline on the thread"
        return call

    def ended_at(self, number: int, way: str, path: str, requests: Iterable[Message]) -> DrivenCall:
        """The call, ended at its step of this number, from 0."""
        passed = 0
        lock = threading.Lock()

        def at_step(_: str) -> None:
            nonlocal passed
            with lock:
                passed += 1
                if passed != number + 1:
                    return
            self._end(way)

        return self.play(path, requests, at_step)

    def steps(self, path: str, requests: Iterable[Message]) -> list[str]:
        """The steps of a call that ends well."""
        steps: list[str] = []
        call = self.play(path, requests, steps.append)
        assert call.code is grpc.StatusCode.OK, f"{call.code} {call.reason}"
        return steps

    def _end(self, way: str) -> None:
        call = self._call
        assert call is not None
        assert call.deadline is not None
        if way == "our deadline":
            call.deadline.at = 0.0
            return
        if way == "cancel":
            assert eventually(lambda: call.rpc is not None)  # the handler may be faster than who began the call
            call.rpc.cancel()
            assert call.deadline.look(), "a caller who has gone is noticed by whoever looks"
        else:
            self._time.sleep_for(101.0)  # and nobody looks, before the call does

    @contextmanager
    def _at_steps(self, at_step: Callable[[str], None] | None) -> Iterator[None]:
        if at_step is None:
            yield
            return

        def statement(event: Any) -> None:
            at_step(event.sql)

        at_crashpoints(at_step)
        self.database.hooks.append(statement)
        try:
            yield
        finally:
            self.database.hooks.remove(statement)
            at_crashpoints(lambda _: None)

    # --- what grpcio-testing finds ------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Callable[..., Any]:
        (method,) = (each for service in SERVICES for each in service.methods if each.name == name)
        path = f"/{method.containing_service.full_name}/{name}"
        route = self.server._router._routes[path]
        behaviour: Any = route.handler.stream_unary or route.handler.stream_stream
        response_type = GetMessageClass(method.output_type)

        def unary(argument: Any, context: grpc.ServicerContext) -> Any:
            call = self._call
            assert call is not None
            wrapped = Context(context, call)
            sent = _encoded(argument if method.client_streaming else iter([argument]))
            try:
                if method.client_streaming:
                    answers: list[bytes | None] = []
                    behaviour(sent, wrapped, answers.append)
                    encoded: bytes | None = answers[0] if answers else None
                else:
                    encoded = behaviour(sent, wrapped)
                if encoded is None:  # another thread ended it
                    raise _Ended
                call.answers.append(response_type.FromString(encoded))
                call.code = grpc.StatusCode.OK
                return call.answers[0]
            finally:
                call.ends_here()

        def stream(argument: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            call = self._call
            assert call is not None
            try:
                with closing(behaviour(_encoded(iter([argument])), Context(context, call))) as responses:
                    for encoded in responses:
                        if not context.is_active():  # grpc sends no more, then
                            return
                        call.answers.append(response_type.FromString(encoded))
                        yield call.answers[-1]
                call.code = grpc.StatusCode.OK
            finally:
                call.ends_here()

        return stream if method.server_streaming else unary


@contextmanager
def _deadlines_of(call: DrivenCall) -> Iterator[None]:
    """The deadline that the guard makes for the call becomes known to it."""

    def made(at: float, is_gone: Callable[[], bool]) -> Deadline:
        call.deadline = Deadline(at, is_gone)
        return call.deadline

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "Deadline", made)
        yield


def _method(path: str) -> MethodDescriptor:
    service, _, name = path.rpartition("/")
    (found,) = (each for each in SERVICES if each.name == service)
    return found.methods_by_name[name]


def _encoded(messages: Iterator[Message]) -> Iterator[bytes]:
    for message in messages:
        yield message.SerializeToString()
