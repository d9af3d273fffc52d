"""Lanes: which threads a call may use, and when it is refused instead.

A lane is a pool of as many threads as it has slots, and takes no more calls than that: nothing queues behind a slow
call, because a queue would hide the overload from callers and from us. Uploads and downloads have a lane of their
own, health checks another, so that idle streams stop neither a unary call nor a health check.

Whether there is room is looked at when grpc asks for the handler, on its one serving thread, and the slot is taken when
grpc submits the call to the pool, on the same thread right after. A slot is free again when the pool is done with the
call, however it ended.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import grpc

log = logging.getLogger("server.lanes")

Behaviour = Callable[..., Any]
_Work: TypeAlias = Callable[[], Any]


class Lane(ThreadPoolExecutor):
    """Threads for at most `slots` calls at a time.

    Only in name the executor that grpc asks for: a call goes to the thread that ended one last, whose memory is the
    warmest, with two locks taken on the way; an executor takes a dozen, and wakes the thread that waits longest.
    """

    def __init__(self, name: str, slots: int) -> None:
        super().__init__(max_workers=slots)
        self.name = name
        self.slots = slots
        self._busy = 0
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[_Work] = deque()
        self._idle: list[_Worker] = []
        self._workers = 0
        self._ended = False

    @property
    def busy(self) -> int:
        """How many calls are in it now."""
        return self._busy

    @property
    def is_full(self) -> bool:
        """Whether the next call is to be refused."""
        return self._busy >= self.slots

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call, as grpc does. What it answers tells nothing: grpc needs it to count calls, for a limit that we
        never set."""
        work = partial(fn, *args, **kwargs)
        with self._changed:
            if self._ended:
                raise RuntimeError("the lane takes no more calls")
            self._busy += 1
            if not self._idle and self._workers >= self.slots:
                self._waiting.append(work)
                return _UNTOLD
            worker = self._idle.pop() if self._idle else self._new_worker()
        worker.take(work)
        return _UNTOLD

    def wait_until_idle(self, deadline: float) -> bool:
        """Wait until no call is in it, until `deadline` of `time.monotonic` at most; whether none is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, max(0.0, deadline - time.monotonic()))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, drop those that nobody has begun with `cancel_futures`, and let the threads end."""
        with self._changed:
            self._ended = True
            if cancel_futures:
                self._busy -= len(self._waiting)
                self._waiting.clear()
                self._changed.notify_all()
            idle, self._idle = self._idle, []
            if wait:
                self._changed.wait_for(lambda: not self._busy)
        for worker in idle:
            worker.take(None)

    def next_for(self, worker: _Worker) -> _Work | None:
        """What a thread that has ended a call does next; None when it is to wait until it gets something."""
        with self._changed:
            self._busy -= 1
            if self._waiting:
                return self._waiting.popleft()
            if not self._busy:
                self._changed.notify_all()
            if self._ended:
                worker.take(None)
            else:
                self._idle.append(worker)
            return None

    def _new_worker(self) -> _Worker:
        worker = _Worker(self, f"lane-{self.name}-{self._workers}")
        self._workers += 1
        return worker


class _Worker:
    """A thread of a lane."""

    __slots__ = ("_given", "_lane", "_work")

    def __init__(self, lane: Lane, name: str) -> None:
        self._lane = lane
        self._work: _Work | None = None
        self._given = threading.Lock()
        self._given.acquire()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def take(self, work: _Work | None) -> None:
        """Do it while nothing else is to be done; None ends the thread."""
        self._work = work
        self._given.release()

    def _run(self) -> None:
        while True:
            self._given.acquire()
            work, self._work = self._work, None
            if work is None:
                return
            while work is not None:
                try:
                    work()
                except BaseException:
                    log.exception("a call ended in a way that grpc does not know")
                del work  # it holds the call, and the call its place in the connection
                work = self._lane.next_for(self)


class _Untold(Future[Any]):
    """Of a call whose end nobody asks for."""

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """It is never called."""


_UNTOLD: Final = _Untold()


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
