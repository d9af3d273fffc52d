"""What is going on when a server is killed at a crash point: calls that pass the point, and how they go on afterwards.

Each scene names its points, as (name, which pass of it). A fresh one is made for each: `prepare` runs in peace, `act`
is cut by the kill, `look` asks the next server for what is half done, and then `act` is repeated until it is answered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import grpc

from tests.crash.client import MIB, Client, bytes_of, new_id, reason_of
from tests.crash.workload import BrokenPromise
from tests.crash.world import World
from tests.pictures import noise, opened

KIB = 1024
Point = tuple[str, int]
ACTIVITIES = "a created release without its activity"
FILES_OF_UPLOADS = "a finished upload's file is not there"


class Scene(ABC):
    """Something to be cut; `name` is in everything that it makes, `point` is where it will be cut."""

    points: ClassVar[tuple[Point, ...]]
    without: ClassVar[tuple[str, ...]] = (FILES_OF_UPLOADS,)
    """Claims about rows that do not hold where files are deleted, as all scenes do when they are over."""

    def __init__(self, world: World, point: Point) -> None:
        self.world, self.point = world, point
        self.name = f"{type(self).__name__} {point[0]} {point[1]}"
        self.upload_id = new_id()

    @property
    def client(self) -> Client:
        return self.world.client

    def prepare(self) -> None:  # noqa: B027 - most scenes need nothing
        """What is there before."""

    @abstractmethod
    def act(self) -> None:
        """The calls that are cut; repeating them is right whatever the first try did."""

    @abstractmethod
    def look(self) -> None:
        """Raises BrokenPromise where something is half done."""

    def done(self) -> None:  # noqa: B027 - what `look` has seen is all that there is
        """The calls were answered: looks once more, and leaves the world as it was."""


class NewFile(Scene):
    """Something after which a file is there, under the scene's name, with the scene's content."""

    size = 3 * MIB

    def __init__(self, world: World, point: Point) -> None:
        super().__init__(world, point)
        self.content = bytes_of(self.size, self.name)

    def look(self) -> None:
        """The file is there, or it is not."""
        self.world.look({self.name: (self.content, None)})

    def done(self) -> None:
        """The file is there."""
        self.world.kept[self.world.release][self.name] = self.content
        self.world.look({})
        self.world.forget(self.name)


class Stream(NewFile):
    """A stream of some groups. What was committed is never taken back."""

    points: ClassVar[tuple[Point, ...]] = (
        ("upload.begun", 1),
        ("pack.created", 1),
        ("pack.written", 1),
        ("pack.written", 2),
        ("pack.synced", 1),
        ("pack.synced", 2),
        ("pack.renamed", 1),
        ("pack.folder_synced", 1),
        ("upload.group_in_rows", 1),
        ("upload.group_committed", 1),
        ("upload.received", 1),
        ("upload.content_in_rows", 1),
        ("upload.file_in_rows", 1),
        ("upload.finished", 1),
    )
    committed_at: ClassVar[tuple[Point, ...]] = (
        ("pack.written", 2),
        ("pack.synced", 2),
        *((f"upload.{name}", 1) for name in ("group_committed", "received", "content_in_rows", "file_in_rows")),
        ("upload.finished", 1),
    )

    def act(self) -> None:
        self.client.upload(self.world.release, self.name, self.content, upload_id=self.upload_id)

    def look(self) -> None:
        super().look()
        committed = self.client.committed(self.world.release, self.upload_id)
        if (committed > 0) != (self.point in self.committed_at):
            raise BrokenPromise(f"{self.name}: {committed} bytes are committed")


class StreamToBucket(Stream):
    """The same, where an object is one request."""

    points = (("object.filled", 1), ("object.stored", 1), ("object.all_stored", 1), ("object.stored", 2))
    committed_at = (("object.stored", 2),)


class TakenOver(NewFile):
    """A stream that goes on with what an earlier one left."""

    points = (("upload.taken_over", 1),)

    def prepare(self) -> None:
        with suppress(grpc.RpcError):  # which says that there was no end
            part = self.content[: 2 * MIB + 1]
            self.client.upload(self.world.release, self.name, part, upload_id=self.upload_id, unfinished=True)
        assert self.client.committed(self.world.release, self.upload_id)

    def act(self) -> None:
        self.client.upload(self.world.release, self.name, self.content, upload_id=self.upload_id)


class Refused(NewFile):
    """Other content under a key that is taken: what came of it is removed again."""

    points = (("pack.unwanted", 1), ("pack.withdrawn", 1), ("upload.forgotten_in_rows", 1))
    size = 200 * KIB

    def prepare(self) -> None:
        self.world.upload(self.name, self.content)

    def act(self) -> None:
        try:
            other = bytes_of(self.size, "other")
            self.client.upload(self.world.release, self.name, other, upload_id=self.upload_id)
        except grpc.RpcError as error:
            if reason_of(error) != "FILE_EXISTS":
                raise
        else:
            raise BrokenPromise(f"{self.name}: other content took the place of a file")

    def look(self) -> None:
        self.world.look({})


class Replaced(NewFile):
    """Other content in place of a file."""

    points = (("file.old_one_out_of_rows", 1),)
    size = 200 * KIB

    def prepare(self) -> None:
        self.old = bytes_of(self.size, "old")
        self.world.upload(self.name, self.old)

    def act(self) -> None:
        self.client.upload(self.world.release, self.name, self.content, upload_id=self.upload_id, replace=True)

    def look(self) -> None:
        self.world.look({self.name: (self.old,)})


class Claimed(NewFile):
    """A file of content that is there."""

    points = (("file.claimed_in_rows", 1), ("file.claimed", 1))

    def prepare(self) -> None:
        self.content = self.world.kept[self.world.release]["always there"]

    def act(self) -> None:
        self.client.claim(self.world.release, self.name, self.content)


class Deleted(Scene):
    """A file that is deleted."""

    points = (("file.out_of_rows", 1), ("file.deleted", 1))

    def prepare(self) -> None:
        self.content = bytes_of(100 * KIB, self.name)
        self.file = self.world.upload(self.name, self.content)
        del self.world.kept[self.world.release][self.name]

    def act(self) -> None:
        try:
            self.client.delete_file(self.file)
        except grpc.RpcError as error:
            if reason_of(error) != "FILE_NOT_FOUND":
                raise

    def look(self) -> None:
        self.world.look({self.name: (self.content,) if self.point[0] == "file.out_of_rows" else (None,)})


class Assembled(NewFile):
    """Chunks on their own, and a file of them."""

    points = (
        ("chunks.synced", 1),
        ("chunks.in_rows", 1),
        ("chunks.committed", 1),
        ("assembly.begun", 1),
        ("assembly.verified", 1),
        ("assembly.file_in_rows", 1),
        ("assembly.finished", 1),
    )
    size = 600 * KIB

    def act(self) -> None:
        pieces = [self.content[start : start + 50 * KIB] for start in range(0, self.size, 50 * KIB)]
        self.client.send_chunks(self.world.organization, pieces)
        self.client.assemble(self.world.release, self.name, pieces, upload_id=self.upload_id)


class Pictured(Scene):
    """Another picture of the organization."""

    points = (("avatar.made", 1), ("avatar.received", 1), ("avatar.in_rows", 1), ("avatar.kept", 1))

    def prepare(self) -> None:
        self.world.pictures += 1
        self.other = noise(256 + self.world.pictures)
        self.before = self.client.upload_avatar(self.world.organization, noise(256))
        self.picture = self.client.avatar(self.world.organization)

    def act(self) -> None:
        self.uid = self.client.upload_avatar(self.world.organization, self.other)

    def look(self) -> None:
        self.world.look({})
        is_old = self.client.avatar(self.world.organization) == self.picture
        if is_old != (self.point[0] != "avatar.kept"):
            raise BrokenPromise(f"{self.name}: the picture is the {'old' if is_old else 'new'} one")

    def done(self) -> None:
        assert self.uid != self.before
        assert opened(self.client.avatar(self.world.organization)).size == (120, 120)
        if self.client.avatar(self.world.organization) == self.picture:
            raise BrokenPromise(f"{self.name}: the picture is the old one")


class WithRelease(Scene):
    """Something that deletes a release with a file, in an organization of its own."""

    without = (ACTIVITIES, FILES_OF_UPLOADS)

    def prepare(self) -> None:
        client = self.client
        self.slug = f"of-{new_id()}"
        self.organization = client.make_organization(self.slug, "web", "api")
        self.gone = client.make_release(self.organization, "gone@1.0.0", "web")
        self.stays = client.make_release(self.organization, "stays@1.0.0", "web", "api")
        self.content = bytes_of(200 * KIB, self.name)
        for release in (self.gone, self.stays):
            client.upload(release, "file", self.content, upload_id=new_id())
        web = f"{self.organization}/projects/web"
        client.upload(self.stays, "of web", self.content, upload_id=new_id(), project=web)

    def act(self) -> None:
        with suppress_reasons("RELEASE_NOT_FOUND", "PROJECT_NOT_FOUND", "ORGANIZATION_NOT_FOUND"):
            self.delete()
        self.world.server.tidy()

    @abstractmethod
    def delete(self) -> None:
        """Deletes it."""

    def look(self) -> None:
        """What is deleted is gone for every caller, at once."""
        self.world.look({})
        self.compare()

    def compare(self) -> None:
        """Raises BrokenPromise when the organization is not what it now must be."""
        if self.client.versions(self.organization) != ["stays@1.0.0"]:
            raise BrokenPromise(f"{self.name}: the release is seen still")
        if self.client.download(self.client.files(self.stays)["file"]) != self.content:
            raise BrokenPromise(f"{self.name}: the release that stays lost bytes")

    def done(self) -> None:
        self.look()
        with suppress_reasons("ORGANIZATION_NOT_FOUND"):
            self.client.delete_organization(self.organization)


class ReleaseDeleted(WithRelease):
    points = (("release.deleted", 1), ("release.out_of_rows", 1), ("release.drained_some", 1))

    def delete(self) -> None:
        self.client.delete_release(self.gone)


class ProjectDeleted(WithRelease):
    points = (("project.deleted", 1), ("project.detached_in_rows", 1), ("project.drained_some", 1))

    def delete(self) -> None:
        self.client.delete_project(f"{self.organization}/projects/web")

    def done(self) -> None:
        if sorted(self.client.files(self.stays)) != ["file"]:
            raise BrokenPromise(f"{self.name}: the project's own file is there still")
        super().done()


class OrganizationDeleted(WithRelease):
    points = (("organization.deleted", 1), ("organization.releases_marked", 1), ("organization.drained_some", 1))

    def delete(self) -> None:
        self.client.delete_organization(self.organization)

    def compare(self) -> None:
        try:
            self.client.versions(self.organization)
        except grpc.RpcError as error:
            if reason_of(error) == "ORGANIZATION_NOT_FOUND":
                return
            raise
        raise BrokenPromise(f"{self.name}: the organization is seen still")


class Collected(Scene):
    """A pass of the collector over everything that there can be to collect."""

    points = (
        ("collect.lease_taken", 1),
        ("collect.contents_found", 1),
        ("collect.contents_out_of_rows", 1),
        ("collect.contents_removed", 1),
        ("collect.chunks_found", 1),
        ("collect.chunks_locked", 1),
        ("collect.chunks_removed", 1),
        ("collect.pack_marked", 1),
        ("collect.pack_removed", 1),
        ("collect.pack_forgotten", 1),
        ("rewrite.announced", 1),
        ("rewrite.written", 1),
        ("rewrite.synced", 1),
        ("rewrite.in_rows", 1),
        ("rewrite.switched", 1),
        ("collect.unknown_pack_found", 1),
        ("collect.unknown_pack_buried", 1),
        ("collect.unknown_pack_buried", 1),
        ("collect.unknown_pack_removed", 1),
    )

    def prepare(self) -> None:
        """A content without a file, a pack of which a fifth is used, and a pack that no row knows."""
        world, client = self.world, self.client
        world.upload(f"{self.name} orphan", bytes_of(300 * KIB, f"{self.name} orphan"))
        world.forget(f"{self.name} orphan")
        pieces = [bytes_of(20 * KIB, f"{self.name} {number}") for number in range(10)]
        client.send_chunks(world.organization, pieces)
        client.assemble(world.release, self.name, pieces[:2], upload_id=self.upload_id)
        world.kept[world.release][self.name] = b"".join(pieces[:2])
        unknown = "00" * 15 + "ab"
        (Path(world.server.data) / "blobs" / "packs" / "ab" / unknown).write_bytes(b"known to no row")

    def act(self) -> None:
        self.client.collect()

    def look(self) -> None:
        self.world.look({})

    def done(self) -> None:
        self.world.look({})
        self.world.forget(self.name)


class suppress_reasons(suppress):  # noqa: N801 - reads like the one that it is
    """Suppresses refusals for one of these reasons."""

    def __init__(self, *reasons: str) -> None:
        super().__init__(grpc.RpcError)
        self._reasons = reasons

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return isinstance(error, grpc.RpcError) and reason_of(error) in self._reasons


ON_A_FOLDER: tuple[type[Scene], ...] = (
    Stream,
    TakenOver,
    Refused,
    Replaced,
    Claimed,
    Deleted,
    Assembled,
    Pictured,
    ReleaseDeleted,
    ProjectDeleted,
    OrganizationDeleted,
    Collected,
)
IN_A_BUCKET: tuple[type[Scene], ...] = (StreamToBucket,)
