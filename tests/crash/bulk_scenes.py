"""Scenes of calls that change many releases at once: each call is whole or absent, and goes on where it was cut."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from releaseregistry.v1 import activities_pb2, releases_pb2

from tests.crash.client import new_id
from tests.crash.scenes import ACTIVITIES, FILES_OF_UPLOADS, Point, Scene, WithRelease
from tests.crash.workload import BrokenPromise

ARCHIVED = releases_pb2.RELEASE_STATUS_ARCHIVED


class InBulk(Scene):
    """Six releases of two projects, changed by two in a call; the second call is cut."""

    without = (ACTIVITIES, FILES_OF_UPLOADS)
    points: ClassVar[tuple[Point, ...]] = (("bulk.in_rows", 2), ("bulk.changed", 2))

    def prepare(self) -> None:
        client = self.client
        self.slug = f"of-{new_id()}"
        self.organization = client.make_organization(self.slug, "web", "api")
        self.versions = [f"app@1.{number}" for number in range(6)]
        for version in self.versions:
            client.make_release(self.organization, version, "web", "api")

    def look(self) -> None:
        """The first call's two releases are changed; those of the second one both, or neither."""
        self.world.look({})
        changed = self.changed()
        if changed != set(self.versions[2 if self.point[0] == "bulk.changed" else 4 :]):
            raise BrokenPromise(f"{self.name}: {sorted(changed)} are changed")

    def done(self) -> None:
        if self.changed() != set(self.versions):
            raise BrokenPromise(f"{self.name}: only {sorted(self.changed())} are changed")
        self.client.delete_organization(self.organization)

    @abstractmethod
    def changed(self) -> set[str]:
        """The versions that are as the calls make them."""


class ArchivedInBulk(InBulk):
    """Open releases that are archived, each of them told of once."""

    def act(self) -> None:
        self.client.bulk(self.organization, "release:*", action=releases_pb2.BULK_RELEASE_ACTION_ARCHIVE, page_size=2)

    def changed(self) -> set[str]:
        archived = self.client.versions(self.organization, ARCHIVED)
        project = f"{self.organization}/projects/api"
        told = self.client.told_of(project, activities_pb2.ACTIVITY_KIND_RELEASE_ARCHIVED)
        if sorted(told) != sorted(archived):
            raise BrokenPromise(f"{self.name}: {archived} are archived, and activities tell of {told}")
        return set(archived)


class LabelledInBulk(InBulk):
    """Releases that get a label."""

    def act(self) -> None:
        self.client.bulk(
            self.organization,
            "release:*",
            action=releases_pb2.BULK_RELEASE_ACTION_LABEL,
            set_labels={"team": "search", "risk": "low"},
            page_size=2,
        )

    def changed(self) -> set[str]:
        found = [set(self.client.versions(self.organization, query=f"has:label.{key}")) for key in ("team", "risk")]
        if found[0] != found[1]:
            raise BrokenPromise(f"{self.name}: {found[0] ^ found[1]} have one of two labels")
        return found[0]


class DeletedInBulk(WithRelease):
    """A release that is deleted as one of those that a query finds."""

    points = (("bulk.in_rows", 1), ("bulk.changed", 1))

    def delete(self) -> None:
        self.client.bulk(self.organization, "release:gone@*", action=releases_pb2.BULK_RELEASE_ACTION_DELETE)

    def look(self) -> None:
        if self.point[0] == "bulk.changed":
            super().look()
        elif self.client.versions(self.organization) != ["stays@1.0.0", "gone@1.0.0"]:
            raise BrokenPromise(f"{self.name}: a call that was not answered deleted something")

    def done(self) -> None:
        self.compare()
        self.client.delete_organization(self.organization)


IN_BULK: tuple[type[Scene], ...] = (ArchivedInBulk, LabelledInBulk, DeletedInBulk)
