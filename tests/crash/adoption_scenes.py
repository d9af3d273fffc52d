"""A run of adoption that is cut: what it wrote stands, the rest is found by the next."""

from __future__ import annotations

from typing import ClassVar

from releaseregistry.v1 import health_pb2

from tests.crash.client import new_id
from tests.crash.scenes import ACTIVITIES, FILES_OF_UPLOADS, Point, Scene
from tests.crash.workload import BrokenPromise

ADOPTED, REPLACED = health_pb2.ADOPTION_STAGE_ADOPTED, health_pb2.ADOPTION_STAGE_REPLACED
LOW = health_pb2.ADOPTION_STAGE_LOW_ADOPTION


class Adoption(Scene):
    """Everybody goes over from one release to another; the run that finds it out is cut."""

    without = (ACTIVITIES, FILES_OF_UPLOADS)
    points: ClassVar[tuple[Point, ...]] = (
        ("adoption.project_read", 1),
        ("adoption.adopted", 1),
        ("adoption.replaced", 1),
    )
    stages: ClassVar[dict[str, tuple[int, int]]] = {
        "adoption.project_read": (ADOPTED, LOW),
        "adoption.adopted": (ADOPTED, ADOPTED),
        "adoption.replaced": (REPLACED, ADOPTED),
    }
    """Of the old and of the new release, when the run was cut there."""

    def prepare(self) -> None:
        client = self.client
        self.organization = client.make_organization(f"of-{new_id()}", "web")
        self.project = f"{self.organization}/projects/web"
        for version in ("app@1", "app@2"):
            client.make_release(self.organization, version, "web")
            client.deploy(self.organization, version, "production")
        client.count_sessions(self.project, "app@1", 10, "production")
        client.run_adoption()
        self.since = client.adoption(self.organization, "app@1").adopt_time
        client.count_sessions(self.project, "app@2", 991, "production")

    def act(self) -> None:
        self.client.run_adoption()

    def look(self) -> None:
        self.expect(*self.stages[self.point[0]])

    def done(self) -> None:
        self.expect(REPLACED, ADOPTED)
        self.client.delete_organization(self.organization)

    def expect(self, *stages: int) -> None:
        found = [self.client.adoption(self.organization, version) for version in ("app@1", "app@2")]
        if tuple(adoption.stage for adoption in found) != stages:
            raise BrokenPromise(f"{self.name}: {found}, not {stages}")
        if found[0].adopt_time != self.since:
            raise BrokenPromise(f"{self.name}: the first date did not stay: {found[0]}, not {self.since}")


ADOPTIONS: tuple[type[Scene], ...] = (Adoption,)
