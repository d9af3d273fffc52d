"""Scenes of long batches and of streams of sessions: what is cut half-way is sent again, and nothing counts twice."""

from __future__ import annotations

import time
import uuid
from typing import ClassVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import health_pb2, sessions_pb2

from store.health.record import PART
from tests.crash.client import new_id
from tests.crash.scenes import ACTIVITIES, FILES_OF_UPLOADS, Point, Scene
from tests.crash.workload import BrokenPromise

COUNT = 2 * PART + PART // 2


class Batch(Scene):
    """Three transactions' worth of sessions in one call, every fourth of which crashed."""

    without = (ACTIVITIES, FILES_OF_UPLOADS)
    points: ClassVar[tuple[Point, ...]] = (
        ("sessions.in_rows", 2),
        ("sessions.in_rows", 3),
        ("sessions.recorded", 1),
        ("sessions.recorded", 2),
    )

    def prepare(self) -> None:
        self.organization = self.client.make_organization(f"of-{new_id()}", "web")
        self.client.make_release(self.organization, "app@1", "web")
        started = Timestamp(seconds=int(time.time()) - 60)
        self.updates = [
            sessions_pb2.SessionUpdate(
                session_id=str(uuid.uuid4()),
                distinct_user_id=f"user {number % 50}",
                sequence=1,
                status=sessions_pb2.SESSION_STATUS_EXITED if number % 4 else sessions_pb2.SESSION_STATUS_CRASHED,
                error_count=1,
                start_time=started,
                duration=Duration(seconds=number % 100),
                version="app@1",
                environment="production",
                project=f"{self.organization}/projects/web",
            )
            for number in range(COUNT)
        ]

    def act(self) -> None:
        self.client.record(self.organization, self.updates)

    def look(self) -> None:
        """The parts before the cut are kept, the others are not."""
        name, number = self.point
        self._find(PART * (number if name == "sessions.recorded" else number - 1))

    def done(self) -> None:
        self._find(COUNT)
        self.act()
        self._find(COUNT)
        self.client.delete_organization(self.organization)

    def _find(self, count: int) -> None:
        figures = self.client.figures(f"{self.organization}/releases/app@1", health_pb2.HEALTH_PERIOD_LAST_24H)
        found = (
            figures.session_count,
            figures.crashed_session_count,
            figures.errored_session_count,
            figures.error_count,
        )
        if found != (count, count // 4, count - count // 4, count):
            raise BrokenPromise(f"{self.name}: {found} are counted where {count} sessions were told of")
        if count and figures.user_count != 50:
            raise BrokenPromise(f"{self.name}: {figures.user_count} users, not 50")


class Streamed(Batch):
    """The same by messages, each of them a transaction."""

    def act(self) -> None:
        self.client.stream(self.organization, [self.updates[at : at + PART] for at in range(0, COUNT, PART)])


SESSIONS: tuple[type[Scene], ...] = (Batch, Streamed)
