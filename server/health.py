"""The standard service that tells whether the server serves. It is public, and has a lane of its own.

Not the library's servicer: that sends to those who watch behind the lock that checks take, and a peer whose window is
shut takes nothing. One of them kept all checks waiting, and the server from draining.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2

from server.edge.idle import IdleWatch
from server.lanes.lanes import TOLD_SECONDS, Lane, Route, handler
from server.telemetry.metrics import SILENT_CALLS

log = logging.getLogger("server.health")

HEALTH_SLOTS: Final = 32
MESSAGE_SECONDS: Final = 10.0
"""How long a message is waited for, and that one is taken: callers are not known."""
WRITES: Final = "writes"
"""A service beside the real ones: whether database and packs took what was last written to them."""
HURRIED_SECONDS: Final = 0.05
"""How long while others wait for a thread. A message comes with the call's beginning, but of who holds threads."""

Status: TypeAlias = health_pb2.HealthCheckResponse


class _Watcher:
    """A Watch: `told` is what was sent last, by whoever held `sending`."""

    __slots__ = ("context", "send", "sending", "service", "told")

    def __init__(self, service: str, context: grpc.ServicerContext, send: Callable[[bytes], object]) -> None:
        self.service, self.context, self.send = service, context, send
        self.sending = threading.Lock()
        self.told: int | None = None


class Health:
    """`grpc.health.v1` for the whole server (""), each service, and writes. Its lane is never refused, also while
    draining.

    A Watch holds a thread while something is sent to it. Serves from the beginning; `stop_serving` is for good.
    `takes_writes` is asked often: it waits for nothing, and never fails.
    """

    def __init__(self, services: Iterable[str], watch: IdleWatch, *, takes_writes: Callable[[], bool]) -> None:
        self.lane = Lane("health", HEALTH_SLOTS)
        self._watch = watch
        self._waiting: dict[grpc.ServicerContext, float] = {}  # whose peers are waited for, by since when
        self._hurries = threading.Lock()
        self._told_hurry = float("-inf")
        self._services = (health.OVERALL_HEALTH, *services, WRITES)
        self._watchers: set[_Watcher] = set()
        self._takes_writes = takes_writes
        self._told_writes = True  # to those who watch
        self._stopped = False

    def stop_serving(self) -> None:
        """Tell everyone who asks or watches that no more calls are taken. Waits for nobody."""
        self._stopped = True
        self._tell_all()

    def tell_of_writes(self) -> None:
        """Tell who watches writes, if something changed. The caller has other duties: it waits for nobody."""
        takes = self._takes_writes()
        if takes != self._told_writes:
            self._told_writes = takes
            self._tell_all()

    def routes(self) -> dict[str, Route]:
        """The methods of the service."""

        def check(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            service = self._only(messages, context).service
            if service not in self._services:
                known = ", ".join(service or '""' for service in self._services)
                context.abort(grpc.StatusCode.NOT_FOUND, f"There is no service of that name; there are {known}.")
            return _bytes(self._status(service))

        def watch(messages: Iterator[bytes], context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
            watcher = _Watcher(self._only(messages, context).service, context, send)
            self._watchers.add(watcher)
            if not context.add_callback(lambda: self._watchers.discard(watcher)):
                self._watchers.discard(watcher)  # it has ended
            self._tell(watcher)

        def route(bound: grpc.RpcMethodHandler[Any, Any]) -> Route:
            return Route(bound, self.lane, when_full=None, while_draining=True)

        return {
            f"/{health.SERVICE_NAME}/Check": route(handler(check, self.lane, server_streams=False)),
            f"/{health.SERVICE_NAME}/Watch": route(handler(watch, self.lane, server_streams=True, non_blocking=True)),
        }

    def _status(self, service: str) -> int:
        serves = not self._stopped and (service != WRITES or self._takes_writes())
        status: int = Status.SERVING if serves else Status.NOT_SERVING
        if service not in self._services:
            status = Status.SERVICE_UNKNOWN  # which only those who watch are told
        return status

    def _tell_all(self) -> None:
        # On the lane's threads, where one that takes nothing keeps nobody waiting for long. A copy made in one step:
        # other threads add and remove all the time.
        for watcher in tuple(self._watchers):
            with suppress(RuntimeError):  # the lane has ended, and with it the server
                self.lane.submit(self._tell, watcher)

    def _tell(self, watcher: _Watcher) -> None:
        """Send what is new to it. Who finds another one sending leaves it to that one, who looks once more after it."""
        while (status := self._status(watcher.service)) != watcher.told and watcher.sending.acquire(blocking=False):
            try:
                watcher.told = status
                with self._waiting_for(watcher.context):
                    watcher.send(_bytes(status))
            finally:
                watcher.sending.release()

    def _only(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> health_pb2.HealthCheckRequest:
        with self._waiting_for(context):
            encoded = next(messages, b"")
        try:
            return health_pb2.HealthCheckRequest.FromString(encoded)
        except DecodeError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The request is no grpc.health.v1.HealthCheckRequest.")

    @contextmanager
    def _waiting_for(self, context: grpc.ServicerContext) -> Iterator[None]:
        """For its peer to send a message, or to take one."""
        self._waiting[context] = time.monotonic()
        try:
            if self.lane.is_full and self._hurries.acquire(blocking=False):
                self._start_hurrying()
            with self._watch.waiting(context, MESSAGE_SECONDS):
                yield
        finally:
            del self._waiting[context]

    def _start_hurrying(self) -> None:
        try:
            threading.Thread(target=self._hurry, name="health-hurry", daemon=True).start()
        except (RuntimeError, MemoryError):  # no room: the next call that gets a thread of the lane tries again
            self._hurries.release()

    def _hurry(self) -> None:
        """Cut who sends or takes nothing, until there is a thread for everybody: few could keep health from all."""
        while True:
            self._tell_hurry()
            while self.lane.is_full:
                time.sleep(HURRIED_SECONDS)
                before = time.monotonic() - HURRIED_SECONDS
                for context, since in self._waiting.copy().items():  # other threads add and remove all the time
                    if since <= before:
                        SILENT_CALLS.inc()
                        context.cancel()
            self._hurries.release()
            # Who came in between found the lock taken.
            if self.lane.busy < self.lane.slots or not self._hurries.acquire(blocking=False):
                return

    def _tell_hurry(self) -> None:
        """Not of each one: whoever does this to a public service could fill the log with it."""
        now = time.monotonic()
        if now - self._told_hurry >= TOLD_SECONDS:
            self._told_hurry = now
            log.warning("callers of health that send or take nothing are cut at once: they hold all its threads")


def _bytes(status: int) -> bytes:
    encoded: bytes = Status(status=status).SerializeToString()
    return encoded
