"""Lanes: which threads a call may use, and when it is refused instead.

A lane is a pool of as many threads as it has slots, and takes no more calls than that: nothing queues behind a slow
call, because a queue would hide the overload from callers and from us. Uploads and downloads have a lane of their
own, health checks another, so that idle streams stop neither a unary call nor a health check.

Whether there is room is looked at when grpc asks for the handler, on its one serving thread, and the slot is taken when
grpc submits the call to the pool, on the same thread right after. A slot is free again when the pool is done with the
call, however it ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc

Behaviour = Callable[..., Any]


class Lane(ThreadPoolExecutor):
    """Threads for at most `slots` calls at a time."""

    def __init__(self, name: str, slots: int) -> None:
        super().__init__(max_workers=slots, thread_name_prefix=f"lane-{name}")
        self.name = name
        self.slots = slots
        self._busy = 0
        self._changed = threading.Condition()

    @property
    def busy(self) -> int:
        """How many calls are in it now."""
        return self._busy

    @property
    def is_full(self) -> bool:
        """Whether the next call is to be refused."""
        return self._busy >= self.slots

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call, as grpc does."""
        with self._changed:
            self._busy += 1
        try:
            future = super().submit(fn, *args, **kwargs)
        except BaseException:
            self._leave()
            raise
        future.add_done_callback(self._leave)
        return future

    def wait_until_idle(self, deadline: float) -> bool:
        """Wait until no call is in it, until `deadline` of `time.monotonic` at most; whether none is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, max(0.0, deadline - time.monotonic()))

    def _leave(self, _: Future[Any] | None = None) -> None:
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Route:
    """One method: its handler, the lane that the handler is bound to, and what a full lane answers."""

    handler: grpc.RpcMethodHandler[Any, Any]
    lane: Lane
    when_full: grpc.RpcMethodHandler[Any, Any] | None
    while_draining: bool = False
    """Whether it is served while the server drains."""


class Router(grpc.GenericRpcHandler):
    """Finds the handler of a call, or the one that refuses it. Runs on grpc's one serving thread: it only looks up."""

    def __init__(self, routes: Mapping[str, Route], *, when_draining: grpc.RpcMethodHandler[Any, Any]) -> None:
        self._routes = dict(routes)
        self._when_draining = when_draining
        self._draining = False

    def drain(self) -> None:
        """From now on refuse all calls but those of routes that say otherwise."""
        self._draining = True

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a method; None, which grpc answers with UNIMPLEMENTED, when there is no such method."""
        route = self._routes.get(handler_call_details.method)
        if route is None:
            return None
        if self._draining and not route.while_draining:
            return self._when_draining
        if route.when_full is not None and route.lane.is_full:
            return route.when_full
        return route.handler


def handler(
    behaviour: Behaviour, lane: Lane, *, server_streams: bool, non_blocking: bool = False
) -> grpc.RpcMethodHandler[Any, Any]:
    """The handler that runs `behaviour(messages, context)` in the lane's threads; messages are bytes on both ways.

    To grpc every call here is a client's stream: the others would make a thread wait for the one message before our
    code sees the call, and with it the token. `non_blocking` is for behaviours that also take a callback to send with.
    """

    def bound(*arguments: Any) -> Any:
        return behaviour(*arguments)

    # How grpc is told which pool runs a handler (`_select_thread_pool_for_behavior` in its _server.py).
    bound.experimental_thread_pool = lane  # type: ignore[attr-defined]
    bound.experimental_non_blocking = non_blocking  # type: ignore[attr-defined]
    if server_streams:
        return grpc.stream_stream_rpc_method_handler(bound)
    return grpc.stream_unary_rpc_method_handler(bound)
