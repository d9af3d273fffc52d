"""A data folder in which a server dies and fails again and again, and what must hold in it afterwards."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import grpc

from tests.crash.client import Client, reason_of
from tests.crash.dying import DyingServer
from tests.crash.invariants import Rows, check_rows, postgres_rows, sqlite_rows, unfinished_packs
from tests.crash.scenes import Point, Scene
from tests.crash.workload import BrokenPromise
from tests.crash.world import World


class Home:
    """A context manager: a running server with a world in it, stopped in peace at the end."""

    def __init__(self, server: DyingServer, *, in_a_bucket: bool = False) -> None:
        self.server = server
        self.world = World(server)
        self.blobs = None if in_a_bucket else server.data / "blobs"
        self.broken = False
        self._without: set[str] = set()

    def __enter__(self) -> Self:
        self.server.start()
        try:
            with self.server.channel() as channel:
                self.world.begin(Client(self.server, channel))
        except BaseException:
            self.server.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and not self.broken:
                assert self.server.stop() == 0
        finally:
            self.server.kill()

    def killed_at_each(self, points: list[tuple[type[Scene], Point]]) -> None:
        """Plays each scene, killed at its point. Raises BrokenPromise with the point in its text."""
        assert points
        self.broken = True
        for scene, point in points:
            try:
                self._killed(scene(self.world, point))
            except BrokenPromise as finding:
                raise BrokenPromise(f"killed at pass {point[1]} of {point[0]}: {finding}") from finding
        self.broken = False

    def _killed(self, scene: Scene) -> None:
        with self.server.channel() as channel:
            self.world.client = Client(self.server, channel)
            scene.prepare()
            self.server.kill_at(*scene.point)
            try:
                scene.act()
            except grpc.RpcError as error:
                cut = (error.code(), reason_of(error))
            except (EOFError, ConnectionError):  # it died while it tidied up
                cut = (grpc.StatusCode.UNAVAILABLE, None)
            else:
                raise AssertionError(f"{scene.name}: the point is not passed: {self.server.passed()}")
        assert cut == (grpc.StatusCode.UNAVAILABLE, None)
        assert self.server.wait() == -signal.SIGKILL
        self._without.update(scene.without)
        self.check_rows()
        self.goes_on(scene)

    def goes_on(self, scene: Scene) -> None:
        """The next server has nothing half done, and takes the calls again; then all is as if nothing had happened."""
        self.server.start()
        with self.server.channel() as channel:
            self.world.client = Client(self.server, channel)
            scene.look()
            insist(scene.act)
            scene.done()
            self.collect_all()
            self.world.look({})

    def collect_all(self) -> None:
        """The collector removes what was left behind, and after it there is nothing to find and nothing to remove."""
        self.server.tidy()
        for _ in range(3):  # an old pack goes a pass after what lay in it
            insist(self.world.client.collect)
        left = self.world.client.collect(dry=True)
        if left.removed_content_count or left.removed_chunk_count or left.removed_pack_count:
            raise BrokenPromise(f"the collector leaves something: {left}")
        if findings := list(self.world.client.check().findings):
            raise BrokenPromise(f"the check finds {findings}")
        if self.blobs is not None and (unfinished := unfinished_packs(self.blobs)):
            raise BrokenPromise(f"unfinished packs lie about: {unfinished}")

    def check_rows(self, *, without: Iterable[str] = ()) -> None:
        """Rows agree with one another and with the packs; for a server that is dead."""
        rows: AbstractContextManager[Rows]
        if self.server.database is None:
            engine, rows = "sqlite", sqlite_rows(self.server.data / "registry.db")
        else:
            engine, rows = "postgresql", postgres_rows(self.server.database)
        with rows as query:
            check_rows(query, engine=engine, blobs=self.blobs, without={*self._without, *without})


def insist(call: Callable[[], object]) -> None:
    """Repeats a call while the lease of a dead server lasts, and while others keep the database busy."""
    deadline = time.monotonic() + 60
    while True:
        try:
            call()
            return
        except grpc.RpcError as error:
            if (
                reason_of(error) not in ("COLLECTOR_BUSY", "ADOPTION_BUSY", "DATABASE_BUSY")
                or time.monotonic() > deadline
            ):
                raise
        time.sleep(0.1)
