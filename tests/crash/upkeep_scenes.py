"""Scenes of what the server makes of sessions by itself: releases, days of hours, and nothing of what is old."""

from __future__ import annotations

import time
from typing import ClassVar

import grpc
from releaseregistry.v1 import health_pb2

from tests.crash.client import new_id, reason_of
from tests.crash.scenes import (
    ACTIVITIES,
    FILES_OF_UPLOADS,
    OrganizationDeleted,
    Point,
    ProjectDeleted,
    ReleaseDeleted,
    Scene,
    WithRelease,
)
from tests.crash.workload import BrokenPromise

KEPT_DAYS = 20
"""How long the dying server keeps days; hours for 10 days, sessions for 6."""
SECONDS = 60.0


class OfSessions(Scene):
    """Something in an organization of its own, whose project has sessions."""

    without = (ACTIVITIES, FILES_OF_UPLOADS)

    def prepare(self) -> None:
        self.organization = self.client.make_organization(f"of-{new_id()}", "web")
        self.project = f"{self.organization}/projects/web"

    def done(self) -> None:
        self.look()
        self.client.delete_organization(self.organization)


class Told(OfSessions):
    """A batch of sessions that is told again when its answer was lost."""

    points: ClassVar[tuple[Point, ...]] = (("sessions.in_rows", 1), ("sessions.recorded", 1))

    def act(self) -> None:
        self.client.tell(self.project, "app@1", [0, 1, 2, 3] * 10)

    def look(self) -> None:
        """All of it counts, or nothing."""
        found = self.count()
        if found != (40 if self.point[0] == "sessions.recorded" else 0):
            raise BrokenPromise(f"{self.name}: {found} of 40 sessions count")

    def done(self) -> None:
        if self.count() != 40:
            raise BrokenPromise(f"{self.name}: told twice, {self.count()} of 40 sessions count")
        self.client.delete_organization(self.organization)

    def count(self) -> int:
        """How many sessions there are of the version, if any."""
        try:
            return self.client.session_count(f"{self.organization}/releases/app@1", health_pb2.HEALTH_PERIOD_LAST_7D)
        except grpc.RpcError as error:
            if reason_of(error) == "RELEASE_NOT_FOUND":
                return 0
            raise


class Discovered(OfSessions):
    """A version that only sessions name becomes a release."""

    points: ClassVar[tuple[Point, ...]] = (
        ("discovery.claimed", 1),
        ("linking.in_rows", 1),
        ("discovery.linked_some", 1),
    )

    def act(self) -> None:
        self.client.tell(self.project, "app@1", [0, 1, 2], environment="production")
        deadline = time.monotonic() + SECONDS
        while not self.client.versions(self.organization):
            if time.monotonic() > deadline:
                raise BrokenPromise(f"{self.name}: no release comes of the sessions")
            time.sleep(0.02)

    def look(self) -> None:
        found = self.client.versions(self.organization)
        if found not in ([], ["app@1"]):
            raise BrokenPromise(f"{self.name}: {found} came of the sessions")
        # One question: the release may come between two.
        if self.client.versions(self.organization, query="!environment:production"):
            raise BrokenPromise(f"{self.name}: the release is not where its sessions are")

    def done(self) -> None:
        if self.client.versions(self.organization) != ["app@1"]:
            raise BrokenPromise(f"{self.name}: the release is not there")
        super().done()


class KeptUp(OfSessions):
    """A month of sessions, of which days are built, and what is old is removed."""

    points: ClassVar[tuple[Point, ...]] = (
        ("upkeep.purged", 1),
        ("upkeep.purged", 3),
        ("upkeep.days_in_rows", 1),
        ("upkeep.built", 1),
        ("upkeep.days_out_of_rows", 1),
        ("upkeep.days_purged", 1),
    )

    def prepare(self) -> None:
        super().prepare()
        # The newest first: what is told afterwards is late, and counts in days at once.
        for version, days in (("app@1", range(15)), ("app@1", range(15, 30)), ("old@1", range(25, 30))):
            self.client.tell(self.project, version, [each for each in days for _ in range(3)])

    def act(self) -> None:
        self.world.server.tidy()

    def look(self) -> None:
        """What is not old is there, whether in hours or in days."""
        for period, days in ((health_pb2.HEALTH_PERIOD_LAST_7D, 7), (health_pb2.HEALTH_PERIOD_LAST_14D, 14)):
            found = self.client.session_count(f"{self.organization}/releases/app@1", period)
            if found != 3 * days:
                raise BrokenPromise(f"{self.name}: {found} sessions in {days} days, not {3 * days}")

    def done(self) -> None:
        # The days of the oldest and of today may be cut by midnight.
        found = self.client.session_count(f"{self.organization}/releases/app@1", health_pb2.HEALTH_PERIOD_LAST_30D)
        if not 3 * KEPT_DAYS <= found <= 3 * (KEPT_DAYS + 2):
            raise BrokenPromise(f"{self.name}: {found} sessions are left of a month")
        super().done()


class WithSessions(WithRelease):
    """Both releases have sessions, some of them in days."""

    def prepare(self) -> None:
        super().prepare()
        for version in ("gone@1.0.0", "stays@1.0.0"):
            self.client.tell(f"{self.organization}/projects/web", version, [0, 1, 2, 3])
            self.client.tell(f"{self.organization}/projects/web", version, [9, 10, 11])


class ReleaseWithSessionsDeleted(WithSessions, ReleaseDeleted):
    """A release that goes with what sessions said of it."""

    def delete(self) -> None:
        self.client.delete_release(self.gone, force=True)


class ProjectWithSessionsDeleted(WithSessions, ProjectDeleted):
    """A project that goes with its sessions."""


class OrganizationWithSessionsDeleted(WithSessions, OrganizationDeleted):
    """An organization that goes with its sessions."""


UPKEEP: tuple[type[Scene], ...] = (
    Told,
    Discovered,
    KeptUp,
    ReleaseWithSessionsDeleted,
    ProjectWithSessionsDeleted,
    OrganizationWithSessionsDeleted,
)
