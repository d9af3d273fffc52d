"""Lanes: which threads a call may use, and when it is refused instead.

A lane is a pool of as many threads as it has slots, and takes no more calls than that: nothing queues behind a slow
call, because a queue would hide the overload from callers and from us. Uploads and downloads have a lane of their
own, health checks another, so that idle streams stop neither a unary call nor a health check.

Whether there is room is looked at when grpc asks for the handler, on its one serving thread, and the slot is taken when
grpc submits the call to the pool, on the same thread right after. A slot is free again when the pool is done with the
call, however it ended.

Whose a call is, is guessed by the credential it carries, and set right once that was checked: what an organization may
have of a lane is server/lanes/shares.py.
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

from server.lanes.shares import NOBODY, Held, Holder, Holders, Shares
from server.telemetry.metrics import UNKNOWN_METHODS

log = logging.getLogger("server.lanes")

TOLD_SECONDS: Final = 60.0
"""The log tells the same of a lane once in so long."""
LOOK_SECONDS: Final = 0.5
"""A call that waits for its turn on its own thread looks so often whether anybody waits for it."""

Behaviour = Callable[..., Any]
_Work: TypeAlias = Callable[[], Any]


class Lane(ThreadPoolExecutor):
    """Threads for at most `slots` calls at a time.

    Only in name the executor that grpc asks for: a call goes to the thread that ended one last, whose memory is the
    warmest, with two locks taken on the way; an executor takes a dozen, and wakes the thread that waits longest.
    """

    def __init__(self, name: str, slots: int, *, percent: int = 100, turns: int | None = None) -> None:
        super().__init__(max_workers=slots)
        self.name = name
        self.slots = slots
        self.shares = Shares(slots, percent=percent, turns=turns)
        self.next_holder: Holder = NOBODY
        """Whose the call is that is submitted next."""
        self._busy = 0
        self._begun = 0
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[tuple[_Work, Held]] = deque()
        self._idle: list[_Worker] = []
        self._workers = 0
        self._ended = False
        self._told_no_thread = float("-inf")

    @property
    def busy(self) -> int:
        """How many calls are in it now."""
        return self._busy

    @property
    def begun(self) -> int:
        """How many calls it has taken."""
        return self._begun

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
            self._begun += 1
            held = self.shares.enter(self.next_holder)
            if not self.shares.may_run(held):
                held.waiting.append(work)
                return _UNTOLD
            worker = self._free_worker()
            if worker is None:
                self._waiting.append((work, held))
                return _UNTOLD
            worker.held = held
        worker.take(work)
        return _UNTOLD

    def look_after(self) -> bool:
        """Let calls run that wait for others of their organization which do not end, or for a thread that could not be
        started; once a second is enough. False when there is still no room for one."""
        with self._changed:
            self._begin(self.shares.stalled())
            while self._waiting and (worker := self._free_worker()) is not None:
                work, worker.held = self._waiting.popleft()
                worker.take(work)
            return not self._waiting or self._workers >= self.slots

    def counts_for(self, holder: Holder) -> bool:
        """Whether the call that this thread runs is known to be of `holder` already."""
        worker: _Worker | None = getattr(_this_thread, "worker", None)
        return worker is not None and worker.held.holder == holder

    def claim(self, holder: Holder, *, is_awaited: Callable[[], bool]) -> bool:
        """Whether the call that this thread runs may be of `holder`, as has turned out; if not, it is to be refused.

        Waits for its turn, as a call does whose holder was guessed: a certificate is seen no earlier than here. When
        the call is not awaited any more it goes on without: it has nothing to do but to end, and to give its slot back.
        """
        worker: _Worker | None = getattr(_this_thread, "worker", None)
        if worker is None or worker.held.holder == holder:  # None: run by hand, as some tests do
            return True
        with self._changed:
            moved = self.shares.move(worker.held, holder)
            if moved is None:
                return False
            worker.held, pause = moved
        if pause is not None:
            while not pause.wait(LOOK_SECONDS):
                if not is_awaited():
                    with self._changed:
                        self.shares.let_go_on(worker.held, pause)
        return True

    def wait_until_idle(self, deadline: float) -> bool:
        """Wait until no call is in it, until `deadline` of `time.monotonic` at most; whether none is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, max(0.0, deadline - time.monotonic()))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, drop those that nobody has begun with `cancel_futures`, and let the threads end."""
        with self._changed:
            self._ended = True
            if cancel_futures:
                self._busy -= len(self._waiting) + self.shares.drop_waiting()
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
            following = self.shares.leave(worker.held)
            if following:
                work, worker.held = following[0]
                self._begin(following[1:])
                return work
            if self._waiting:
                work, worker.held = self._waiting.popleft()
                return work
            if not self._busy:
                self._changed.notify_all()
            if self._ended:
                worker.take(None)
            else:
                self._idle.append(worker)
            return None

    def _begin(self, calls: list[tuple[_Work, Held]]) -> None:
        for work, held in calls:
            worker = self._free_worker()
            if worker is None:
                self._waiting.append((work, held))
            else:
                worker.held = held
                worker.take(work)

    def _free_worker(self) -> _Worker | None:
        if self._idle:
            return self._idle.pop()
        if self._workers >= self.slots:
            return None
        try:
            return self._new_worker()
        except (RuntimeError, MemoryError):
            # The system has no room for a thread. grpc's one serving thread, which may be this one, must not end by it:
            # no call would be answered any more, and none refused.
            self._tell_no_thread()
            return None

    def _tell_no_thread(self) -> None:
        now = time.monotonic()
        if now - self._told_no_thread >= TOLD_SECONDS:
            self._told_no_thread = now
            log.error("no thread can be started: calls wait for others", extra={"fields": {"lane": self.name}})

    def _new_worker(self) -> _Worker:
        worker = _Worker(self, f"lane-{self.name}-{self._workers}")
        self._workers += 1
        return worker


class _Worker:
    """A thread of a lane."""

    __slots__ = ("_given", "_lane", "_work", "held")

    def __init__(self, lane: Lane, name: str) -> None:
        self._lane = lane
        self.held: Held
        self._work: _Work | None = None
        self._given = threading.Lock()
        self._given.acquire()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def take(self, work: _Work | None) -> None:
        """Do it while nothing else is to be done; None ends the thread."""
        self._work = work
        self._given.release()

    def _run(self) -> None:
        _this_thread.worker = self
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
_this_thread: Final = threading.local()


@dataclass(frozen=True, slots=True)
class Route:
    """One method: its handler, the lane that it is bound to, what a full lane answers, and what an organization is
    answered that has its share of the lane."""

    handler: grpc.RpcMethodHandler[Any, Any]
    lane: Lane
    when_full: grpc.RpcMethodHandler[Any, Any] | None
    when_share_taken: grpc.RpcMethodHandler[Any, Any] | None = None
    while_draining: bool = False
    """Whether it is served while the server drains."""


MAX_METADATA_BYTES: Final = 8 * 2**10
ENTRY_BYTES: Final = 32
"""What an entry of metadata counts besides its key and value, as HTTP/2 counts (RFC 9113, 6.5.2)."""


class Router(grpc.GenericRpcHandler):
    """Finds the handler of a call, or the one that refuses it. Runs on grpc's one serving thread: it only looks up."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        holders: Holders,
        when_draining: grpc.RpcMethodHandler[Any, Any],
        when_too_much: grpc.RpcMethodHandler[Any, Any],
    ) -> None:
        self._routes = dict(routes)
        self._when_too_much = when_too_much
        self._holders = holders
        self._when_draining = when_draining
        self._draining = False

    def drain(self) -> None:
        """From now on refuse all calls but those of routes that say otherwise."""
        self._draining = True

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a method; None, which grpc answers with UNIMPLEMENTED, when there is no such method."""
        route = self._routes.get(handler_call_details.method)
        if route is None:
            UNKNOWN_METHODS.inc()
            return None
        if self._draining and not route.while_draining:
            return self._when_draining
        if route.when_full is not None and route.lane.is_full:
            return route.when_full
        if route.when_share_taken is not None:
            credential: str | bytes = ""
            size = 0
            for key, value in handler_call_details.invocation_metadata:
                size += len(key) + len(value) + ENTRY_BYTES
                if key == "authorization":
                    credential = value
            # grpc has the same limit, but lets some headers by that refer to one another (RFC 7541, 4.2): a block of a
            # few KiB that stands for a MiB.
            if size > MAX_METADATA_BYTES:
                return self._when_too_much
            holder = self._holders.guess(credential)
            if route.lane.shares.is_taken(holder):
                return route.when_share_taken
            route.lane.next_holder = holder
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
